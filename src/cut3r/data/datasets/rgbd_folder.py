"""One's own recordings with depth and cameras, as they are: no conversion, no code."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from cut3r.data.dataset import MultiViewDataset
from cut3r.data.recording import (
    Recording,
    Shot,
    find_recordings,
    intrinsics_matrix,
    open_recording,
    read_intrinsics,
    read_metres,
)
from cut3r.data.sampling import SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.transforms import principal_window
from cut3r.data.view import RawFrame
from cut3r.io.images import read_image


@dataclass
class RgbdConfig:
    """What the files of recordings do not say.

    `depth_per_metre` is how many units of a depth PNG are a metre (TUM: 5000). `intrinsics` are fx, fy, cx, cy in
    pixels, for recordings without intrinsics.txt.
    """

    depth_per_metre: float = 1000.0
    intrinsics: list[float] | None = None

    def __post_init__(self) -> None:
        if not self.depth_per_metre > 0:
            raise ValueError(f"data.rgbd.depth_per_metre {self.depth_per_metre} must be above 0; 1000 for millimetres")
        if self.intrinsics is not None and (len(self.intrinsics) != 4 or min(self.intrinsics[:2]) <= 0):
            raise ValueError(f"data.rgbd.intrinsics {self.intrinsics} must be [fx, fy, cx, cy] in pixels")


class RgbdFolder(MultiViewDataset):
    """Recordings in the layouts of `cut3r.data.recording`: the folder is one, or holds one or more.

    With a split, its folder of that name does. The first frame of each recording is read at once, so that what is wrong
    with all of them shows before a training begins.
    """

    name = "RgbdFolder"
    splits = (None, "train", "test")
    metric = True
    needs_depth = True
    policy = SamplingPolicy(max_interval=20, video_prob=0.8)

    def __init__(self, root: Path | None, *, config: RgbdConfig | None = None, **options: Any) -> None:
        """List the recordings; the options are those of the base class.

        Raises:
            FileNotFoundError: There is no such folder.
            ValueError: It holds no recording, or the first frame of one cannot be used.
        """
        self.config = config or RgbdConfig()
        self._recordings: dict[str, Recording] = {}
        self._cameras: dict[str, Float64[np.ndarray, "3 3"]] = {}
        super().__init__(root, **options)

    def index(self) -> Iterator[Scene]:
        folder = self.root / (self.split or "")
        paths = find_recordings(folder)
        if not paths:
            raise FileNotFoundError(
                f"{self.name}: there is no recording in {folder}; it must be one or hold some (with data.splits, "
                "below a folder of the split's name), and docs/finetuning.md says which files a recording has"
            )
        for path in paths:
            name = path.resolve().name
            self._recordings[name] = open_recording(path)
            self._cameras[name] = self._intrinsics(path)
            self._check(name)
            yield Scene(name, tuple(self._recordings[name].shots))

    def read(self, scene: Scene, position: int) -> RawFrame:
        shot = self._recordings[scene.name].shots[scene.frames[position]]
        return self._read(shot, self._cameras[scene.name])

    def _read(self, shot: Shot, intrinsics: Float64[np.ndarray, "3 3"]) -> RawFrame:
        rgb = read_image(shot.picture)
        depth = read_metres(shot.depth, per_metre=self.config.depth_per_metre)
        if rgb.shape[:2] != depth.shape:
            raise ValueError(
                f"{shot.picture} is of size {rgb.shape[:2]} and {shot.depth} of {depth.shape} (h, w); depth must lie "
                "on the picture pixel by pixel, so register it, or resize the pictures if they show the same"
            )
        return RawFrame(rgb, depth, intrinsics, shot.world_from_cam())

    def _intrinsics(self, folder: Path) -> Float64[np.ndarray, "3 3"]:
        own = read_intrinsics(folder)
        if own is not None:
            return own
        if self.config.intrinsics is None:
            raise ValueError(
                f"{folder} has no intrinsics.txt; write fx fy cx cy of its pictures into one, or set "
                "data.rgbd.intrinsics=[fx,fy,cx,cy] for all recordings without"
            )
        return intrinsics_matrix(*self.config.intrinsics)

    def _check(self, name: str) -> None:
        """Read the first frame whose camera is known, and refuse what the whole recording would suffer from."""
        shots = self._recordings[name].shots.values()
        shot = next((shot for shot in shots if np.isfinite(shot.world_from_cam()).all()), None)
        if shot is None:
            raise ValueError(f"{self._recordings[name].folder} has no camera that is finite; check its poses")
        frame = self._read(shot, self._cameras[name])
        try:
            principal_window(frame.size, frame.intrinsics)
        except ValueError as error:
            raise ValueError(f"{self._recordings[name].folder}: {error}") from error
