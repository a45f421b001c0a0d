"""What is known of cameras, put onto frames as they come: intrinsics, poses, and masks."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from cut3r.files.listing import visible
from cut3r.io.frame import Frame
from cut3r.io.frames import FrameStream
from cut3r.io.images import is_image, read_image
from cut3r.io.known_cameras import SAME_SHAPE, KnownCameras, Lens
from cut3r.io.matching import Matcher, Source, with_interval
from cut3r.io.selection import natural_key

logger = logging.getLogger(__name__)

MOST_BEND = 0.02  # of the longer side: as far as distortion may move a point in a picture that is taken for undistorted
WHITE_FROM = 128  # grey values of a mask that count as white


@dataclass
class Known:
    """What flags say of the cameras. Of `intrinsics` only those count, of `poses` only poses; masks are by picture."""

    intrinsics: KnownCameras | None = None
    poses: KnownCameras | None = None
    masks: Path | None = None

    def __post_init__(self) -> None:
        if self.intrinsics is not None:
            self.intrinsics.require_lenses()
        if self.poses is not None:
            self.poses.require_poses()

    def onto(self, stream: FrameStream, total: int | None = None) -> Iterator[Frame]:
        """Give the stream's frames with what is known of each.

        Args:
            total: Frames of the whole source, of which the stream may give some.

        Raises:
            ValueError: A calibration or mask for pictures of another shape, too much distortion, or a file whose
                entries match no frame.
        """
        source = Source(stream.files, stream.expected, total)
        parts = [
            part
            for part in (
                _Intrinsics(self.intrinsics, source) if self.intrinsics else None,
                _Poses(self.poses, source) if self.poses else None,
                _Masks(self.masks, source) if self.masks else None,
            )
            if part
        ]
        if not parts:
            yield from stream
            return
        for number, (frame, interval) in enumerate(with_interval(stream)):
            known: dict[str, Any] = {}
            for part in parts:
                known |= part.of(frame, number, interval)
            yield replace(frame, **known)
        for part in parts:
            part.matcher.finish()


class _Intrinsics:
    def __init__(self, cameras: KnownCameras, source: Source) -> None:
        self._cameras = cameras
        self._shared = cameras.only_lens()  # then frames without a pose in the file have it, too
        self.matcher = _camera_matcher(cameras, source)
        self._looked_at: set[tuple[int, tuple[int, ...]]] = set()

    def of(self, frame: Frame, number: int, interval: float | None) -> dict[str, Any]:
        lens = self._shared
        if lens is None:
            place = self.matcher.find(frame, number, interval)
            lens = None if place is None else self._cameras.cameras[place].lens
        if lens is None:
            return {}
        size = (frame.rgb.shape[0], frame.rgb.shape[1])
        try:
            if (seen := (id(lens), size)) not in self._looked_at:
                self._looked_at.add(seen)
                _look_at_distortion(lens, size, self._cameras.what)
            return {"intrinsics": lens.at(size)}
        except ValueError as error:
            raise ValueError(f"{self._cameras.what}, {frame.name}: {error}") from error


class _Poses:
    def __init__(self, cameras: KnownCameras, source: Source) -> None:
        self._cameras = cameras
        self.matcher = _camera_matcher(cameras, source)

    def of(self, frame: Frame, number: int, interval: float | None) -> dict[str, Any]:
        place = self.matcher.find(frame, number, interval)
        return {} if place is None else {"world_from_cam": self._cameras.cameras[place].world_from_cam}


class _Masks:
    """White where a picture counts."""

    def __init__(self, folder: Path, source: Source) -> None:
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder}; expected one mask per picture in it, white = use")
        found = [path for path in visible(folder, "**/*") if is_image(path)]
        self._files = sorted(found, key=lambda path: natural_key(path.as_posix()))
        if not self._files:
            raise ValueError(f"{folder} has no pictures; expected one mask per picture in it, white = use")
        names = [_without_second_suffix(path.relative_to(folder).as_posix()) for path in self._files]
        self.matcher = Matcher(f"the folder of masks {folder}", names, [None] * len(names), source)

    def of(self, frame: Frame, number: int, interval: float | None) -> dict[str, Any]:
        place = self.matcher.find(frame, number, interval)
        return {} if place is None else {"mask": read_mask(self._files[place], frame.rgb.shape[:2])}


def read_mask(path: Path, size: tuple[int, ...]) -> Bool[np.ndarray, "h w"]:
    """Read a mask for a picture of size (h, w): True where it is white. It may have been resized.

    Raises:
        ValueError: It has another shape, or no white and no black but values of 0 and 1.
    """
    grey, (h, w) = read_image(path).max(axis=2), size
    h0, w0 = grey.shape
    if abs(h - h0 * w / w0) > SAME_SHAPE and abs(w - w0 * h / h0) > SAME_SHAPE:
        raise ValueError(f"the mask {path} has {w0}x{h0} pixels for a picture of {w}x{h}; expected the same shape")
    if grey.max() == 1:
        raise ValueError(f"the mask {path} holds values of 0 and 1; expected white (255) where the picture counts")
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(int) for new, old in ((h, h0), (w, w0)))
    return grey[rows[:, None], columns] >= WHITE_FROM


def _camera_matcher(cameras: KnownCameras, source: Source) -> Matcher:
    names = [camera.name for camera in cameras.cameras]
    return Matcher(cameras.what, names, [camera.time_s for camera in cameras.cameras], source)


def _look_at_distortion(lens: Lens, size: tuple[int, int], what: str) -> None:
    """Once per camera: little is left in, with a warning."""
    bend = lens.bend(size) if lens.distortion else 0.0
    if bend > MOST_BEND * max(size):
        raise ValueError(
            f"its distortion moves points by up to {bend:.0f} pixels, too much for a pinhole camera; undistort the "
            "pictures first (colmap image_undistorter, cv2.undistort) and give the calibration of those"
        )
    if bend > 0:
        logger.warning(
            "%s: distortion, which moves points by up to %.1f pixels, is left out of account: the camera counts as a "
            "pinhole camera; undistort the pictures first to be more exact",
            what,
            bend,
        )


def _without_second_suffix(name: str) -> str:
    """COLMAP calls the mask of a.jpg a.jpg.png."""
    path = Path(name)
    return path.with_suffix("").as_posix() if is_image(path.with_suffix("")) else name
