"""Draw what a training's log says: the loss, and the plain errors on held-out data, against minutes.

Pauses, between a stop and the next start, are left out of the minutes.

    python benchmarks/training_curve.py runs/tiny/log.jsonl docs/pictures/tiny_training.png
"""

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

from cut3r.files.atomic import atomic_path
from cut3r.training.monitor import read_log

matplotlib.use("agg")
from matplotlib import pyplot as plt

PAUSE = 8.0  # times the usual distance between two lines, and
PAUSE_S = 60.0  # at least so many seconds: more is a stop

Line = dict[str, Any]
ERRORS = {
    "abs_rel": "depth, AbsRel",
    "translation_m": "camera, metres",
    "rotation_deg": "camera, degrees",
}
MOTION = {"r2_yaw_3": "yaw", "r2_forward_3": "forward", "r2_sideways_3": "sideways"}  # R2, 3 views apart


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, help="log.jsonl of a run")
    parser.add_argument("picture", type=Path, help="PNG to write")
    args = parser.parse_args()
    draw(read_log(args.log), args.picture)
    print(f"wrote {args.picture}")


def minutes(lines: Sequence[Line]) -> list[float]:
    """Give the time of each line of a log, in minutes of training since the first."""
    gaps = [later["time"] - earlier["time"] for earlier, later in pairwise(lines)]
    longest = max(PAUSE_S, PAUSE * median(gaps)) if gaps else 0.0
    times = [0.0]
    for gap in gaps:
        times.append(times[-1] + (gap if gap <= longest else 0.0) / 60)
    return times


def held_out(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if line["kind"] != "train"]


def draw(lines: Sequence[Line], path: Path, targets: dict[str, float] | None = None) -> None:
    """Write a PNG, atomically.

    Args:
        lines: Of the log.
        targets: A dashed line in the plot of an error, such as {"abs_rel": 0.03}.

    Raises:
        ValueError: The log holds no training step, or nothing about held-out data.
    """
    times = dict(zip(map(id, lines), minutes(lines), strict=True))
    train, scores = [line for line in lines if line["kind"] == "train"], held_out(lines)
    if not train or not scores:
        raise ValueError(f"the log has {len(train)} lines of training and {len(scores)} of validation; expected both")
    judged = [line for line in scores if all(name in line for name in MOTION)]
    count = 1 + len(ERRORS) + bool(judged)
    figure, (first, *others) = plt.subplots(1, count, figsize=(3 * count, 2.8), layout="constrained")
    first.plot([times[id(line)] for line in train], [line["loss"] for line in train], color="tab:gray")
    first.set(title="training loss", xlabel="minutes")
    if judged:
        motion = others.pop()
        for name, title in MOTION.items():
            motion.plot([times[id(line)] for line in judged], [line[name] for line in judged], ".-", label=title)
        motion.set(title="motion, R2 (no motion: 0)", xlabel="minutes", ylim=(-0.2, 1))
        motion.legend(fontsize="x-small")
    for axes, (name, title) in zip(others, ERRORS.items(), strict=True):
        axes.plot([times[id(line)] for line in scores], [line[name] for line in scores], ".-")
        axes.set(title=title, xlabel="minutes", ylim=(0, None))
        if targets and name in targets:
            axes.axhline(targets[name], color="tab:red", linestyle="--", linewidth=1)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    main()
