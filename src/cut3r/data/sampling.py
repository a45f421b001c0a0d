"""Which frames of a scene form a sample, in which order, and what the network sees of each: image, ray map or both.

Positions count the frames of a scene from 0. Every draw comes from the generator that is handed in, in the order in
which the original draws, so that a generator in the same state gives the original's sample.
Source: common.md C8, C9 and the group samplers of the dataset files.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from cut3r.data.scene import Scene


class Choice(NamedTuple):
    """The frames of a sample in the order in which the network reads them."""

    positions: list[int]
    is_video: bool  # in the order of time, or the original says so


@dataclass(frozen=True)
class Wanted:
    """What is asked of a policy: `num_views` now, of at most `most` in this dataset; frames may repeat or not."""

    num_views: int
    most: int
    allow_repeat: bool = False

    @property
    def cut_off(self) -> int:
        """The number of different frames that a sample of `num_views` must have."""
        return cut_off(self.num_views, allow_repeat=self.allow_repeat)

    @property
    def admission(self) -> int:
        """The number of frames that a sequence must have to take part."""
        return cut_off(self.most, allow_repeat=self.allow_repeat)


def cut_off(num_views: int, *, allow_repeat: bool) -> int:
    """Give the number of frames that a sequence must have; with repeats, a third of the views and at least 3."""
    return max(num_views // 3, 3) if allow_repeat else num_views


class Policy(ABC):
    """How a dataset makes samples of a scene."""

    @abstractmethod
    def entries(self, scene: Scene, wanted: Wanted) -> int:
        """Count the different samples of the scene: the length of a dataset is their sum."""

    @abstractmethod
    def choose(self, scene: Scene, entry: int, wanted: Wanted, rng: np.random.Generator) -> Choice:
        """Choose the frames of one entry.

        Raises:
            ValueError: This scene has no such sample.
        """

    def substitutes(self, scene: Scene, position: int, rng: np.random.Generator) -> Iterator[int]:
        """List the frames that may take the place of a broken one, best first: the nearest in a random direction."""
        direction, total = 2 * int(rng.choice(2)) - 1, len(scene.frames)
        return ((position + direction * step) % total for step in range(1, total))


@dataclass(frozen=True)
class SamplingPolicy(Policy):
    """Walk forward from a start frame: a video with small steps, or a collection, the same shuffled.

    `max_interval` is the largest step between neighbours, `video_prob` the share of videos, `fixed_interval_prob` the
    share of them with constant steps. A collection is shuffled in blocks of `block_shuffle` views, or as a whole.
    `reverse` turns the finished order around.
    """

    max_interval: int = 25
    video_prob: float = 0.5
    fixed_interval_prob: float = 0.5
    block_shuffle: int | None = None
    reverse: bool = False

    def entries(self, scene: Scene, wanted: Wanted) -> int:
        """Each frame that leaves enough frames behind it is a start."""
        return int(self.entries_of(np.array([len(scene.frames)]), wanted)[0])

    def entries_of(self, lengths: Int[np.ndarray, "n"], wanted: Wanted) -> Int[np.ndarray, "n"]:
        """Count the samples of scenes by their numbers of frames alone."""
        return np.maximum(lengths - wanted.admission + 1, 0)

    def choose(self, scene: Scene, entry: int, wanted: Wanted, rng: np.random.Generator) -> Choice:
        return self.walk(entry, len(scene.frames), wanted.num_views, rng)

    def walk(self, start: int, length: int, num_views: int, rng: np.random.Generator) -> Choice:
        """Choose `num_views` positions in [0, length).

        From `start` on if enough frames follow it; otherwise a walk from an earlier start is repeated (or revisited)
        until there are enough views, and `start` need not be part of it.

        Raises:
            ValueError: Frames must repeat, but fewer than two follow the start.
        """
        positions, is_video = self._walk(start, length, num_views, rng)
        return Choice(positions[::-1] if self.reverse else positions, is_video)

    def _walk(self, start: int, length: int, num_views: int, rng: np.random.Generator) -> Choice:
        remaining = length - 1 - start
        if num_views == 1:
            return Choice([start], True)
        if remaining == num_views - 1:
            return Choice(list(range(start, length)), True)
        if remaining > num_views - 1:
            return self._walk_once(start, length, num_views, rng)
        if remaining < 2:
            raise ValueError(
                f"frame {start} of {length} is too late for {num_views} views with repeats; start two frames earlier"
            )
        return self._walk_again(start, length, num_views, rng)

    def _walk_once(self, start: int, length: int, num_views: int, rng: np.random.Generator) -> Choice:
        remaining = length - 1 - start
        longest = min(self.max_interval, 2 * remaining // (num_views - 1))
        steps = [_interval(longest, rng) for _ in range(num_views - 1)]
        is_video = bool(rng.random() < self.video_prob)
        if is_video and rng.random() < self.fixed_interval_prob:
            steps = [_interval(min(remaining // (num_views - 1), longest), rng)] * (num_views - 1)
        inside = [position for position in _accumulate(start, steps) if position < length]
        unused = np.setdiff1d(np.arange(start, length), inside)
        positions = inside + rng.choice(unused, num_views - len(inside), replace=False).tolist()
        return Choice(sorted(positions) if is_video else block_shuffle(positions, self.block_shuffle, rng), is_video)

    def _walk_again(self, start: int, length: int, num_views: int, rng: np.random.Generator) -> Choice:
        unique = length - 1 - start
        first = int(rng.choice(np.arange(start + 1)))
        longest = min(self.max_interval, (length - 1 - first) // (unique - 1))
        steps = [_interval(longest, rng) for _ in range(unique - 1)]
        revisit, video, fixed = rng.random(), rng.random(), rng.random()
        is_video = bool(video < self.video_prob)
        if fixed < self.fixed_interval_prob and is_video:
            steps = [_interval(longest, rng)] * (unique - 1)
        positions = _accumulate(first, steps)
        if revisit < 0.5 or self.video_prob == 1.0:
            ordered = positions if is_video else block_shuffle(positions, self.block_shuffle, rng)
            return Choice((ordered * (num_views // unique + 1))[:num_views], is_video)
        again = rng.choice(positions, num_views, replace=True).tolist()
        return Choice(again if revisit < 0.9 else sorted(again), False)


@dataclass(frozen=True)
class UnforgivingPolicy(SamplingPolicy):
    """Parity: nothing takes the place of a broken frame, so that its whole scene is given up."""

    def substitutes(self, scene: Scene, position: int, rng: np.random.Generator) -> Iterator[int]:
        return iter(())


def block_shuffle(positions: list[int], block: int | None, rng: np.random.Generator) -> list[int]:
    """Shuffle within consecutive blocks, so that far views stay far; None shuffles everything."""
    size = block or max(len(positions), 1)
    blocks = (rng.permutation(positions[i : i + size]).tolist() for i in range(0, len(positions), size))
    return [position for shuffled in blocks for position in shuffled]


@dataclass(frozen=True)
class MaskProbabilities:
    """What the network is given of a view after the first of a metric sample; the three add up to 1."""

    image: float = 0.80
    rays: float = 0.15
    both: float = 0.05

    def __post_init__(self) -> None:
        if min(self.shares) < 0 or not math.isclose(sum(self.shares), 1, abs_tol=1e-6):
            raise ValueError(
                f"masks {list(self.shares)} must be the shares of image, rays and both: none below 0, together 1, such "
                "as [0.8, 0.15, 0.05]"
            )

    @property
    def shares(self) -> tuple[float, float, float]:
        return self.image, self.rays, self.both

    def draw(self, view: int, metric: bool, rng: np.random.Generator) -> tuple[bool, bool]:
        """Tell whether view number `view` shows its image, and its ray map.

        The first view and every view of a sample without metric poses (whose ray origins mean nothing) show their
        image alone, without a draw.
        """
        if view == 0 or not metric:
            return True, False
        draw = rng.random()
        if draw < self.image:
            return True, False
        return draw >= self.image + self.rays, True


def _interval(longest: int, rng: np.random.Generator) -> int:
    return int(rng.choice(np.arange(1, longest + 1)))


def _accumulate(start: int, steps: list[int]) -> list[int]:
    return np.cumsum([start, *steps]).tolist()
