"""Can the network learn at all? One synthetic walk of 8 views, again and again, until it knows it.

Runs `train.py +overfit` from random weights and judges it on the same 8 views, without any alignment: AbsRel of the
depth must fall below 3 %, the cameras' mean distance from the truth below 2 % of the scene's size, which is the mean
distance of its visible points from the first camera (stricter than the room's diagonal).

    python benchmarks/overfit.py --out
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from recipes import recipe
from report import add_out_flag, environment, finish, table
from training_curve import draw, held_out, minutes

from cut3r.training.config import TrainConfig
from cut3r.training.feed import DataFeed
from cut3r.training.monitor import read_log

ROOT = Path(__file__).parents[1]
ABS_REL, POSE_SHARE = 0.03, 0.02  # what must be reached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("changes", nargs="*", help="as for train.py, such as optim.epochs=4")
    parser.add_argument("--threads", type=int, help="of a CPU (default: as torch chooses)")
    add_out_flag(parser)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
        args.changes.append(f"run.threads={args.threads}")
    machine = environment(torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        changes = [*args.changes, f"run.output_dir={folder}/run", "run.tensorboard=false"]
        size = scene_size(recipe("overfit", changes))
        subprocess.run([sys.executable, "train.py", "+overfit", *changes], cwd=ROOT, check=True, stdout=sys.stderr)
        lines = read_log(Path(folder) / "run" / "log.jsonl")
    rows = curve(lines, size)
    passed = next((row for row in rows if row["abs_rel"] < ABS_REL and row["pose_share"] < POSE_SHARE), None)
    print(table(rows) + "\n")
    print(f"the scene's size is {size:.2f} m")
    print(f"both goals reached after {passed['minutes']:.1f} minutes" if passed else "THE GOALS ARE NOT REACHED")
    record = {"benchmark": "overfit", "changes": args.changes, "scene_size_m": size, "passed": passed}
    path = finish("overfit", record | {"rows": rows, "environment": machine}, args.out)
    if path:
        draw(lines, path.with_suffix(".png"), targets={"abs_rel": ABS_REL, "translation_m": POSE_SHARE * size})


def scene_size(config: TrainConfig) -> float:
    """Return the mean distance of all visible points of the recipe's only walk from its first camera, metres."""
    (batches,) = DataFeed(config.data, config.paths, config.model).held_out().values()
    views = [view.to("cpu") for view in next(batches)]  # their points are relative to the first camera
    return float(torch.cat([view.points[view.valid].norm(dim=-1) for view in views]).mean())


def curve(lines: list[dict[str, Any]], size: float) -> list[dict[str, Any]]:
    """Make a row of each validation in a log."""
    times = dict(zip(map(id, lines), minutes(lines), strict=True))
    return [
        {
            "minutes": times[id(line)],
            "step": line["step"],
            "abs_rel": line["abs_rel"],
            "delta_1.25": line["delta_1.25"],
            "pose_share": line["translation_m"] / size,
            "rotation_deg": line["rotation_deg"],
        }
        for line in held_out(lines)
    ]


if __name__ == "__main__":
    main()
