"""How much memory does an alignment of whole pictures take beside its predictions, and what would 1,000 frames need?

Planted walks (`planted_walk.py`) of pictures as large as a network's go through the pose graph, refinement, merging and
cleaning, in the wide graph of `demo_ga.py` and without loops. Predictions lie in files that are mapped into memory, as
there, and do not count; what counts is everything else that the process holds (its anonymous memory, looked at a
hundred times a second) over what it held before. A straight line through the walks says what a frame takes. Seconds
are those of the processor.

    OMP_NUM_THREADS=1 python benchmarks/alignment_memory.py --frames 40 80 120 --out
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from planted_walk import PlantedWalk
from report import add_out_flag, environment, finish, table

from cut3r.alignment.align_config import AlignConfig, Graph, Loops, Method
from cut3r.alignment.by_full import by_full
from cut3r.alignment.by_graph import by_graph
from cut3r.alignment.graphs import pairs_of
from cut3r.alignment.store import PredictionStore
from cut3r.alignment.taken import Taken, take
from cut3r.inference.preprocess import FitConfig
from cut3r.io.frame import Frame
from cut3r.metrics.motion import ate_sim3

EVERY_S = 0.01
MANY = 1000  # frames that the line is drawn to
STARS = 16  # that are planted at a time
CONFIG = AlignConfig(graph=Graph.wide, loops=Loops.off)

T = TypeVar("T")


@dataclass(frozen=True)
class Planted:
    """Where predictions lie, the true cameras, and those that a chain of neighbours gives."""

    folder: Path
    world_from_cam: torch.Tensor
    chained: torch.Tensor


class Watch:
    """The most anonymous memory in each stage, and its seconds; a thread looks."""

    def __init__(self) -> None:
        self.peak_mb: dict[str, float] = {}
        self.cpu_s: dict[str, float] = {}
        self._held = anonymous_mb()

    @contextmanager
    def stages(self, first: str) -> Iterator["Watch"]:
        """Watch until the end; `begin` names what comes next."""
        self._stage, self._since, ended = first, time.process_time(), threading.Event()
        thread = threading.Thread(target=self._look, args=(ended,))
        thread.start()
        try:
            yield self
        finally:
            self.begin("")
            ended.set()
            thread.join()

    def begin(self, stage: str, _done: int = 0, _total: int = 0) -> None:
        if stage != self._stage:
            now = time.process_time()
            self.cpu_s[self._stage] = self.cpu_s.get(self._stage, 0.0) + now - self._since
            self._stage, self._since = stage, now

    def _look(self, ended: threading.Event) -> None:
        while not ended.wait(EVERY_S):
            stage, now = self._stage, anonymous_mb() - self._held
            self.peak_mb[stage] = max(self.peak_mb.get(stage, 0.0), now)


def main() -> None:
    args = parse_args()
    machine = environment(torch.device("cpu"))
    size = (args.size[0], args.size[1])
    walks = []
    for n in args.frames:
        with tempfile.TemporaryDirectory() as folder:
            planted = alone(args.threads, plant, n, size, args.seed, Path(folder) / "predictions")
            walks.append(alone(args.threads, measure, n, size, Method(args.align), planted))
        print(f"{n} frames: {max(walks[-1]['peak_mb'].values()):.0f} MB", file=sys.stderr, flush=True)
    print(table([row_of(walk) for walk in walks]) + "\n")
    record = {"benchmark": "alignment-memory", "size": args.size, "align": args.align, "walks": walks}
    if len(walks) > 1:
        each, once = np.polyfit(args.frames, [max(walk["peak_mb"].values()) for walk in walks], 1)
        record |= {"frame_mb": float(each), "once_mb": float(once), "thousand_mb": float(once + MANY * each)}
        print(f"{each:.2f} MB for each frame and {once:.0f} MB once: {once + MANY * each:.0f} MB for {MANY} frames\n")
    finish("alignment-memory", record | {"environment": machine}, args.out)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--frames", type=int, nargs="+", default=[40, 80, 120], help="of each walk (default: 40 80 120)"
    )
    size = "height and width of the pictures, pixels (default: 384 512)"
    parser.add_argument("--size", type=int, nargs=2, default=(384, 512), metavar=("H", "W"), help=size)
    parser.add_argument("--align", choices=("graph", "full"), default="full")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    add_out_flag(parser)
    return parser.parse_args(arguments)


def alone(threads: int, task: Callable[..., T], *given: Any) -> T:
    """Do it in a process of its own, where nothing has left memory behind."""
    context = get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=torch.set_num_threads, initargs=(threads,)) as process:
        return process.submit(task, *given).result()


def plant(n: int, size: tuple[int, int], seed: int, folder: Path) -> Planted:
    """Fill a folder with predictions."""
    walk, stars = PlantedWalk(n, size=size, seed=seed), CONFIG.stars(n)
    store = PredictionStore(n, pairs_of(stars), size, folder=folder)
    for number in range(n):
        store.put_alone(number, walk.alone.points_self[number], walk.alone.conf_self[number])
    for some in (stars[k : k + STARS] for k in range(0, len(stars), STARS)):
        seen = walk.look(some)
        for row, (i, j) in enumerate(seen.ends.tolist()):
            store.put_pair((i, j), seen.points_pair[row], seen.conf_pair[row])
    store.finish(range(n))
    return Planted(folder, walk.world_from_cam, walk.chained())


def measure(n: int, size: tuple[int, int], method: Method, planted: Planted) -> dict[str, Any]:
    """Align one walk."""
    taken, config = pictures(n, size), replace(CONFIG, method=method)
    said = PredictionStore(n, pairs_of(config.stars(n)), size, folder=planted.folder).predictions(taken.images)
    watch = Watch()
    with watch.stages("reading") as tell:
        aligned = (by_full if method is Method.full else by_graph)(taken, said, config, tell.begin)
    return {
        "frames": n,
        "pairs": len(said.ends),
        "predictions_mb": sum(file.stat().st_size for file in planted.folder.iterdir()) / 1e6,
        "ate_given": float(ate_sim3(planted.chained, planted.world_from_cam)),
        "ate": float(ate_sim3(aligned.world_from_cam.double(), planted.world_from_cam)),
        "peak_mb": watch.peak_mb,
        "cpu_s": watch.cpu_s,
    }


def pictures(n: int, size: tuple[int, int]) -> Taken:
    """Black ones: what an alignment takes with the predictions."""
    black = np.zeros((*size, 3), np.uint8)
    return take((Frame(black, k, None, f"{k}") for k in range(n)), FitConfig(max(size)))


def anonymous_mb() -> float:
    """What the process holds but for files."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in status if line.startswith("RssAnon"))) * 1024 / 1e6


def row_of(walk: dict[str, Any]) -> dict[str, Any]:
    peaks = {f"{stage}, MB": mb for stage, mb in walk["peak_mb"].items() if stage}
    seconds = {f"{stage}, s": s for stage, s in walk["cpu_s"].items() if stage}
    return {name: walk[name] for name in ("frames", "pairs", "predictions_mb", "ate")} | peaks | seconds


if __name__ == "__main__":
    main()
