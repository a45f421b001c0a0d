"""Do the protocols give what theory says, on a real recording, for the truth and for a truth that is disturbed?

Runs all protocols on one recording (dataset=rgbd) with the network, with the truth, and with the truth under Gaussian
noise of three sizes (weights=truth:SIGMA), through the same code as `python -m eval all`, and compares each number with
its closed form (benchmarks/theory.py). The runs stay in --runs for `python -m eval.report`.

    PYTHONPATH=. python benchmarks/disturbed_truth.py --root ../shared/examples/rgbd_room --runs runs/room --out
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from report import add_out_flag, environment, finish, table
from theory import Row, evaluate, measured

from eval.sequences import PROTOCOLS

SIGMAS = (0.02, 0.05, 0.1)
SHOWN = ("abs_rel", "delta_1", "ate", "rpe_rot", "acc", "comp", "auc_30", "psnr", "view_m")  # of the network


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


def of_network(root: Path, runs: Path, weights: str) -> Iterator[dict[str, Any]]:
    for protocol in PROTOCOLS:
        _, summary = evaluate(protocol, root, runs, weights)
        for group, metrics in summary.items():
            known = {name: metrics[name]["headline"] for name in SHOWN if name in metrics}
            yield {"protocol": protocol, "group": group} | {name: known.get(name) for name in SHOWN}


def shown(row: Row) -> dict[str, Any]:
    numbers = {"measured": row.measured, "from": row.low, "to": row.high}
    texts = {name: f"{value:.4g}" for name, value in numbers.items()}
    about = {"protocol": row.protocol, "group": row.group, "metric": row.metric, "sigma": row.sigma}
    return about | texts | {"holds": "yes" if row.holds else "NO"}


if __name__ == "__main__":
    sys.exit(main())
