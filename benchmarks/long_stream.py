"""Do time and memory per frame stay the same, however long the stream?

Sends thousands of frames through all that the demo does except reading and showing: session, bounded reconstruction,
files of each frame. The network is tiny, so that whatever grows with the stream stands out. The first frames fill the
reconstruction and the allocator's pools; then the first hundred frames are compared with the last hundred. Only the
list of cameras may grow: 168 bytes and a name per frame. Time is judged by what the processor spent (`cpu_ms`), which
other programs on the machine hardly change; `ms` is what a clock on the wall shows.

    python benchmarks/long_stream.py --frames 2000 --out
    python benchmarks/long_stream.py --frames 10000 --chunks     resets, joints, keyframes and loops on
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import torch
from networks import random_network, tiny
from report import add_out_flag, environment, finish, table

from cut3r.alignment.stream_loops import StreamLoops
from cut3r.files.atomic import atomic_path
from cut3r.inference.chunks import ResetConfig
from cut3r.inference.frame_folder import FrameFolder
from cut3r.inference.keyframes import KeyframeConfig
from cut3r.inference.places import MOST, SPACING
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.session import Session
from cut3r.io.frames import Frame
from cut3r.model.dpt import DptHead
from cut3r.model.network import Cut3r

CHECKPOINTS = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
WINDOW = 100  # frames that are compared, and as many before them for warming up
MAX_POINTS = 20_000  # reached within a few dozen frames
CPU = torch.device("cpu")
FRAME_SIZE = (96, 128)  # (h, w)
RESETS = ResetConfig(every=50, evidence=False)  # random weights lose their way every few frames
ANCHORED = MOST * SPACING  # frames that fill a session's anchors
FLAT_MEMORY_MB = 4.0  # between the windows: what an allocator may hold back without anything growing
FLAT_TIME = 1.25  # last over first: a machine that does nothing else stays well below


@dataclass(frozen=True)
class Usage:
    """Of each frame: milliseconds on the clock and of the processor, and the memory of the whole process after it, with
    what it holds on a GPU."""

    ms: list[float]
    cpu_ms: list[float]
    memory_mb: list[float]


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000, help="at least 6 (default: %(default)s)")
    chunks = "with resets every 50 frames, joints, keyframes by number, and loops"
    parser.add_argument("--chunks", action="store_true", help=chunks)
    parser.add_argument("--no-files", action="store_true", help="do not write the files of each frame")
    parser.add_argument("--threads", type=int, default=1, help="tiny networks gain nothing from more")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="(default: %(default)s)")
    add_out_flag(parser)
    args = parser.parse_args(arguments)
    if args.frames < 6:
        parser.error(f"--frames is {args.frames}; at least 6 are needed: to warm up, a first and a last part")
    return args


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    logging.basicConfig(level=logging.ERROR)  # random weights make no pinhole cameras, and the session warns of that
    machine = environment(args.device)
    usage = stream(args.frames, write_files=not args.no_files, device=args.device, chunks=args.chunks)
    rows = at_checkpoints(usage)
    verdict = compare(usage, after=ANCHORED if args.chunks else 0)
    print(table(rows) + "\n")
    print(f"memory {flat_or_grows(verdict['memory_is_flat'])}: {verdict['memory_growth_mb']:+.2f} MB", end="")
    print(f", time {flat_or_grows(verdict['time_is_flat'])}: x {verdict['time_ratio']:.3f}", end="")
    print(f" from the first {verdict['window']} frames after warming up to the last")
    record = {"benchmark": "long_stream", "config": "tiny", "frames": args.frames, "files": not args.no_files}
    record["chunks"] = args.chunks
    path = finish("long-stream", record | verdict | {"rows": rows, "environment": machine}, args.out)
    if path:
        plot(usage, path.with_suffix(".png"))


def moving_pattern(frames: int) -> Iterator[Frame]:
    """Colourful waves that travel: each frame is computed when it is asked for, and none is like another."""
    h, w = FRAME_SIZE
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    for index in range(frames):
        waves = [np.sin(x / 9 + index / 7), np.sin(y / 11 - index / 13), np.sin((x + y) / 15 + index / 5)]
        rgb = (127.5 * (1 + np.stack(waves, axis=-1))).astype(np.uint8)
        yield Frame(rgb, index, index / 30, f"waves#{index:06d}")


def stream(frames: int, *, write_files: bool, device: torch.device = CPU, chunks: bool = False) -> Usage:
    """Reconstruct a stream of so many frames, and measure each.

    Args:
        chunks: In chunks that are joined, with keyframes and loops.
    """
    process = psutil.Process()
    long = {"resets": RESETS, "keyframes": KeyframeConfig.of_text("every:2"), "loops": StreamLoops()} if chunks else {}
    session = Session(with_points_ahead(random_network(tiny(), device)), **long)  # type: ignore[arg-type]
    scene = Reconstruction(max_points=MAX_POINTS, confidence=1.0)
    usage = Usage([], [], [])
    with tempfile.TemporaryDirectory() as folder:
        sink = FrameFolder(folder)
        for frame in moving_pattern(frames):
            start, cpu_start = time.perf_counter(), time.process_time()
            result = session.push(frame)
            scene.add(result)
            if write_files:
                sink.add(result)
            usage.ms.append(1e3 * (time.perf_counter() - start))
            usage.cpu_ms.append(1e3 * (time.process_time() - cpu_start))
            usage.memory_mb.append(process.memory_info().rss / 1e6 + on_device_mb(device))
    check_kept(session, scene, chunks=chunks)
    return usage


def with_points_ahead(model: Cut3r) -> Cut3r:
    """Random weights see all points behind the camera, where none counts: then no point, anchor or overlap is kept, and
    nothing is measured."""
    head = model.heads.points_cam
    assert isinstance(head, DptHead) and head.last.bias is not None
    with torch.no_grad():
        head.last.bias[2] += 1.0
    return model


def check_kept(session: Session, scene: Reconstruction, *, chunks: bool) -> None:
    """What is bounded must have been there: a stream that keeps nothing is flat, whatever the code does.

    Raises:
        RuntimeError: Nothing was kept.
    """
    course = session.snapshot().course
    kept = {"points": len(scene)}
    if chunks:
        kept |= {"anchors": len(course.places.anchors), "frames of the overlap": len(course.overlap)}
    if missing := [name for name, count in kept.items() if count == 0]:
        raise RuntimeError(f"the stream kept no {' and no '.join(missing)}, so this measured nothing")


def on_device_mb(device: torch.device) -> float:
    return torch.cuda.memory_allocated(device) / 1e6 if device.type == "cuda" else 0.0


def at_checkpoints(usage: Usage) -> list[dict[str, Any]]:
    """Make one row for the last 20 frames before each checkpoint, and for the end of the stream."""
    frames = len(usage.ms)
    ends = [*(point for point in CHECKPOINTS if point < frames), frames]
    return [
        {
            "frames": end,
            "ms": median(usage.ms[max(0, end - 20) : end]),
            "cpu_ms": median(usage.cpu_ms[max(0, end - 20) : end]),
            "memory_mb": median(usage.memory_mb[max(0, end - 20) : end]),
        }
        for end in ends
    ]


def compare(usage: Usage, *, after: int = 0) -> dict[str, Any]:
    """Compare the first frames after warming up with the last.

    Args:
        after: Frames that fill what is bounded, beside those of warming up; not so many of a short stream.
    """
    window = min(WINDOW, len(usage.ms) // 3)
    begin = min(after + window, len(usage.ms) - 2 * window)
    first = slice(begin, begin + window)
    first_ms, last_ms = median(usage.cpu_ms[first]), median(usage.cpu_ms[-window:])
    first_mb, last_mb = median(usage.memory_mb[first]), median(usage.memory_mb[-window:])
    return {
        "window": window,
        "first_cpu_ms": first_ms,
        "last_cpu_ms": last_ms,
        "time_ratio": last_ms / first_ms,
        "time_is_flat": last_ms / first_ms < FLAT_TIME,
        "first_memory_mb": first_mb,
        "last_memory_mb": last_mb,
        "memory_growth_mb": last_mb - first_mb,
        "memory_is_flat": last_mb - first_mb < FLAT_MEMORY_MB,
    }


def flat_or_grows(flat: bool) -> str:
    return "stays flat" if flat else "GROWS"


def plot(usage: Usage, path: Path) -> None:
    """Draw memory and time against the number of frames."""
    from matplotlib.figure import Figure  # only needed here, and slow to import

    figure = Figure(figsize=(8, 5), layout="constrained")
    memory, ms = figure.subplots(2, 1, sharex=True)
    memory.plot(usage.memory_mb, color="tab:blue")
    memory.set(
        ylabel="memory of the process, MB",
        ylim=(0, 1.2 * max(usage.memory_mb)),
        title="The whole pipeline with a tiny network",
    )
    ms.plot(usage.cpu_ms, ".", markersize=2, color="tab:orange")
    ms.set(xlabel="frame", ylabel="processor, ms per frame", ylim=(0, 3 * median(usage.cpu_ms)))
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)


if __name__ == "__main__":
    main()
