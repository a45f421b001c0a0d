from pathlib import Path

import numpy as np
from PIL import Image

from cut3r.data.view import RawFrame
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_walk

DEPTH = 0.01  # one step is 15 mm
FAULT = "rotations that were rounded"
FAULT_SURVIVES = True
POSE = 2e-3  # half precision


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames, folder = render_walk((60, 96), frames=4), raw / "train" / "dancing"
    (folder / "rgbs").mkdir(parents=True)
    for number, frame in enumerate(frames):
        Image.fromarray(frame.rgb).save(folder / "rgbs" / f"rgb_{number:05d}.jpg", quality=95)
        save_image(
            folder / "depths" / f"depth_{number:05d}.png", (frame.depth / 1000 * 65535).round().astype(np.uint16)
        )
    extrinsics = np.stack([np.linalg.inv(frame.world_from_cam) for frame in frames])
    intrinsics = np.stack([frame.intrinsics for frame in frames])
    write_cameras(folder, intrinsics, extrinsics)
    return {"train/dancing": frames}


def write_cameras(folder: Path, intrinsics: np.ndarray, extrinsics: np.ndarray) -> None:
    np.savez(folder / "anno.npz", intrinsics=intrinsics.astype(np.float16), extrinsics=extrinsics.astype(np.float16))
