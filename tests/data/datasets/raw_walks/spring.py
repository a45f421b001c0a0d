from pathlib import Path

import h5py
import numpy as np

from cut3r.data.view import RawFrame
from datasets_preprocess.spring import SpringOptions
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_walk

SIZE = (108, 192)
OPTIONS = SpringOptions(target_height=54, target_width=96)


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames, folder = render_walk(SIZE, frames=3), raw / "0001"
    (folder / "cam_data").mkdir(parents=True)
    (folder / "disp1_left").mkdir()
    intrinsics, extrinsics = [], []
    for number, frame in enumerate(frames, 1):
        save_image(folder / "frame_left" / f"frame_left_{number:04d}.png", frame.rgb)
        disparity = frame.intrinsics[0, 0] * OPTIONS.baseline_m / frame.depth
        write_disparity(folder, number, disparity)
        sky = np.zeros((2 * frame.size[0], 2 * frame.size[1]), np.uint8)
        save_image(folder / "maps" / "skymap_left" / f"skymap_left_{number:04d}.png", sky)
        k = frame.intrinsics
        intrinsics.append(f"{k[0, 0]} {k[1, 1]} {k[0, 2]} {k[1, 2]}")
        extrinsics.append(" ".join(f"{value:.9f}" for value in np.linalg.inv(frame.world_from_cam).ravel()))
    (folder / "cam_data" / "intrinsics.txt").write_text("\n".join(intrinsics) + "\n")
    (folder / "cam_data" / "extrinsics.txt").write_text("\n".join(extrinsics) + "\n")
    return {"0001": frames}


def write_disparity(folder: Path, number: int, disparity: np.ndarray) -> None:
    """Write a map at twice the size of the picture; what lies between its pixels is nonsense."""
    finer = np.full((2 * disparity.shape[0], 2 * disparity.shape[1]), 1e3, np.float32)
    finer[::2, ::2] = disparity
    with h5py.File(folder / "disp1_left" / f"disp1_left_{number:04d}.dsp5", "w") as file:
        file["disparity"] = finer
