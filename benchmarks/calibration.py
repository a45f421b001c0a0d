"""Does the confidence mean something? What a threshold keeps, and whether confident pixels are the better ones."""

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.metrics.pooling import Parts

THRESHOLDS = (1.5, 2.0, 3.0)  # the demo shows what is above 1.5 unless told otherwise
RANKED = 20_000  # pixels of a sequence, at most


def kept_parts(
    confidence: Float[Tensor, "v h w"], depth: Float[Tensor, "v h w"], true: Float[Tensor, "v h w"]
) -> Parts:
    """Give the share of pixels above each threshold, "share_2.0", and their AbsRel, "abs_rel_2.0", as parts; also of
    all pixels as "abs_rel_all". Pixels without true depth do not count."""
    error, confidence = _errors(confidence, depth, true)
    parts: Parts = {"abs_rel_all": (float(error.sum()), float(len(error)))}
    for threshold in THRESHOLDS:
        kept = confidence > threshold
        count = float(kept.sum())
        parts[f"share_{threshold}"] = (count, float(len(error)))
        parts[f"abs_rel_{threshold}"] = (float(error[kept].sum()), count)
    return parts


def rank_correlation(
    confidence: Float[Tensor, "v h w"], depth: Float[Tensor, "v h w"], true: Float[Tensor, "v h w"]
) -> float | None:
    """Give Spearman's correlation of confidence and error: -1 is perfect, 0 means nothing; None where all are equal."""
    error, confidence = _errors(confidence, depth, true)
    stride = max(1, len(error) // RANKED)
    ranks = torch.stack([_ranks(values[::stride]) for values in (confidence, error)])
    ranks = ranks - ranks.mean(dim=1, keepdim=True)
    spread = ranks.norm(dim=1).prod()
    return float((ranks[0] * ranks[1]).sum() / spread) if spread > 0 else None


def _errors(
    confidence: Float[Tensor, "v h w"], depth: Float[Tensor, "v h w"], true: Float[Tensor, "v h w"]
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    known = true > 0
    return ((depth[known] - true[known]).abs() / true[known]).double(), confidence[known]


def _ranks(values: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Equal values share their mean rank."""
    _, group, count = values.unique(return_inverse=True, return_counts=True)
    last = count.cumsum(0).double()
    return (last - (count - 1) / 2)[group]
