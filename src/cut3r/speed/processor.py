"""What this machine's processor can do with bfloat16."""

from functools import cache
from pathlib import Path

import torch

BFLOAT16_UNITS = {"amx_bf16", "avx512_bf16", "bf16"}  # Intel's tiles; AVX-512 of Intel and AMD; 64-bit Arm


@cache
def multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions for products in bfloat16 that PyTorch uses; without them it is far slower."""
    return torch.backends.mkldnn.is_available() and not BFLOAT16_UNITS.isdisjoint(cpu_features())


def cpu_features() -> set[str]:
    """Names of what the CPU can do; none where neither PyTorch nor the system says."""
    if hasattr(torch.cpu, "get_capabilities"):  # newer than the oldest PyTorch that we run with
        return {name for name, there in torch.cpu.get_capabilities().items() if there is True}
    info = Path("/proc/cpuinfo")  # calls them by the same names
    return set(info.read_text().split()) if info.exists() else set()
