"""Score the depth of a video frame by frame, as the published protocols do or better, in bounded memory.

    with DepthScorer(DepthScoring(max_depth=70.0, alignment=DepthAlignment.scale)) as scorer:
        for prediction, target in frames:
            scorer.add(prediction, target)
        scores = scorer.score()

An item is what gets an alignment of its own: an image for single-image depth, a whole sequence for video depth.

Source: spec/eval_metrics.md 1, whose order of operations this follows.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch.nn.functional import interpolate

from cut3r.metrics.depth import DepthErrors
from cut3r.metrics.depth_alignment import DepthAlignment, ScaleShift, align
from cut3r.metrics.depth_pairs import MEMORY_LIMIT, DepthPairs, InverseTargets, PairBlock

NO_CLIP = (-math.inf, math.inf)
DELTAS = ("delta_0", "delta_1", "delta_2", "delta_3")


@dataclass
class DepthScoring:
    """What counts as known depth, and what is done to the prediction before it is compared with that."""

    max_depth: float | None = None  # metres; a truth from here on is unknown. None: even infinity is known
    pre_clip: tuple[float, float] = NO_CLIP  # of the prediction as it is
    post_clip: tuple[float, float] = NO_CLIP  # metres, of the aligned prediction
    alignment: DepthAlignment = DepthAlignment.median
    disparity: bool = False  # predictions are 1 / depth, and are aligned as such
    parity: bool = False  # predictions that are not finite spoil the means, instead of being counted and left out

    def __post_init__(self) -> None:
        if self.max_depth is not None and not self.max_depth > 0:
            raise ValueError(f"max_depth is {self.max_depth} m; no depth would be known: give a positive one, or None")
        for name in ("pre_clip", "post_clip"):
            low, high = limits = tuple(getattr(self, name))  # OmegaConf hands back a list
            if not low < high:
                raise ValueError(f"{name} is {limits}; give (lowest, highest), infinite for no limit")
            setattr(self, name, limits)


@dataclass(frozen=True)
class DepthScores:
    """The scores of an item, or averages of them. Errors are means over the valid pixels, 0 without any; the deltas are
    shares of the known pixels, so that a prediction that failed is wrong."""

    abs_rel: float = 0.0
    sq_rel: float = 0.0  # metres
    rmse: float = 0.0  # metres
    log_rmse: float = 0.0
    delta_0: float = 0.0  # Parity: share wrong by less than a factor of 1, which is 0 by construction (quirk 2)
    delta_1: float = 0.0  # less than 1.25
    delta_2: float = 0.0  # 1.25^2
    delta_3: float = 0.0  # 1.25^3
    valid_pixels: int = 0  # known, with a finite prediction
    known_pixels: int = (
        0  # with known depth: the valid ones, and those that were left out because the prediction failed
    )
    failed_pixels: int = 0  # known, with a prediction that is not finite
    nonpositive_pixels: int = 0  # valid, with an aligned prediction that is not positive

    @property
    def failed(self) -> float:
        """Share of the known pixels."""
        return self.failed_pixels / max(1, self.known_pixels)

    @property
    def nonpositive(self) -> float:
        """Share of the valid pixels."""
        return self.nonpositive_pixels / max(1, self.valid_pixels)


class DepthScorer:
    """The pixels of one item so far. Close it, or use it in a `with`: long videos keep pixels in a temporary file."""

    def __init__(self, scoring: DepthScoring, *, memory_limit: int = MEMORY_LIMIT) -> None:
        """Start without pixels; `memory_limit` as for `DepthPairs`."""
        self.scoring = scoring
        self.pairs = DepthPairs(keep_failed=scoring.parity, memory_limit=memory_limit)

    def add(
        self,
        prediction: Float32[np.ndarray, "h w"],
        target: Float[np.ndarray, "target_h target_w"],
        kept: Bool[np.ndarray, "target_h target_w"] | None = None,
    ) -> None:
        """Add a frame.

        Args:
            prediction: Of any size; brought to that of the target.
            target: Metres, float32 or float64. Not positive or nan where unknown.
            kept: Pixels to score, where not all known ones are. The alignment uses all known ones all the same.
        """
        prediction = clip(resize_cubic(prediction, target.shape), self.scoring.pre_clip)
        self.pairs.add(prediction, target, known_depth(target, self.scoring.max_depth), kept)

    def fit(self, alignment: DepthAlignment | None = None) -> ScaleShift:
        """Align the frames so far, by another rule than the usual one if given.

        Raises:
            ValueError: No pixel of the truth is known, or none of those has a finite prediction.
        """
        pairs = InverseTargets(self.pairs) if self.scoring.disparity else self.pairs
        return align(pairs, self.scoring.alignment if alignment is None else alignment)

    def score(self, fit: ScaleShift | None = None) -> DepthScores:
        """Score the frames so far, in one pass; with the usual alignment if none is given."""
        failed = self.pairs.not_finite
        if not len(self.pairs):
            return DepthScores(known_pixels=failed, failed_pixels=failed)
        fit = self.fit() if fit is None else fit
        errors = DepthErrors()
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            for block in self.pairs.blocks():
                errors.add(*self._compared(block, fit))
        return _scores(errors, failed, known=errors.pixels + (0 if self.scoring.parity else failed))

    def close(self) -> None:
        """Forget all pixels."""
        self.pairs.close()

    def __enter__(self) -> "DepthScorer":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _compared(self, block: PairBlock, fit: ScaleShift) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
        """Give what is compared with each other in the end: aligned depth and truth."""
        aligned = fit.apply(block.prediction)
        if self.scoring.disparity:
            aligned = np.where(aligned > 0, 1 / aligned, aligned.dtype.type(0))
        aligned = clip(aligned, self.scoring.post_clip)
        return (aligned, block.target) if block.kept is None else (aligned[block.kept], block.target[block.kept])


def known_depth(target: Float[np.ndarray, "h w"], max_depth: float | None) -> Bool[np.ndarray, "h w"]:
    """Where the truth is a positive number, below `max_depth` if that is given."""
    return target > 0 if max_depth is None else (target > 0) & (target < max_depth)


def resize_cubic(depth: Float32[np.ndarray, "h w"], size: tuple[int, ...]) -> Float32[np.ndarray, "new_h new_w"]:
    """Resize to (h, w) by cubic interpolation (a = -0.75, half-pixel centres, borders repeated).

    Parity: mixes near and far across edges, and overshoots there: even to depths that are not positive (quirks 9, 10).
    """
    if depth.shape == size:
        return depth
    image = torch.from_numpy(np.ascontiguousarray(depth))[None, None]
    return interpolate(image, size, mode="bicubic", align_corners=False, antialias=False)[0, 0].numpy()


def clip(depth: Float[np.ndarray, "*shape"], limits: tuple[float, float]) -> Float[np.ndarray, "*shape"]:
    """Give what lies outside the limits the nearer limit; a nan stays one."""
    return depth if limits == NO_CLIP else np.clip(depth, *limits)


def _scores(errors: DepthErrors, failed: int, known: int) -> DepthScores:
    if not errors.pixels:
        return DepthScores(known_pixels=known, failed_pixels=failed)
    delta_1, delta_2, delta_3 = (count / known for count in errors.within)
    return DepthScores(
        errors.abs_rel,
        errors.sq_rel,
        errors.rmse,
        errors.log_rmse,
        0.0,
        delta_1,
        delta_2,
        delta_3,
        errors.pixels,
        known,
        failed,
        errors.not_positive,
    )
