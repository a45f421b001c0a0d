"""Which frames are written into the state: every frame gets a result, but only keyframes age the memory.

Dense video with little motion makes a recurrent network drift more, not less. A frame that is due but blurred, beside
what is usual, is put off for a sharper neighbour.
Source: spec/long_sequences.md 6.
"""

import statistics
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from cut3r.geometry.poses import invert, rotation_angle
from cut3r.inference.joints import Sight

SHIFT, TURN_DEG = 0.1, 10.0  # of the median depth; `motion` writes from there on
GAP, GAP_QUANTILE = 0.15, 0.70  # `overlap` writes where so many points are within the gap no more
LEAST_CONFIDENCE = 1.5  # the median that `overlap` asks for
LONGEST = 30  # frames between two keyframes, at most
BLURRED, PATIENCE, WINDOW = 0.6, 3, 15  # of the usual sharpness; frames to wait; frames that say what is usual


class KeyframeKind(Enum):
    every = "every"
    fps = "fps"
    motion = "motion"
    overlap = "overlap"


@dataclass(frozen=True)
class KeyframeConfig:
    """How keyframes are chosen; `value` is the n of `every`, or the frames per second of `fps`."""

    kind: KeyframeKind
    value: float = 0.0

    def __post_init__(self) -> None:
        needs = self.kind in (KeyframeKind.every, KeyframeKind.fps)
        if needs and not 0 < self.value < float("inf"):
            raise ValueError(f"keyframes {self.kind.value}:{self.value} make no sense; give a number above 0")
        if self.kind is KeyframeKind.every and self.value != int(self.value):
            raise ValueError(f"keyframes every:{self.value} make no sense; give a whole number")

    @classmethod
    def of_text(cls, text: str) -> "KeyframeConfig | None":
        """Read "all" (None), "every:5", "fps:2", "motion" or "overlap".

        Raises:
            ValueError: It is none of these.
        """
        if text == "all":
            return None
        name, colon, value = text.partition(":")
        kinds = {kind.value: kind for kind in KeyframeKind}
        try:
            kind, number = kinds[name], float(value) if colon else 0.0
        except (KeyError, ValueError):
            raise ValueError(f"keyframes are {text!r}; choose all, every:N, fps:F, motion or overlap") from None
        if colon and kind in (KeyframeKind.motion, KeyframeKind.overlap):
            raise ValueError(f"keyframes {name} take no number, and {text!r} has one")
        return cls(kind, number)


@dataclass(frozen=True)
class LastKey:
    """The last keyframe of the present chunk, and how sharp frames have been: a value, bounded."""

    number: int = -1
    time_s: float | None = None
    chunk_from_cam: Float[Tensor, "4 4"] | None = None  # None: the chunk has none yet
    put_off: int = 0
    sharpness: tuple[float, ...] = ()


def sharpness(image: UInt8[np.ndarray, "h w 3"]) -> float:
    """The variance of the second differences of its grey values: falls when a picture is blurred."""
    grey = image.mean(axis=2, dtype=np.float32)
    second = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return float(second.var())


def is_key(
    config: KeyframeConfig | None,
    last: LastKey,
    *,
    number: int,
    time_s: float | None,
    depth_m: float,
    sight: Sight,
    gaps: Float[np.ndarray, "q"],
) -> bool:
    """Whether a frame is due, before it is asked whether it is sharp. The first of a chunk always is.

    Args:
        gaps: Of its points to what the chunk has seen: see `SeenArea`.

    Raises:
        ValueError: Frames per second are asked for, and the frame has no time stamp.
    """
    if config is None or last.chunk_from_cam is None or number - last.number >= LONGEST:
        return True
    match config.kind:
        case KeyframeKind.every:
            return number - last.number >= config.value
        case KeyframeKind.fps:
            if time_s is None or last.time_s is None:
                raise ValueError("keyframes by frames per second need time stamps, and pictures have none; use every:N")
            return time_s - last.time_s >= (1 - 1e-6) / config.value
        case KeyframeKind.motion:
            moved = invert(last.chunk_from_cam) @ sight.chunk_from_cam
            turned = float(rotation_angle(moved[:3, :3], torch.eye(3)).rad2deg())
            return float(moved[:3, 3].norm()) > SHIFT * depth_m or turned > TURN_DEG
        case KeyframeKind.overlap:
            counts = sight.confidence > 0
            sure = bool(counts.any()) and float(sight.confidence[counts].median()) > LEAST_CONFIDENCE
            return sure and len(gaps) > 0 and float(np.quantile(gaps, GAP_QUANTILE)) > GAP


def is_blurred(last: LastKey, sharp: float) -> bool:
    """Whether a frame that is due should wait for a sharper neighbour."""
    usual = statistics.median(last.sharpness) if last.sharpness else sharp
    return sharp < BLURRED * usual and last.put_off < PATIENCE and last.chunk_from_cam is not None


def after(
    last: LastKey, *, sharp: float, due: bool, written: bool, number: int, time_s: float | None, sight: Sight
) -> LastKey:
    """What is remembered after a frame."""
    seen = (*last.sharpness, sharp)[-WINDOW:]
    if written:
        return LastKey(number, time_s, sight.chunk_from_cam, 0, seen)
    return replace(last, put_off=last.put_off + due, sharpness=seen)
