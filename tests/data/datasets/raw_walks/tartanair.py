from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from cut3r.data.view import RawFrame
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_walk

INTRINSICS = np.array([[320.0, 0, 320], [0, 320, 240], [0, 0, 1]])  # as published, of all cameras


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames, name = render_walk((480, 640), INTRINSICS, frames=3), "house/Easy/P000"
    folder = raw / name
    (folder / "depth_left").mkdir(parents=True)
    ned_from_opencv = np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]])
    lines = []
    for number, frame in enumerate(frames):
        save_image(folder / "image_left" / f"{number:06d}_left.png", frame.rgb)
        np.save(folder / "depth_left" / f"{number:06d}_left_depth.npy", frame.depth)
        rotation = Rotation.from_matrix(frame.world_from_cam[:3, :3] @ ned_from_opencv.T).as_quat()
        lines.append(" ".join(f"{value:.9f}" for value in (*frame.world_from_cam[:3, 3], *rotation)))
    (folder / "pose_left.txt").write_text("\n".join(lines) + "\n")
    return {name: frames}
