from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from cut3r.data.view import RawFrame
from tests.data.datasets.raw_walks import render_walk

INTRINSICS = np.array([[100.0, 0, 64], [0, 105, 88], [0, 0, 1]])


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames = render_walk((160, 120), INTRINSICS, frames=4)
    train, release = raw / "train/s00000", raw / "s00000"
    poses, calibration = [], []
    for number, frame in enumerate(frames):
        video, name = number // 2, f"frame_{number % 2:05d}"
        photo = f"seq{video}/{name}.jpg"
        for folder in (train / f"seq{video}", release / f"dense{video}/depth"):
            folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(frame.rgb).save(train / photo, quality=95)
        np.save(release / f"dense{video}/depth/{name}.npy", frame.depth)
        poses.append(f"{photo} {pose_line(frame.world_from_cam)}")
        (h, w), k = frame.size, frame.intrinsics
        calibration.append(
            f"{photo} {k[0, 0]} {k[1, 1]} {k[0, 2] + 0.5} {k[1, 2] + 0.5} {w} {h}"
        )  # (0, 0) is the corner of the picture
    (train / "poses.txt").write_text("\n".join(["# photo qw qx qy qz tx ty tz", *poses]) + "\n")
    (train / "intrinsics.txt").write_text("\n".join(calibration) + "\n")
    places = np.array([(0, 0, 0, 1), (0, 1, 1, 0), (1, 0, 1, 1)])
    np.savez(train / "overlaps.npz", idxs=places, overlaps=np.array([0.9, 0.8, 0.7]))
    return {"s00000": frames}


def pose_line(world_from_cam: np.ndarray) -> str:
    """Write cam_from_world as quaternion (w, x, y, z) and translation."""
    cam_from_world = np.linalg.inv(world_from_cam)
    x, y, z, w = Rotation.from_matrix(cam_from_world[:3, :3]).as_quat()
    return " ".join(f"{value:.10f}" for value in (w, x, y, z, *cam_from_world[:3, 3]))
