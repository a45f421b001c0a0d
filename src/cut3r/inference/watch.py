"""Does the stream still hold together? Evidence, from frame to frame, that the network has lost its way.

Source: spec/long_sequences.md 4.2, point 5.
"""

import statistics
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.geometry.poses import invert

WINDOW = 101  # frames that say what is usual in a chunk
HISTORY = 10  # frames of a chunk before anything in it is unusual
WEAK = 0.6  # of the usual trust
WEAK_FRAMES = 5  # in a row: the chunk has collapsed
JUMP = 5.0  # times the usual step ...
JUMP_DEPTH = 0.2  # ... and of the usual depth: a camera that stands still has a usual step of nearly nothing
CUT = 0.5  # 1 - cosine of the mean tokens: another place altogether

COLLAPSED, JUMPED, CUT_OFF = "its confidence collapsed", "the camera jumped", "a cut"


@dataclass(frozen=True)
class Glance:
    """What is watched of a frame: how sure the network is, where the camera stands, what is in the picture.

    `trust` is the mean confidence above 1, which is its least value. `depth_m` is the median; both nan without valid
    pixels. `tokens` is the mean token of the encoder.
    """

    trust: float
    depth_m: float
    chunk_from_cam: Float[Tensor, "4 4"]
    tokens: Float[Tensor, "d"]

    @property
    def is_lost(self) -> bool:
        """Whether the network gave no numbers, or no valid pixel."""
        return not (self.trust == self.trust and bool(self.chunk_from_cam.isfinite().all()))


@dataclass(frozen=True)
class Watch:
    """What is usual in the present chunk: a value, bounded."""

    trusts: tuple[float, ...] = ()
    steps: tuple[float, ...] = ()
    weak: int = 0  # frames in a row
    last: Float[Tensor, "4 4"] | None = None  # the camera before
    tokens: Float[Tensor, "d"] | None = None  # of the last frame that was written

    def share(self, glance: Glance) -> float:
        """The frame's trust as a share of what is usual; 1 while nothing is usual yet, 0 for a lost frame."""
        if glance.is_lost:
            return 0.0
        usual = statistics.median(self.trusts) if len(self.trusts) >= HISTORY else glance.trust
        return glance.trust / usual if usual > 0 else 1.0

    def is_weak(self, glance: Glance) -> bool:
        return self.share(glance) < WEAK

    def broken(self, glance: Glance) -> str:
        """Why the stream cannot go on with this frame; empty if it can."""
        if self.tokens is not None and float(1 - torch.cosine_similarity(self.tokens, glance.tokens, dim=0)) > CUT:
            return CUT_OFF
        if self.is_weak(glance):
            return COLLAPSED if self.weak + 1 >= WEAK_FRAMES else ""
        if len(self.steps) < HISTORY or (step := self._step(glance)) is None:
            return ""
        return JUMPED if step > max(JUMP * statistics.median(self.steps), JUMP_DEPTH * glance.depth_m) else ""

    def after(self, glance: Glance, *, written: bool) -> "Watch":
        tokens = glance.tokens if written else self.tokens
        if glance.is_lost:
            return replace(self, weak=self.weak + 1)
        step = self._step(glance)
        return Watch(
            (*self.trusts, glance.trust)[-WINDOW:],
            self.steps if step is None else (*self.steps, step)[-WINDOW:],
            self.weak + 1 if self.is_weak(glance) else 0,
            glance.chunk_from_cam,
            tokens,
        )

    def _step(self, glance: Glance) -> float | None:
        if self.last is None or glance.is_lost:
            return None
        return float((invert(self.last) @ glance.chunk_from_cam)[:3, 3].norm())
