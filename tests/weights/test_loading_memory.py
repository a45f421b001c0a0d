"""Loading takes the memory of the network in its precision, not that of the file beside it."""

from pathlib import Path

import pytest
import torch

from benchmarks.timing import peak_memory_mb, start_peak_memory, status_mb
from cut3r.model.config import DecoderConfig, EncoderConfig, HeadKind, ModelConfig, StateConfig
from cut3r.model.network import Cut3r
from cut3r.weights.checkpoint import export_official, load, save

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def large() -> Cut3r:
    """180 MB in float32, which is far above what pages and allocators round."""
    torch.manual_seed(0)
    return Cut3r(
        ModelConfig(
            head=HeadKind.linear,
            image_size=(64, 64),
            encoder=EncoderConfig(width=768, depth=2, heads=12),
            decoder=DecoderConfig(width=384, depth=4, heads=4, state_heads=2),
            state=StateConfig(tokens=12, memory_slots=6),
        )
    )


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of a process")
@pytest.mark.parametrize(("suffix", "write"), [(".pth", export_official), (".safetensors", save)])
def test_the_peak_of_loading_is_the_size_in_half_precision(tmp_path, large, suffix, write):
    path = tmp_path / f"network{suffix}"
    write(large, path)
    full = sum(tensor.nbytes for tensor in large.parameters()) / 1e6
    start_peak_memory(CPU)
    before = status_mb("VmRSS")
    network = load(path, dtype=torch.bfloat16)
    peak = peak_memory_mb(CPU) - before
    size = sum(tensor.nbytes for tensor in network.parameters()) / 1e6
    assert full > 150 and size < 0.55 * full
    assert peak < 1.3 * size  # 2.9 times, when the pages of the file stay
    for name, value in network.state_dict().items():
        assert torch.equal(value, large.state_dict()[name].to(value.dtype)), name
