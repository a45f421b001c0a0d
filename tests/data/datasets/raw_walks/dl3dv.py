from pathlib import Path

import numpy as np

from cut3r.data.datasets.dl3dv import LAYOUT
from cut3r.data.view import RawFrame
from cut3r.io.colmap_dense import write_dense_map
from tests.data.datasets.colmap_model import write_model
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_walk

NAME = f"3K/{'b7' * 32}"
FAULT = "principal point looks half a pixel too large"


def write_faulty(raw: Path) -> None:
    write_walk(raw, render_walk((120, 160), frames=12, speed=1.0))


def theirs(out: Path) -> None:
    """Write masks of the sky and of outliers that mask nothing."""
    for path in sorted((out / NAME / "dense" / "rgb").iterdir()):
        for kind in ("sky", "outlier"):
            mask = LAYOUT.path(out, kind, NAME, path.stem)
            mask.parent.mkdir(parents=True, exist_ok=True)
            save_image(mask, np.zeros((120, 160), np.uint8))


def write(raw: Path) -> dict[str, list[RawFrame]]:
    return write_walk(raw, render_walk((120, 160), frames=4))


def write_walk(raw: Path, frames: list[RawFrame]) -> dict[str, list[RawFrame]]:
    """The images are given latest first; the dataset has them by name."""
    name = NAME
    workspace = raw / name / "dense"
    k = frames[0].intrinsics
    parameters = [k[0, 0], k[1, 1], k[0, 2] + 0.5, k[1, 2] + 0.5]
    images = []
    for number, frame in enumerate(frames, start=1):
        file = f"frame_{number:05d}.png"
        save_image(workspace / "images" / file, frame.rgb)
        (workspace / "stereo" / "depth_maps").mkdir(parents=True, exist_ok=True)
        write_dense_map(workspace / "stereo" / "depth_maps" / f"{file}.geometric.bin", frame.depth)
        images.append((file, 1, np.linalg.inv(frame.world_from_cam)))
    write_model(workspace / "sparse", {1: ("PINHOLE", frames[0].size, parameters)}, images[::-1])
    return {name: frames}
