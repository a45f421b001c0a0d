"""Depth of single pictures and of videos: python -m eval monodepth dataset=nyu, video_depth dataset=bonn.

Each picture is a stream of its own, aligned to its truth by the ratio of medians; a video is one stream and one long
list of pixels, aligned to the truth once. Source: spec/eval_metrics.md 1.
"""

import logging
from abc import abstractmethod
from collections.abc import Callable, Container, Mapping
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from cut3r.io.images import read_image, resize
from cut3r.metrics.depth_alignment import DepthAlignment, ScaleShift
from cut3r.metrics.depth_pairs import DepthPairs
from cut3r.metrics.depth_scoring import (
    DELTAS,
    NO_CLIP,
    DepthScorer,
    DepthScores,
    DepthScoring,
    clip,
    known_depth,
    resize_cubic,
)
from eval.protocols.base import MAIN_GROUPS, EvaluationProtocol, Item, Look, Metrics, Score
from eval.protocols.depth_frames import PictureDepth, calibration, frame_metrics, has_confidence, zero_is_none
from eval.sequences.sequence import Sequence
from eval.systems.base import Wanted
from eval.systems.saved import Predictions

logger = logging.getLogger(__name__)

SINTEL_LIMIT_M = 70.0
LOOK_WIDTH, SMALL_WIDTH = 256, 96  # pixels, of the maps in the report, and of those that one leafs through
LOOK_FRAMES, SMALL_FRAMES = 3, 24
LARGEST_M = float(np.finfo(np.float16).max)  # that the report's maps can hold
AS_TEXT = ("pre_clip", "post_clip", "alignment")  # JSON knows neither infinity nor members of an Enum

# spec/eval_metrics.md 1, "Settings per data set"; families of sets, long variants included
MAX_DEPTH = {"sintel": SINTEL_LIMIT_M, "bonn": 70.0}
POST_CLIP = {"sintel": (NO_CLIP[0], SINTEL_LIMIT_M)}


class DepthProtocol(EvaluationProtocol):
    """Depth of whole pictures, aligned to the truth by some rules; children say what gets an alignment of its own.

    Attributes:
        default, published: The rules, and those of the published scripts.
    """

    wanted: ClassVar[Wanted] = Wanted(depth=True, whole_picture=True)
    weighted: ClassVar[bool] = True
    default: ClassVar[tuple[DepthAlignment, ...]]
    published: ClassVar[tuple[DepthAlignment, ...]]

    def __init__(self, dataset: str, alignments: list[DepthAlignment], *, parity: bool = False) -> None:
        """`alignments` empty takes the protocol's own."""
        self.alignments = alignments or list(self.published if parity else self.default)
        self.scoring = scoring(dataset, parity=parity)
        self.parity = parity

    @property
    def pictured(self) -> DepthAlignment:
        """The alignment that the report's pictures are in: the one that stands for the protocol."""
        of_value = {each.value: each for each in self.alignments}
        return next((of_value[name] for name in MAIN_GROUPS[self.name] if name in of_value), self.alignments[0])

    def settings(self) -> dict[str, Any]:
        scoring = {name: str(value) if name in AS_TEXT else value for name, value in asdict(self.scoring).items()}
        return {**scoring, "alignments": [each.value for each in self.alignments]}

    def score(self, sequence: Sequence, predictions: Predictions) -> tuple[Score, Look]:
        if len(predictions) != len(sequence):
            raise ValueError(f"{len(predictions)} predictions for {len(sequence)} frames; expected one each")
        return self.score_pairs(sequence, predictions)

    def given(self, predictions: Predictions, number: int) -> Float[np.ndarray, "h w"]:
        """Read a predicted depth map; 0 is no depth, as in the files of most systems, and counts as failed.

        Parity: the published scripts score 0 as a depth.
        """
        depth = predictions.depth(number)
        return depth if self.parity else zero_is_none(depth)

    @abstractmethod
    def score_pairs(self, sequence: Sequence, predictions: Predictions) -> tuple[Score, Look]:
        """Do what `score` does, for as many predictions as frames."""


