"""A stand-in for the network: true geometry of a walk, with the errors of a recurrent predictor planted into it.

It is driven through the real session, engine, encoder call, state and all, and knows a frame only by its picture, whose
first pixels hold the frame's number. What is planted:

- the pose drifts with every written frame, a random walk that goes faster the more frames the state has taken in;
- each stream has its own unit of length: another error of the scale after each reset;
- each pose, each point has noise; some points are anywhere, and one part of the picture moves;
- a frame that shares nothing with the frames the state holds is a guess, and the confidence says so;
- two places may look alike: who knows the one and sees the other takes it for the first, and is sure of it.

Predictions follow from the seed, the first frame of the stream and the frame: a replay gives the same again. The noise
of tokens is drawn anew by each oracle of a walk.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from planted_walk import CONFIDENCE, PlantedWalk
from torch import Tensor

from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import invert, pose_from_parts, quaternion_from_matrix
from cut3r.io.frames import Frame
from cut3r.model.config import DecoderConfig, EncoderConfig, HeadKind, ModelConfig, StateConfig
from cut3r.model.encoder import Combine, Tokens, ViewInput
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs, Prediction
from cut3r.model.state import StreamState
from cut3r.model.update import OVERWRITE, UpdateRule

SIZE = (32, 48)  # (h, w) of the pictures
BITS = 16  # of a frame's number
NUMBER_UNIT = 1e-6  # small beside the other channels: it says nothing of places
RECENT = 32  # frames that a state holds
TRAINED = 64  # frames: from there on the drift grows
UNSURE, MOVING = 1.05, 3.0  # confidences
ALIKE = 12  # frames on each side of two places that look alike


@dataclass(frozen=True)
class Drift:
    """What is planted. Angles in radians, lengths in metres, of rooms of 6 metres."""

    walk: float = 0.0008  # of the pose, per written frame
    pose: float = 0.01  # of each frame's pose, whatever came before
    scale: float = 0.05  # of each stream: standard deviation of the logarithm
    noise: float = 0.02  # of points, share of their distance
    outliers: float = 0.05  # share of points that are anywhere
    moving: float = 0.05  # share of the picture that moves

    @classmethod
    def none(cls) -> "Drift":
        """Nothing but noise of points: a run that needs no help."""
        return cls(walk=0.0, pose=0.0, scale=0.0)


class DriftingOracle(Cut3r):
    """Predictions of a walk.

    Args:
        alike: Pairs of frames whose places look the same.
        broken: Frames that the network makes nothing of, such as blurred ones.
    """

    def __init__(
        self,
        walk: PlantedWalk,
        drift: Drift | None = None,
        *,
        alike: Sequence[tuple[int, int]] = (),
        broken: Sequence[int] = (),
        seed: int = 0,
    ) -> None:
        super().__init__(
            ModelConfig(
                head=HeadKind.linear,
                image_size=SIZE,
                encoder=EncoderConfig(width=64, depth=1, heads=4, ray_heads=4),
                decoder=DecoderConfig(width=32, depth=1, heads=4, state_heads=2),
                state=StateConfig(tokens=4, memory_slots=2),
            )
        )
        self.walk, self.drift, self.seed = walk, drift or Drift(), seed
        self.taken_for = {b + k: a + k for a, b in alike for k in range(-ALIKE, ALIKE + 1)}
        self.unseen = frozenset(broken)
        self.said = walk.tokens()
        for frame, other in self.taken_for.items():
            self.said[frame] = self.said[other]
        self.eval()

    def encode(self, view: ViewInput, *, combine: Combine = "stream", rays_in_batch: bool = False) -> Tokens:
        assert view.image is not None
        bits = (view.image[:, 0, 0, :BITS] > 0).long()
        numbers = (bits << torch.arange(BITS)).sum(dim=1)
        said = torch.cat((self.said[numbers], NUMBER_UNIT * numbers[:, None].float()), dim=1)
        grid = (SIZE[0] // self.config.patch_size, SIZE[1] // self.config.patch_size)
        return Tokens(said[:, None].expand(-1, grid[0] * grid[1], -1).contiguous(), grid)

    def step(
        self,
        state: StreamState,
        view: ViewInput,
        tokens: Tokens,
        outputs: Outputs,
        rule: UpdateRule = OVERWRITE,
    ) -> tuple[Prediction, StreamState]:
        number = round(float(tokens.features[0, 0, -1]) / NUMBER_UNIT)
        belief = _Belief.of(state) if not bool(state.is_new) else _Belief(number, 0, torch.eye(4).double(), ())
        draw = torch.Generator().manual_seed(hash((self.seed, belief.first, number)) & (1 << 62) - 1)
        belief, sure = self._found(belief, number, draw)
        first_from_cam = belief.error @ invert(self.walk.world_from_cam[belief.first]) @ self._camera(number)
        if belief.written:
            first_from_cam = first_from_cam @ _small(self.drift.pose, draw)
        unit = math.exp(self.drift.scale * _normal(self.seed, belief.first))
        points, confidence = self._points(number, draw)
        first_from_cam[:3, 3] *= unit
        prediction = Prediction(
            points_cam=(unit * points).float()[None],
            conf_cam=(confidence if sure else torch.full(SIZE, UNSURE)).float()[None],
            world_from_cam=first_from_cam.float()[None],
            pose_encoding=torch.cat((first_from_cam[:3, 3], quaternion_from_matrix(first_from_cam[:3, :3]))).float()[
                None
            ],
        )
        after = replace(state, is_new=torch.zeros_like(state.is_new))
        if bool(view.write_mask().all()):
            after = self._write(belief, number, draw).written_into(after)
        return prediction, after

    def _camera(self, number: int) -> Float[Tensor, "4 4"]:
        return self.walk.world_from_cam[number]

    def _found(self, belief: "_Belief", number: int, draw: torch.Generator) -> tuple["_Belief", bool]:
        """Where the frame is believed to be beside those that the state holds, and whether it is sure of that."""
        if number in self.unseen:
            return belief, False
        if not belief.recent or any(self.walk.shares(number, other) for other in belief.recent):
            return belief, True
        other = self.taken_for.get(number)
        if other is not None and any(self.walk.shares(other, known) for known in belief.recent):
            instead = self._camera(other)
        else:
            instead = self._camera(belief.recent[-1]) @ _small(1.0, draw)
        away = invert(self.walk.world_from_cam[belief.first])
        error = belief.error @ away @ instead @ invert(self._camera(number)) @ invert(away)
        return replace(belief, error=error), other is not None

    def _write(self, belief: "_Belief", number: int, draw: torch.Generator) -> "_Belief":
        here = invert(self.walk.world_from_cam[belief.first]) @ self._camera(number)
        size = self.drift.walk * (1 + belief.written / TRAINED)
        step = here @ _small(size, draw) @ invert(here)
        recent = (*belief.recent, number)[-RECENT:]
        return _Belief(belief.first, belief.written + 1, belief.error @ step, recent)

    def _points(self, number: int, draw: torch.Generator) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"]]:
        points = self.walk._rays * self.walk.depth[number][..., None]
        noise = torch.randn(points.shape, generator=draw, dtype=torch.float64)
        points = points * (1 + self.drift.noise * noise)
        anywhere = torch.rand(SIZE, generator=draw) < self.drift.outliers
        points[anywhere] = 5 * torch.rand(int(anywhere.sum()), 3, generator=draw, dtype=torch.float64) + 0.1
        confidence = torch.full(SIZE, CONFIDENCE)
        rows = round(self.drift.moving * SIZE[0])
        points[SIZE[0] - rows :] *= 1 + 0.3 * math.sin(number / 5)
        confidence[SIZE[0] - rows :] = MOVING
        return points, confidence

    def frames(self, count: int | None = None) -> Iterator[Frame]:
        """The pictures of the walk, in which nothing but the number is to be seen."""
        for number in range(self.walk.frames if count is None else count):
            yield picture(number)


def picture(number: int) -> Frame:
    rgb = np.full((*SIZE, 3), 127, np.uint8)
    rgb[0, :BITS] = 255 * ((number >> np.arange(BITS)) & 1)[:, None]
    return Frame(rgb, number, number / 30, f"walk#{number:06d}")


@dataclass(frozen=True)
class _Belief:
    """What a state holds: its first frame, how many were written, the error of its poses so far, the last frames."""

    first: int
    written: int
    error: Float[Tensor, "4 4"]
    recent: tuple[int, ...]

    @classmethod
    def of(cls, state: StreamState) -> "_Belief":
        counts, error, recent = state.tokens[0, :3]
        known = tuple(int(value) - 1 for value in recent.tolist() if value > 0)
        return cls(int(counts[0]), int(counts[1]), error[:16].reshape(4, 4).double(), known)

    def written_into(self, state: StreamState) -> StreamState:
        tokens = torch.zeros_like(state.tokens)
        tokens[0, 0, :2] = torch.tensor([self.first, self.written]).float()
        tokens[0, 1, :16] = self.error.float().flatten()
        tokens[0, 2, : len(self.recent)] = torch.tensor(self.recent).float() + 1
        return replace(state, tokens=tokens)


def _small(size: float, draw: torch.Generator) -> Float[Tensor, "4 4"]:
    turn, shift = size * torch.randn(2, 3, generator=draw, dtype=torch.float64)
    return pose_from_parts(rotation_from_vector(turn), shift)


def _normal(seed: int, first: int) -> float:
    return float(torch.randn((), generator=torch.Generator().manual_seed(7919 * seed + first)))
