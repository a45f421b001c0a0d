"""What a sequence costs: seconds, milliseconds per frame without decoding, memory.

Pictures are decoded in batches before they are handed to the system, and a frame is timed only if none was being
decoded meanwhile: reading ahead in another thread would otherwise take the processor from what is measured.
"""

import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from cut3r.io.frames import Frame
from eval.systems.base import FramePrediction

BATCH = 32  # pictures that are decoded at once ...
BATCH_BYTES = 64 * 2**20  # ... as long as they are no larger together
PERCENTILE = 90


class Clock:
    """Watches one sequence. Times are those of `time.perf_counter`."""

    def __init__(self, tick: Callable[[], None]) -> None:
        """Take what is to be called after each prediction."""
        self._tick = tick
        self._frames: list[tuple[float, float]] = []  # from asking for a prediction to having it
        self._decoding: list[tuple[float, float]] = []
        self._lock = threading.Lock()  # systems read frames in threads of their own

    def read(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Decode frames in batches, and note when."""
        ended = False
        while not ended:
            batch: list[Frame] = []
            start = time.perf_counter()
            while len(batch) < BATCH and sum(frame.rgb.nbytes for frame in batch) < BATCH_BYTES:
                frame = next(frames, None)
                if frame is None:
                    ended = True
                    break
                batch.append(frame)
            with self._lock:
                self._decoding.append((start, time.perf_counter()))
            yield from batch

    def watch(self, predictions: Iterator[FramePrediction]) -> Iterator[FramePrediction]:
        """Hand on predictions, and note how long each took."""
        if _on_gpu():
            torch.cuda.reset_peak_memory_stats()
        while True:
            start = time.perf_counter()
            prediction = next(predictions, None)  # on the host: nothing is left to wait for
            if prediction is None:
                return
            self._frames.append((start, time.perf_counter()))
            self._tick()
            yield prediction

    def record(self) -> dict[str, Any]:
        """Say what was measured; peak memory of the host is that of the process so far.

        The first frame is timed from the end of the decoding before it, and counts for itself only: it compiles,
        allocates and fills caches.
        """
        unit = 1 if sys.platform == "darwin" else 1024
        return {
            "seconds": sum(end - start for start, end in self._frames),
            "decoding_seconds": sum(end - start for start, end in self._decoding),
            **frame_times(self._frames, self._decoding),
            "peak_memory_mb": unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
            "peak_gpu_memory_mb": torch.cuda.max_memory_allocated() / 1e6 if _on_gpu() else None,
        }


def frame_times(frames: list[tuple[float, float]], decoding: list[tuple[float, float]]) -> dict[str, Any]:
    """Give the milliseconds of a frame: median, 90th percentile, first; and how many frames the former are of.

    Without a second frame, or where pictures were being decoded all the time, there is no median (None).
    """
    if not frames:
        return {}
    starts, ends = np.array(frames).T
    decoded_from, decoded_to = np.array(decoding).reshape(-1, 2).T
    alone = ((decoded_to[None] <= starts[:, None]) | (decoded_from[None] >= ends[:, None])).all(axis=1)
    alone[0] = False
    timed = 1e3 * (ends - starts)[alone]
    before = decoded_to[decoded_to <= ends[0]]
    return {
        "frame_ms_median": float(np.median(timed)) if len(timed) else None,
        "frame_ms_p90": float(np.percentile(timed, PERCENTILE)) if len(timed) else None,
        "frame_ms_first": 1e3 * float(ends[0] - max(starts[0], before.max(initial=-np.inf))),
        "frames_timed": len(timed),
    }


def total_cost(costs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put the costs of sequences together: sums of frames and seconds, the middle sequence's milliseconds, the largest
    memory."""
    if not costs:
        return {}
    middle = ("frame_ms_median", "frame_ms_p90", "frame_ms_first")
    largest = ("peak_memory_mb", "peak_gpu_memory_mb")
    known = {key: [cost[key] for cost in costs if cost.get(key) is not None] for key in (*middle, *largest)}
    return {
        "frames": sum(cost["frames"] for cost in costs),
        "seconds": sum(cost["seconds"] for cost in costs),
        **{key: float(np.median(known[key])) if known[key] else None for key in middle},
        **{key: max(known[key], default=None) for key in largest},
    }


def cost_text(cost: Mapping[str, Any]) -> str:
    """Say it in a line for the console; nothing where nothing was predicted here."""
    if not cost or cost["frame_ms_median"] is None:
        return ""
    gpu = "" if cost["peak_gpu_memory_mb"] is None else f", {cost['peak_gpu_memory_mb']:.0f} MB of the GPU"
    return (
        f"{cost['frame_ms_median']:.1f} ms per frame without decoding (90 %: {cost['frame_ms_p90']:.1f}, first: "
        f"{cost['frame_ms_first']:.1f}); at most {cost['peak_memory_mb']:.0f} MB of memory{gpu}"
    )


def _on_gpu() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_initialized()
