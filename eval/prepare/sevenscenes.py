"""7-Scenes: depth of the test sequences, moved from the depth camera to the colour camera.

All frames are made, so the published set and the long variants read the same folders. In OUT/7scenes, where the raw
data may lie itself, only the registered depth is added.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt16

from cut3r.data.layout import read_png16, write_png16
from eval.prepare.archives import download_folder, unpacked
from eval.prepare.runner import Job, Order, Preparer
from eval.sequences.inventory import list_files
from eval.sequences.sevenscenes import SEQUENCES, UNKNOWN_MM, folder_of, frames_of, names_of

DEPTH_FOCAL, COLOR_FOCAL = 585.0, 525.0
FARTHEST_M = 100.0
COLOR_FROM_DEPTH = np.array(
    [
        [9.9996518012567637e-01, 2.6765126468950343e-03, -7.9041012313000904e-03, -2.5558943178152542e-02],
        [-2.7409311281316700e-03, 9.9996302803027592e-01, -8.1504520778013286e-03, 1.0109636268061706e-04],
        [7.8819942130445332e-03, 8.1718328771890631e-03, 9.9993554558014031e-01, 2.0318321729487039e-03],
    ]
)


def jobs(order: Order) -> Iterator[Job]:
    for name in SEQUENCES:
        folder = folder_of(order.out) / name
        raw_there = list_files(folder, ".depth.png")
        targets = tuple(folder / _registered_name(path) for path in raw_there) or (folder,)
        make = partial(_add_registered, order, raw_there) if raw_there else partial(_make_sequence, order, name)
        yield Job(name, targets, make)


def register(
    depth_mm: UInt16[np.ndarray, "h w"],
    *,
    depth_focal: float = DEPTH_FOCAL,
    color_focal: float = COLOR_FOCAL,
    parity: bool = False,
) -> UInt16[np.ndarray, "h w"]:
    """Move a depth map (0 or 65535 where unknown) to the colour camera, both with their principal point in the middle.

    The nearest of the points that meet in a pixel is kept; a pixel that none meets is 0.

    Args:
        parity: Move the 65535 as if it were 65.5 m. Most of it is still there afterwards, for the reader to remove; but
            where the colour camera sees it beyond 65.535 m, 16 bits overflow and it looks like 0 to 0.4 m.
    """
    h, w = depth_mm.shape
    depth_m = depth_mm / 1000.0
    known = (depth_m > 0) & (depth_m < FARTHEST_M) & (parity | (depth_mm != UNKNOWN_MM))
    v, u = np.nonzero(known)
    z = depth_m[known]
    points_depth = np.stack([(u + 0.5 - w / 2) * z / depth_focal, (v + 0.5 - h / 2) * z / depth_focal, z], axis=1)
    points_color = points_depth @ COLOR_FROM_DEPTH[:, :3].T + COLOR_FROM_DEPTH[:, 3]
    x, y = np.rint(color_focal * points_color[:, :2] / points_color[:, 2:] + [w / 2, h / 2]).astype(np.int64).T
    inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    nearest = np.full((h, w), np.inf)
    np.minimum.at(nearest, (y[inside], x[inside]), points_color[inside, 2])
    millimetres = np.floor(1000 * np.where(np.isfinite(nearest), nearest, 0)).astype(np.int64)
    if not parity:
        millimetres[millimetres > UNKNOWN_MM] = 0
    return millimetres.astype(np.uint16)  # Parity: what is beyond 65535 wraps around


def _add_registered(order: Order, depths: list[Path], hidden: tuple[Path, ...]) -> str:
    for depth, target in zip(depths, hidden, strict=True):
        write_png16(target, register(read_png16(depth), parity=order.parity))
    return f"{len(depths)} depth maps, beside the raw data"


def _make_sequence(order: Order, name: str, hidden: tuple[Path, ...]) -> str:
    """Copy pictures and poses, and register depth.

    Raises:
        FileNotFoundError: A file of one of its frames is not there.
    """
    (target,) = hidden
    with ExitStack() as stack:
        folder = _raw_folder(order, name, stack)
        target.mkdir()
        for number in range(frames_of(name)):
            color, registered, pose = names_of(number)
            shutil.copyfile(folder / color, target / color)
            shutil.copyfile(folder / pose, target / pose)
            depth = read_png16(folder / registered.replace(".proj", ""))
            write_png16(target / registered, register(depth, parity=order.parity))
    return f"{frames_of(name)} frames"


def _raw_folder(order: Order, name: str, stack: ExitStack) -> Path:
    """Find the frames of a sequence; a scene's zip holds a zip per sequence, and either may be unpacked already."""
    scene, sequence = name.split("/")
    raw, packed = order.raw, Path(scene) / f"{sequence}.zip"
    if (raw / f"{scene}.zip").is_file() and not (raw / name).is_dir() and not (raw / packed).is_file():
        members = rf"(.*/)?{sequence}(\.zip|/.*)"
        raw = stack.enter_context(unpacked(raw / f"{scene}.zip", order.out, members))
    if (raw / packed).is_file() and not (raw / name).is_dir():
        raw = stack.enter_context(unpacked(raw / packed, order.out))
        return next((path.parent for path in raw.rglob(names_of(0)[0])), raw)
    return stack.enter_context(download_folder(name, raw, [f"{scene}.zip"], order.out))


def _registered_name(depth: Path) -> str:
    return depth.name.replace(".depth.png", ".depth.proj.png")


PREPARER = Preparer(
    "sevenscenes",
    "7-Scenes: 18 test sequences, with depth registered to the colour camera",
    "the zip of each of the seven scenes, packed or unpacked (then also OUT/7scenes itself)",
    jobs,
)
