"""Do the protocols give what theory says, on a real recording, for the truth and for a truth that is disturbed?

Runs all protocols on one recording (dataset=rgbd) with the network, with the truth, and with the truth under Gaussian
noise of three sizes (weights=truth:SIGMA), through the same code as `python -m eval all`, and compares each number with
its closed form (benchmarks/theory.py). The runs stay in --runs for `python -m eval.report`.

    python -m benchmarks.disturbed_truth --root ../shared/examples/rgbd_room --runs runs/room --out
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import theory
from benchmarks.report import add_out_flag, environment, finish, table
from benchmarks.theory import Expected
from eval.build import make_run
from eval.config import EvalConfig
from eval.protocols.query import Query
from eval.run import EvaluationRun
from eval.sequences import PROTOCOLS
from eval.sequences.sequence import Sequence

SIGMAS = (0.02, 0.05, 0.1)
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
SHOWN = ("abs_rel", "delta_1", "ate", "rpe_rot", "acc", "comp", "auc_30", "psnr", "view_m")  # of the network
SPARSE = {"monodepth": 8, "mv_recon": 8}  # every so many frames, where neighbours say the same


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


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, metavar="FOLDER", help="a recording in 7-Scenes' layout")
    parser.add_argument("--runs", type=Path, default=Path("runs/disturbed_truth"), metavar="FOLDER")
    parser.add_argument("--network", default="tiny", metavar="FILE|NAME", help="default: %(default)s")
    add_out_flag(parser)
    args = parser.parse_args(arguments)
    machine = environment(torch.device("cpu"))
    rows = [row for sigma in (0.0, *SIGMAS) for row in measured(args.root, args.runs, sigma)]
    print(table([shown(row) for row in rows]) + "\n")
    network = list(of_network(args.root, args.runs, args.network))
    print(table(network) + "\n")
    wrong = [row for row in rows if not row.holds]
    print(f"{len(rows) - len(wrong)} of {len(rows)} numbers are as theory says")
    numbers = [asdict(row) | {"holds": row.holds} for row in rows]
    record = {"benchmark": "disturbed_truth", "recording": args.root.name, "rows": numbers, "network": network}
    finish("disturbed-truth", record | {"environment": machine}, args.out)
    return 1 if wrong else 0


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
        known = theory.depth(sigma, scaled=group == "scale")
        known |= theory.confidence_and_flicker(sigma, scaled=group != "metric")
        if group in ("median", "scale_shift"):  # depend on how depth is distributed
            known = {"ause": known["ause"]} if group == "median" else {}
    elif protocol == "relpose":
        assert sequence.world_from_cam is not None
        known = theory.path(sigma, sequence.world_from_cam[:, :3, 3], scaled=group == "sim3")
        known |= theory.focal(sigma, len(sequence))
    elif protocol == "pose_pairs":
        known = theory.turns_of_pairs(sigma, len(sequence))
    elif protocol == "mv_recon":
        known = theory.points(sigma)
    else:
        known = theory.views(sigma, len(Query().held_out(sequence))) | theory.depth(sigma, scaled=group == "scale")
    return {name: expected for name, expected in known.items() if name in metrics}


def of_network(root: Path, runs: Path, weights: str) -> Iterator[dict[str, Any]]:
    for protocol in PROTOCOLS:
        _, summary = evaluate(protocol, root, runs, weights)
        for group, metrics in summary.items():
            known = {name: metrics[name]["headline"] for name in SHOWN if name in metrics}
            yield {"protocol": protocol, "group": group} | {name: known.get(name) for name in SHOWN}


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


def shown(row: Row) -> dict[str, Any]:
    numbers = {"measured": row.measured, "from": row.low, "to": row.high}
    texts = {name: f"{value:.4g}" for name, value in numbers.items()}
    about = {"protocol": row.protocol, "group": row.group, "metric": row.metric, "sigma": row.sigma}
    return about | texts | {"holds": "yes" if row.holds else "NO"}


if __name__ == "__main__":
    sys.exit(main())
