"""One's own recordings: folders of pictures with depth and cameras.

As apps and programs export them: `cut3r.data.captures`. Or all in one folder, named as in 7-Scenes:
frame-000000.color.jpg, frame-000000.depth.png, frame-000000.pose.txt. Or in folders,

    rgb/ (or color/, images/)   pictures
    depth/                      depth maps of the same names: 16-bit PNG, or metres as .npy, .exr, .npz, .pfm
    pose/ (or poses/)           text files of the same names, each a 4x4 matrix

where a file trajectory.txt (or groundtruth.txt, poses.txt) may stand in place of the folder of poses: TUM (the time
stamps are the numbers in the pictures' names) or KITTI (one line per picture, in order). Poses are `world_from_cam` in
metres, with OpenCV axes. Depth is z, registered to the picture; it may have fewer pixels. intrinsics.txt (or
camera-intrinsics.txt) holds fx fy cx cy or a 3x3 matrix, in pixels, (0, 0) the centre of the top-left one.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float64

from cut3r.data.captures import DEPTH_SUFFIXES, Capture, Taken, is_capture, open_capture, plain_name
from cut3r.data.shot import DepthFile, Matrix, Shot
from cut3r.files.listing import visible
from cut3r.io.images import is_image
from cut3r.io.numbers import read_lines, read_matrix
from cut3r.io.selection import natural_key
from cut3r.io.trajectory import read_kitti, read_tum

logger = logging.getLogger(__name__)

T = TypeVar("T")

PICTURES, DEPTHS, POSES = ("rgb", "color", "images"), ("depth",), ("pose", "poses")  # folders
TRAJECTORIES = ("trajectory.txt", "groundtruth.txt", "poses.txt")
INTRINSICS = ("intrinsics.txt", "camera-intrinsics.txt")
FARTHEST_S = 0.02  # between a picture and what was taken with it, where names are time stamps
NUMBER = re.compile(r"\d+(?:\.\d+)?(?!.*\d)")  # the last one
LAYOUT = (
    "expected are frame-000000.color.jpg, .depth.png, .pose.txt, or folders rgb and depth, and pose or trajectory.txt, "
    "or an export of one of the programs in docs/finetuning.md"
)


@dataclass(frozen=True)
class Recording:
    """What was taken in one go, in order. The names are those of the pictures, without what their kind adds.

    `metric`: poses and depth are in metres, as far as its form says. `model` is the COLMAP model whose unit the depth
    maps can tell.
    """

    folder: Path
    shots: dict[str, Shot]
    metric: bool = True
    model: Path | None = None


def find_recordings(folder: Path) -> list[Path]:
    """List the recordings in a folder: itself, or those of its folders that are one."""
    if _is_recording(folder):
        return [folder]
    return [path for path in visible(folder, "*") if path.is_dir() and _is_recording(path)]


def open_recording(folder: Path) -> Recording:
    """Find out which files belong together. Pictures without depth or pose are left out and counted in a warning.

    Raises:
        ValueError: No picture has both, or a trajectory cannot be read.
    """
    capture = None if _has_poses(folder) else open_capture(folder)
    if capture is not None:
        return _of_capture(folder, capture)
    pictures, depths, poses = _files(folder)
    missing = {name: _missing(name, depths, poses) for name in pictures}
    left_out = [f"{pictures[name].name} has no {what}" for name, what in missing.items() if what]
    _tell(folder, left_out, len(pictures))
    shots = {
        name: Shot(pictures[name], DepthFile(depths[name]), poses[name]) for name, what in missing.items() if not what
    }
    return Recording(folder, shots)


def _of_capture(folder: Path, capture: Capture) -> Recording:
    """Keep what has picture, depth, pose and a lens that can be used, in natural order."""
    shots: dict[str, Shot] = {}
    left_out = []
    for taken in sorted(capture.taken, key=lambda each: natural_key(each.name)):
        shot = _shot(taken)
        if isinstance(shot, Shot):
            shots[plain_name(taken.name)] = shot
        else:
            left_out.append(f"{taken.name} has no {shot}")
    _tell(folder, left_out, len(capture.taken))
    _require_own_depth(shots)
    return Recording(folder, shots, capture.metric, capture.model)


def _shot(taken: Taken) -> Shot | str:
    """Give the shot, or what it lacks."""
    camera = taken.camera
    if taken.picture is None or taken.depth is None or camera.world_from_cam is None:
        lacks = (("picture", taken.picture), ("depth map", taken.depth), ("pose", camera.world_from_cam))
        return " and no ".join(what for what, there in lacks if there is None)
    if camera.no_lens:
        return f"lens that can be used: {camera.no_lens}"
    return Shot(taken.picture, taken.depth, camera.world_from_cam, camera.lens)


def _require_own_depth(shots: Mapping[str, Shot]) -> None:
    of_depth: dict[Path, str] = {}
    for name, shot in shots.items():
        if (other := of_depth.setdefault(shot.depth.path, name)) != name:
            raise ValueError(
                f"{shot.depth.path} would be the depth of both {other} and {name}; expected depth maps in the same "
                "folders as the pictures"
            )


def _tell(folder: Path, left_out: list[str], total: int) -> None:
    """Count what is left out in a warning.

    Raises:
        ValueError: That is all.
    """
    if len(left_out) == total:
        reason = f", the first: {left_out[0]}" if left_out else ""
        raise ValueError(f"{folder} has 0 frames with picture, depth and pose{reason}; {LAYOUT}")
    if left_out:
        logger.warning("%s: %d of %d pictures left out: %s", folder, len(left_out), total, _listed(left_out))


def read_intrinsics(folder: Path) -> Float64[np.ndarray, "3 3"] | None:
    """Read the intrinsics of a recording; None if it has no file of them.

    Raises:
        ValueError: The file holds neither fx fy cx cy nor a 3x3 matrix with focal lengths.
    """
    path = next((folder / name for name in INTRINSICS if (folder / name).is_file()), None)
    if path is None:
        return None
    count = sum(len(words) for _, words in read_lines(path))
    matrix = intrinsics_matrix(*read_matrix(path, 1, 4)[0].tolist()) if count == 4 else read_matrix(path, 3, 3)
    if not (np.isfinite(matrix).all() and matrix[0, 0] > 0 and matrix[1, 1] > 0):
        raise ValueError(f"{path} has no focal length; expected fx fy cx cy, or [fx 0 cx; 0 fy cy; 0 0 1], in pixels")
    return matrix


def intrinsics_matrix(fx: float, fy: float, cx: float, cy: float) -> Float64[np.ndarray, "3 3"]:
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)


def _is_recording(folder: Path) -> bool:
    return bool(visible(folder, "*.color.*")) or _folder(folder, PICTURES) is not None or is_capture(folder)


def _has_poses(folder: Path) -> bool:
    """Whether it has poses in one of the layouts of folders, which go before an export's."""
    trajectory = any((folder / name).is_file() for name in TRAJECTORIES)
    pictures = _folder(folder, PICTURES) is not None
    return bool(visible(folder, "*.color.*")) or (pictures and (trajectory or _folder(folder, POSES) is not None))


