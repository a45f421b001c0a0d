"""What each protocol must give for a truth that is disturbed by independent Gaussian noise (eval.systems.truth).

`sigma` is the noise's standard deviation: of depth, focal lengths and brightness as a share, of places and points in
metres, of rotations in radians. |N(0, 1)| has the mean sqrt(2 / pi); the length of three of them has the mean
2 sqrt(2 / pi) and the Maxwell distribution.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from scipy.special import ndtri
from scipy.stats import maxwell

from eval.build import make_run
from eval.config import EvalConfig
from eval.protocols.query import Query
from eval.run import EvaluationRun
from eval.sequences import PROTOCOLS
from eval.sequences.sequence import Sequence

HALF_NORMAL = math.sqrt(2 / math.pi)
STEPS = 20_001  # of the normal distribution, for expectations without a closed form
SLACK = 3.0  # standard errors


NOTHING = {  # what the truth has at most: float32, depth in millimetres, recorded rotations orthonormal to 1e-5
    "abs_rel": 1e-6,
    "flicker": 0.01,
    "ate": 1e-4,
    "rpe_trans": 1e-4,
    "rpe_rot": 1e-2,
    "focal_error": 1e-6,
    "acc": 1e-3,
    "comp": 1e-3,
    "view_deg": 1e-2,
    "view_m": 1e-5,
    "failed": 0.0,
}
ALL = {"delta_1": 1.0, "rra_5": 1.0, "rta_5": 0.99, "psnr": 100.0, "ssim": 1.0, "nc": 0.99}  # and at least
SPARSE = {"monodepth": 8, "mv_recon": 8}  # every so many frames, where neighbours say the same


@dataclass(frozen=True)
class Expected:
    """From `low` to `high`: as far as theory goes, and three standard errors of a mean over so few numbers."""

    low: float
    high: float

    @classmethod
    def near(cls, value: float, error: float) -> "Expected":
        """A value with a relative error."""
        return cls(value * (1 - error), value * (1 + error))

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Row:
    """One number beside what it must be."""

    protocol: str
    group: str
    metric: str
    sigma: float
    measured: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        return Expected(self.low, self.high).holds(self.measured)


def measured(root: Path, runs: Path, sigma: float) -> Iterator[Row]:
    """Run all protocols with the truth or a disturbed one; give the numbers that theory knows."""
    for protocol in PROTOCOLS:
        run, summary = evaluate(protocol, root, runs, f"truth:{sigma}" if sigma else "truth")
        (sequence,) = run.sequences
        for group, metrics in summary.items():
            for metric, expected in expectations(protocol, group, sigma, sequence, metrics).items():
                value = metrics[metric]["headline"]
                yield Row(protocol, group, metric, sigma, value, expected.low, expected.high)


def expectations(
    protocol: str, group: str, sigma: float, sequence: Sequence, metrics: dict[str, Any]
) -> dict[str, Expected]:
    """What theory says of the metrics that a group has."""
    if sigma == 0:
        none = {name: Expected(0.0, most) for name, most in NOTHING.items()}
        known = none | {name: Expected(least - 1e-6, least + 1) for name, least in ALL.items()}
    elif protocol in ("monodepth", "video_depth"):
        known = depth(sigma, scaled=group == "scale")
        known |= confidence_and_flicker(sigma, scaled=group != "metric")
        if group in ("median", "scale_shift"):  # depend on how depth is distributed
            known = {"ause": known["ause"]} if group == "median" else {}
    elif protocol == "relpose":
        assert sequence.world_from_cam is not None
        known = path(sigma, sequence.world_from_cam[:, :3, 3], scaled=group == "sim3")
        known |= focal(sigma, len(sequence))
    elif protocol == "pose_pairs":
        known = turns_of_pairs(sigma, len(sequence))
    elif protocol == "mv_recon":
        known = points(sigma)
    else:
        known = views(sigma, len(Query().held_out(sequence))) | depth(sigma, scaled=group == "scale")
    return {name: expected for name, expected in known.items() if name in metrics}


def evaluate(protocol: str, root: Path, runs: Path, weights: str) -> tuple[EvaluationRun, dict[str, Any]]:
    """Run one protocol, or go on with it; give its averages by group."""
    out = runs / f"{protocol}_{weights.replace(':', '_')}"
    every = SPARSE.get(protocol, 1)
    config = EvalConfig(dataset="rgbd", root=root, weights=weights, device="cpu", out=out, every=every)
    run = make_run(protocol, config, torch.device("cpu"))
    run.begin()
    run.work()
    result = run.finish()
    if result["coverage"]["failed"]:
        raise RuntimeError(f"{out} failed: {json.dumps(result['coverage']['failed'])}")
    return run, result["summary"]


def depth(sigma: float, *, scaled: bool) -> dict[str, Expected]:
    """Of any group of a depth protocol with millions of pixels.

    Args:
        scaled: One scale per video is fitted, which minimises the absolute error.
    """
    ratio = 1 + sigma * _normal()  # of prediction and truth
    if scaled:
        ratio = ratio / _weighted_median(ratio, ratio)  # |s r - 1| = r |s - 1 / r|
    within = float(np.mean((ratio > 1 / 1.25) & (ratio < 1.25)))
    return {
        "abs_rel": Expected.near(float(np.mean(np.abs(ratio - 1))), 0.03),
        "delta_1": Expected(within - 0.005, within + 0.005),
        "log_rmse": Expected.near(float(np.sqrt(np.mean(np.log(np.maximum(ratio, 1e-5)) ** 2))), 0.03),
    }


def confidence_and_flicker(sigma: float, *, scaled: bool) -> dict[str, Expected]:
    """A confidence that knows the noise sorts perfectly, or nearly where a fitted scale changes the errors a little.
    Two frames' errors differ by sqrt(2) of one's, less where the second frame is interpolated between its pixels."""
    one = HALF_NORMAL * sigma
    return {"ause": Expected(-1e-3, 0.1 if scaled else 1e-3), "flicker": Expected(one, 1.05 * math.sqrt(2) * one)}


def path(sigma: float, true: Float64[np.ndarray, "v 3"], *, scaled: bool) -> dict[str, Expected]:
    """Of a path with these true places, all of them independently displaced and all cameras turned.

    An alignment takes 6 or 7 of the 3 v degrees of freedom. A scale is fitted too small, because noise makes the
    predicted path longer: by S^2 / (S^2 + 3 sigma^2), S the spread of the path; that much smaller is the square of ATE.
    """
    v = len(true)
    spread, step = _rms(true - true.mean(axis=0)), _rms(np.diff(true, axis=0))
    scale = spread**2 / (spread**2 + 3 * sigma**2) if scaled else 1.0
    freedom = 3 * v - (7 if scaled else 6)
    error = SLACK / math.sqrt(2 * freedom)
    moved = math.sqrt(scale**2 * (6 * sigma**2 + 2 * sigma**2 * step**2) + (1 - scale) ** 2 * step**2)
    return {
        "ate": Expected.near(sigma * math.sqrt(scale * freedom / v), error),
        "rpe_trans": Expected.near(moved, 1.5 * error),  # neighbouring steps share a camera
        "rpe_rot": Expected.near(math.degrees(math.sqrt(6) * sigma), 1.5 * error),
    }


def focal(sigma: float, views: int) -> dict[str, Expected]:
    """Of the mean over two focal lengths per picture."""
    return {"focal_error": Expected.near(HALF_NORMAL * sigma, SLACK * 0.756 / math.sqrt(2 * views))}


def turns_of_pairs(sigma: float, views: int) -> dict[str, Expected]:
    """Shares of pairs whose relative rotation is off by less than 5, 15, 30 degrees; every camera is in many pairs."""
    error = SLACK * 0.5 / math.sqrt(views)
    shares = {end: float(maxwell.cdf(math.radians(end), scale=math.sqrt(2) * sigma)) for end in (5, 15, 30)}
    return {f"rra_{end}": Expected(share - error, min(1.0, share + error)) for end, share in shares.items()}


def views(sigma: float, held_out: int) -> dict[str, Expected]:
    """Of unseen views; brightness that is cut off at black or white errs less, by up to half of the square."""
    error, psnr = SLACK * 0.422 / math.sqrt(held_out), -20 * math.log10(sigma)
    return {
        "view_deg": Expected.near(math.degrees(2 * HALF_NORMAL * sigma), error),
        "view_m": Expected.near(2 * HALF_NORMAL * sigma, error),
        "psnr": Expected(psnr - 0.1, psnr + 10 * math.log10(2)),
    }


def points(sigma: float) -> dict[str, Expected]:
    """Of displaced points beside the true ones: as far as the plane that they were on if that is densely sampled, as
    far as their own place if it is sparsely; less in corners, where another plane may be nearer, and where surfaces are
    thick, as many recorded depth maps make them: up to 0.3 less."""
    return {
        "acc": Expected(0.7 * HALF_NORMAL * sigma, 1.05 * 2 * HALF_NORMAL * sigma),
        "acc_med": Expected(0.7 * 0.674 * sigma, 1.05 * 1.538 * sigma),
    }


def _normal() -> Float64[np.ndarray, "steps"]:
    """Equally likely values of a standard normal variable."""
    return np.asarray(ndtri((np.arange(STEPS) + 0.5) / STEPS))


def _weighted_median(values: Float64[np.ndarray, "n"], weights: Float64[np.ndarray, "n"]) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def _rms(vectors: Float64[np.ndarray, "n 3"]) -> float:
    return float(np.sqrt(np.mean(np.sum(np.square(vectors), axis=1))))
