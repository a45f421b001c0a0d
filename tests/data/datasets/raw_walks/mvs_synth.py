import json
from pathlib import Path

import numpy as np

from cut3r.data.view import RawFrame
from cut3r.io.exr import write_exr
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_walk


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames, folder = render_walk((60, 96), frames=4), raw / "0000"
    for number, frame in enumerate(frames):
        save_image(folder / "images" / f"{number:04d}.png", frame.rgb)
        write_exr(folder / "depths" / f"{number:04d}.exr", frame.depth)
        left_handed = np.linalg.inv(np.diag([1, -1, 1, 1]) @ frame.world_from_cam)
        write_camera(folder / "poses" / f"{number:04d}.json", frame.intrinsics, left_handed)
    return {"0000": frames}


def write_camera(path: Path, k: np.ndarray, extrinsic: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"f_x": k[0, 0], "f_y": k[1, 1], "c_x": k[0, 2], "c_y": k[1, 2], "extrinsic": extrinsic.tolist()}
    path.write_text(json.dumps(content))
