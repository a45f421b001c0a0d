"""Precision by name, what `auto` means on this machine, and blocks compiled into fewer kernels."""

import torch

from cut3r.model.blocks import CrossBlock, ModulatedBlock, SelfBlock
from cut3r.speed.processor import multiplies_bfloat16

PRECISIONS = {"auto": None, "fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
SMALL_WIDTH = 512


def apply_precision(name: str) -> torch.dtype | None:
    """Set how this process multiplies float32 on a GPU, and return the type to load a network in.

    Only "tf32" allows TF32, with its ten bits. The others turn it off: PyTorch leaves it on in convolutions, and what
    stays in float32 beside bfloat16 is there because it needs all bits.

    Returns:
        For `cut3r.load`, where None ("auto") stands for `fastest_dtype`.

    Raises:
        ValueError: There is no such precision.
    """
    if name not in PRECISIONS:
        raise ValueError(f"there is no precision {name!r}; choose one of {', '.join(PRECISIONS)}")
    tf32 = name == "tf32"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    return PRECISIONS[name]


def fastest_dtype(device: torch.device | str, width: int = 1024) -> torch.dtype:
    """Choose bfloat16 for the matrix products where the processor has instructions for it, else float32.

    Nothing is timed, so the same machine always chooses the same. Without the instructions bfloat16 is several times
    slower; where nobody can say, float32 is chosen. On a CPU a network whose encoder is narrower than 512 stays in
    float32, because conversions cost it as much as faster products save.
    """
    device = torch.device(device)
    if device.type == "cuda":
        with torch.cuda.device(device):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and width >= SMALL_WIDTH and multiplies_bfloat16()
    return torch.bfloat16 if native else torch.float32


def compile_blocks(model: torch.nn.Module) -> None:
    """Compile the network's blocks, in place; the first frame of each size then takes a minute longer.

    Needs a C++ compiler on a CPU, Triton on a GPU.
    """
    for module in model.modules():
        if isinstance(module, SelfBlock | CrossBlock | ModulatedBlock):
            module.compile()
