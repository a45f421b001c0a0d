"""Recordings with exact truth, in the layout that dataset=rgbd reads, and a system that knows the truth."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cut3r.data.synthetic import synthetic_walk
from cut3r.data.walks import WalkConfig
from cut3r.geometry.cameras import unproject
from cut3r.geometry.poses import invert, transform
from cut3r.io.depth import write_depth
from cut3r.io.images import read_image, write_image
from eval.protocols.mv_recon import MultiViewReconstruction, ReconAlignment, ReconOptions
from eval.sequences.sequence import Sequence
from eval.systems.base import FramePrediction, OpenFrames, Wanted

SIZE = (48, 64)


def write_recordings(folder: Path, names: tuple[str, ...] = ("first", "second"), frames: int = 6) -> Path:
    """Write walks through synthetic rooms; give their folder."""
    for index, name in enumerate(names):
        walk = synthetic_walk(7, index, WalkConfig(size=SIZE, frames=frames, noise=0.0))
        for number in range(frames):
            stem = folder / name / f"frame-{number:06d}"
            write_image(stem.with_suffix(".color.png"), walk.rgb[number].numpy())
            write_depth(stem.with_suffix(".depth.png"), walk.depth[number].numpy())
            np.savetxt(stem.with_suffix(".pose.txt"), walk.world_from_cam[number].double().numpy())
        np.savetxt(folder / name / "camera-intrinsics.txt", walk.intrinsics[0].double().numpy())
    return folder


class Oracle:
    """Says the truth, changed by `distort` if given; counts the frames that it was shown."""

    def __init__(
        self,
        sequences: list[Sequence],
        *,
        size: int = 64,
        distort: Callable[[FramePrediction], FramePrediction] = lambda prediction: prediction,
        name: str = "oracle",
    ) -> None:
        self.only = sequences[0] if len(sequences) == 1 else None
        several = [] if self.only else sequences
        self.by_picture = {self._key(s, n): s for s in several for n in range(len(s))}
        self.views = MultiViewReconstruction(ReconOptions([ReconAlignment.published]), size=size)
        self.distort, self.name = distort, name
        self.seen: list[str] = []

    def describe(self) -> dict[str, Any]:
        return {"system": self.name}

    def predict(self, open_frames: OpenFrames, wanted: Wanted) -> Iterator[FramePrediction]:
        for frame in open_frames():
            sequence = self._sequence_of(frame.rgb)
            self.seen.append(f"{sequence.name}/{frame.name}")
            yield self.distort(self._truth(sequence, frame.index, wanted))

    def _truth(self, sequence: Sequence, number: int, wanted: Wanted) -> FramePrediction:
        points = camera = None
        if wanted.points:
            view = self.views.view(sequence, number)
            first_from_cam = np.linalg.inv(sequence.world_from_cam[0]) @ view.world_from_cam
            points_cam = unproject(torch.from_numpy(view.depth), torch.from_numpy(view.intrinsics).float())
            points = transform(torch.from_numpy(first_from_cam).float(), points_cam).numpy()
        if wanted.cameras:
            world_from_cam = torch.from_numpy(sequence.world_from_cam)
            camera = (invert(world_from_cam[0]) @ world_from_cam[number]).float().numpy()
        return FramePrediction(
            depth=sequence.read_depth(number).astype(np.float32) if wanted.depth else None,
            world_from_cam=camera,
            points_world=points,
            conf_world=None if points is None else np.ones(points.shape[:2], np.float32),
        )

    def _sequence_of(self, rgb: np.ndarray) -> Sequence:
        return self.only or self.by_picture[rgb.tobytes()]

    def _key(self, sequence: Sequence, number: int) -> bytes:
        return read_image(sequence.images[number]).tobytes()
