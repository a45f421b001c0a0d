from pathlib import Path

import cv2
import numpy as np

from cut3r.data.view import RawFrame
from tests.data.datasets.colmap_model import write_model
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_walk

RADIAL = 0.12


def distorted(frame: RawFrame, radial: float) -> np.ndarray:
    """What a lens makes of the picture: each pixel shows what the straight picture has on its ray."""
    h, w = frame.size
    grid = np.stack(np.meshgrid(np.arange(w), np.arange(h)), axis=-1).astype(np.float64).reshape(-1, 1, 2)
    k = frame.intrinsics
    straight = cv2.undistortPoints(grid, k, np.array([radial, 0, 0, 0]), P=k).reshape(h, w, 2).astype(np.float32)
    return cv2.remap(frame.rgb, straight[..., 0], straight[..., 1], cv2.INTER_LINEAR)


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames, folder = render_walk((160, 120), frames=3), raw / "MVImgNet_by_categories" / "12" / "0a0b0c0d"
    k, images = frames[0].intrinsics.copy(), []
    k[1, 1] = k[0, 0]
    for number, frame in enumerate(frames, start=1):
        save_image(folder / "images" / f"{number:03d}.jpg", distorted(frame, RADIAL))
        images.append((f"{number:03d}.jpg", 1, np.linalg.inv(frame.world_from_cam)))
    parameters = [k[0, 0], k[0, 2] + 0.5, k[1, 2] + 0.5, RADIAL]
    write_model(folder / "sparse" / "0", {1: ("SIMPLE_RADIAL", frames[0].size, parameters)}, images)
    return {"12_0a0b0c0d": frames}
