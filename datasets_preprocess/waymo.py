"""Waymo Open Dataset, Perception v1 (TFRecord) and v2 (Parquet): pictures made smaller, and depth of the lasers.

The folder of a segment has the name that its file has in v1, whichever version it is made from.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8

from cut3r.data.datasets.waymo import CAMERAS, LAYOUT, Waymo, read_published_invalid
from cut3r.data.layout import write_json
from cut3r.files.damaged import read_errors
from cut3r.files.listing import visible
from datasets_preprocess import waymo_v1, waymo_v2
from datasets_preprocess.runner import Converter, LeftOut, RawScene, Record, Writer, require_rigid
from datasets_preprocess.waymo_frames import Picture, WaymoFrame
from datasets_preprocess.waymo_lidar import Points, frame_points, seen_by, world_from_cam
from datasets_preprocess.waymo_pictures import View, decode_jpeg

logger = logging.getLogger(__name__)

PLACES = (".", "training")  # below the raw folder; the original uses the training split only
JPEG_QUALITY = 80
DEPTH_KINDS = ("depth_exr", "depth")  # of parity, and by default
INVALID_LIST = f"{LAYOUT.path(Path(), 'all_invalid')} says why"
OF_READER = tuple(f"_{camera}" for camera in CAMERAS)  # how its frames end


@dataclass(frozen=True)
class WaymoOptions:
    """The width of stored pictures in pixels; whether checksums of TFRecords are compared; and which frames count as
    invalid: those with fewer than `min_pixels` of depth, and those whose camera has moved more than `max_step_m` metres
    per frame since the one before."""

    width: int = 512
    check: bool = True
    min_pixels: int = 100
    max_step_m: float = 5.0


def scenes(raw: Path) -> Iterator[RawScene]:
    """List the segments: RAW/*.tfrecord (v1), or RAW/camera_image/*.parquet beside the other components (v2)."""
    listed: set[str] = set()
    for folder in (raw / place for place in PLACES):
        found = [(path.name, path) for path in visible(folder, "*.tfrecord")]
        found += [(_name_in_v1(path.stem), path) for path in visible(folder, "camera_image/*.parquet")]
        for name, path in found:
            if name not in listed:
                listed.add(name)
                yield RawScene(name, facts={"file": path.relative_to(raw).as_posix()})


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name the files of a segment."""
    path = raw / scene.facts["file"]
    if path.suffix == ".tfrecord":
        return [path]
    return [path.parents[1] / component / path.name for component in waymo_v2.COMPONENTS]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Write the pictures of all cameras, their depth and poses; name those frames that the reader will use.

    Raises:
        ValueError: The files of the segment are damaged or incomplete.
        LeftOut: No picture has any depth.
    """
    segment = _Segment(scene.name, writer)
    for frame in _read(raw / scene.facts["file"], check=segment.options.check):
        segment.write(frame)
    if writer.parity:
        writer.path("invalid", scene.name).unlink(missing_ok=True)
    else:
        writer.json("invalid", scene.name, segment.invalid)
    published = read_published_invalid(writer.out)
    invalid = set(segment.invalid) if published is None else published.get(scene.name, set())
    used = [frame for frame in segment.frames if frame not in invalid and frame.endswith(OF_READER)]
    if not (segment.has_depth or writer.parity):
        raise LeftOut(f"no laser sees anything in any of its {len(segment.frames)} pictures")
    if not used:
        logger.warning("%s: none of its %d pictures is to be used; %s", scene.name, len(segment.frames), INVALID_LIST)
    return used


def finish(out: Path, records: list[Record]) -> None:
    """Gather which frames of all segments are invalid, also of segments that were left out."""
    found = {path.parent.name: path for path in visible(out, str(LAYOUT.path(Path(), "invalid", "*")))}
    write_json(LAYOUT.path(out, "all_invalid"), {name: json.loads(path.read_text()) for name, path in found.items()})


class _Segment:
    """What is written of a segment, frame by frame; `invalid` says why frames are not to be used."""

    def __init__(self, name: str, writer: Writer) -> None:
        self.options: WaymoOptions = writer.options or WaymoOptions()
        self.frames: list[str] = []
        self.invalid: dict[str, str] = {}
        self.has_depth = False
        self._name, self._writer = name, writer
        self._views: dict[int, View] = {}
        self._before: dict[int, tuple[int, Float64[np.ndarray, "3"]]] = {}  # number and place of a camera's last frame

    def write(self, frame: WaymoFrame) -> None:
        points = frame_points(frame)
        for picture in frame.pictures:
            name = f"{frame.number:05d}_{picture.camera}"
            try:
                rgb = decode_jpeg(picture.jpeg, parity=self._writer.parity)
            except read_errors() as error:
                self._writer.leave_out(name, f"its picture cannot be read ({error})")
                continue
            self._write_picture(name, rgb, frame, picture, points)

    def _write_picture(
        self, name: str, rgb: UInt8[np.ndarray, "h w 3"], frame: WaymoFrame, picture: Picture, points: Points
    ) -> None:
        writer, parity = self._writer, self._writer.parity
        view = self._view(frame, picture.camera)
        pose = world_from_cam(view.camera, picture)
        require_rigid(pose, f"{self._name}/{name}")
        depth = view.depth(seen_by(view.camera, picture, frame, points, parity=parity), parity=parity)
        writer.image("rgb", self._name, name, view.picture(rgb), quality=JPEG_QUALITY)
        kind, other = DEPTH_KINDS if parity else DEPTH_KINDS[::-1]
        writer.depth(kind, self._name, name, depth)
        writer.path(other, self._name, name).unlink(missing_ok=True)  # of an earlier run in the other mode
        camera = {"intrinsics": view.intrinsics, "cam2world": pose, "distortion": view.distortion}
        writer.npz("camera", self._name, name, **camera)
        self.frames.append(name)
        self.has_depth |= bool(depth.any())
        if not parity:
            self._examine(name, frame.number, picture.camera, depth, pose[:3, 3])

    def _view(self, frame: WaymoFrame, camera: int) -> View:
        if camera not in frame.cameras:
            raise ValueError(f"frame {frame.number} has a picture of camera {camera}, which has no calibration")
        if camera not in self._views:
            self._views[camera] = View.of(frame.cameras[camera], self.options.width, parity=self._writer.parity)
        return self._views[camera]

    def _examine(self, name: str, number: int, camera: int, depth: np.ndarray, place: np.ndarray) -> None:
        """Note why a frame is not to be used, if it is not. Source: 08_waymo.md quirk 9."""
        before, there = self._before.get(camera, (number, place))
        step = float(np.linalg.norm(place - there)) / max(number - before, 1)
        self._before[camera] = number, place
        known = int((depth > 0).sum())
        if known < self.options.min_pixels:
            self.invalid[name] = f"{known} pixels have depth, fewer than {self.options.min_pixels}"
        elif step > self.options.max_step_m:
            self.invalid[name] = f"its camera has jumped {step:.1f} m, more than {self.options.max_step_m}"


def _read(path: Path, *, check: bool) -> Iterator[WaymoFrame]:
    if path.suffix == ".tfrecord":
        return waymo_v1.read_frames(path, check=check)
    return waymo_v2.read_frames(path.parents[1], path.stem)


def _name_in_v1(segment: str) -> str:
    return f"segment-{segment.removeprefix('segment-').removesuffix('_with_camera_labels')}_with_camera_labels.tfrecord"


CONVERTER = Converter(Waymo, 1, scenes, convert, finish, sources, WaymoOptions)
