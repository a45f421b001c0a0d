"""What the CUDA recorder asks of PyTorch, shown on a machine without a GPU by putting notes in the place of torch.cuda.

The kernels themselves are checked by the GPU tests of `test_replay.py`.
"""

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import jaxtyping
import pytest
import torch

from cut3r.inference import replay
from cut3r.inference.replay import MOST_RECORDINGS, RECORD_AT_USE, WARMUP, CudaRecorder, Recordings
from cut3r.speed import concurrent


class Gpu:
    """Notes who runs where: `log` holds (what, details) in order."""

    def __init__(self):
        self.log, self.stack, self.streams, self.pools = [], ["default"], [], []

    def stream(self):
        made = SimpleNamespace(name=f"stream {len(self.streams)}", device=torch.device("cuda", 1))
        made.wait_stream = lambda other: self.log.append(("wait", made.name))
        self.streams.append(made)
        return made

    @contextmanager
    def current(self, stream):
        self.stack.append(stream.name)
        yield
        self.stack.pop()

    @contextmanager
    def graph(self, graph, *, pool, stream, capture_error_mode):
        self.log.append(("capture", stream.name, pool, capture_error_mode))
        with self.current(stream):
            yield

    def pool(self):
        self.pools.append(f"pool {len(self.pools)}")
        return self.pools[-1]


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # a stream of notes is no torch.cuda.Stream
    gpu = Gpu()
    default = SimpleNamespace(name="default", wait_stream=lambda other: gpu.log.append(("wait", "default")))
    fakes = {
        "Stream": lambda device=None: gpu.stream(),
        "stream": gpu.current,
        "current_stream": lambda device=None: default,
        "device": lambda device: gpu.log.append(("device", device)) or nullcontext(),
        "graph_pool_handle": gpu.pool,
        "graph": gpu.graph,
        "CUDAGraph": lambda: SimpleNamespace(replay=lambda: gpu.log.append(("replay",))),
        "synchronize": lambda device=None: gpu.log.append(("synchronize", device)),
    }
    for module in (replay, concurrent):
        for name, fake in fakes.items():
            monkeypatch.setattr(module.torch.cuda, name, fake)
    return gpu


def recorded(gpu, recorder):
    """Record a function of two concurrent halves; gives the streams that ran it."""
    ran = []

    def half():
        ran.append(gpu.stack[-1])
        return torch.zeros(1)

    recorder(lambda: concurrent.concurrently(half, half))
    return ran


def test_warm_up_and_capture_run_on_streams_of_the_recorder_alone(gpu):
    """PyTorch's default is one stream for the process: then all graphs share one scratch memory."""
    first, second = CudaRecorder(torch.device("cuda", 1)), CudaRecorder(torch.device("cuda", 1))
    ran = recorded(gpu, first), recorded(gpu, second)
    assert all(len(runs) == 2 * (WARMUP + 1) for runs in ran)
    assert set(ran[0]) == {"stream 0", "stream 1"}
    assert set(ran[1]) == {"stream 2", "stream 3"}
    captures = [entry for entry in gpu.log if entry[0] == "capture"]
    assert [entry[1] for entry in captures] == ["stream 0", "stream 2"]
    assert len({entry[2] for entry in captures}) == 2


def test_a_capture_does_not_mind_what_other_threads_do(gpu):
    recorded(gpu, CudaRecorder(torch.device("cuda", 1)))
    assert [entry[3] for entry in gpu.log if entry[0] == "capture"] == ["thread_local"]


def test_the_device_of_the_model_is_the_current_one(gpu):
    recorded(gpu, CudaRecorder(torch.device("cuda", 1)))
    assert ("device", torch.device("cuda", 1)) in gpu.log


def test_without_a_second_stream_nothing_runs_beside_anything(gpu):
    ran = []
    concurrent.concurrently(lambda: ran.append(1), lambda: ran.append(2))
    assert ran == [1, 2]
    assert not gpu.log


def test_a_generation_is_dropped_after_the_device_has_finished_and_its_memory_with_it(gpu):
    recorder = CudaRecorder(torch.device("cuda", 1))
    recordings = Recordings(recorder, recorder.forget)
    for size in range(1, MOST_RECORDINGS + 2):
        for _ in range(RECORD_AT_USE):
            recordings.run(("twice",), lambda x: (2 * x,), torch.ones(size))
    assert len(recordings) == 1
    pools = [entry[2] for entry in gpu.log if entry[0] == "capture"]
    assert pools == [gpu.pools[0]] * MOST_RECORDINGS + [gpu.pools[1]]
    last_of_the_old, first_of_the_new = (
        [place for place, entry in enumerate(gpu.log) if entry[0] == "capture"][which] for which in (-2, -1)
    )
    assert ("synchronize", torch.device("cuda", 1)) in gpu.log[last_of_the_old:first_of_the_new]
