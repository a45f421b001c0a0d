"""How long, how much memory, and how fast the machine could be: what every benchmark measures in the same way."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import linear

PEAK_MATRIX_SIZE = {"cpu": 1536, "cuda": 8192}  # side of the matrices: large enough for full speed


@dataclass(frozen=True)
class Timing:
    """Milliseconds per call: half of the calls were faster than `median`, one in ten faster than `p10`.

    `cpu` is what our process spent on a call on all its threads together, the median. Other programs on the machine
    hardly change it. On a GPU it says little.
    """

    median: float
    p10: float
    p90: float
    cpu: float


def time_ms(run: Callable[[], object], *, repeats: int, warmup: int, device: torch.device) -> Timing:
    """Time `run`, each call by itself, after `warmup` calls that do not count."""
    for _ in range(warmup):  # the first calls allocate, pick algorithms and fill caches
        run()
    samples, cpu_samples = [], []
    for _ in range(repeats):
        synchronize(device)  # a call on a GPU returns before its work is done
        start, cpu_start = time.perf_counter(), time.process_time()
        run()
        synchronize(device)
        samples.append(1e3 * (time.perf_counter() - start))
        cpu_samples.append(1e3 * (time.process_time() - cpu_start))
    p10, median, p90 = (float(value) for value in np.percentile(samples, (10, 50, 90)))
    return Timing(median, p10, p90, float(np.median(cpu_samples)))


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def matrix_peak_gflops(dtype: torch.dtype, device: torch.device) -> float:
    """Measure the GFLOP/s of one large matrix product: what a network made of matrix products could reach here.

    One of the faster tries, because whatever else runs on the machine can only make it slower.
    """
    side = PEAK_MATRIX_SIZE.get(device.type, 4096)
    a, b = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    # linear, not a @ b: in the layout of the network's weights a CPU multiplies bfloat16 seven times faster
    timing = time_ms(lambda: linear(a, b), repeats=5, warmup=1, device=device)
    return 2e-6 * side**3 / timing.p10


def start_peak_memory(device: torch.device) -> None:
    """Forget the peak so far, so that `peak_memory_mb` tells of what comes now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")  # 5: reset the resident high-water mark; see man 5 proc


def peak_memory_mb(device: torch.device) -> float | None:
    """Return the peak of the GPU's memory or, on a CPU, of the whole process; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return status_mb("VmHWM") if device.type == "cpu" else None


def status_mb(field: str) -> float | None:
    """What Linux says of this process's memory: VmRSS (now), VmHWM (at most so far), RssAnon (what no file backs)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    kilobytes = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(kilobytes) * 1024 / 1e6
