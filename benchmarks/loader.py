"""How many training samples per second do the data workers make?

A row per number of workers and stage of the curriculum: 0 makes samples in the process that would train. Nothing else
runs meanwhile, so this is the most that a training can get. Below it, of one thread: what the plan of a walk costs, and
a frame, rendered by a call of its own or with the others of its sample, as the loader does it.

    python benchmarks/loader.py tiny --workers 0 --workers 1 --workers 2 --out

`mixed` is no recipe but eight datasets in eight formats, made from nothing, at 512x384 with four workers: what a frame
costs stage by stage, from folders and from tar shards, and how long a trainer waits whose step takes 200 ms.

    python benchmarks/loader.py mixed --out
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from recipes import recipe, stages, with_batches
from report import add_out_flag, environment, finish, table

from cut3r.data.shading import render
from cut3r.data.synthetic import plan_walk
from cut3r.training.config import TrainConfig
from cut3r.training.data_config import SYNTHETIC
from cut3r.training.feed import DataFeed

MIXED = "mixed"
VIEWS = 4  # of a sample
STEP_S = 0.2  # of a trainer


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("recipe", help="of configs/, such as smoke or tiny; or mixed")
    add("changes", nargs="*", help="as for train.py, such as data.loader.batch_size=4")
    add("--workers", type=int, action="append", help="processes; repeat (default: as the recipe says)")
    add("--batches", type=int, default=16, help="timed, after one per worker for warming up (default: %(default)s)")
    add("--rounds", type=int, default=3, help="of mixed, of which the median counts (default: %(default)s)")
    add("--sets", type=Path, help="where the sets of mixed are kept for another run (default: not at all)")
    add("--threads", type=int, help="of this process (default: as torch chooses)")
    add_out_flag(parser)
    args = parser.parse_args(arguments)
    if args.batches < 1:
        parser.error("--batches must be at least 1")
    return args


def main() -> None:
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    machine = environment(torch.device("cpu"))
    if args.recipe == MIXED:
        mixed(args, machine)
        return
    config = recipe(args.recipe, args.changes)
    rows = []
    for workers in args.workers or [config.data.loader.num_workers]:
        for stage in stages(config):
            print(f"measuring {workers} workers, {stage.data.num_views} views", file=sys.stderr)
            rows.append(measure(stage, workers, args.batches))
    costs = rendering(config) if config.data.samples.get(SYNTHETIC) else None
    print(f"{args.recipe}, {args.batches} batches on {machine['cpu']}\n")
    print(table(rows) + "\n")
    if costs is not None:
        print(
            f"rendering {'x'.join(map(str, config.data.sizes[0]))}: a plan {costs['plan_ms']:.1f} ms, a frame alone",
            end=" ",
        )
        print(f"{costs['alone_ms']:.1f} ms, with its sample {costs['together_ms']:.1f} ms\n")
    record = {"benchmark": "loader", "recipe": args.recipe, "changes": args.changes, "batches": args.batches}
    record |= {"rows": rows, "rendering": costs, "environment": machine}
    finish(f"loader-{args.recipe}", record, args.out)


def mixed(args: argparse.Namespace, machine: dict[str, Any]) -> None:
    """Measure eight datasets of one's own making."""
    sys.path.insert(0, str(Path(__file__).parents[1]))  # where datasets_preprocess is
    from mixed_loading import cold_rows, stage_rows, waiting_rows
    from mixed_sets import make_sets

    torch.set_num_threads(1)  # as in the workers
    with TemporaryDirectory(prefix="mixed-") as name:
        folder = args.sets or Path(name)
        if not folder.is_dir() or not any(folder.iterdir()):
            print("making the datasets", file=sys.stderr)
            make_sets(folder, frames=4 * VIEWS)
        parts = {
            "stages": stage_rows(folder, VIEWS, samples=4 * args.batches),
            "cold": cold_rows(folder, frames=64, rounds=args.rounds),
        }
        how = {"views": VIEWS, "batch_size": 1, "batches": args.batches, "step_s": STEP_S, "rounds": args.rounds}
        rows = [row for workers in args.workers or [4] for row in waiting_rows(folder, workers=workers, **how)]
    for part in (*parts.values(), rows):
        print(table(part) + "\n")
    record = {"benchmark": "loader", "recipe": MIXED, **how, **parts, "rows": rows, "environment": machine}
    finish(f"loader-{MIXED}", record, args.out)


def measure(config: TrainConfig, workers: int, batches: int) -> dict[str, Any]:
    """Make one row of the table."""
    warmup = max(1, workers)  # the first batches wait for the workers to start
    config = with_batches(config, warmup + batches)
    config.data.loader.num_workers = workers
    stream = DataFeed(config.data, config.paths, config.model).batches(0, 0)
    for _ in range(warmup):
        next(stream)
    start, views = time.perf_counter(), 0
    for _ in range(batches):
        views += len(next(stream))
    seconds, size = time.perf_counter() - start, config.data.loader.batch_size
    return {
        "workers": workers,
        "batch_size": size,
        "views": views / batches,
        "samples_per_s": batches * size / seconds,
        "frames_per_s": views * size / seconds,
        "ms_per_batch": 1e3 * seconds / batches,
    }


def rendering(config: TrainConfig, walks: int = 10) -> dict[str, float]:
    """Give median milliseconds of one thread: of a plan, and per frame alone and with the others of a sample.

    The two ways take turns, so that whatever else the machine does slows both.
    """
    torch.set_num_threads(1)
    h, w = config.data.sizes[0]
    walk, views = replace(config.data.synthetic.walk, size=(h, w)), config.data.num_views
    times: dict[str, list[float]] = {"plan_ms": [], "alone_ms": [], "together_ms": []}
    for number in range(walks + 1):
        start = time.perf_counter()
        plan = plan_walk(config.data.loader.seed, number, walk)
        times["plan_ms"].append(1e3 * (time.perf_counter() - start))
        for name, frames in (("alone_ms", 1), ("together_ms", views)):
            start = time.perf_counter()
            for first in range(0, views, frames):
                some = slice(first, first + frames)
                render(plan.room, plan.world_from_cam[some], plan.intrinsics[some], (h, w), plan.time_s[some])
            times[name].append(1e3 * (time.perf_counter() - start) / views)
    return {name: median(values[1:]) for name, values in times.items()}  # the first walk warms up


if __name__ == "__main__":
    main()
