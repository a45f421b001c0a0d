"""What is known of cameras, put onto frames as they come: intrinsics, poses, masks, and depth.

A picture of a lens with distortion or of a fisheye becomes that of a pinhole camera at the same place, of the same
size, and its mask and depth with it.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from cut3r.files.listing import visible
from cut3r.geometry.cameras import fov_from_focal
from cut3r.io.depth import SUFFIXES, read_depth
from cut3r.io.frame import Frame
from cut3r.io.frames import FrameStream
from cut3r.io.images import is_image, read_image
from cut3r.io.known_cameras import SAME_SHAPE, KnownCameras, Lens
from cut3r.io.matching import Matcher, Source, with_interval
from cut3r.io.selection import natural_key
from cut3r.io.undistort import field_of, undistortion

logger = logging.getLogger(__name__)

WHITE_FROM = 128  # grey values of a mask that count as white


@dataclass
class Known:
    """What flags say of the cameras. Of `intrinsics` only those count, of `poses` only poses; masks and depth maps are
    in folders, one for each picture. `sky`: what looks like sky counts as little as what a mask leaves out.
    """

    intrinsics: KnownCameras | None = None
    poses: KnownCameras | None = None
    masks: Path | None = None
    depth: Path | None = None
    sky: bool = False
    dropped: "Counter[str]" = field(default_factory=Counter, compare=False)  # pixels, by why; and all pixels

    def __post_init__(self) -> None:
        if self.intrinsics is not None:
            self.intrinsics.require_lenses()
        if self.poses is not None:
            self.poses.require_poses()

    def __bool__(self) -> bool:
        """Whether anything is."""
        return self.sky or any(part is not None for part in (self.intrinsics, self.poses, self.masks, self.depth))

    def tell(self) -> str:
        """Name what is known, in a few words; empty without anything."""
        files = {"intrinsics": self.intrinsics, "poses": self.poses}
        named = {name: known.what for name, known in files.items() if known is not None}
        named |= {name: str(folder) for name, folder in (("masks", self.masks), ("depth", self.depth)) if folder}
        return "; ".join(f"{name} of {what}" for name, what in named.items())

    def onto(
        self, stream: FrameStream, total: int | None = None, *, skipped: int = 0, seen: bool = False
    ) -> Iterator[Frame]:
        """Give the stream's frames with what is known of each.

        Args:
            total: Frames of the whole source, of which the stream may give some.
            skipped: Frames that were left out at the beginning, as by a run that goes on.
            seen: The network has seen the frames already, so that nothing can be undistorted any more.

        Raises:
            ValueError: A calibration, mask or depth map for pictures of another shape, distortion that leaves no
                pinhole camera, or comes too late, or a file whose entries match no frame.
        """
        expected = None if stream.expected is None else stream.expected + skipped
        source = Source(stream.files, expected, total, skipped)
        parts = [
            part
            for part in (
                _Intrinsics(self.intrinsics, source) if self.intrinsics else None,
                _Poses(self.poses, source) if self.poses else None,
                _Masks(self.masks, source) if self.masks else None,
                _Depths(self.depth, source) if self.depth else None,
            )
            if part
        ]
        if not parts and not self.sky:
            yield from stream
            return
        for number, (frame, interval) in enumerate(with_interval(stream), start=skipped):
            known: dict[str, Any] = {}
            for part in parts:
                known |= part.of(frame, number, interval)
            lens = known.pop("lens", None)
            if lens is not None and seen:
                what = self.intrinsics.what if self.intrinsics else frame.name
                raise ValueError(
                    f"{what} has a distortion, and the pictures were seen as they are; make the run with this "
                    "--intrinsics, which undistorts them and is kept"
                )
            frame = replace(frame, **known)
            yield self._masked(frame if lens is None else _straight(frame, lens))
        for part in parts:
            part.matcher.finish()

    def _masked(self, frame: Frame) -> Frame:
        """Take the sky away, and count what does not count."""
        self.dropped["all"] += frame.rgb.shape[0] * frame.rgb.shape[1]
        if frame.mask is not None:
            self.dropped["masks"] += int((~frame.mask).sum())
        if not self.sky:
            return frame
        from cut3r.io.sky import find_sky  # here: it needs OpenCV, which takes a quarter of a second

        sky = find_sky(frame.rgb, frame.depth)
        self.dropped["sky"] += int(sky.sum())
        return replace(frame, mask=~sky if frame.mask is None else frame.mask & ~sky)


class _Intrinsics:
    def __init__(self, cameras: KnownCameras, source: Source) -> None:
        self._cameras = cameras
        self._shared = cameras.only_lens()  # then frames without a pose in the file have it, too
        self.matcher = _camera_matcher(cameras, source)
        self._told: set[int] = set()

    def of(self, frame: Frame, number: int, interval: float | None) -> dict[str, Any]:
        lens = self._shared
        if lens is None:
            place = self.matcher.find(frame, number, interval)
            lens = None if place is None else self._cameras.cameras[place].any_lens
        if lens is None:
            return {}
        size = (frame.rgb.shape[0], frame.rgb.shape[1])
        try:
            if lens.is_straight:
                return {"intrinsics": lens.at(size)}
            if id(lens) not in self._told:
                self._told.add(id(lens))
                self._tell(lens, size)
            return {"lens": lens}
        except ValueError as error:
            raise ValueError(f"{self._cameras.what}, {frame.name}: {error}") from error

    def _tell(self, lens: Lens, size: tuple[int, int]) -> None:
        """Once per camera: what becomes of its pictures."""
        straight, whole = undistortion(lens, size).intrinsics, field_of(lens, size)
        logger.info(
            "%s: pictures are undistorted, at %.2f times the scale of their middle: they are %.0f degrees wide then%s",
            self._cameras.what,
            straight[0, 0] / (lens.middle * lens.at(size)[0, 0]),
            math.degrees(fov_from_focal(straight[0, 0], size[1])),
            "" if whole is None else f", of {math.degrees(whole):.0f}",
        )


class _Poses:
    def __init__(self, cameras: KnownCameras, source: Source) -> None:
        self._cameras = cameras
        self.matcher = _camera_matcher(cameras, source)

    def of(self, frame: Frame, number: int, interval: float | None) -> dict[str, Any]:
        place = self.matcher.find(frame, number, interval)
        return {} if place is None else {"world_from_cam": self._cameras.cameras[place].world_from_cam}


class _Folder:
    """One file for each picture."""

    def __init__(self, folder: Path, source: Source, what: str, suits: Callable[[Path], bool]) -> None:
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder}; expected one file of {what} per picture in it")
        found = [path for path in visible(folder, "**/*") if suits(path)]
        self.files = sorted(found, key=lambda path: natural_key(path.as_posix()))
        if not self.files:
            raise ValueError(f"{folder} has no files of {what}; expected one per picture")
        names = [_without_second_suffix(path.relative_to(folder).as_posix()) for path in self.files]
        self.matcher = Matcher(f"the folder of {what} {folder}", names, [None] * len(names), source)

    def find(self, frame: Frame, number: int, interval: float | None) -> Path | None:
        place = self.matcher.find(frame, number, interval)
        return None if place is None else self.files[place]


class _Masks:
    """White where a picture counts."""

    def __init__(self, folder: Path, source: Source) -> None:
        self._folder = _Folder(folder, source, "masks", is_image)
        self.matcher = self._folder.matcher

    def of(self, frame: Frame, number: int, interval: float | None) -> dict[str, Any]:
        path = self._folder.find(frame, number, interval)
        return {} if path is None else {"mask": read_mask(path, frame.rgb.shape[:2])}


class _Depths:
    """Metres, 0 where there is none."""

    def __init__(self, folder: Path, source: Source) -> None:
        self._folder = _Folder(folder, source, "depth", lambda path: path.suffix.lower() in SUFFIXES)
        self.matcher = self._folder.matcher

    def of(self, frame: Frame, number: int, interval: float | None) -> dict[str, Any]:
        path = self._folder.find(frame, number, interval)
        return {} if path is None else {"depth": _resized(read_depth(path), frame.rgb.shape[:2], f"the depth {path}")}


def read_mask(path: Path, size: tuple[int, ...]) -> Bool[np.ndarray, "h w"]:
    """Read a mask for a picture of size (h, w): True where it is white. It may have been resized.

    Raises:
        ValueError: It has another shape, or no white and no black but values of 0 and 1.
    """
    grey = read_image(path).max(axis=2)
    if grey.max() == 1:
        raise ValueError(f"the mask {path} holds values of 0 and 1; expected white (255) where the picture counts")
    return _resized(grey, size, f"the mask {path}") >= WHITE_FROM


def _resized(values: Shaped[np.ndarray, "h0 w0"], size: tuple[int, ...], what: str) -> Shaped[np.ndarray, "h w"]:
    """The nearest value for each pixel of a picture of this size (h, w)."""
    (h0, w0), (h, w) = values.shape, size
    if abs(h - h0 * w / w0) > SAME_SHAPE and abs(w - w0 * h / h0) > SAME_SHAPE:
        raise ValueError(f"{what} has {w0}x{h0} pixels for a picture of {w}x{h}; expected the same shape")
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(int) for new, old in ((h, h0), (w, w0)))
    return values[rows[:, None], columns]


def _camera_matcher(cameras: KnownCameras, source: Source) -> Matcher:
    names = [camera.name for camera in cameras.cameras]
    return Matcher(cameras.what, names, [camera.time_s for camera in cameras.cameras], source)


def with_lens(frame: Frame, lens: Lens) -> Frame:
    """Give a frame the intrinsics of its lens; a picture with distortion becomes that of a pinhole camera.

    Raises:
        ValueError: The lens is for pictures of another shape, or leaves no pinhole camera.
    """
    if lens.is_straight:
        return replace(frame, intrinsics=lens.at((frame.rgb.shape[0], frame.rgb.shape[1])))
    return _straight(frame, lens)


def _straight(frame: Frame, lens: Lens) -> Frame:
    """The same frame as a pinhole camera sees it."""
    straight = undistortion(lens, (frame.rgb.shape[0], frame.rgb.shape[1]))
    return replace(
        frame,
        rgb=straight.picture(frame.rgb),
        intrinsics=straight.intrinsics,
        mask=None if frame.mask is None else straight.mask(frame.mask),
        depth=None if frame.depth is None else straight.depth(frame.depth),
    )


def _without_second_suffix(name: str) -> str:
    """COLMAP calls the mask of a.jpg a.jpg.png."""
    path = Path(name)
    return path.with_suffix("").as_posix() if is_image(path.with_suffix("")) else name
