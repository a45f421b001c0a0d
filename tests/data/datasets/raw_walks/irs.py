from pathlib import Path

import numpy as np

from cut3r.data.view import RawFrame
from cut3r.io.exr import write_exr
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_unrelated

SIZE = (96, 128)
INTRINSICS = np.array([[480.0, 0, 63.5], [0, 480, 47.5], [0, 0, 1]])  # as published, but for the size


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames = render_unrelated(SIZE, INTRINSICS, frames=2)
    for frame, path in zip(frames, ("Home/HomeA_Dark", "Store/StoreA"), strict=True):
        save_image(raw / path / "l_00001.png", frame.rgb)
        with np.errstate(divide="ignore"):
            disparity = np.where(frame.depth > 0, np.float32(48) / frame.depth, np.float32(0))
        write_exr(raw / path / "d_00001.exr", disparity[..., None], channels=["G"])
        write_exr(raw / path / "n_00001.exr", np.zeros((*frame.size, 3), np.float32))
    return {"all": frames}
