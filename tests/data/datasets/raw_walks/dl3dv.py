from pathlib import Path

import numpy as np

from cut3r.data.view import RawFrame
from cut3r.io.colmap_dense import write_dense_map
from tests.data.datasets.colmap_model import write_model
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_walk


def write(raw: Path) -> dict[str, list[RawFrame]]:
    """The images are given latest first; the dataset has them by name."""
    frames, name = render_walk((120, 160), frames=4), f"3K/{'b7' * 32}"
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
    write_model(workspace / "sparse", {1: ("PINHOLE", (120, 160), parameters)}, images[::-1])
    return {name: frames}
