"""Two computations that do not need each other: one after the other, or at the same time on a GPU.

A GPU works on several small kernels at once if they come on different streams. Launched from Python one by one they
would hardly overlap; recorded into a CUDA graph they do.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_offered = threading.local()


@contextmanager
def second_stream(stream: torch.cuda.Stream) -> Iterator[None]:
    """Let `concurrently` use this stream beside the current one, in this thread. It must belong to the caller alone:
    libraries keep scratch memory per stream, and two recordings must not share it."""
    _offered.stream = stream
    try:
        yield
    finally:
        _offered.stream = None


def concurrently(first: Callable[[], Tensor], second: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """Compute both; at the same time where a second stream is offered."""
    beside: torch.cuda.Stream | None = getattr(_offered, "stream", None)
    if beside is None:
        return first(), second()
    here = torch.cuda.current_stream(beside.device)
    beside.wait_stream(here)  # fork
    with torch.cuda.stream(beside):
        other = second()
    one = first()
    here.wait_stream(beside)  # join
    return one, other
