"""MPI Sintel, training part, *final* pass: rendered films with exact depth and cameras. No preparation is needed.

Depth is scored on all 23 sequences, poses on the 14 whose camera moves enough for an alignment.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Float64

from cut3r.geometry.poses import is_rigid
from eval.sequences.inventory import Found, Request, depth_reader, gather, list_files, pair, shortage
from eval.sequences.sequence import Sequence

ADVICE = (
    "get MPI-Sintel-training_images.zip and MPI-Sintel-depth-training-20150305.zip from http://sintel.is.tue.mpg.de "
    "and unpack both into {root}/sintel"
)
FRAMES = {
    "alley_1": 50,
    "alley_2": 50,
    "ambush_2": 21,
    "ambush_4": 33,
    "ambush_5": 50,
    "ambush_6": 20,
    "ambush_7": 50,
    "bamboo_1": 50,
    "bamboo_2": 50,
    "bandage_1": 50,
    "bandage_2": 50,
    "cave_2": 50,
    "cave_4": 50,
    "market_2": 50,
    "market_5": 50,
    "market_6": 40,
    "mountain_1": 50,
    "shaman_2": 50,
    "shaman_3": 50,
    "sleeping_1": 50,
    "sleeping_2": 50,
    "temple_2": 50,
    "temple_3": 50,
}
POSE_SEQUENCES = (
    "alley_2",
    "ambush_4",
    "ambush_5",
    "ambush_6",
    "cave_2",
    "cave_4",
    "market_2",
    "market_5",
    "market_6",
    "shaman_3",
    "sleeping_1",
    "sleeping_2",
    "temple_2",
    "temple_3",
)
TAG = np.float32(202021.25)  # the first four bytes of .dpt and .cam: they tell the format and the byte order


def open_depth(root: Path, request: Request) -> list[Sequence]:
    """Open the 23 sequences with depth (float32; sky holds very large values)."""

    def find(name: str) -> Found:
        pairs, missing = _pairs(folder, name, "depth", ".dpt", by_order=request.parity)
        images = tuple(image for image, _ in pairs)
        reader = depth_reader((depth for _, depth in pairs), read_dpt)
        return Found(Sequence(name, images, reader) if pairs else None, missing)

    folder = root / "sintel" / "training"
    return gather(FRAMES, find, folder=folder, root=root, advice=ADVICE, request=request)


def open_poses(root: Path, request: Request) -> list[Sequence]:
    """Open the 14 sequences with cameras."""

    def find(name: str) -> Found:
        pairs, missing = _pairs(folder, name, "camdata_left", ".cam", by_order=request.parity)
        if not pairs:
            return Found(None, missing)
        cameras = [read_cam(camera) for _, camera in pairs]
        world_from_cam = np.stack([pose for pose, _ in cameras])
        intrinsics = np.stack([matrix for _, matrix in cameras])
        images = tuple(image for image, _ in pairs)
        return Found(Sequence(name, images, world_from_cam=world_from_cam, intrinsics=intrinsics), missing)

    folder = root / "sintel" / "training"
    return gather(POSE_SEQUENCES, find, folder=folder, root=root, advice=ADVICE, request=request)


def read_dpt(path: Path) -> Float32[np.ndarray, "h w"]:
    """Read a depth map of Sintel: metres.

    Raises:
        ValueError: The file does not begin with Sintel's tag, or has not the size that its header says.
    """
    data = path.read_bytes()
    _require_tag(data, path)
    w, h = np.frombuffer(data, "<i4", count=2, offset=4).tolist()
    if len(data) != 12 + 4 * h * w:
        raise ValueError(f"{path} has {len(data)} bytes; expected {12 + 4 * h * w} for {w}x{h} pixels; unpack it again")
    return np.frombuffer(data, "<f4", offset=12).reshape(h, w).astype(np.float32)


def read_cam(path: Path) -> tuple[Float64[np.ndarray, "4 4"], Float64[np.ndarray, "3 3"]]:
    """Read a camera of Sintel: world_from_cam (the file holds its inverse) and the intrinsics.

    Raises:
        ValueError: The file does not begin with Sintel's tag, has another size, or holds no rigid motion.
    """
    data = path.read_bytes()
    _require_tag(data, path)
    if len(data) != 4 + 8 * 21:
        raise ValueError(f"{path} has {len(data)} bytes; expected 172 (a tag, 3x3 and 3x4 doubles); unpack it again")
    numbers = np.frombuffer(data, "<f8", offset=4).astype(np.float64)
    cam_from_world = np.concatenate([numbers[9:].reshape(3, 4), [[0.0, 0.0, 0.0, 1.0]]])
    if not is_rigid(torch.from_numpy(cam_from_world)):
        raise ValueError(f"{path} holds no rotation and translation; all cameras of Sintel are known; unpack it again")
    return np.linalg.inv(cam_from_world), numbers[:9].reshape(3, 3)


def _pairs(
    folder: Path, name: str, kind: str, suffix: str, *, by_order: bool
) -> tuple[list[tuple[Path, Path]], tuple[str, ...]]:
    images = list_files(folder / "final" / name, ".png")
    pairs, missing = pair(images, list_files(folder / kind / name, suffix), by_order=by_order)
    return pairs, missing + shortage(f"{name} with {kind}", len(pairs), FRAMES[name])


def _require_tag(data: bytes, path: Path) -> None:
    if len(data) < 12 or np.frombuffer(data, "<f4", count=1)[0] != TAG:
        raise ValueError(f"{path} does not begin with Sintel's tag {TAG}; it is damaged or no file of Sintel")
