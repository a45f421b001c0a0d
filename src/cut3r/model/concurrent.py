"""Two computations that do not need each other: one after the other, or at the same time on a GPU.

A GPU works on several small kernels at once if they come on different streams. Launched from Python one by one they
would hardly overlap; recorded into a CUDA graph they do.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor


def concurrently(first: Callable[[], Tensor], second: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """Compute both; at the same time while a CUDA graph is being recorded."""
    if not (torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()):
        return first(), second()
    here = torch.cuda.current_stream()
    beside = _second_stream(here.device)
    beside.wait_stream(here)  # fork
    with torch.cuda.stream(beside):
        other = second()
    one = first()
    here.wait_stream(beside)  # join
    return one, other


@lru_cache(maxsize=8)
def _second_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
