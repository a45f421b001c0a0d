"""How fast does the network learn, and what does a step spend its time on?

Runs the real trainer of a recipe, from random weights, for a few steps per stage of the curriculum. A step is:
waiting for data; forward, with the loss; backward, with clipping; optimizer; and the rest (moving the batch, averages,
reports). On a GPU the split waits for it at each border, which hides a little less than training does.

The target is below 5 % of the time waiting. If it is more, compare with `loader.py` and add data.loader.num_workers.

    python benchmarks/train_step.py smoke --out
    python benchmarks/train_step.py tiny run.device=cuda run.precision=bf16 data.loader.num_workers=14 --out
"""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from recipes import recipe, stages, with_batches
from report import add_out_flag, environment, finish, table
from timing import synchronize

from cut3r.data.view import AnyView
from cut3r.training.config import TrainConfig
from cut3r.training.start import prepare
from cut3r.training.trainer import Feed, Trainer

PHASES = ("waiting", "forward", "backward", "optimizer", "rest")


class Stopwatch:
    """Tells which phase of which step the time belongs to. One phase is running at any time."""

    def __init__(self, device: torch.device) -> None:
        self.steps: list[dict[str, float]] = []  # milliseconds
        self.views: list[int] = []
        self._device = device
        self._phase, self._since = "rest", time.perf_counter()

    def enter(self, phase: str) -> None:
        synchronize(self._device)
        now = time.perf_counter()
        if self.steps:
            self.steps[-1][self._phase] += 1e3 * (now - self._since)
        self._phase, self._since = phase, now

    def start_step(self) -> None:
        self.enter("waiting")
        self.steps.append(defaultdict(float))

    def attach(self, trainer: Trainer) -> None:
        """Listen to the borders between the phases of this trainer."""
        trainer.feed = TimedFeed(trainer.feed, self)
        trainer.step.register_forward_pre_hook(lambda *_: self.enter("forward"))
        trainer.step.register_forward_hook(lambda *_: self.enter("backward"))
        trainer.state.optimizer.register_step_pre_hook(lambda *_: self.enter("optimizer"))
        trainer.state.optimizer.register_step_post_hook(lambda *_: self.enter("rest"))


class TimedFeed:
    """Passes batches on and starts a step of the stopwatch with each."""

    def __init__(self, feed: Feed, watch: Stopwatch) -> None:
        self._feed, self._watch = feed, watch

    def length(self, epoch: int) -> int:
        return self._feed.length(epoch)

    def batch_size(self, epoch: int) -> int:
        return self._feed.batch_size(epoch)

    def batches(self, epoch: int, start: int) -> Iterator[Sequence[AnyView]]:
        batches = self._feed.batches(epoch, start)
        while True:
            self._watch.start_step()
            views = next(batches, None)
            if views is None:
                return
            self._watch.enter("rest")
            self._watch.views.append(len(views))
            yield views

    def held_out(self) -> Mapping[str, Iterator[Sequence[AnyView]]]:
        return self._feed.held_out()


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("recipe", help="of configs/, such as smoke or tiny")
    add("changes", nargs="*", help="as for train.py, such as run.device=cuda")
    add("--steps", type=int, default=20, help="timed, per stage of the curriculum (default: %(default)s)")
    add("--warmup", type=int, default=5, help="steps before that (default: %(default)s)")
    add("--threads", type=int, help="of a CPU (default: as torch chooses)")
    add_out_flag(parser)
    args = parser.parse_args(arguments)
    if args.steps < 1 or args.warmup < 1:
        parser.error("--steps and --warmup must be at least 1")
    return args


def main() -> None:
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    config = recipe(args.recipe, args.changes)
    on_gpu = config.run.device != "cpu" and torch.cuda.is_available()
    machine = environment(torch.device("cuda" if on_gpu else "cpu"))
    rows = []
    for stage in stages(config):
        print(f"measuring {stage.data.num_views} views", file=sys.stderr)
        rows.append(measure(stage, args.steps, args.warmup))
    loader = config.data.loader
    print(f"{args.recipe}, {args.steps} steps after {args.warmup} for warming up on {machine['gpu'] or machine['cpu']}")
    print(f"{loader.num_workers} data workers, {config.run.precision.value}\n")
    print(table(rows) + "\n")
    record = {"benchmark": "train_step", "recipe": args.recipe, "changes": args.changes}
    record |= {"steps": args.steps, "warmup": args.warmup}
    record |= {"num_workers": loader.num_workers, "precision": config.run.precision.value}
    finish(f"train-step-{args.recipe}", record | {"rows": rows, "environment": machine}, args.out)


def measure(config: TrainConfig, steps: int, warmup: int) -> dict[str, Any]:
    """Train a little in a folder that is thrown away, and make one row of the table."""
    config = with_batches(config, warmup + steps + 1)  # one more: a finished epoch would be validated
    with tempfile.TemporaryDirectory() as folder:
        config.run.output_dir, config.run.tensorboard = Path(folder), False
        config.run.max_steps, config.run.save_epochs = warmup + steps, 1e6  # saved at the end only
        trainer = prepare(config)
        watch = Stopwatch(trainer.accelerator.device)
        watch.attach(trainer)
        trainer.fit()
    timed, views = watch.steps[warmup : warmup + steps], watch.views[warmup : warmup + steps]
    total = sum(sum(step.values()) for step in timed)
    samples = len(timed) * config.data.loader.batch_size
    return {
        "views": sum(views) / len(views),
        "batch_size": config.data.loader.batch_size,
        "samples_per_s": 1e3 * samples / total,
        "frames_per_s": 1e3 * sum(views) * config.data.loader.batch_size / total,
        "ms_per_step": median(sum(step.values()) for step in timed),
        **{phase: sum(step[phase] for step in timed) / len(timed) for phase in PHASES},
        "waiting_share": sum(step["waiting"] for step in timed) / total,
    }


if __name__ == "__main__":
    main()