class MonoDepth(DepthProtocol):
    name: ClassVar[str] = "monodepth"
    default = (DepthAlignment.median, DepthAlignment.metric)
    published = (DepthAlignment.median,)

    def streams(self, sequence: Sequence) -> list[range]:
        return [range(number, number + 1) for number in range(len(sequence))]

    def score_pairs(self, sequence: Sequence, predictions: Predictions) -> tuple[Score, Look]:
        assert sequence.read_depth is not None
        groups: dict[str, list[Item]] = {alignment.value: [] for alignment in self.alignments}
        without_truth: list[str] = []
        scored = 0
        fits: dict[int, ScaleShift] = {}  # of the pictures that the report shows
        shown = pictured_frames(sequence)
        confident = not self.parity and has_confidence(predictions)
        for number, stem in enumerate(sequence.stems):
            with DepthScorer(self.scoring) as scorer:
                scorer.add(self.given(predictions, number), sequence.read_depth(number))
                if not len(scorer.pairs) and not scorer.pairs.not_finite:
                    without_truth.append(stem)
                    continue
                scored += bool(len(scorer.pairs))
                found: dict[str, ScaleShift] = {}
                for alignment in self.alignments:
                    fit = scorer.fit(alignment) if len(scorer.pairs) else None
                    groups[alignment.value].append(item(stem, scorer.score(fit), parity=self.parity))
                    found |= {} if fit is None else {alignment.value: fit}
                    if number in shown and fit is not None and alignment is self.pictured:
                        fits[number] = fit
                if confident:
                    picture = PictureDepth.read(sequence, predictions, number, self.scoring)
                    areas = calibration(picture, predictions.confidence(number), found, self.scoring)
                    for group, area in areas.items():
                        groups[group][-1].metrics["ause"] = area
        require_pixels(sequence, without_truth, scored)
        notes = {"pictures_without_truth": without_truth, "pictured": self.pictured.value}
        return Score(groups, notes), depth_look(sequence, partial(self.given, predictions), fits, self.scoring)


class VideoDepth(DepthProtocol):
    name: ClassVar[str] = "video_depth"
    default = (DepthAlignment.metric, DepthAlignment.scale, DepthAlignment.scale_shift)
    published = (DepthAlignment.metric, DepthAlignment.scale_published, DepthAlignment.scale_shift_published)

    def score_pairs(self, sequence: Sequence, predictions: Predictions) -> tuple[Score, Look]:
        assert sequence.read_depth is not None
        groups: dict[str, list[Item]] = {}
        notes: dict[str, Any] = {}
        look: Look = {}
        fits: dict[str, ScaleShift] = {}
        with DepthScorer(self.scoring) as scorer:
            ends = []
            known = 0
            without_truth: list[str] = []
            for number, stem in enumerate(sequence.stems):
                scorer.add(self.given(predictions, number), sequence.read_depth(number))
                ends.append(len(scorer.pairs))
                before, known = known, len(scorer.pairs) + scorer.pairs.not_finite
                without_truth += [stem] if known == before else []
            require_pixels(sequence, without_truth, len(scorer.pairs))
            notes |= {"pictures_without_truth": without_truth, "pictured": self.pictured.value}
            for alignment in self.alignments:
                fit = scorer.fit(alignment)
                groups[alignment.value] = [item(sequence.name, scorer.score(fit), parity=self.parity)]
                notes[alignment.value] = {"scale": float(fit.scale), "shift": float(fit.shift)}
                limits = self.scoring.post_clip
                look[f"abs_rel_{alignment.value}"] = errors_by_frame(scorer.pairs, ends, fit, limits)
                fits[alignment.value] = fit
                if alignment is self.pictured:
                    shown = dict.fromkeys(pictured_frames(sequence), fit)
                    look |= depth_look(sequence, partial(self.given, predictions), shown, self.scoring)
        if not self.parity:
            for group, metrics in frame_metrics(sequence, predictions, fits, self.scoring).items():
                groups[group][0].metrics.update(metrics)
        return Score(groups, notes), look


def scoring(dataset: str, *, parity: bool) -> DepthScoring:
    """How depth of this set is scored."""
    family = dataset.split("_")[0]
    return DepthScoring(max_depth=MAX_DEPTH.get(family), post_clip=POST_CLIP.get(family, NO_CLIP), parity=parity)


