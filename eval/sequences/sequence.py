"""What an evaluation set is made of: sequences of pictures with their truth, read only when asked for.

A reader knows one data set's folders, lists and file formats, and nothing of protocols: which frames are scored is the
set's business, how they are scored is the protocol's.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64

from cut3r.geometry.poses import is_rigid

logger = logging.getLogger(__name__)

LISTED = 5  # names in a warning
DepthReader = Callable[[int], Float[np.ndarray, "h w"]]


class MissingDataError(FileNotFoundError):
    """Files of an evaluation set are not there; the message lists them and says where they come from."""


@dataclass(frozen=True)
class DepthFiles:
    """True depth in a file per frame, read when it is asked for."""

    paths: tuple[Path, ...]
    read: Callable[[Path], Float[np.ndarray, "h w"]]

    def __call__(self, number: int) -> Float[np.ndarray, "h w"]:
        return self.read(self.paths[number])

    def rows(self, chosen: slice) -> "DepthFiles":
        return replace(self, paths=self.paths[chosen])


@dataclass(frozen=True)
class Sequence:
    """One sequence. Pictures and depth of frame i belong together, and so does row i of the arrays.

    Attributes:
        name: Unique in its set; may contain "/".
        images: In the order of the stream. The stems are unique, and pair predictions with the truth.
        read_depth: True depth of frame i: metres along the optical axis, not positive or not a number where it is
            unknown. float32 or float64, as the published protocols compute with it. None for sets without depth.
        world_from_cam: True cameras, OpenCV axes, metres. A camera that is not known is no rigid motion: its numbers
            are not finite, or zeros, or a reflection.
        intrinsics: In pixels of the true depth, or of the pictures where no depth is read; (0, 0) is the centre of the
            top-left pixel.
        times_s: Of the true cameras; None where the set has no clock.
        prepared_in_parity: Whether `eval.prepare` made it by the choices of the reference; None if it did not.
    """

    name: str
    images: tuple[Path, ...]
    read_depth: DepthReader | None = None
    world_from_cam: Float64[np.ndarray, "v 4 4"] | None = None
    intrinsics: Float64[np.ndarray, "v 3 3"] | None = None
    times_s: Float64[np.ndarray, "v"] | None = None
    prepared_in_parity: bool | None = None

    def __post_init__(self) -> None:
        assert self.images, f"{self.name} has no frames; the reader should have refused it"
        for rows in (self.world_from_cam, self.intrinsics, self.times_s):
            assert rows is None or len(rows) == len(self.images), f"{self.name}: rows and pictures do not pair"
        assert len(set(self.stems)) == len(self.images), f"{self.name}: two pictures share a name"

    def __len__(self) -> int:
        return len(self.images)

    @property
    def stems(self) -> tuple[str, ...]:
        return tuple(path.stem for path in self.images)

    def every(self, step: int) -> "Sequence":
        """Keep the first frame and every `step`-th after it."""
        return self if step == 1 else self.rows(slice(None, None, step))

    def first(self, count: int) -> "Sequence":
        """Keep so many frames; all, if there are no more."""
        return self.rows(slice(count))

    def rows(self, chosen: slice) -> "Sequence":
        """Keep some frames with all that belongs to them."""
        read, numbers = self.read_depth, range(len(self))[chosen]
        some: DepthReader | None = None if read is None else lambda number: read(numbers[number])
        return replace(
            self,
            images=self.images[chosen],
            read_depth=read.rows(chosen) if isinstance(read, DepthFiles) else some,
            world_from_cam=None if self.world_from_cam is None else self.world_from_cam[chosen],
            intrinsics=None if self.intrinsics is None else self.intrinsics[chosen],
            times_s=None if self.times_s is None else self.times_s[chosen],
        )

    def known_cameras(self) -> Bool[np.ndarray, "v"]:
        """Say which true cameras are known, and warn of the others."""
        assert self.world_from_cam is not None
        known = is_rigid(torch.from_numpy(self.world_from_cam)).numpy()
        if not known.all():
            names = [self.images[number].name for number in np.flatnonzero(~known)]
            more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            logger.warning(
                "%s: %d of %d cameras are not known, because their poses are not finite or no rotation: %s",
                *(self.name, len(names), len(known), ", ".join(names[:LISTED]) + more),
            )
        return known
