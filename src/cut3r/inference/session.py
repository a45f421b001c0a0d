"""A session: frames in, one result per frame out, in constant memory.

A session holds the state of one stream and nothing that grows with it. The stream's world is the camera of its first
frame.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors.torch import save_file
from torch import Tensor

from cut3r.files.atomic import atomic_path
from cut3r.geometry.cameras import ray_map
from cut3r.geometry.registration import Similarity
from cut3r.inference.chunks import Chunking, ResetConfig
from cut3r.inference.course import Course
from cut3r.inference.engine import Encoded, Engine, nothing
from cut3r.inference.focal import LensRule, focal_as_original, focal_of_trusted, on_rays
from cut3r.inference.given import GivenConfig
from cut3r.inference.given_stream import given_camera, scaled_in_the_end, with_given
from cut3r.inference.joints import Joint
from cut3r.inference.keyframes import KeyframeConfig
from cut3r.inference.pipeline import Launched, Pipeline, Prepared, Result
from cut3r.inference.places import ClosedLoop, LoopCloser
from cut3r.inference.policy import Policy, Write
from cut3r.inference.preprocess import SQUARE_SIZE, FitConfig, fit
from cut3r.inference.result import FrameResult, PointSource, QueryResult
from cut3r.inference.seen import look, quality_of
from cut3r.inference.snapshot import Snapshot, pack, read_session_file, unpack
from cut3r.io.frames import Frame
from cut3r.model.config import RayDirection
from cut3r.model.encoder import ViewInput
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs, Prediction
from cut3r.model.state import StreamState
from cut3r.model.update import OVERWRITE, UpdateRule
from cut3r.rules import rule_of

logger = logging.getLogger(__name__)


class Session:
    """One stream through one network.

    Args:
        outputs: Heads to run for each frame; camera points and the pose are always among them.
        fit: How frames are brought to a size of the network; by default the size that it was trained at.
        source: Which of the two point maps becomes the world points. `PointSource.world` runs the world head.
        shared_focal: Give each frame the median focal length of the last 101 frames instead of its own, which jitters.
            For footage from one camera without zoom.
        parity: Compute intrinsics exactly as the original's demo: from all pixels, with the principal point
            (w // 2, h // 2).
        update: How frames are written into the state: a rule, or its name with constants ("ttt3r", "filt3r:r=0.8"; see
            `cut3r.rules`); by default they overwrite it.
        resets: Cut long streams into chunks that are joined to one world; by default the state is never forgotten. Each
            step then waits for the result of the one before.
        loops: With `resets`: looks at the end of each chunk for places that are seen again, and puts chunks elsewhere
            (`cut3r.StreamLoops()`). Results then say which earlier chunks stand elsewhere (`moves`).
        keyframes: Write only some frames into the state; by default all. Every frame gets a result.
        given: What becomes of poses and depth that frames bring along; by default poses are held (see `GivenConfig`).
        engine: How frames go through the network; by default the fastest way that the device knows. Sessions of one
            network and one rule may share it.

    Attributes:
        not_finite: How many frames had a pose or points that are not finite (nan or infinite) so far. In a frame whose
            pose is not finite, no pixel is valid.
    """

    def __init__(
        self,
        model: Cut3r,
        outputs: Outputs | None = None,
        *,
        fit: FitConfig | None = None,
        source: PointSource = PointSource.self,
        shared_focal: bool = False,
        parity: bool = False,
        update: UpdateRule | str | None = None,
        resets: ResetConfig | None = None,
        keyframes: KeyframeConfig | None = None,
        loops: LoopCloser | None = None,
        given: GivenConfig | None = None,
        engine: Engine | None = None,
    ) -> None:
        self.model = model
        outputs = replace(outputs or Outputs(), points_cam=True, pose=True)
        self.outputs = replace(outputs, points_world=outputs.points_world or source is PointSource.world)
        self.fit = fit or FitConfig(size=trained_size(model))
        self.source = source
        self.shared_focal = shared_focal
        self.parity = parity
        self.given = given or GivenConfig()
        self.not_finite = 0
        rule = rule_of(update) if isinstance(update, str) else update
        self._engine = engine or Engine(model, rule=rule or OVERWRITE)
        if rule not in (None, self._engine.rule):
            raise ValueError(f"the engine writes by {self._engine.rule!r}, not {rule!r}; make it with this rule")
        self._warn_about_size()
        self._now = self._start()
        self._chunking: Chunking | None = None
        if resets is not None or keyframes is not None:
            self._chunking = Chunking(resets, keyframes, self._engine, lambda: self._start().state, loops)
        elif loops is not None:
            raise ValueError("loops put chunks elsewhere, and this session makes none; give resets=ResetConfig(), too")

    def push(self, frame: Frame | UInt8[np.ndarray, "h w 3"], *, update: bool = True) -> FrameResult:
        """Reconstruct the next frame of the stream.

        Args:
            frame: Or just its picture, upright sRGB.
            update: Let the frame change the state. Without, it is only compared with what the session knows, and can be
                pushed at any time: to localise a picture, or to see a frame again with the knowledge of later ones.

        Raises:
            ValueError: The frame's shape cannot be brought to a size of the network.
            TypeError: Neither a frame nor an array of bytes `h w 3`.
        """
        prepared = self._prepare(frame)
        return self._finish(self._launch(prepared, self._encode([prepared])[0], self._now.state, update=update))

    def stream(
        self, frames: Iterable[Frame], policy: Policy | None = None, *, lookahead: int = 8, update: bool = True
    ) -> Iterator[FrameResult]:
        """Reconstruct frames one after the other, as `push` does, but read up to `lookahead` frames ahead.

        Reading and resizing happen in another thread. On a GPU the coming frames are encoded together while the present
        one is decoded, and results travel back while the next step runs. For footage that lies on a disk; with a live
        source, frames that wait are delay.

        The session stands at the last result given: stop, save, query, reset, restore, push or absorb between two
        results, and the next one comes from there. What was read and encoded ahead is kept.

        Args:
            policy: Decides after each result what becomes of the state: it keeps the frame, drops it, or resets the
                stream. Frames are still read and encoded ahead.
            lookahead: 0 reads nothing ahead.
            update: As for `push`.

        Raises:
            ValueError: As `push`; where the frame's result would have come.
        """
        launch, finish = partial(self._launch, update=update), partial(self._finish, policy=policy)
        if lookahead:
            waits = policy is not None or self._chunking is not None or self.given.condition
            yield from self._pipeline(launch, finish, waits=waits).run(frames, lookahead)
            return
        for frame in frames:
            prepared = self._prepare(frame)
            yield finish(launch(prepared, self._encode([prepared])[0], self._now.state))

    def absorb(self, frame: Frame) -> None:
        """Let a frame change the state without computing its result: a third of the work less, for passes nobody
        looks at.

        Raises:
            ValueError: The session cuts its stream into chunks, which needs results.
        """
        self._check_absorbs()
        prepared = self._prepare(frame)
        self._finish_absorbed(self._launch_absorbed(prepared, self._encode([prepared])[0], self._now.state))

    def absorb_stream(self, frames: Iterable[Frame], *, lookahead: int = 8) -> Iterator[Frame]:
        """Absorb frames one after the other, read and encoded ahead as in `stream`; gives each when it is absorbed."""
        self._check_absorbs()
        if lookahead == 0:
            for frame in frames:
                self.absorb(frame)
                yield frame
            return
        yield from self._pipeline(self._launch_absorbed, self._finish_absorbed).run(frames, lookahead)

    def query(
        self,
        world_from_cam: Float[Tensor, "4 4"],
        intrinsics: Float[Tensor, "3 3"],
        size: tuple[int, int] | None = None,
    ) -> QueryResult:
        """Predict what a camera would see that took no picture. The state is not changed, and any thread may ask.

        Args:
            world_from_cam: The camera in the stream's world, metres.
            intrinsics: In pixels of the picture to predict.
            size: (h, w) of that picture in pixels, multiples of the patch size; by default that of a 4:3 frame.

        Raises:
            ValueError: The session has seen no frame yet, or the size does not fit the network.
        """
        size = size or default_size(self.model)
        place = self._now.world_from_chunk
        chunk_from_cam = world_from_cam if place is None else place.inverse().place(world_from_cam)
        world_from_cam, intrinsics = world_from_cam.detach().float().cpu(), intrinsics.detach().float().cpu()
        rays = self._ray_map(chunk_from_cam, intrinsics, size)
        # All work on the device under the lock: another thread may be recording the device's work.
        with self._engine.lock, self._engine.on_device(), torch.inference_mode():
            state = self._now.state
            if bool(state.is_new.any()):
                raise ValueError("a query needs a scene, and this session has seen no frame yet; push a frame first")
            view = ViewInput(ray_map=rays[None].to(self.model.device))
            prediction, _ = self.model.step(state, view, self.model.encode(view), replace(self.outputs, rgb=True))
            return QueryResult(_placed(prediction.to("cpu", torch.float32), place), world_from_cam, intrinsics)

    def reset(self, world_from_chunk: Similarity | None = None) -> None:
        """Forget the stream. The next frame starts a new chunk.

        Args:
            world_from_chunk: Where that stands, if it is known; by default the new chunk is a world of its own.
        """
        self._now = replace(
            self._now,
            state=self._start().state,
            chunk=self._now.chunk + 1,
            world_from_chunk=world_from_chunk,
            course=Course(joints=self._now.course.joints),
            given=self._now.given.in_new_world(),
        )

    def begin_chunk(self, reason: str = "asked for") -> Joint:
        """Forget the stream, but join the new chunk to this one by the frames that both see; gives the joint.

        Raises:
            ValueError: The session was made without `resets`, so it keeps no frames to join chunks by.
        """
        if self._chunking is None:
            raise ValueError("this session keeps no frames to join chunks by; make it with resets=ResetConfig(...)")
        self._now = self._chunking.begin(self._now, reason, None)
        return self._now.course.joints[-1]

    @property
    def joints(self) -> tuple[Joint, ...]:
        """How each chunk was joined to the one before; the last chunk may have no result yet."""
        return self._now.course.joints

    def place_chunk(self, world_from_chunk: Similarity) -> None:
        """Say where the present chunk stands, for the results from now on."""
        self._now = replace(self._now, world_from_chunk=world_from_chunk)

    @property
    def loops(self) -> tuple[ClosedLoop, ...]:
        """Places that looked like earlier ones, and what became of them."""
        return self._now.course.places.loops

    @property
    def places(self) -> dict[int, Similarity]:
        """Where each chunk stands, by its number, as far as this session has joined them."""
        return dict(self._now.course.places.world_from_chunk)

    def settle(self) -> dict[int, Similarity]:
        """At the end of a stream: look for places that the last chunk has seen again, and scale the world by what all
        frames said; gives the chunks that stand elsewhere since the last result, by their number, for
        `Reconstruction.move`."""
        if self._chunking is not None:
            self._now = self._chunking.settle(self._now)
        self._now = scaled_in_the_end(self._now, self.given)
        empty = {joint.chunk for joint in self.joints if joint.first >= self._now.number}  # begun, but without a frame
        moves = self._now.course.places.changed
        self._forget_moves()
        return {chunk: place for chunk, place in moves.items() if chunk not in empty}

    @property
    def frames_seen(self) -> int:
        """The number of the next result."""
        return self._now.number

    @property
    def rule(self) -> UpdateRule:
        """How frames are written into the state."""
        return self._engine.rule

    def update_values(self) -> dict[str, Tensor]:
        """What the rule of writing did and keeps, on the host, for diagnosis.

        `gate` (s): the share that each state token took over of the last frame that was written; before the first frame
        0. The rule's buffers by name: see its class.
        """
        state = self._now.state
        every = torch.ones(state.tokens.shape[1]) * ~state.is_new.cpu()
        buffers = {name: buffer[0].cpu().clone() for name, buffer in sorted(state.buffers.items())}
        return {"gate": every} | buffers

    def snapshot(self) -> Snapshot:
        """The session's memory as a value; it costs nothing and is not changed by later frames."""
        return self._now

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of this session, or go on from one of another session with the same network.

        Raises:
            ValueError: That session writes by another rule.
        """
        if snapshot.rule != self.rule:
            raise ValueError(
                f"the snapshot is of a session that writes by {snapshot.rule!r}, and this one by {self.rule!r}; "
                "make the session with that rule (update=...)"
            )
        self._now = replace(snapshot, state=snapshot.state.to(self.model.device))

    def save(self, path: str | Path) -> None:
        """Write the session's memory (4 MB for the published networks); `load` in another process goes on
        bit-exactly."""
        tensors, metadata = self.pack()
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata)

    def load(self, path: str | Path) -> None:
        """Go on where a saved session stopped.

        Raises:
            FileNotFoundError: No such file.
            ValueError: Not a saved session, or one of another network.
        """
        self.unpack(*read_session_file(Path(path)), name=str(path))

    def pack(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The session's memory as named tensors and text, for a file that holds more than the session."""
        return pack(self._now, self.model)

    def unpack(self, tensors: dict[str, Tensor], metadata: dict[str, str], *, name: str = "the file") -> None:
        """Take over what `pack` gave.

        Raises:
            ValueError: Not a saved session, or one of another network.
        """
        snapshot = unpack(tensors, metadata, self.model, self.rule, name=name)
        if self._chunking is not None:
            snapshot = replace(snapshot, course=self._chunking.rehearse_again(snapshot.course))
        self.restore(snapshot)

    @torch.inference_mode()
    def _start(self) -> Snapshot:
        return Snapshot(self.model.initial_state(1, self.rule), rule=self.rule)

    def _forget_moves(self) -> None:
        course = self._now.course
        self._now = replace(self._now, course=replace(course, places=replace(course.places, changed={})))

    def _check_absorbs(self) -> None:
        if self._chunking is not None:
            raise ValueError(
                "chunks are joined by results, and absorbing gives none; push the frames, or leave out resets"
            )

    def _as_frame(self, frame: Frame | UInt8[np.ndarray, "h w 3"]) -> Frame:
        if isinstance(frame, np.ndarray):
            return Frame(frame, self.frames_seen, None, f"picture {self.frames_seen}")
        if not isinstance(frame, Frame):
            raise TypeError(f"expected a Frame or an array of bytes h w 3, not {type(frame).__name__}; read it first")
        return frame

    def _prepare(self, frame: Frame | UInt8[np.ndarray, "h w 3"]) -> Prepared:
        frame = self._as_frame(frame)
        image, pixel_map = fit(frame.rgb, self.fit, name=frame.name)
        counts = pixel_map.inside() if frame.mask is None else pixel_map.mask_to_image(frame.mask)
        return Prepared(frame, image, pixel_map, counts)

    def _encode(self, prepared: Sequence[Prepared]) -> list[Encoded]:
        with self._engine.lock:
            return self._engine.encode(torch.stack([torch.tensor(each.image) for each in prepared]))

    def _pipeline(
        self,
        launch: Callable[[Prepared, Encoded, StreamState], Launched],
        finish: Callable[[Launched], Result],
        *,
        waits: bool = False,
    ) -> Pipeline[Result]:
        now, asynchronous = (lambda: self._now), self._engine.asynchronous
        return Pipeline(self._prepare, self._encode, launch, finish, now, asynchronous, waits)

    def _launch(self, prepared: Prepared, encoded: Encoded, before: StreamState, *, update: bool) -> Launched:
        measure = focal_as_original if self.parity else focal_of_trusted
        mask = None if self.parity or bool(prepared.counts.all()) else prepared.counts
        rays = self._rays(prepared) if self.given.condition else None
        with self._engine.lock:
            shown = encoded if rays is None else self._engine.with_rays(encoded, rays)
            pending, after = self._engine.step(before, shown, self.outputs, update=update, measure=measure, mask=mask)
        return Launched(prepared, encoded, pending, before, after, update)

    def _rays(self, prepared: Prepared) -> Float[Tensor, "h w 6"] | None:
        """The ray map of a given camera; None for the first view of the state, and where a camera is not known."""
        if (camera := given_camera(self._now, prepared.frame)) is None:
            return None
        intrinsics = prepared.pixel_map.intrinsics_to_image(camera[1])
        return self._ray_map(camera[0], intrinsics, prepared.pixel_map.image_size)

    def _ray_map(self, chunk_from_cam: Tensor, intrinsics: Tensor, size: tuple[int, int]) -> Float[Tensor, "h w 6"]:
        translation = self.model.config.ray_direction is RayDirection.point_at_unit_depth
        camera, lens = (each.detach().float().cpu() for each in (chunk_from_cam, intrinsics))
        return ray_map(camera, lens, size, include_translation=translation)

    def _launch_absorbed(self, prepared: Prepared, encoded: Encoded, before: StreamState) -> Launched:
        with self._engine.lock:
            pending, after = self._engine.step(before, encoded, Outputs.none(), update=True, measure=nothing)
        return Launched(prepared, encoded, pending, before, after)

    def _finish_absorbed(self, launched: Launched) -> Frame:
        launched.pending.wait()
        self._now = replace(self._now, state=launched.after)
        return launched.prepared.frame

    def _finish(self, launched: Launched, *, policy: Policy | None = None) -> FrameResult:
        result, focals = self._result(launched)
        chunking, seen = self._chunking if launched.writes else None, None
        if chunking is not None:
            seen = look(self._now.course, result, launched.encoded)
            if reason := chunking.broken(self._now.course, seen):
                self._now = chunking.begin(self._now, reason, result.frame.time_s)
                launched = self._launch(launched.prepared, launched.encoded, self._now.state, update=True)
                result, focals = self._result(launched)
                seen = look(self._now.course, result, launched.encoded)
        self._warn_if_not_finite(result)
        self._now = replace(self._now, state=launched.after, number=self._now.number + 1, focals=focals)
        self._now, result = with_given(self._now, result, self.given)
        decision = policy(result) if policy else Write.keep
        if chunking is not None and seen is not None:
            course = self._now.course
            if decision is Write.keep and not chunking.is_key(course, seen):
                decision = Write.drop
            result = replace(result, quality=quality_of(course, seen, written=decision is not Write.drop))
        if decision is Write.drop:
            self._now = replace(self._now, state=launched.before)
        if moves := self._now.course.places.changed:
            result = replace(result, moves={chunk: place for chunk, place in moves.items() if chunk != result.chunk})
            self._forget_moves()
        if chunking is not None and seen is not None:
            self._now = chunking.follow(self._now, seen, written=decision is not Write.drop)
        if decision is Write.reset:
            self.reset()
        return result

    def _result(self, launched: Launched) -> tuple[FrameResult, tuple[float, ...]]:
        """Of a frame whose step has been started, and the votes for a shared focal length after it."""
        prediction, focal = launched.pending.wait()
        prepared, now = launched.prepared, self._now
        assert prediction.points_cam is not None and prediction.world_from_cam is not None
        points = prediction.points_cam[0]
        finite, pose_is_finite = points.isfinite().all(dim=-1), bool(prediction.world_from_cam.isfinite().all())
        valid = (points[..., 2] > 0) & finite & prepared.counts & pose_is_finite
        lens = LensRule(shared=self.shared_focal, parity=self.parity)
        intrinsics, focals = lens.intrinsics(prepared, float(focal), now.focals, now.number)
        if prepared.frame.intrinsics is not None:
            prediction = replace(prediction, points_cam=on_rays(points, intrinsics, valid)[None])
        result = FrameResult(
            prepared.frame,
            now.number,
            prepared.image,
            prediction,
            intrinsics,
            prepared.pixel_map,
            valid,
            now.chunk,
            source=self.source,
            world_from_chunk=now.world_from_chunk,
        )
        return result, focals

    def _warn_if_not_finite(self, result: FrameResult) -> None:
        assert result.prediction.points_cam is not None and result.prediction.world_from_cam is not None
        finite = result.prediction.points_cam[0].isfinite().all(dim=-1)
        pose_is_finite = bool(result.prediction.world_from_cam.isfinite().all())
        if pose_is_finite and bool(finite.all()):
            return
        self.not_finite += 1
        if self.not_finite == 1:
            logger.warning(
                "frame %d (%s): %s not finite (nan or infinite); such poses and points are marked as not valid, and "
                "later frames that have some are only counted",
                result.number,
                result.frame.name,
                f"{int((~finite).sum())} of its points are" if pose_is_finite else "its pose is",
            )

    def _warn_about_size(self) -> None:
        trained = trained_size(self.model)
        if self.fit.size != trained:
            logger.warning(
                "frames are brought to size %d, but this network was trained at %d: expect worse results",
                self.fit.size,
                trained,
            )


def _placed(prediction: Prediction, place: Similarity | None) -> Prediction:
    """Move what a network says of a chunk to where the chunk stands."""
    if place is None:
        return prediction
    assert prediction.points_cam is not None and prediction.world_from_cam is not None
    world = prediction.points_world
    return replace(
        prediction,
        points_cam=prediction.points_cam * float(place.scale),
        points_world=None if world is None else place.apply(world.double()).float(),
        world_from_cam=place.place(prediction.world_from_cam),
    )


def trained_size(model: Cut3r) -> int:
    """The longer side of the network's training images in pixels."""
    return max(model.config.image_size)


def default_size(model: Cut3r) -> tuple[int, int]:
    """The (h, w) of a 4:3 frame; square for the network of that size only."""
    side, patch = trained_size(model), model.config.patch_size
    return (side, side) if side == SQUARE_SIZE else (side * 3 // 4 // patch * patch, side)
