"""Footage without depth and poses as training data: the predictions of a teacher, a network, stand in for the truth.

    FOLDER/kitchen-3f2a91c05d7e/000000.safetensors     a segment: consecutive frames that the teacher saw as one stream
    FOLDER/kitchen-3f2a91c05d7e/end.json               what the whole sequence has, once the teacher has seen its end

A frame is its picture (uint8), depth (float16, z in metres, 0 where the teacher has none), confidence (float16, >= 1),
intrinsics and `world_from_cam`. The world is the camera of the segment's first frame.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from cut3r.data.dataset import MultiViewDataset
from cut3r.data.sampling import SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.transforms import Rescale, Size, rescale
from cut3r.data.view import RawFrame
from cut3r.files.atomic import atomic_path

logger = logging.getLogger(__name__)

UNSURE = np.float32(-1)  # as the sky: what has a negative depth counts with `loss.sky_value` and lowers the confidence
LARGEST = 6e4  # of depth and confidence: what float16 can hold
HELD_OUT = 10  # one segment of so many
FEWEST_TO_HOLD_OUT = 5  # segments; of fewer, none can be spared


@dataclass(frozen=True)
class TaughtFrame:
    """A frame and what the teacher says of it; `confidence` (>= 1) is that of the depth."""

    name: str
    frame: RawFrame
    confidence: Float32[np.ndarray, "h w"]

    def shrunk(self, cover: Size) -> "TaughtFrame":
        """Resample to the smallest size that covers `cover`; what is as small already stays as it is."""
        scaling = Rescale.to_cover(self.frame.size, cover, enlarge=False)
        if scaling.new == self.frame.size:
            return self
        return TaughtFrame(self.name, rescale(self.frame, scaling), scaling.nearest(self.confidence))


def write_segment(path: Path, frames: Sequence[TaughtFrame]) -> None:
    """Write frames of one stream, in its order; their sizes may differ."""
    tensors: dict[str, np.ndarray] = {}
    for number, taught in enumerate(frames):
        frame = taught.frame
        tensors |= {
            f"{number}.rgb": np.ascontiguousarray(frame.rgb),
            f"{number}.depth": np.minimum(frame.depth, LARGEST).astype(np.float16),
            f"{number}.confidence": np.minimum(taught.confidence, LARGEST).astype(np.float16),
            f"{number}.intrinsics": frame.intrinsics,
            f"{number}.world_from_cam": frame.world_from_cam,
        }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"frames": json.dumps([taught.name for taught in frames])})


def segment_names(path: Path) -> tuple[str, ...]:
    """List the frames of a segment, by their numbers; a name of its own follows each, for labels.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged.
    """
    with _reading(path), safe_open(path, framework="np") as file:
        names = json.loads((file.metadata() or {})["frames"])
    return tuple(f"{number} {name}" for number, name in enumerate(names))


def read_frame(path: Path, frame: str) -> TaughtFrame:
    """Read one frame of `segment_names`; raises as that does."""
    number, _, name = frame.partition(" ")
    with _reading(path), safe_open(path, framework="np") as file:
        kinds = ("rgb", "depth", "confidence", "intrinsics", "world_from_cam")
        arrays: dict[str, Any] = {kind: file.get_tensor(f"{number}.{kind}") for kind in kinds}
    depth, confidence = (arrays.pop(kind).astype(np.float32) for kind in ("depth", "confidence"))
    return TaughtFrame(name, RawFrame(depth=depth, **arrays), confidence)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Let what a damaged file raises name the file."""
    try:
        yield
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); remove it, and the next start of the training makes it again"
        ) from error


@dataclass(frozen=True)
class Taught:
    """What a teacher has left: files of segments below `root`, in an order that is the same everywhere.

    What the teacher is less sure of than `confidence` is no truth.
    """

    root: Path
    segments: list[Path]
    confidence: float

    def share_of_truth(self, looked_into: int = 50) -> float:
        """Estimate the share of the pixels that are truth, from the first frames of so many segments."""
        shares = [0.0]
        for path in self.segments[:: max(1, len(self.segments) // looked_into)]:
            for name in segment_names(path)[:1]:
                taught = read_frame(path, name)
                shares.append(float(np.mean((taught.confidence >= self.confidence) & (taught.frame.depth > 0))))
        return sum(shares) / max(1, len(shares) - 1)


class TaughtFootage(MultiViewDataset):
    """Segments of footage, one scene each. One of ten is held out (split "test"), if there are enough."""

    name = "footage"
    splits = ("train", "test")
    metric = True  # as the teacher says
    policy = SamplingPolicy(max_interval=4, video_prob=0.9, fixed_interval_prob=0.6)

    def __init__(self, taught: Taught, **options: Any) -> None:
        """List the segments; `options` are those of the base class, which explains them."""
        self.taught = taught
        super().__init__(taught.root, **options)

    def index(self) -> Iterable[Scene]:
        scenes = [
            Scene(path.relative_to(self.root).with_suffix("").as_posix(), segment_names(path))
            for path in self.taught.segments
        ]
        held_out = _held_out(scenes)
        if not held_out:
            logger.warning(
                "footage: %d segments are too few to hold one out, so errors of validation are of frames that are "
                "trained on; give more footage",
                len(scenes),
            )
            return scenes
        return [scene for scene in scenes if (scene.name in held_out) == (self.split == "test")]

    def read(self, scene: Scene, position: int) -> RawFrame:
        """Where the teacher is unsure, the depth is negative: no truth, and the student learns to be unsure, too."""
        taught = read_frame(self.root / f"{scene.name}.safetensors", scene.frames[position])
        unsure = (taught.confidence < self.taught.confidence) & (taught.frame.depth > 0)
        depth = np.where(unsure, UNSURE, taught.frame.depth)
        return RawFrame(taught.frame.rgb, depth, taught.frame.intrinsics, taught.frame.world_from_cam)


def _held_out(scenes: Sequence[Scene]) -> set[str]:
    """Choose every tenth of the longest first: the same for training and validation, whatever number of views."""
    if len(scenes) < FEWEST_TO_HOLD_OUT:
        return set()
    ranked = sorted(scenes, key=lambda scene: -len(scene.frames))
    return {scene.name for scene in ranked[::HELD_OUT]}
