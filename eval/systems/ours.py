"""Our network as a system under test: the same session that users run."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from cut3r.alignment.stream_loops import StreamLoops
from cut3r.geometry.registration import Similarity, register
from cut3r.inference.chunks import ResetConfig
from cut3r.inference.engine import Engine
from cut3r.inference.keyframes import KeyframeConfig
from cut3r.inference.places import LoopCloser
from cut3r.inference.preprocess import FitConfig, FitMode
from cut3r.inference.preprocess import fit as fit_image
from cut3r.inference.result import FrameResult
from cut3r.inference.revisit import revisit
from cut3r.inference.session import Session, trained_size
from cut3r.inference.snapshot import fingerprint
from cut3r.io.frames import Frame
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs
from cut3r.model.update import OVERWRITE, UpdateRule
from cut3r.rules import text_of
from eval.systems.base import AskedView, Bookmark, FramePrediction, OpenFrames, Wanted

LEAST_SCALE = 1e-3
LOOKAHEAD = 8  # frames that are read before they are needed


@dataclass(frozen=True)
class Ours:
    """The network behind the same session that users run.

    Args:
        size: Longer side of the network's pictures; None for the one it was trained at.
        passes: Over each stream; the last one is scored.
        freeze: Only the first pass changes the state.
        rule: By which a frame changes the state.
        resets, keyframes: As the session takes them.
        loops: Say where cameras and points stand after the last loop was closed, for which each stream is taken twice.
        solve_pose: Take the rigid motion between a view's two point maps as its camera, instead of the pose head's.
        digest: Of the weights' file.
    """

    model: Cut3r
    size: int | None = None
    passes: int = 1
    freeze: bool = False
    solve_pose: bool = False
    parity: bool = False
    rule: UpdateRule = OVERWRITE
    resets: ResetConfig | None = None
    keyframes: KeyframeConfig | None = None
    loops: bool = False
    digest: str = ""

    def describe(self) -> dict[str, Any]:
        return {
            "system": "cut3r",
            "weights": self.digest or fingerprint(self.model),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "size": self.size or trained_size(self.model),
            "update": text_of(self.rule),
            "resets": None if self.resets is None else repr(self.resets),
            "keyframes": None if self.keyframes is None else repr(self.keyframes),
            "loops": self.loops,
            "passes": self.passes,
            "freeze": self.freeze,
            "solve_pose": self.solve_pose,
            "parity": self.parity,
        }

    def predict(self, open_frames: OpenFrames, wanted: Wanted) -> Iterator[FramePrediction]:
        settled = self._settled(open_frames(), wanted)
        for result in self._results(self._session(wanted), lambda _: open_frames()):
            yield self._prediction(result, wanted, settled)

    def go_on(
        self, open_from: Callable[[int], Iterable[Frame]], wanted: Wanted, bookmark: Bookmark
    ) -> Iterator[FramePrediction]:
        settled = self._settled(open_from(0), wanted)
        session = self._session(wanted)
        done = bookmark.restore(session.load)
        for result in self._results(session, open_from, done):
            yield self._prediction(result, wanted, settled)
            bookmark.keep(session.save)

    def answer(
        self, open_frames: OpenFrames, first_from_cam: Float[np.ndarray, "v 4 4"], asked: Sequence[AskedView]
    ) -> Iterator[FramePrediction]:
        session = self._session(Wanted(depth=True, cameras=True, whole_picture=True))
        places = []
        for result in self._results(session, lambda _: open_frames()):
            places.append(result.world_from_cam[:3, 3].double().numpy())
            yield FramePrediction(world_from_cam=result.world_from_cam.numpy())
        scale = path_scale(np.stack(places), first_from_cam[:, :3, 3])
        for view in asked:
            camera = torch.from_numpy(view.first_from_cam.copy())
            camera[:3, 3] *= scale
            _, pixel_map = fit_image(np.zeros((*view.size, 3), np.uint8), session.fit)
            intrinsics = pixel_map.intrinsics_to_image(torch.from_numpy(view.intrinsics))
            said = session.query(camera, intrinsics, pixel_map.image_size)
            assert said.prediction.world_from_cam is not None
            believed = said.prediction.world_from_cam[0].numpy().copy()
            believed[:3, 3] /= scale
            yield FramePrediction(
                depth=said.depth.numpy() / np.float32(scale),
                world_from_cam=believed,
                rgb=np.ascontiguousarray(said.rgb),
            )

    def _settled(self, frames: Iterable[Frame], wanted: Wanted) -> dict[int, Similarity]:
        """Where all chunks stand in the end; nothing if loops are not looked for."""
        if not self.loops:
            return {}
        session = self._session(replace(wanted, points=False), StreamLoops())
        for _ in session.stream(frames, lookahead=LOOKAHEAD):
            pass
        session.settle()
        return session.places

    def _session(self, wanted: Wanted, loops: LoopCloser | None = None) -> Session:
        mode = FitMode.stretch if wanted.whole_picture else FitMode.crop
        fit = FitConfig(size=self.size or trained_size(self.model), mode=mode, parity=self.parity)
        outputs = Outputs(points_world=wanted.points or (wanted.cameras and self.solve_pose))
        long = {"resets": self.resets, "keyframes": self.keyframes, "loops": loops}
        return Session(self.model, outputs, fit=fit, parity=self.parity, engine=self._engine, **long)  # type: ignore[arg-type]

    def _results(
        self, session: Session, open_from: Callable[[int], Iterable[Frame]], done: int = 0
    ) -> Iterator[FrameResult]:
        yield from revisit(session, open_from, passes=self.passes, freeze=self.freeze, done=done, lookahead=LOOKAHEAD)

    def _prediction(self, result: FrameResult, wanted: Wanted, settled: Mapping[int, Similarity]) -> FramePrediction:
        result = replace(result, world_from_chunk=settled.get(result.chunk, result.world_from_chunk))
        prediction = result.prediction
        return FramePrediction(
            depth=result.depth.numpy() if wanted.depth else None,
            world_from_cam=self._camera(result).numpy() if wanted.cameras else None,
            points_world=_world_points(result) if wanted.points else None,
            conf_world=_first(prediction.conf_world) if wanted.points else None,
            conf_depth=_first(prediction.conf_cam) if wanted.depth else None,
            intrinsics=result.intrinsics_original.numpy() if wanted.cameras else None,
        )

    @cached_property
    def _engine(self) -> Engine:
        """One for all streams: what it records on a GPU is recorded once."""
        return Engine(self.model, rule=self.rule)

    def _camera(self, result: FrameResult) -> Float[torch.Tensor, "4 4"]:
        if not self.solve_pose:
            return result.world_from_cam
        both = result.prediction
        assert both.points_cam is not None and both.conf_cam is not None
        assert both.points_world is not None and both.conf_world is not None
        chunk_from_cam = camera_between(both.points_cam[0], both.points_world[0], both.conf_cam[0], both.conf_world[0])
        place = result.world_from_chunk
        return chunk_from_cam if place is None else place.place(chunk_from_cam)


def path_scale(predicted: Float[np.ndarray, "v 3"], true: Float[np.ndarray, "v 3"]) -> float:
    """How long a true metre is in a predicted world, by the distances of the cameras from the first one; 1 where
    nothing moves or nothing is finite."""
    known = np.isfinite(predicted).all(axis=1) & np.isfinite(true).all(axis=1)
    said, truth = (np.linalg.norm(path[known] - path[0], axis=1) for path in (predicted, true))
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = float((said @ truth) / (truth @ truth))
    return scale if np.isfinite(scale) and scale > LEAST_SCALE else 1.0


def camera_between(
    points_cam: Float[torch.Tensor, "*pixels 3"],
    points_world: Float[torch.Tensor, "*pixels 3"],
    conf_cam: Float[torch.Tensor, "*pixels"],
    conf_world: Float[torch.Tensor, "*pixels"],
) -> Float[torch.Tensor, "4 4"]:
    """Find the rigid motion that brings a view's own points onto its world points, weighted with the logarithms of both
    confidences. Source: spec/eval_metrics.md 2, "solve_pose"."""
    weights = conf_cam.log() * conf_world.log()
    return register(
        points_cam.flatten(0, -2), points_world.flatten(0, -2), weights.flatten(), with_scale=False
    ).matrix()


def _world_points(result: FrameResult) -> np.ndarray:
    """Of the head that says them, which speaks of the chunk's first camera."""
    points, place = result.prediction.points_world, result.world_from_chunk
    assert points is not None
    return (points[0] if place is None else place.apply(points[0].double()).float()).numpy()


def _first(value: torch.Tensor | None) -> np.ndarray | None:
    return None if value is None else value[0].numpy()
