"""A function of tensors, recorded once and replayed: a CUDA graph launches a thousand kernels with one call.

A network step on a fast GPU is limited by how fast Python can launch its kernels. A graph remembers them, with the
addresses of all tensors; so inputs are copied into fixed places before a replay, and outputs out of them after it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]
Recorder = Callable[[Callable[[], Tensors]], tuple[Callable[[], None], Tensors]]

WARMUP = 3  # runs before the recording: libraries choose algorithms, caches fill


class Replay:
    """A function whose inputs always have the same shapes, types and device.

    What it computes may depend on nothing else, and it may not ask the device for a value. The result of a call is
    the caller's: later calls do not touch it.

    Args:
        record: Makes a recording of a function without arguments, of which it gives the replay and the outputs.
    """

    def __init__(self, function: Callable[..., Tensors], record: Recorder) -> None:
        self._function = function
        self._record = record
        self._inputs: Tensors = ()
        self._outputs: Tensors = ()
        self._replay: Callable[[], None] | None = None

    def __call__(self, *inputs: Tensor) -> Tensors:
        if self._replay is None:
            self._inputs = tuple(value.clone() for value in inputs)
            self._replay, self._outputs = self._record(lambda: self._function(*self._inputs))
        for place, value in zip(self._inputs, inputs, strict=True):
            assert (place.shape, place.dtype) == (value.shape, value.dtype), "recorded for other inputs"
            place.copy_(value, non_blocking=True)
        self._replay()
        return tuple(output.clone() for output in self._outputs)


def cuda_recorder() -> Recorder:
    """Give a recorder whose graphs share their memory, so they must be replayed on one stream."""
    pool: list[Any] = []

    def record(run: Callable[[], Tensors]) -> tuple[Callable[[], None], Tensors]:
        pool[:] = pool or [torch.cuda.graph_pool_handle()]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARMUP):
                run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool[0]):
            outputs = run()
        return graph.replay, outputs

    return record


def eager_recorder(run: Callable[[], Tensors]) -> tuple[Callable[[], None], Tensors]:
    """Record without a graph, on any device: each replay runs the function and puts the outputs where they were."""
    outputs = run()

    def replay() -> None:
        for place, value in zip(outputs, run(), strict=True):
            place.copy_(value)

    return replay, outputs
