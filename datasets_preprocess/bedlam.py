"""BEDLAM: pictures are copied, depth becomes metres, Unreal Engine's cameras become OpenCV's."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Float64

from cut3r.data.datasets.bedlam import CLOSE_UP, PANORAMA_GROUPS, Bedlam
from cut3r.files.listing import visible, visible_folders
from cut3r.io.exr import read_exr
from cut3r.io.images import read_image
from cut3r.io.numbers import number
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, LeftOut, RawScene, Unlisted, Writer
from datasets_preprocess.tables import Row, read_table

SENSOR_MM = (20.25, 36.0)  # (h, w)
PICTURE = (720, 1280)  # (h, w) of all published pictures
CENTIMETRES = 100  # the unit of Unreal Engine
EVERY = 5  # of 30 frames per second
OPENCV_FROM_UNREAL = np.array([[0, 1.0, 0], [0, 0, -1], [1, 0, 0]])  # from x forward, y right, z up
SEQUENCES = "be_seq.csv"


@dataclass(frozen=True)
class Loaded:
    """A frame in our terms; its picture is copied."""

    rgb: Path
    depth: Float32[np.ndarray, "h w"]
    intrinsics: Float64[np.ndarray, "3 3"]
    world_from_cam: Float64[np.ndarray, "4 4"]


def scenes(raw: Path) -> Iterator[RawScene | Unlisted]:
    """List "<group>_<sequence>" of the tables RAW/<group>/be_seq.csv; groups that are not used by their own names."""
    for group in visible_folders(raw):
        if reason := why_unused(group.name):
            yield RawScene(group.name, facts={"group": group.name, "sequence": "", "reason": reason})
            continue
        try:
            sequences = sequences_of(group)
        except ValueError as error:  # of this group only
            yield Unlisted(group.name, str(error))
            continue
        for sequence in sequences:
            yield RawScene(f"{group.name}_{sequence}", facts={"group": group.name, "sequence": sequence, "reason": ""})


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a sequence is made from."""
    group, sequence = raw / scene.facts["group"], scene.facts["sequence"]
    own = (camera_file(group, sequence), group / "png" / sequence, group / "depth" / sequence)
    return [group / SEQUENCES, *(own if sequence else ())]


def camera_file(group: Path, sequence: str) -> Path:
    return group / "ground_truth" / "camera" / f"{sequence}_camera.csv"


def why_unused(group: str) -> str:
    """Say why a group is not used; empty if it is."""
    if group in PANORAMA_GROUPS:
        return "its people stand before a panorama that has no depth"
    return "its pictures are turned by 90 degrees" if CLOSE_UP in group else ""


