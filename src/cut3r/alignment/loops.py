"""Loops: frames far apart in time that see the same place, found by their tokens and checked by the network itself.

A candidate is looked at from both ends. It becomes two pairs of the graph if the network is about as sure of them as of
neighbours, and if going there by one and back by the other leads to where one began. A pair of different places that
passes, because both look alike, is still refused by the robust solve if other pairs contradict it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.alignment.graphs import Star, both_ways
from cut3r.alignment.links import links_of
from cut3r.alignment.pairs import Predictions, weights_of
from cut3r.alignment.revisits import Revisit, RevisitConfig, revisits
from cut3r.geometry.poses import rotation_angle
from cut3r.geometry.registration import Similarity

Look = Callable[[Sequence[Star]], Predictions]

CHUNK = 16  # pairs whose confidences are averaged at once


@dataclass
class LoopConfig:
    """What a loop must satisfy. A cycle is the way to the other frame by one pair and back by the other."""

    revisits: RevisitConfig = field(default_factory=RevisitConfig)
    confidence: float = 0.5  # at least so much of the neighbours' median (mean logarithm of the confidence)
    turn_deg: float = 5.0  # of the cycle, at most
    scale: float = 0.05  # the cycle is larger or smaller by so much, at most
    shift: float = 0.10  # of the cycle, at most; a share of the first frame's median depth

    def __post_init__(self) -> None:
        if min(self.confidence, self.turn_deg, self.scale, self.shift) < 0:
            raise ValueError("a limit for loops is below 0; give 0 or more")


@dataclass(frozen=True)
class Loop:
    """A candidate and what became of it: `refused` says why, and is empty if it was accepted."""

    revisit: Revisit
    refused: str

    @property
    def ends(self) -> tuple[int, int]:
        return (self.revisit.first, self.revisit.second)

    @classmethod
    def reported(cls, said: dict[str, Any]) -> "Loop":
        """Of its report."""
        return cls(Revisit(said["first"], said["second"], said["similarity"]), said.get("reason", ""))

    def report(self) -> dict[str, Any]:
        said = {"first": self.revisit.first, "second": self.revisit.second, "similarity": self.revisit.similarity}
        return said | ({"reason": self.refused} if self.refused else {})


def close_loops(
    predictions: Predictions,
    pooled: Float[Tensor, "n d"],
    look: Look,
    config: LoopConfig | None = None,
    *,
    width: int,
    usual: float | None = None,
) -> tuple[Predictions, list[Loop]]:
    """Look for loops, and add the pairs of those that are accepted to the predictions.

    Args:
        pooled: The mean token of every frame.
        look: Gives the pairs of stars; masked as `predictions` are.
        width: Frames so near count as neighbours, whose confidence is the measure.
        usual: That confidence (see `usual_confidence`), where the predictions are not the word of those who look.

    Returns:
        The predictions with the new pairs at the end, and all candidates.
    """
    config = config or LoopConfig()
    paired = [(i, j) for i, j in predictions.ends.tolist()]
    candidates = revisits(pooled, config.revisits, paired=paired)
    if not candidates:
        return predictions, []
    offered = look(both_ways([(each.first, each.second) for each in candidates]))
    loops = judge(offered, candidates, config, usual=usual_confidence(predictions, width) if usual is None else usual)
    return with_loops(predictions, offered, loops), loops


def usual_confidence(predictions: Predictions, width: int) -> float:
    """The median over neighbours of the mean logarithm of the confidence; 0 without neighbours."""
    near = predictions.ends.diff(dim=1).abs()[:, 0] <= width
    return float(_mean_confidence(predictions)[near].median()) if bool(near.any()) else 0.0


def judge(
    offered: Predictions, candidates: Sequence[Revisit], config: LoopConfig | None = None, *, usual: float
) -> list[Loop]:
    """Say of each candidate whether it is a loop, or why not.

    Args:
        offered: The pairs (first, second) and (second, first) of each candidate, one after the other.
        usual: The mean logarithm of the confidence between neighbours.
    """
    config = config or LoopConfig()
    sure = _mean_confidence(offered)
    links, _ = links_of(offered)
    at = {pair: k for k, pair in enumerate(links.pairs())}
    fits = links.fit().matrix() if len(links) else torch.zeros(0, 4, 4)
    loops = []
    for k, each in enumerate(candidates):
        there, back = (each.first, each.second), (each.second, each.first)
        least = float(sure[2 * k : 2 * k + 2].min())
        if there not in at or back not in at:
            reason = "fewer than three points have weight"
        elif least < config.confidence * usual:
            reason = f"the network is not sure: {least:.3g} where neighbours have {usual:.3g}"
        else:
            cycle = Similarity.from_matrix(fits[at[there]] @ fits[at[back]])
            reason = disagreement(cycle, _usual_depth(offered, each.first), config)
        loops.append(Loop(each, reason))
    return loops


def with_loops(predictions: Predictions, offered: Predictions, loops: Sequence[Loop]) -> Predictions:
    """Add the pairs of accepted loops at the end."""
    accepted = torch.tensor([not loop.refused for loop in loops for _ in range(2)], dtype=torch.bool)
    if not bool(accepted.any()):
        return predictions
    return predictions.with_pairs(offered.ends[accepted], offered.points_pair[accepted], offered.conf_pair[accepted])


def after_solving(loops: Sequence[Loop], pairs: Sequence[dict[str, Any]]) -> list[Loop]:
    """The same, but refused where the solve believed neither of a loop's pairs.

    Args:
        pairs: Of the report: `first`, `second`, `kept`, `residual_m`.
    """
    said = {(pair["first"], pair["second"]): pair for pair in pairs}
    after = []
    for loop in loops:
        both = [said[pair] for pair in (loop.ends, loop.ends[::-1]) if pair in said]
        if not loop.refused and not any(pair["kept"] for pair in both):
            error = min((pair["residual_m"] for pair in both), default=math.inf)
            loop = replace(loop, refused=f"all other pairs say otherwise: its points are {error:.3g} m off")
        after.append(loop)
    return after


def loops_report(loops: Sequence[Loop]) -> dict[str, Any]:
    """What a JSON file can hold: the loops kept, and those refused with the reason."""
    return {
        "kept": [loop.report() for loop in loops if not loop.refused],
        "refused": [loop.report() for loop in loops if loop.refused],
    }


def disagreement(cycle: Similarity, depth: float, config: LoopConfig) -> str:
    """Why a cycle does not lead back; empty if it does."""
    turn = math.degrees(float(rotation_angle(cycle.rotation, torch.eye(3).double())))
    scale, shift = abs(math.expm1(float(cycle.scale.log().abs()))), float(cycle.translation.norm()) / depth
    if turn > config.turn_deg:
        return f"there and back turns by {turn:.1f} degrees"
    if scale > config.scale:
        return f"there and back changes the scale by {100 * scale:.0f} %"
    if shift > config.shift:
        return f"there and back moves by {100 * shift:.0f} % of the depth"
    return ""


def _usual_depth(predictions: Predictions, frame: int) -> float:
    depth = predictions.points_self[frame, ..., 2].float()[predictions.conf_self[frame] > 0]
    return max(float(depth.median()), 1e-9) if len(depth) else 1.0


def _mean_confidence(predictions: Predictions) -> Float[Tensor, "e"]:
    """The mean logarithm of each pair's confidence where it counts; 0 where nothing does."""
    means = []
    for _, _, conf in predictions.in_chunks(CHUNK):
        counts = (conf > 0).flatten(1).sum(dim=1).clamp_min(1)
        means.append(weights_of(conf).flatten(1).sum(dim=1) / counts)
    return torch.cat(means) if means else torch.zeros(0).double()
