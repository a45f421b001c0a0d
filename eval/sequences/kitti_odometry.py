"""KITTI odometry, sequences 00 to 10: drives of 271 to 4661 frames with cameras, for long streams. Nothing to prepare.

The poses are those of camera 0; the pictures are of camera 2, which is mounted beside it with the same orientation. As
everywhere in the literature the offset of 6 cm is not applied.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float64

from cut3r.io.numbers import read_rows
from cut3r.io.trajectory import read_kitti
from eval.sequences.inventory import Found, Request, gather, list_files, number_in_name
from eval.sequences.sequence import Sequence

ADVICE = (
    "get data_odometry_color.zip, _poses.zip and _calib.zip from "
    "https://www.cvlibs.net/datasets/kitti/eval_odometry.php and unpack them into {root}/kitti_odometry"
)
SEQUENCES = tuple(f"{number:02d}" for number in range(11))


def open_poses(root: Path, request: Request) -> list[Sequence]:
    """Open the eleven drives with cameras, and with time stamps and intrinsics where times.txt and calib.txt are there.
    Row i belongs to picture i."""
    folder = root / "kitti_odometry" / "dataset"

    def find(name: str) -> Found:
        truth = folder / "poses" / f"{name}.txt"
        image_of = {
            int(number_in_name(path)): path for path in list_files(folder / "sequences" / name / "image_2", ".png")
        }
        if not image_of or not truth.is_file():
            return Found(None, (f"poses/{truth.name}" if image_of else f"sequences/{name}/image_2",))
        world_from_cam = read_kitti(truth)
        rows = sorted(image_of.keys() & range(len(world_from_cam)))
        complete = len(rows) == len(image_of) == len(world_from_cam)
        missing = () if complete else (f"{name} ({len(image_of)} pictures but {len(world_from_cam)} cameras)",)
        if not rows:
            return Found(None, missing)
        times = folder / "sequences" / name / "times.txt"
        times_s = _read_times(times, len(world_from_cam))[rows] if times.is_file() else None
        images = tuple(image_of[row] for row in rows)
        calibration = folder / "sequences" / name / "calib.txt"
        matrix = np.tile(read_intrinsics(calibration), (len(rows), 1, 1)) if calibration.is_file() else None
        cameras = world_from_cam[rows]
        return Found(Sequence(name, images, world_from_cam=cameras, intrinsics=matrix, times_s=times_s), missing)

    return gather(SEQUENCES, find, folder=folder, root=root, advice=ADVICE, request=request)


def read_intrinsics(path: Path) -> Float64[np.ndarray, "3 3"]:
    """Read the intrinsics of camera 2 in pixels of its pictures: the left 3x3 of its projection, P2.

    Raises:
        ValueError: There is no line P2 of twelve numbers.
    """
    for line in path.read_text().splitlines():
        name, _, numbers = line.partition(":")
        if name == "P2" and len(numbers.split()) == 12:
            return np.array(numbers.split(), np.float64).reshape(3, 4)[:, :3]
    raise ValueError(f"{path} has no line P2: of twelve numbers; unpack data_odometry_calib.zip again")


def _read_times(path: Path, count: int) -> Float64[np.ndarray, "v"]:
    times_s = read_rows(path, 1, "seconds")[0][:, 0]
    if len(times_s) != count:
        raise ValueError(
            f"{path} has {len(times_s)} time stamps for {count} cameras; expected one each; unpack it again"
        )
    return times_s