def _files(folder: Path) -> tuple[dict[str, Path], dict[str, Path], Mapping[str, Path | Matrix]]:
    """Pictures in order, depth maps and poses, by the names of the pictures."""
    if colors := [path for path in visible(folder, "*.color.*") if is_image(path)]:
        pictures = _named(colors)
        ends = (".depth.png", ".pose.txt")
        depths, poses = ({n: p for n in pictures if (p := folder / f"{n}{end}").is_file()} for end in ends)
        return pictures, depths, poses
    pictures = _named(path for path in _inside(folder, PICTURES) if is_image(path))
    depths = _named(path for path in _inside(folder, DEPTHS) if path.suffix.lower() in DEPTH_SUFFIXES)
    if not depths.keys() & pictures.keys():
        stamps = [stamp for name in depths if (stamp := _number(name)) is not None]
        depths = _nearest(pictures, stamps, [depths[name] for name in depths if _number(name) is not None])
    if _folder(folder, POSES) is not None:
        return pictures, depths, _named(path for path in _inside(folder, POSES) if path.suffix.lower() == ".txt")
    return pictures, depths, _from_trajectory(folder, pictures)


def _from_trajectory(folder: Path, pictures: Mapping[str, Path]) -> dict[str, Matrix]:
    path = next((folder / name for name in TRAJECTORIES if (folder / name).is_file()), None)
    if path is None:
        return {}
    lines = read_lines(path)
    if lines and len(lines[0][1]) == 8:
        world_from_cams, stamps = read_tum(path)
        return _nearest(pictures, stamps.tolist(), list(world_from_cams))
    world_from_cams = read_kitti(path)
    if len(world_from_cams) != len(pictures):
        raise ValueError(
            f"{path} has {len(world_from_cams)} lines for {len(pictures)} pictures; a KITTI trajectory has one line "
            "for each picture, and one with time stamps is in the format of TUM"
        )
    return dict(zip(pictures, world_from_cams, strict=True))


def _nearest(pictures: Iterable[str], stamps: list[float], values: list[T]) -> dict[str, T]:
    """What was taken at the time that is the number in a picture's name."""
    found = {}
    for name in pictures if stamps else ():
        time = _number(name)
        if time is not None:
            gaps = np.abs(np.asarray(stamps) - time)
            if gaps.min() <= FARTHEST_S:
                found[name] = values[int(gaps.argmin())]
    return found


def _missing(name: str, depths: Mapping[str, Path], poses: Mapping[str, Path | Matrix]) -> str:
    return " and no ".join(what for what, there in (("depth map", depths), ("pose", poses)) if name not in there)


def _named(paths: Iterable[Path]) -> dict[str, Path]:
    """By name without what the kind adds (.color.jpg, .png), in natural order."""
    named: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: natural_key(path.name)):
        name = path.name.removesuffix(path.suffix).removesuffix(".color")
        if name in named:
            raise ValueError(f"{path.parent} holds both {named[name].name} and {path.name}; keep one of the two")
        named[name] = path
    return named


def _inside(folder: Path, names: tuple[str, ...]) -> list[Path]:
    found = _folder(folder, names)
    return [] if found is None else visible(found, "*")


def _folder(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _number(name: str) -> float | None:
    found = NUMBER.search(name)
    return None if found is None else float(found[0])


def _listed(reasons: list[str]) -> str:
    return ", ".join(reasons[:3]) + (", ..." if len(reasons) > 3 else "")
