"""Neural RGB-D: nine rendered rooms with exact depth and cameras; every 500th frame is used. Nothing to prepare."""

import logging
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from cut3r.io.numbers import read_matrix, read_rows
from eval.sequences.inventory import Found, Request, depth_reader, gather, list_files, shortage
from eval.sequences.sequence import Sequence
from eval.sequences.sevenscenes import LONG_STEP, read_depth

logger = logging.getLogger(__name__)

ADVICE = "get http://kaldir.vc.in.tum.de/neural_rgbd/neural_rgbd_data.zip and unpack it into {root}/neural_rgbd"
FEWEST_FRAMES = {  # what the published selection needs; the exact numbers are not recorded
    "breakfast_room": 1001,
    "complete_kitchen": 1001,
    "green_room": 1001,
    "grey_white_room": 1001,
    "kitchen": 1501,
    "morning_apartment": 901,
    "staircase": 1001,
    "thin_geometry": 301,
    "whiteroom": 1501,
}
LARGEST_STEP = 500
FOCAL = 554.2562584220408  # 60 degrees over 640 pixels
OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])  # of the camera: y and z point the other way


def open_reconstruction(root: Path, request: Request) -> list[Sequence]:
    """Open the nine rooms with depth (float32), cameras and intrinsics.

    A camera that the file calls "nan" has numbers that are not finite; with parity it is the unit camera if the first
    of its four lines says so, as in the reference. The focal length is read from the room's focal.txt; with parity it
    is the reference's constant.
    """
    folder = root / "neural_rgbd"

    def find(name: str) -> Found:
        count = len(list_files(folder / name / "images", ".png"))
        missing = shortage(name, count, FEWEST_FRAMES[name], most=max(count, FEWEST_FRAMES[name]))
        numbers = _selection(count, request.frames)
        needed = [folder / name / "poses.txt"]
        needed += [] if request.parity else [folder / name / "focal.txt"]
        needed += [path for number in numbers for path in _files(folder / name, number)]
        absent = tuple(path.relative_to(folder).as_posix() for path in needed if not path.is_file())
        if absent or not count:
            return Found(None, missing + absent)
        world_from_cam = read_poses(folder / name / "poses.txt", parity=request.parity)
        if len(world_from_cam) != count:
            return Found(None, (*missing, f"{name} ({count} pictures but {len(world_from_cam)} cameras)"))
        focal = FOCAL if request.parity else read_focal(folder / name / "focal.txt")
        intrinsics = np.array([[focal, 0.0, 320.0], [0.0, focal, 240.0], [0.0, 0.0, 1.0]])
        images, depths = zip(*[_files(folder / name, number) for number in numbers], strict=True)
        sequence = Sequence(
            name,
            images,
            depth_reader(depths, read_depth),
            world_from_cam=world_from_cam[list(numbers)],
            intrinsics=np.tile(intrinsics, (len(images), 1, 1)),
        )
        return Found(sequence, missing)

    return gather(FEWEST_FRAMES, find, folder=folder, root=root, advice=ADVICE, request=request)


def read_poses(path: Path, *, parity: bool = False) -> Float64[np.ndarray, "v 4 4"]:
    """Read world_from_cam, four lines per frame; the file has OpenGL axes.

    Args:
        parity: A matrix with "nan" in its first line is the unit matrix of the file's axes.
    """
    rows, _ = read_rows(path, 4, "a line of a 4x4 matrix")
    if not len(rows) or len(rows) % 4:
        raise ValueError(f"{path} holds {rows.size} numbers; expected 16 per frame; unpack it again")
    world_from_gl = rows.reshape(-1, 4, 4)
    if parity:  # Parity: quirk 37
        world_from_gl[np.isnan(world_from_gl[:, 0]).any(axis=1)] = np.eye(4)
    return world_from_gl @ OPENGL_FROM_OPENCV


def read_focal(path: Path) -> float:
    """Read the focal length of a room in pixels, and warn if it is not the one that the reference uses for all."""
    focal = float(read_matrix(path, 1, 1)[0, 0])
    if not 0 < focal < np.inf:
        raise ValueError(f"{path} says that the focal length is {focal}; expected pixels; unpack it again")
    if abs(focal - FOCAL) > 1e-3:
        logger.warning("%s says %.3f, which is used; the reference uses %.3f for all rooms", path, focal, FOCAL)
    return focal


def _selection(count: int, frames: int | None) -> range:
    if frames is not None:
        return range(0, count, LONG_STEP)[:frames]
    return range(0, count, max(1, min(LARGEST_STEP, count // 2)))


def _files(folder: Path, number: int) -> tuple[Path, Path]:
    return folder / "images" / f"img{number}.png", folder / "depth" / f"depth{number}.png"
