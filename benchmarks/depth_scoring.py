"""Does scoring the depth of a long video take less time and memory than a loop that keeps all its pixels?

The same formulas twice: as `cut3r.metrics.depth_scoring` does them, frame by frame and block by block ("stream"), and
as one would write them down, with tensors of all pixels of the video ("loop"). Both read the same files, predictions of
network size (.npy) and true depths (16-bit PNG), a few of which serve again and again. Each run is a process of its
own: `added_mb` is the peak of its memory over what it held before the first frame, libraries included. The temporary
file of the stream is no memory of the process; `spilled_mb` says how large it gets.

    python benchmarks/depth_scoring.py --frames 100 300 1000 --out
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from report import add_out_flag, environment, finish, table
from timing import peak_memory_mb, start_peak_memory
from torch import Tensor
from torch.nn.functional import interpolate

from cut3r.io.depth import read_depth, write_depth
from cut3r.metrics.depth_alignment import DepthAlignment
from cut3r.metrics.depth_scoring import DepthScorer, DepthScoring

PREDICTION_SIZE, TARGET_SIZE = (384, 512), (480, 640)  # (h, w)
DISTINCT_FRAMES = 20
MAX_DEPTH = 70.0  # metres
AGREE = 3e-3  # relative: as much as scale_published depends on the order of summation
SCORES = ("abs_rel", "sq_rel", "rmse", "log_rmse", "delta_1", "delta_2", "delta_3")

Scores = dict[str, float]


class Clock:
    """Seconds on the wall by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[100, 300, 1000], help="default: %(default)s")
    parser.add_argument("--alignments", nargs="+", default=["median", "scale_published"], choices=list(LOOP_FITS))
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: %(default)s)")
    parser.add_argument("--run", nargs=2, metavar=("WAY", "FOLDER"), help="one run in this process; used internally")
    add_out_flag(parser)
    return parser.parse_args(arguments)


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    if args.run:
        print(json.dumps(measure(args.run[0], Path(args.run[1]), args.frames[0], args.alignments)))
        return
    machine = environment(torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        write_frames(Path(folder))
        runs = [run_alone(way, folder, frames, args) for frames in args.frames for way in WAYS]
    print(table([{name: value for name, value in run.items() if name != "scores"} for run in runs]) + "\n")
    verdicts = [compare(loop, stream) for loop, stream in zip(runs[::2], runs[1::2], strict=True)]
    print(table(verdicts))
    record = {"benchmark": "depth_scoring", "alignments": args.alignments, "runs": runs, "verdicts": verdicts}
    finish("depth-scoring", record | {"environment": machine}, args.out)


def write_frames(folder: Path) -> None:
    """Make wavy walls, and predictions of them with noise, another scale and a shift."""
    rng = np.random.default_rng(0)
    for index in range(DISTINCT_FRAMES):
        depths = []
        for h, w in (TARGET_SIZE, PREDICTION_SIZE):
            y, x = np.mgrid[0 : 1 : h * 1j, 0 : 1 : w * 1j]
            depths.append((4 + 2 * x + np.sin(9 * x + index) * np.cos(7 * y)).astype(np.float32))
        target, prediction = depths
        target[rng.random(TARGET_SIZE) < 0.1] = 0  # unknown
        noise = rng.normal(1, 0.1, PREDICTION_SIZE).astype(np.float32)
        write_depth(folder / f"{index}.png", target)
        write_depth(folder / f"{index}.npy", (0.6 * prediction + 0.2) * noise)


def run_alone(way: str, folder: str, frames: int, args: argparse.Namespace) -> dict[str, Any]:
    """Let a process of its own measure, and read what it prints."""
    options = ["--frames", str(frames), "--threads", str(args.threads), "--alignments", *args.alignments]
    command = [sys.executable, __file__, "--run", way, folder, *options]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return {"frames": frames, "way": way, **json.loads(printed)}


def measure(way: str, folder: Path, frames: int, alignments: list[str]) -> dict[str, Any]:
    """Score a video in one of the ways: seconds by stage, memory, and the scores."""
    device, clock = torch.device("cpu"), Clock()
    start_peak_memory(device)
    held_mb = psutil.Process().memory_info().rss / 1e6
    start, cpu_start = time.perf_counter(), time.process_time()
    scores, spilled_mb = WAYS[way](frames_of(folder, frames, clock), alignments, clock)
    seconds = {"total_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu_start}
    peak_mb = peak_memory_mb(device)
    added_mb = None if peak_mb is None else peak_mb - held_mb
    stages = {f"{stage}_s": spent for stage, spent in clock.seconds.items()}
    return {**stages, **seconds, "peak_mb": peak_mb, "added_mb": added_mb, "spilled_mb": spilled_mb, "scores": scores}


def frames_of(folder: Path, frames: int, clock: Clock) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for index in range(frames):
        with clock("read"):
            name = index % DISTINCT_FRAMES
            prediction, target = read_depth(folder / f"{name}.npy"), read_depth(folder / f"{name}.png")
        yield prediction, target


def stream(
    frames: Iterator[tuple[np.ndarray, np.ndarray]], alignments: list[str], clock: Clock
) -> tuple[dict[str, Scores], float]:
    """Score as the library does."""
    scores = {}
    with DepthScorer(DepthScoring(max_depth=MAX_DEPTH)) as scorer:
        for prediction, target in frames:
            with clock("add"):
                scorer.add(prediction, target)
        for name in alignments:
            with clock(name):
                result = scorer.score(scorer.fit(DepthAlignment(name)))
            scores[name] = {key: getattr(result, key) for key in SCORES}
        return scores, scorer.pairs.bytes_in_file / 1e6


def loop(
    frames: Iterator[tuple[np.ndarray, np.ndarray]], alignments: list[str], clock: Clock
) -> tuple[dict[str, Scores], float]:
    """Score with all pixels in two tensors."""
    predictions, targets, scores = [], [], {}
    for small, depth in frames:
        with clock("add"):
            target = torch.from_numpy(depth)
            resized = interpolate(torch.from_numpy(small)[None, None], depth.shape, mode="bicubic")[0, 0]
            valid = (target > 0) & (target < MAX_DEPTH)
            predictions.append(resized[valid])
            targets.append(target[valid])
    with clock("add"):
        p, g = torch.cat(predictions), torch.cat(targets)
        del predictions, targets  # or else every pixel is there twice
    for name in alignments:
        with clock(name):
            scores[name] = loop_scores(LOOP_FITS[name](p, g), g)
    return scores, 0.0


def loop_scores(p: Tensor, g: Tensor) -> Scores:
    error = p - g
    factor = torch.maximum(p.clamp_min(1e-5) / g, g / p.clamp_min(1e-5))
    return {
        "abs_rel": (error.abs() / g).mean().item(),
        "sq_rel": (error.square() / g).mean().item(),
        "rmse": error.square().mean().sqrt().item(),
        "log_rmse": (p.clamp_min(1e-5).log() - g.log()).square().mean().sqrt().item(),
        **{f"delta_{power}": (factor < 1.25**power).float().mean().item() for power in (1, 2, 3)},
    }


def loop_median(p: Tensor, g: Tensor) -> Tensor:
    return p * (g.median() / p.median())


def loop_scale_published(p: Tensor, g: Tensor) -> Tensor:
    scale = g.mean() / p.mean()
    for _ in range(10):
        weight = 1 / ((scale * p - g).abs() + 1e-8)
        scale = (weight * p * g).sum() / (weight * p * p).sum()
    return p * scale.clamp_min(1e-3)


def loop_scale(p: Tensor, g: Tensor) -> Tensor:
    ratio, order = (g / p).sort()
    reached = p[order].cumsum(dim=0, dtype=torch.float64)
    return p * ratio[torch.searchsorted(reached, reached[-1:] / 2)]


def loop_scale_shift_published(p: Tensor, g: Tensor) -> Tensor:
    scale = (g.median() / p.median()).requires_grad_()
    shift = torch.zeros_like(scale, requires_grad=True)
    optimizer, previous = torch.optim.Adam([scale, shift], lr=1e-4), float("inf")
    for _ in range(1000):
        optimizer.zero_grad()
        loss = (scale * p + shift - g).abs().sum()
        loss.backward()
        optimizer.step()
        if abs(previous - loss.item()) < 1e-6:
            break
        previous = loss.item()
    return (scale * p + shift).detach()


LOOP_FITS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "metric": lambda p, g: p,
    "median": loop_median,
    "scale": loop_scale,
    "scale_published": loop_scale_published,
    "scale_shift_published": loop_scale_shift_published,
}
WAYS = {"loop": loop, "stream": stream}


def compare(loop_run: dict[str, Any], stream_run: dict[str, Any]) -> dict[str, Any]:
    """Divide the stream's needs by the loop's, and find the largest relative difference between scores."""
    pairs = [
        (value, loop_run["scores"][name][key])
        for name, scores in stream_run["scores"].items()
        for key, value in scores.items()
    ]
    difference = max(abs(ours - theirs) / theirs for ours, theirs in pairs)
    without_reading = (run["total_s"] - run["read_s"] for run in (stream_run, loop_run))
    ours_s, theirs_s = without_reading
    return {
        "frames": stream_run["frames"],
        "time_ratio": stream_run["total_s"] / loop_run["total_s"],
        "time_ratio_without_reading": ours_s / theirs_s,
        "added_memory_ratio": stream_run["added_mb"] / loop_run["added_mb"] if loop_run["added_mb"] else None,
        "largest_difference": difference,
        "scores_agree": difference < AGREE,
    }


if __name__ == "__main__":
    main()
