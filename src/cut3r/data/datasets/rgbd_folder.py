"""One's own recordings with depth and cameras, as they are: no conversion, no code."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cut3r.data.dataset import MultiViewDataset
from cut3r.data.model_scale import in_metres
from cut3r.data.recording import (
    Recording,
    find_recordings,
    intrinsics_matrix,
    open_recording,
    read_intrinsics,
)
from cut3r.data.sampling import SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.shot import HIGH, LOW, MEDIUM, Shot, pinhole_frame, resize_nearest
from cut3r.data.transforms import principal_window
from cut3r.data.view import RawFrame
from cut3r.io.images import read_image
from cut3r.io.known_cameras import Lens


@dataclass
class RgbdConfig:
    """What the files of recordings do not say.

    `depth_per_metre` is how many units of a depth PNG are a metre (TUM: 5000). `intrinsics` are fx, fy, cx, cy in
    pixels, for recordings without any. `least_confidence` is how sure a phone must be of depth that counts: 0 (take
    all), 1, or 2 (only what it is most sure of). `metric` says whether poses and depth are in metres; null: all are but
    those of COLMAP with its own dense maps, whose unit is arbitrary, and the poses of a COLMAP model are scaled to the
    depth of a sensor.
    """

    depth_per_metre: float = 1000.0
    intrinsics: list[float] | None = None
    least_confidence: int = MEDIUM
    metric: bool | None = None

    def __post_init__(self) -> None:
        if not self.depth_per_metre > 0:
            raise ValueError(f"data.rgbd.depth_per_metre {self.depth_per_metre} must be above 0; 1000 for millimetres")
        if not LOW <= self.least_confidence <= HIGH:
            raise ValueError(f"data.rgbd.least_confidence {self.least_confidence} must be 0, 1 or 2")
        if self.intrinsics is not None and (len(self.intrinsics) != 4 or min(self.intrinsics[:2]) <= 0):
            raise ValueError(f"data.rgbd.intrinsics {self.intrinsics} must be [fx, fy, cx, cy] in pixels")


class RgbdFolder(MultiViewDataset):
    """Recordings in the forms of `cut3r.data.recording` and `captures`: the folder is one, or holds one or more.

    A depth map with fewer pixels than its picture is enlarged, each pixel taking the nearest; distortion of a known
    lens is undone when a frame is read.

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
        self._lenses: dict[str, Lens | None] = {}
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
            self._recordings[name] = self._open(path)
            self._lenses[name] = self._lens(path)
            self._check(name)
            yield Scene(name, tuple(self._recordings[name].shots))

    def read(self, scene: Scene, position: int) -> RawFrame:
        return self._read(self._recordings[scene.name].shots[scene.frames[position]], scene.name)

    def metric_of(self, scene: Scene) -> bool:
        return self._recordings[scene.name].metric if self.config.metric is None else self.config.metric

    def _read(self, shot: Shot, name: str) -> RawFrame:
        rgb = read_image(shot.picture)
        size = (rgb.shape[0], rgb.shape[1])
        read = shot.depth.read(per_metre=self.config.depth_per_metre, least_confidence=self.config.least_confidence)
        depth = resize_nearest(read, size, str(shot.depth.path))
        lens = shot.lens or self._lenses[name]
        if lens is None:
            raise ValueError(
                f"{self._recordings[name].folder} has no intrinsics.txt; write fx fy cx cy of its pictures into one, "
                "or set data.rgbd.intrinsics=[fx,fy,cx,cy] for all recordings without"
            )
        return pinhole_frame(rgb, depth, lens, shot.world_from_cam())

    def _open(self, folder: Path) -> Recording:
        recording, config = open_recording(folder), self.config
        if recording.model is None or config.metric is not None:  # then units are as they should be
            return recording
        shots = in_metres(
            recording.shots,
            recording.model,
            per_metre=config.depth_per_metre,
            least_confidence=config.least_confidence,
        )
        return replace(recording, shots=shots)

    def _lens(self, folder: Path) -> Lens | None:
        """The lens of all pictures whose own camera is not known; None if there is none."""
        matrix = read_intrinsics(folder)
        if matrix is None and self.config.intrinsics is not None:
            matrix = intrinsics_matrix(*self.config.intrinsics)
        return None if matrix is None else Lens(matrix)

    def _check(self, name: str) -> None:
        """Read the first frame whose camera is known, and refuse what the whole recording would suffer from."""
        shots = self._recordings[name].shots.values()
        shot = next((shot for shot in shots if np.isfinite(shot.world_from_cam()).all()), None)
        if shot is None:
            raise ValueError(f"{self._recordings[name].folder} has no camera that is finite; check its poses")
        try:
            frame = self._read(shot, name)
            principal_window(frame.size, frame.intrinsics)
        except ValueError as error:
            folder = self._recordings[name].folder  # which most messages name
            raise error if str(folder) in str(error) else ValueError(f"{folder}: {error}") from error
