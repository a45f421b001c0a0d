"""What the protocols have in common: which frames make a stream, what is scored, what is averaged."""

import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np

from cut3r.io.frames import Frame
from cut3r.io.images import read_image
from eval.sequences.sequence import Sequence
from eval.systems.base import Bookmark, FramePrediction, System, Wanted
from eval.systems.saved import Predictions, number

SCORING = 6  # raised when a metric changes: older scores are then computed again
# the alignments that stand for a protocol, the first one that a run has
MAIN_GROUPS = {
    "monodepth": ("median",),
    "video_depth": ("scale_published", "scale", "metric"),
    "relpose": ("sim3",),
    "mv_recon": ("published", "uncropped", "sim3"),
    "pose_pairs": ("published", "pairs"),
    "query": ("scale",),
}
Metrics = dict[str, float | int | bool]
Look = dict[str, np.ndarray]  # small arrays for the report's pictures


class NotScoredError(ValueError):
    """A sequence that cannot be scored, as the published protocol leaves it out; the message says why."""


@dataclass(frozen=True)
class Item:
    """One scored thing: a picture in monodepth, elsewhere a sequence. A metric that it has no number for is not in
    `metrics`, and it does not count in that metric's averages.

    Attributes:
        weight: Its say in weighted means.
        weights: Of the metrics for which it has another say.
    """

    name: str
    metrics: Metrics
    weight: float = 1.0
    weights: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """One sequence's result.

    Attributes:
        groups: Items by group: how predictions were aligned to the truth, or which part was scored.
        notes: What a reader should know: counts of what was left out, parameters of alignments.
    """

    groups: dict[str, list[Item]]
    notes: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Score":
        groups = {name: [_item(item) for item in items] for name, items in content["groups"].items()}
        return cls(groups, dict(content["notes"]))


def _item(content: Mapping[str, Any]) -> Item:
    return Item(**{**content, "metrics": {name: number(value) for name, value in content["metrics"].items()}})


class EvaluationProtocol(ABC):
    """Says what is fed to a system, and scores what comes back.

    Attributes:
        weighted: The headline is the mean weighted with the items' weights; else the plain mean.
    """

    name: ClassVar[str]
    wanted: ClassVar[Wanted]
    weighted: ClassVar[bool] = False

    def streams(self, sequence: Sequence) -> list[range]:
        """Cut a sequence into streams, one after the other; each begins with an empty state."""
        return [range(len(sequence))]

    def frame(self, sequence: Sequence, number: int) -> Frame:
        """Read one picture as the system gets it."""
        path = sequence.images[number]
        return Frame(read_image(path), index=number, time_s=None, name=path.name)

    def order(self, sequence: Sequence) -> list[int]:
        """Number the pictures in the order in which `predict` says something of them."""
        return [number for stream in self.streams(sequence) for number in stream]

    def predict(
        self,
        system: System,
        sequence: Sequence,
        read: Callable[[Iterator[Frame]], Iterator[Frame]],
        *,
        part: range | None = None,
        bookmark: Bookmark | None = None,
    ) -> Iterator[FramePrediction]:
        """Have a system look at a sequence.

        Args:
            read: What the pictures go through on their way to the system.
            part: Only the streams that lie in it; by default all.
            bookmark: Where the only stream was interrupted; of several, and for systems that cannot go on, it counts
                for nothing.
        """
        streams = self.streams(sequence)
        go_on = getattr(system, "go_on", None) if len(streams) == 1 else None  # a bookmark is of one stream
        for stream in streams:
            if part is not None and stream.start not in part:
                continue

            def frames(first: int = 0, numbers: range = stream) -> Iterator[Frame]:
                return read(self.frame(sequence, number) for number in numbers[first:])

            if bookmark is not None and go_on is not None:
                yield from go_on(frames, self.wanted, bookmark)
            else:
                yield from system.predict(frames, self.wanted)

    def identity(self) -> dict[str, Any]:
        """Say what of the protocol's settings decides the predictions; those of others are not mixed with them."""
        return {}

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Say everything that decides the scores; scores of other settings are computed again."""

    @abstractmethod
    def score(self, sequence: Sequence, predictions: Predictions) -> tuple[Score, Look]:
        """Compare one sequence's predictions with the truth.

        Raises:
            NotScoredError: The protocol leaves such a sequence out.
            ValueError: Predictions or truth that do not fit each other.
        """


def summarize(scores: Mapping[str, Score], *, weighted: bool) -> dict[str, dict[str, dict[str, float]]]:
    """Average over all items of all sequences: group -> metric -> headline, mean, weighted, median, items."""
    items: dict[str, list[Item]] = {}
    for score in scores.values():
        for group, members in score.groups.items():
            items.setdefault(group, []).extend(members)
    return {group: _average(members, weighted=weighted) for group, members in items.items()}


def _average(items: list[Item], *, weighted: bool) -> dict[str, dict[str, float]]:
    rows: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(name for item in items for name in item.metrics):
        pairs = [
            (float(item.metrics[name]), item.weights.get(name, item.weight)) for item in items if name in item.metrics
        ]
        values = [value for value, _ in pairs]
        weight = sum(weight for _, weight in pairs)
        by_weight = sum(value * weight for value, weight in pairs) / weight if weight else float("nan")
        mean = statistics.fmean(values)
        rows[name] = {
            "headline": by_weight if weighted else mean,
            "mean": mean,
            "weighted": by_weight,
            "median": float(np.median(values)),  # nan if a value is
            "items": len(values),
        }
    return rows
