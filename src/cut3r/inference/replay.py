"""A function of tensors, recorded once and replayed: a CUDA graph launches a thousand kernels with one call.

A network step on a fast GPU is limited by how fast Python can launch its kernels. A graph remembers them, with the
addresses of all tensors; so inputs are copied into fixed places before a replay, and outputs out of them after it.

What a recording reads must live as long as the recording does, and nobody else may write to it:
- tables that the function takes from a cache are kept by the recording (`keep_tables`);
- cuBLAS keeps scratch memory per stream, so each recorder has streams of its own for warm-up and capture;
- destroying a graph frees the scratch memory of its stream under the others that were captured there (PyTorch issue
  193402), so all recordings of a recorder are dropped together, after the device has finished.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator

import torch
from torch import Tensor

from cut3r.model.rope import keep_tables
from cut3r.speed.concurrent import second_stream

Tensors = tuple[Tensor, ...]
# Makes a recording of a function without arguments, of which it gives the replay and the outputs.
Recorder = Callable[[Callable[[], Tensors]], tuple[Callable[[], None], Tensors]]

WARMUP = 3  # runs before the recording: libraries choose algorithms, caches fill
RECORD_AT_USE = 3  # a shape that comes once or twice is not worth a recording
MOST_RECORDINGS = 8  # alive at a time
MOST_COUNTED = 256  # shapes whose uses are counted

_one_capture_at_a_time = threading.Lock()  # PyTorch allows no more in a process


class CudaRecorder:
    """Records CUDA graphs that share their memory, so they must be replayed on one stream."""

    def __init__(self, device: torch.device, *, check_liveness: bool = False) -> None:
        self._device = device
        self._check_liveness = check_liveness  # slow; for tests
        self._stream, self._beside = torch.cuda.Stream(device), torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, run: Callable[[], Tensors]) -> tuple[Callable[[], None], Tensors]:
        with _one_capture_at_a_time, torch.cuda.device(self._device), second_stream(self._beside):
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                for _ in range(WARMUP):
                    run()
            torch.cuda.current_stream().wait_stream(self._stream)
            graph = torch.cuda.CUDAGraph()
            liveness = {"check_input_liveness": True} if self._check_liveness else {}
            # thread_local: another thread (the page of the viewer, say) may use the device meanwhile
            with torch.cuda.graph(
                graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local", **liveness
            ):
                outputs = run()
        return graph.replay, outputs

    def forget(self) -> None:
        """Get ready for all recordings to be dropped, together."""
        torch.cuda.synchronize(self._device)
        self._pool = torch.cuda.graph_pool_handle()  # the old one ends with its last graph


def eager_recorder(run: Callable[[], Tensors]) -> tuple[Callable[[], None], Tensors]:
    """Record without a graph, on any device: each replay runs the function and puts the outputs where they were."""
    outputs = run()

    def replay() -> None:
        for place, value in zip(outputs, run(), strict=True):
            place.copy_(value)

    return replay, outputs


class Replay:
    """A function whose inputs always have the same shapes, types and device.

    What it computes may depend on nothing else, and it may not ask the device for a value. The result of a call is
    the caller's: later calls do not touch it.
    """

    def __init__(self, function: Callable[..., Tensors], record: Recorder, inputs: Tensors) -> None:
        places = tuple(value.clone() for value in inputs)
        with keep_tables() as self._tables:  # read by the recording whenever it is replayed
            self._replay, self._outputs = record(lambda: function(*places))
        self._places = places

    def __call__(self, *inputs: Tensor) -> Tensors:
        for place, value in zip(self._places, inputs, strict=True):
            assert (place.shape, place.dtype) == (value.shape, value.dtype), "recorded for other inputs"
            place.copy_(value, non_blocking=True)
        self._replay()
        return tuple(output.clone() for output in self._outputs)


class Recordings:
    """Runs functions, and records those that come back with inputs of the same shapes and types.

    Args:
        record: None records nothing.
        forget: Called before all recordings are dropped.
    """

    def __init__(self, record: Recorder | None, forget: Callable[[], None] = lambda: None) -> None:
        self._record = record
        self._forget = forget
        self._replays: dict[tuple[Hashable, ...], Replay] = {}
        self._uses: OrderedDict[tuple[Hashable, ...], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._replays)

    def __iter__(self) -> Iterator[tuple[Hashable, ...]]:
        return iter(self._replays)

    def run(self, key: tuple[Hashable, ...], function: Callable[..., Tensors], *inputs: Tensor) -> Tensors:
        """Give `function(*inputs)`.

        Args:
            key: Everything beside the inputs that the function depends on.
        """
        if self._record is None:
            return function(*inputs)
        key = (*key, tuple((value.shape, value.dtype) for value in inputs))
        if key not in self._replays:
            if self._count(key) < RECORD_AT_USE:
                return function(*inputs)
            if len(self._replays) == MOST_RECORDINGS:
                self.drop()
            self._replays[key] = Replay(function, self._record, inputs)
        return self._replays[key](*inputs)

    def drop(self) -> None:
        """Forget all recordings, together; shapes that go on coming are recorded again."""
        self._forget()
        self._replays.clear()

    def _count(self, key: tuple[Hashable, ...]) -> int:
        self._uses[key] = uses = self._uses.pop(key, 0) + 1
        if len(self._uses) > MOST_COUNTED:
            self._uses.popitem(last=False)
        return uses
