"""What a network makes of some sequences, beside the baselines: collected clip by clip, told at the end."""

from dataclasses import dataclass, field
from math import isnan
from statistics import fmean
from typing import Any

import numpy as np
import torch
from calibration import kept_parts, rank_correlation
from clips import Clip, seen_depth
from jaxtyping import Float, UInt8
from report import table
from scores import (
    Guess,
    Scores,
    Truth,
    beginning,
    constant_velocity,
    improvement,
    mean_depth_map,
    no_motion,
    score,
    summary,
)
from torch import Tensor
from walk_pairs import GAPS, control_parts, network_parts, path_parts
from walk_picture import Example

import cut3r
from cut3r.geometry.poses import invert
from cut3r.metrics.motion import AXES
from cut3r.metrics.pooling import Parts, pooled
from cut3r.model.network import Cut3r

LENGTHS = (10, 20, 40)  # frames of a walk after which its path is judged, too
PATH_SCORES = ("ate", "ate_sim3", "rotation_deg")
CONTROL = "network, another first frame"
COLUMNS = {
    "abs_rel": "AbsRel",
    "delta": "delta < 1.25",
    "ate": "ATE / path",
    "ate_sim3": "ATE Sim(3) / path",
    "rotation_deg": "rotation, degrees",
}


@dataclass
class Judgement:
    """Of one kind of sequences.

    Args:
        mean: The mean depth map of the training data, metres.
        pairs: At most so many of each sequence and gap.
        other: A picture of another sequence, for the control; without it the first sequence has none.
    """

    model: Cut3r
    mean: Float[Tensor, "h w"]
    pairs: int
    other: UInt8[Tensor, "h w 3"] | None = None
    scores: dict[str, list[Scores]] = field(default_factory=dict)
    beginnings: dict[tuple[int, str], list[Scores]] = field(default_factory=dict)
    motion: dict[str, list[Parts]] = field(default_factory=dict)
    kept: list[Parts] = field(default_factory=list)
    ranks: list[float] = field(default_factory=list)

    def add(self, clip: Clip) -> Example:
        """Stream a clip, and judge what the network and the baselines say of it."""
        example = watch(self.model, clip)
        guess, truth = example.guess, example.truth
        candidates = {
            "network": guess,
            "mean depth map": mean_depth_map(self.mean, truth),
            "no motion": no_motion(truth),
            "constant velocity": constant_velocity(truth),
        }
        for name, candidate in candidates.items():
            self.scores.setdefault(name, []).append(score(candidate, truth))
            if candidate.first_from_cam is not None:
                self._judge_path(name, candidate, truth)
        self._judge_motion(torch.from_numpy(example.images), truth, candidates)
        self._judge_confidence(guess, truth)
        return example

    def _judge_path(self, name: str, candidate: Guess, truth: Truth) -> None:
        path = Guess(first_from_cam=candidate.first_from_cam)
        for frames in (length for length in LENGTHS if length <= len(truth.first_from_cam)):
            self.beginnings.setdefault((frames, name), []).append(score(*beginning(path, truth, frames)))

    def _judge_motion(self, images: UInt8[Tensor, "v h w 3"], truth: Truth, candidates: dict[str, Guess]) -> None:
        true, most = truth.first_from_cam, self.pairs
        found = {"network": network_parts(self.model, images, true, most)}
        if self.other is not None:
            found[CONTROL] = control_parts(self.model, self.other, images, true, most)
        for name in ("no motion", "constant velocity"):
            said = candidates[name].first_from_cam
            assert said is not None
            found[name] = path_parts(said, true, most)
        for name, parts in found.items():
            self.motion.setdefault(name, []).append(parts)
        self.other = images[0]

    def _judge_confidence(self, guess: Guess, truth: Truth) -> None:
        assert guess.confidence is not None and guess.depth is not None
        self.kept.append(kept_parts(guess.confidence, guess.depth, truth.depth))
        rank = rank_correlation(guess.confidence, guess.depth, truth.depth)
        self.ranks += [] if rank is None else [rank]

    def report(self) -> dict[str, Any]:
        """Print the tables and return what they say, with the medians and each sequence's scores of the network."""
        summaries = {name: summary(rows) for name, rows in self.scores.items()}
        means = {name: _means(rows) for name, rows in self.scores.items()}
        factors = improvement(means["network"], [row for name, row in means.items() if name != "network"])
        shown = {**means, "times better": factors}
        print(table([{"": name} | {title: row[key] for key, title in COLUMNS.items()} for name, row in shown.items()]))
        return {
            "scores": summaries,
            "times_better": factors,
            "paths": self._report_paths(),
            "motion_r2": self._report_motion(),
            "confidence": self._report_confidence(),
            "network": self.scores["network"],
        }

    def _report_paths(self) -> list[dict[str, Any]]:
        rows = []
        for (frames, name), scores in sorted(self.beginnings.items(), key=lambda entry: entry[0][0]):
            own, still = _means(scores), _means(self.beginnings[frames, "no motion"])
            shares = {f"{key}_share": _ratio(own[key], still[key]) for key in PATH_SCORES}
            rows.append({"frames": frames, "of": name} | {key: own[key] for key in PATH_SCORES} | shares)
        if rows:
            print("\nthe path of the first frames; shares of no motion's errors\n\n" + table(rows))
        return rows

    def _report_motion(self) -> dict[str, dict[str, float | None]]:
        found = {name: _known(pooled(parts)) for name, parts in self.motion.items()}
        keys = {f"{name}_{gap}": f"{name} {gap}" for gap in GAPS for name in AXES}
        rows = [{"": name} | {title: row.get(key) for key, title in keys.items()} for name, row in found.items()]
        print("\nR2 of the motion between two frames, so many apart\n\n" + table(rows))
        return found

    def _report_confidence(self) -> dict[str, float | None]:
        kept = _known(pooled(self.kept)) | {"rank_correlation": fmean(self.ranks) if self.ranks else None}
        print("\nconfidence: pixels above a threshold, their AbsRel; rank correlation with the error (-1 is best)\n")
        print(table([kept]))
        return kept


def watch(model: Cut3r, clip: Clip) -> Example:
    """Stream a clip through a new session."""
    session = cut3r.Session(model)
    results = [session.push(frame) for frame in clip.frames]
    guess = Guess(
        depth=torch.stack([result.depth for result in results]),
        first_from_cam=torch.stack([result.world_from_cam for result in results]),
        confidence=torch.stack([result.confidence for result in results]),
    )
    world_from_cam = torch.from_numpy(clip.world_from_cam).double()
    truth = Truth(
        depth=torch.stack(
            [seen_depth(depth, result.pixel_map) for depth, result in zip(clip.depth, results, strict=True)]
        ),
        first_from_cam=invert(world_from_cam[0]) @ world_from_cam,
    )
    return Example(clip.name, np.stack([result.image for result in results]), guess, truth)


def _means(rows: list[Scores]) -> Scores:
    return {name: None if value is None else value["mean"] for name, value in summary(rows).items()}


def _known(ratios: dict[str, float]) -> dict[str, float | None]:
    return {name: None if isnan(value) else value for name, value in ratios.items()}


def _ratio(own: float | None, other: float | None) -> float | None:
    return own / other if own is not None and other else None
