"""7-Scenes, test split: 18 sequences in seven rooms, depth camera with tracked poses; every 200th frame is used.

`python -m eval.prepare sevenscenes` registers the depth to the colour camera (`frame-*.depth.proj.png`).
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64

from cut3r.data.layout import read_png16
from cut3r.io.numbers import read_matrix
from eval.sequences.inventory import Found, Request, depth_reader, gather, list_files
from eval.sequences.sequence import Sequence

ADVICE = (
    "get the seven zips from https://www.microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes, then run: "
    "python -m eval.prepare sevenscenes --raw DOWNLOAD --out {root}"
)
TEST_SPLIT = {
    "chess": (3, 5),
    "fire": (3, 4),
    "heads": (1,),
    "office": (2, 6, 7, 9),
    "pumpkin": (1, 7),
    "redkitchen": (3, 4, 6, 12, 14),
    "stairs": (1, 4),
}
SEQUENCES = tuple(f"{scene}/seq-{number:02d}" for scene, numbers in TEST_SPLIT.items() for number in numbers)
STEP, LONG_STEP, VIEW_STEP = 200, 2, 20
FAR_M, NEAR_M = 10.0, 1e-3  # depth outside of this is taken for unknown
UNKNOWN_MM = 65535
INTRINSICS = np.array([[525.0, 0.0, 320.0], [0.0, 525.0, 240.0], [0.0, 0.0, 1.0]])


def open_reconstruction(root: Path, request: Request) -> list[Sequence]:
    """Open the 18 sequences with registered depth (float32), cameras and intrinsics."""
    return _open(root, request, STEP)


def open_views(root: Path, request: Request) -> list[Sequence]:
    """Open them for unseen views: every 20th frame, between which a held-out one lies."""
    return _open(root, request, VIEW_STEP)


def _open(root: Path, request: Request, step: int) -> list[Sequence]:
    folder = folder_of(root)

    def find(name: str) -> Found:
        total = frames_of(name)
        numbers = range(0, total, step) if request.frames is None else range(0, total, LONG_STEP)[: request.frames]
        there = {path.name for path in list_files(folder / name, "")}
        missing = [f"{name}/{file}" for number in numbers for file in names_of(number) if file not in there]
        usable = [number for number in numbers if there.issuperset(names_of(number))]
        return Found(_sequence(name, folder / name, usable) if usable else None, tuple(missing))

    return gather(SEQUENCES, find, folder=folder, root=root, advice=ADVICE, request=request)


def folder_of(root: Path) -> Path:
    """Give the folder of the scenes."""
    return root / "7scenes"


def frames_of(name: str) -> int:
    """Tell how many frames a sequence has."""
    return 500 if name.startswith("stairs/") else 1000


def names_of(number: int) -> tuple[str, str, str]:
    """Name the files of a frame: colour, registered depth, pose."""
    stem = f"frame-{number:06d}"
    return f"{stem}.color.png", f"{stem}.depth.proj.png", f"{stem}.pose.txt"


def read_depth(path: Path) -> Float32[np.ndarray, "h w"]:
    """Read a depth map in millimetres: metres, 0 where it is unknown, beyond 10 m or nearer than 1 mm."""
    values = read_png16(path)
    depth = np.where(values == UNKNOWN_MM, 0, values).astype(np.float32) / np.float32(1000)
    depth[(depth > FAR_M) | (depth < NEAR_M)] = 0
    return depth


def read_pose(path: Path) -> Float64[np.ndarray, "4 4"]:
    """Read world_from_cam: four lines of four numbers, no rotation or not finite where tracking was lost."""
    return read_matrix(path, 4, 4)


def _sequence(name: str, folder: Path, numbers: list[int]) -> Sequence:
    files = [[folder / file for file in names_of(number)] for number in numbers]
    return Sequence(
        name,
        tuple(color for color, _, _ in files),
        depth_reader((depth for _, depth, _ in files), read_depth),
        world_from_cam=np.stack([read_pose(pose) for _, _, pose in files]),
        intrinsics=np.tile(INTRINSICS, (len(files), 1, 1)),
    )