def sequences_of(group: Path) -> list[str]:
    """List the sequences of a group.

    Raises:
        ValueError: Its table is missing or damaged.
    """
    path = group / SEQUENCES
    if not path.is_file():
        raise ValueError(f"there is no {path}; download the ground truth of the group, too")
    comments = [row["Comment"] for row in read_table(path, "Comment")]
    names = (comment.split(";")[0].rpartition("=")[2].strip() for comment in comments if "sequence_name" in comment)
    return list(dict.fromkeys(names))


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Write every fifth picture with its depth and camera.

    Raises:
        LeftOut: The group is not used. Parity: the sequence is not the first of its group that has cameras.
        FileNotFoundError: There are no cameras.
    """
    group, sequence = raw / scene.facts["group"], scene.facts["sequence"]
    if scene.facts["reason"]:
        raise LeftOut(scene.facts["reason"])
    if writer.parity and sequence != _first_with_cameras(group):
        raise LeftOut("it is not the first sequence of its group, after which the original stops")
    rows = read_table(camera_file(group, sequence), "name", "x", "y", "z", "yaw", "pitch", "roll", "focal_length")
    chosen = rows_by_position(group, sequence, rows) if writer.parity else rows_by_name(group, sequence, rows)
    frames = []
    for frame, loaded in readable_frames(chosen, partial(_load, group, sequence, chosen), writer):
        writer.copy("rgb", scene.name, frame, loaded.rgb)
        depth = writer.npy if writer.parity else writer.depth  # as it is, or 0 where it is not finite
        depth("depth", scene.name, frame, loaded.depth)
        writer.npz("camera", scene.name, frame, intrinsics=loaded.intrinsics, pose=loaded.world_from_cam)
        frames.append(frame)
    return frames


def rows_by_position(group: Path, sequence: str, rows: list[Row]) -> dict[str, Row | None]:
    """Give every fifth picture the camera at its place in the table. Parity: 15_bedlam.md quirk 3."""
    pictures = visible(group / "png" / sequence, "*.png")
    return {path.stem: row for path, row in list(zip(pictures, rows, strict=False))[::EVERY]}


def rows_by_name(group: Path, sequence: str, rows: list[Row]) -> dict[str, Row | None]:
    """Give the pictures with a number that is a multiple of five their cameras, by name; None if there is none. Cameras
    without a picture are listed, too."""
    cameras: dict[str, Row | None] = {Path(row["name"]).stem: row for row in rows}
    pictures = {path.stem for path in visible(group / "png" / sequence, "*.png")}
    wanted = (name for name in sorted(pictures | set(cameras)) if _number(name) % EVERY == 0)
    return {name: cameras.get(name) for name in wanted}


def camera_of(row: Row) -> tuple[Float64[np.ndarray, "3 3"], Float64[np.ndarray, "4 4"]]:
    """Give intrinsics (pixels) and world_from_cam (metres), in a world with OpenCV's axes.

    Raises:
        ValueError: Something is no finite number, or the focal length is not above 0.
    """
    texts = [row[name] for name in ("yaw", "pitch", "roll", "x", "y", "z", "focal_length")]
    values = np.array([_number_or_nan(text) for text in texts])
    if not (np.isfinite(values).all() and values[-1] > 0):
        raise ValueError(f"the camera of {row['name']} is {texts}; expected finite numbers, a focal length above 0")
    (x, y, z), focal, (h, w) = values[3:6], values[6], PICTURE
    intrinsics = np.array([[focal / SENSOR_MM[1] * w, 0, w / 2], [0, focal / SENSOR_MM[0] * h, h / 2], [0, 0, 1]])
    world_from_cam = np.eye(4)
    turned = _unreal_rotation(*np.radians(values[:3]).tolist())
    world_from_cam[:3, :3] = (OPENCV_FROM_UNREAL @ turned @ OPENCV_FROM_UNREAL.T).T
    world_from_cam[:3, 3] = np.array([y, -z, x]) / CENTIMETRES
    return intrinsics, world_from_cam


def _number_or_nan(text: str) -> float:
    try:
        return number(text)
    except ValueError:
        return math.nan


def _unreal_rotation(yaw: float, pitch: float, roll: float) -> Float64[np.ndarray, "3 3"]:
    """Give camera from world, in axes x forward, y right, z up."""
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(angle), np.sin(angle)) for angle in (yaw, pitch, roll))
    about_z = np.array([[cy, sy, 0], [-sy, cy, 0], [0, 0, 1]])
    about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    return about_x @ about_y @ about_z


def _load(group: Path, sequence: str, rows: dict[str, Row | None], frame: str) -> Loaded:
    row = rows[frame]
    if row is None:
        raise ValueError(f"{camera_file(group, sequence)} has no camera of {frame}")
    rgb = group / "png" / sequence / f"{frame}.png"
    size = read_image(rgb).shape[:2]
    depth = read_exr(group / "depth" / sequence / f"{frame}_depth.exr", "Depth") / np.float32(CENTIMETRES)
    if depth.shape != size:
        raise ValueError(f"picture of {size}, depth of {depth.shape}; expected the same size")
    intrinsics, world_from_cam = camera_of(row)
    return Loaded(rgb, depth, intrinsics, world_from_cam)


def _first_with_cameras(group: Path) -> str | None:
    return next((name for name in sequences_of(group) if camera_file(group, name).is_file()), None)


def _number(frame: str) -> int:
    """Give the number at the end of a picture's name; -1 if there is none."""
    digits = frame.rpartition("_")[2]
    return int(digits) if digits.isdigit() else -1


CONVERTER = Converter(Bedlam, 1, scenes, convert, sources=sources)