def require_pixels(sequence: Sequence, without_truth: list[str], scored: int) -> None:
    """Say which pictures have no true depth, and so do not count.

    Raises:
        ValueError: No picture is left with both true depth and a finite prediction (`scored` are).
    """
    if len(without_truth) == len(sequence):
        raise ValueError(
            f"no picture of {sequence.name} has a pixel with true depth, so there is nothing to compare with; "
            "check its depth maps"
        )
    if scored == 0:
        raise ValueError(f"no prediction for {sequence.name} is a finite number where the true depth is known")
    if without_truth:
        logger.warning(
            "%s: %d of %d pictures have no true depth and do not count, first %s",
            *(sequence.name, len(without_truth), len(sequence), without_truth[0]),
        )


def item(name: str, scores: DepthScores, *, parity: bool) -> Item:
    """Name an item's numbers. Errors weigh by valid pixels, and without any there are none; what counts failures weighs
    by known pixels."""
    numbers = asdict(scores)
    errors: Metrics = {key: numbers[key] for key in ("abs_rel", "sq_rel", "rmse", "log_rmse")}
    if parity:
        return Item(name, errors | {key: numbers[key] for key in DELTAS}, weight=scores.valid_pixels)
    errors["nonpositive"] = scores.nonpositive
    shares: Metrics = {key: numbers[key] for key in DELTAS[1:]}  # delta_0 is 0 by construction
    shares["failed"] = scores.failed
    weights = dict.fromkeys(shares, float(scores.known_pixels))
    return Item(name, shares | errors if scores.valid_pixels else shares, scores.valid_pixels, weights)


def errors_by_frame(
    pairs: DepthPairs, ends: list[int], fit: ScaleShift, limits: tuple[float, float] = NO_CLIP
) -> Float[np.ndarray, "v"]:
    """AbsRel of each frame after the alignment of all; nan for a frame without valid pixels.

    Args:
        limits: Of the aligned prediction, metres.
        ends: Number of pixels after each frame was added.
    """
    edges = np.array([0, *ends])
    sums = np.zeros(len(ends))
    start = 0
    for block in pairs.blocks():
        error = np.abs(clip(fit.apply(block.prediction), limits) - block.target) / block.target
        inside = np.clip(edges - start, 0, len(error))
        for frame, (first, last) in enumerate(pairwise(inside)):
            if first < last:
                sums[frame] += error[first:last].sum(dtype=np.float64)
        start += len(error)
    counts = np.diff(edges)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def pictured_frames(sequence: Sequence, count: int = SMALL_FRAMES) -> list[int]:
    """So many frames from the first to the last, and the middle one."""
    last = len(sequence) - 1
    return sorted({round(k * last / (n - 1)) for n in (LOOK_FRAMES, max(count, LOOK_FRAMES)) for k in range(n)})


def depth_look(
    sequence: Sequence,
    given: Callable[[int], Float[np.ndarray, "h w"]],
    fits: Mapping[int, ScaleShift],
    scoring: DepthScoring,
    large: Container[int] | None = None,
) -> Look:
    """Small pictures of what was compared: input, prediction as it was aligned and clipped, truth where it counts.

    Args:
        given: The predicted depth map of a frame.
        fits: The alignment of each frame to be pictured.
        large: Those that are also pictured at a size to look at; by default the first, the middle and the last one.
    """
    assert sequence.read_depth is not None
    large = pictured_frames(sequence, LOOK_FRAMES) if large is None else large
    look: Look = {}
    for number, fit in fits.items():
        true = sequence.read_depth(number)
        whole = clip(fit.apply(clip(resize_cubic(given(number), true.shape), scoring.pre_clip)), scoring.post_clip)
        counted = np.where(known_depth(true, scoring.max_depth), true, 0)
        image = read_image(sequence.images[number]) if sequence.images[number].is_file() else None
        widths = {"small_": SMALL_WIDTH} | ({"": LOOK_WIDTH} if number in large else {})
        for size, width in widths.items():
            step = max(1, round(true.shape[1] / width))
            predicted = np.clip(whole[::step, ::step], -LARGEST_M, LARGEST_M).astype(np.float16)
            look[f"{size}predicted_{number}"] = predicted
            look[f"{size}true_{number}"] = np.minimum(counted[::step, ::step], LARGEST_M).astype(np.float16)
            if image is not None:
                h, w = predicted.shape
                look[f"{size}image_{number}"] = resize(image, (h, w))
    return look
