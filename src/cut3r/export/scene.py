"""What is exported, before it is written: frames, the points that they agree on, and the world of the files."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from cut3r.export.exported import ExportedFrame
from cut3r.export.mesh import Surface
from cut3r.export.tracks import Tracks


@dataclass(frozen=True)
class CameraPath:
    """Where the camera was at each frame of the run, also at those that are not exported.

    `world_from_cam` is that of the run, nan where nobody knows it; `times_s` nan where there is no time stamp.
    """

    world_from_cam: Float64[np.ndarray, "v 4 4"]
    times_s: Float64[np.ndarray, "v"]


@dataclass(frozen=True)
class Scene:
    """What is written. `upright` is the world of the files from that of the frames; one mask per frame, or none.

    Frames without points are those of a format that needs none.
    """

    frames: Sequence[ExportedFrame]
    tracks: Tracks | None
    path: CameraPath
    upright: Float64[np.ndarray, "4 4"]
    masked: bool
    surface: Surface | None = None

    @property
    def points(self) -> Float64[np.ndarray, "p 3"]:
        """In the world of the files."""
        assert self.tracks is not None, "parts that hold points are in NEED_POINTS"
        return self.tracks.world @ self.upright[:3, :3].T + self.upright[:3, 3]

    def pose(self, frame: ExportedFrame) -> Float64[np.ndarray, "4 4"]:
        """`world_from_cam` in the world of the files."""
        return self.upright @ frame.world_from_cam.numpy()

    def summary(self) -> str:
        """Say in one line what is in it."""
        surface = "" if self.surface is None else f"; {self.surface.summary()}"
        if self.tracks is None:
            counted = f"{len(self.frames)} pictures" if self.frames else f"{len(self.path.times_s):,} cameras"
            return counted + surface
        count = len(self.tracks.world)
        return (
            f"{len(self.frames)} pictures, {count:,} points, each seen by {len(self.tracks.frames) / count:.1f} of "
            f"them, {self.tracks.errors.mean():.2f} pixels from where they see it; of the points that were tried, "
            f"{100 * self.tracks.confirmed:.0f} % were confirmed{surface}"
        )
