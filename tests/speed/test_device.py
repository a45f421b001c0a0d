import pytest
import torch

from cut3r.speed.device import check_device


@pytest.fixture
def machine(monkeypatch):
    """Pretend to be a machine with so many GPUs, or a Mac."""

    def pretend(*, gpus: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    pretend()
    return pretend


def test_auto_takes_the_fastest_kind_that_is_there(machine):
    assert check_device("auto") == torch.device("cpu")
    machine(mps=True)
    assert check_device("auto") == torch.device("mps")
    machine(gpus=1, mps=True)
    assert check_device("auto") == torch.device("cuda")


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1", "mps"])
def test_a_device_that_is_there_is_given(machine, name):
    machine(gpus=2, mps=True)
    assert check_device(name) == torch.device(name)


@pytest.mark.parametrize(
    "name", ["foo", "", "meta", "xla", "cpu:1", "cuda", "cuda:0", "cuda:9", "cuda:", "mps", "CPU", "cuda:-1"]
)
def test_a_device_that_is_not_there_is_refused(machine, name):
    with pytest.raises(ValueError, match=f"device '{name}'"):
        check_device(name)


def test_a_gpu_beyond_the_last_is_refused(machine):
    machine(gpus=2)
    with pytest.raises(ValueError, match="the 2 CUDA devices count from cuda:0"):
        check_device("cuda:2")
