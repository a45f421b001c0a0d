"""Binary models as COLMAP writes them, without points."""

import struct
from pathlib import Path

import numpy as np

from cut3r.io.colmap import MODELS


def write_model(
    folder: Path,
    cameras: dict[int, tuple[str, tuple[int, int], list[float]]],
    images: list[tuple[str, int, np.ndarray]],
) -> None:
    """Write cameras (model, size (h, w), parameters) by number, and images (name, camera's number, cam_from_world)."""
    from scipy.spatial.transform import Rotation

    folder.mkdir(parents=True, exist_ok=True)
    data = struct.pack("<Q", len(cameras))
    for number, (model, (h, w), parameters) in cameras.items():
        data += struct.pack("<iiQQ", number, list(MODELS).index(model), w, h)
        data += struct.pack(f"<{len(parameters)}d", *parameters)
    (folder / "cameras.bin").write_bytes(data)
    data = struct.pack("<Q", len(images))
    for number, (name, camera, cam_from_world) in enumerate(images, start=1):
        x, y, z, w = Rotation.from_matrix(cam_from_world[:3, :3]).as_quat()
        data += struct.pack("<I7dI", number, w, x, y, z, *cam_from_world[:3, 3], camera)
        data += name.encode() + b"\0" + struct.pack("<Q", 0)
    (folder / "images.bin").write_bytes(data)
    (folder / "points3D.bin").write_bytes(struct.pack("<Q", 0))
