"""Which precision is fast here, and blocks compiled into fewer kernels."""

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from cut3r.model.blocks import CrossBlock, ModulatedBlock, SelfBlock

WORTH_IT = 1.3  # times faster; less does not pay for eight bits instead of twenty-four
TRIES = 3
SMALL_WIDTH = 512


def fastest_dtype(device: torch.device | str, width: int = 1024) -> torch.dtype:
    """Choose bfloat16 for the matrix products where it is clearly faster, else float32.

    GPUs say whether they can; on a CPU a matrix product and a convolution like those of a network of this width are
    timed, which takes a tenth of a second: without the instructions for it, bfloat16 is several times slower. Small
    networks stay in float32, because conversions cost them as much as faster products save.
    """
    device = torch.device(device)
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float32
    if device.type != "cpu" or width < SMALL_WIDTH:
        return torch.float32
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # where other programs run, threads that wait for each other measure those
    try:
        worth_it = _seconds(torch.float32, width) > WORTH_IT * _seconds(torch.bfloat16, width)
    finally:
        torch.set_num_threads(threads)
    return torch.bfloat16 if worth_it else torch.float32


def compile_blocks(model: torch.nn.Module) -> None:
    """Compile the network's blocks, in place; the first frame of each size then takes a minute longer.

    Needs a C++ compiler on a CPU, Triton on a GPU.
    """
    for module in model.modules():
        if isinstance(module, SelfBlock | CrossBlock | ModulatedBlock):
            module.compile()


@torch.inference_mode()
def _seconds(dtype: torch.dtype, width: int) -> float:
    """The shortest time for a product and a convolution of this type, from float32 and back to it."""
    channels = width // 8
    tokens, matrix = torch.ones(width // 2, width), torch.ones(width, width, dtype=dtype)
    picture, kernel = torch.ones(1, channels, 48, 64), torch.ones(channels, channels, 3, 3, dtype=dtype)

    def work() -> tuple[Tensor, Tensor]:
        product = F.linear(tokens.to(dtype), matrix)
        return product.float(), F.conv2d(picture.to(dtype), kernel, padding=1).float()

    work()
    return min(_time(work) for _ in range(TRIES))


def _time(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
