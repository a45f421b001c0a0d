"""A system under test: pictures in; depth, cameras and points out. Ours is one of them.

To score another one in this process, write a class with the two methods of `System` and hand it to `eval.run`. To score
one that runs elsewhere, have it write files (`eval.systems.saved`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, UInt8

from cut3r.io.frames import Frame

OpenFrames = Callable[[], Iterable[Frame]]


@dataclass(frozen=True)
class FramePrediction:
    """What a system says about one frame; what nobody asked for, or what it cannot say, is None.

    Depth and points may have any size: they belong to the whole picture that was given, stretched.

    Attributes:
        depth: Metres (or any unit, for systems that know no scale) along the optical axis.
        world_from_cam: OpenCV axes; the world is the same for all frames of a stream.
        points_world: In the frame of the stream's first camera.
        conf_world: Of `points_world`; more is surer.
        conf_depth: Of `depth`, and of its size.
        intrinsics: In pixels of the picture that was given.
        rgb: Of a view that was asked for.
    """

    depth: Float[np.ndarray, "h w"] | None = None
    world_from_cam: Float[np.ndarray, "4 4"] | None = None
    points_world: Float[np.ndarray, "h w 3"] | None = None
    conf_world: Float[np.ndarray, "h w"] | None = None
    conf_depth: Float[np.ndarray, "h w"] | None = None
    intrinsics: Float[np.ndarray, "3 3"] | None = None
    rgb: UInt8[np.ndarray, "h w 3"] | None = None


@dataclass(frozen=True)
class Wanted:
    """What a protocol asks for, and whether pictures are stretched to the system's size or cut.

    Depth that is compared at the size of the truth must belong to the whole picture, so it may not be cut.
    """

    depth: bool = False
    cameras: bool = False
    points: bool = False
    whole_picture: bool = False


@dataclass(frozen=True)
class AskedView:
    """A camera that took no picture: where it stands in the frame of the stream's first camera, in true metres, and its
    intrinsics in pixels of a picture of `size` (h, w)."""

    first_from_cam: Float[np.ndarray, "4 4"]
    intrinsics: Float[np.ndarray, "3 3"]
    size: tuple[int, int]


class System(Protocol):
    def describe(self) -> dict[str, Any]:
        """Say everything that decides the predictions, in plain values; predictions of another description are not
        mixed with these."""

    def predict(self, open_frames: OpenFrames, wanted: Wanted) -> Iterator[FramePrediction]:
        """Take the frames of one stream and give one prediction for each, in order.

        Args:
            open_frames: Gives the frames from the first one on, each time it is called.
        """


class Bookmark(Protocol):
    """Where a stream was when its run was killed."""

    def restore(self, load: Callable[[Path], None]) -> int:
        """Have the system remember, before the first prediction; gives the number of frames that are done, often 0.

        Args:
            load: Takes over what a file of `keep` holds. It raises a ValueError, and changes nothing, if it cannot.
        """

    def keep(self, save: Callable[[Path], None]) -> None:
        """Offer to remember, after each prediction that was taken: `save` writes all that the next frame needs, but
        is called only now and then."""


class ResumableSystem(System, Protocol):
    """A system that can go on in the middle of a stream."""

    def go_on(
        self, open_from: Callable[[int], Iterable[Frame]], wanted: Wanted, bookmark: Bookmark
    ) -> Iterator[FramePrediction]:
        """Do what `predict` does, from where the bookmark is on; nothing of what follows may differ by a bit.

        Args:
            open_from: Gives the frames without the first so many, each time it is called.
        """


class ViewSystem(System, Protocol):
    """A system that can be asked what cameras would see that took no picture."""

    def answer(
        self, open_frames: OpenFrames, first_from_cam: Float[np.ndarray, "v 4 4"], asked: Sequence[AskedView]
    ) -> Iterator[FramePrediction]:
        """Take the frames of one stream; give a prediction for each, of which the camera counts, and then one for each
        view: picture, depth and camera, in true metres and the frame of the first camera.

        Args:
            first_from_cam: The true cameras of the frames, which say how long a metre is in the system's world; they
                are not to be used for anything else.
        """
