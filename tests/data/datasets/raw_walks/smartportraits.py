"""The phone and the depth camera see a room from two places of a walk; nothing is distorted."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np

from cut3r.data.view import RawFrame
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_walk

SIZE = (240, 320)
INTRINSICS = np.array([[250.0, 0, 159.5], [0, 250, 119.5], [0, 0, 1]])
DEPTH = 0.03  # the nearest of 11 x 11 pixels


def write(raw: Path) -> dict[str, list[RawFrame]]:
    folder = raw / "SmartPortraits" / "hall" / "007" / "noon"
    (folder / "_azure_depth_image_raw").mkdir(parents=True)
    phone, depth = render_walk(SIZE, INTRINSICS, frames=2, speed=1.0)
    for time in (10**15, 10**15 + 33_000_000):
        save_image(folder / "smartphone_video_frames" / f"{time}.png", phone.rgb)
        np.save(folder / "_azure_depth_image_raw" / f"{time + 2000}.npy", depth.depth.astype(np.float64))
    write_toolkit(raw, phone.size, phone.intrinsics, np.linalg.inv(phone.world_from_cam) @ depth.world_from_cam)
    return {"all": [replace(phone, world_from_cam=np.eye(4))] * 2}


def write_toolkit(raw: Path, size: tuple[int, int], intrinsics: np.ndarray, phone_from_depth: np.ndarray) -> None:
    """Write the calibration of two undistorted cameras with the same intrinsics."""
    utils = raw / "convert_to_TUM" / "utils"
    utils.mkdir(parents=True)
    phone = {"intrinsics": intrinsics, "dist_coeff": np.zeros((1, 14)), "undist_intrinsics": intrinsics}
    np.save(utils / "phone.npy", np.array(phone, dtype=object), allow_pickle=True)
    depth = {"depth": {"dist_mtx": intrinsics, "dist_coef": np.zeros(8)}}
    (utils / "depth.pickle").write_bytes(pickle.dumps(depth))
    np.save(utils / "between.npy", phone_from_depth)
    config = {"rgb_intristics": "phone.npy", "depth_conf": "depth.pickle", "transform_intristics": "between.npy"}
    (raw / "convert_to_TUM" / "config.json").write_text(json.dumps({**config, "res_h": size[0], "res_w": size[1]}))
