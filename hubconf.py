"""Networks for `torch.hub.load`, ready for `cut3r.Session`.

model = torch.hub.load("OWNER/cut3r", "cut3r_tiny")
model = torch.hub.load("OWNER/cut3r", "cut3r_512_dpt", device="cuda")    # 3.2 GB once; not for commercial use
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from cut3r.model.network import Cut3r

dependencies = ["torch", "numpy", "einops", "jaxtyping", "safetensors", "filelock"]
# torch.hub finds what lies beside this file, and in a checkout that is not installed the package lies in src.
sys.path.append(str(Path(__file__).parent / "src"))


def cut3r_tiny(device: str = "cpu", dtype: "torch.dtype | None" = None) -> "Cut3r":
    """The bundled network, of synthetic rooms: to try everything out."""
    return _load("tiny", device, dtype)


def cut3r_512_dpt(device: str = "cpu", dtype: "torch.dtype | None" = None) -> "Cut3r":
    """The official network for pictures 512 wide, CC BY-NC-SA 4.0; downloaded once."""
    return _load("512-dpt", device, dtype)


def cut3r_224_linear(device: str = "cpu", dtype: "torch.dtype | None" = None) -> "Cut3r":
    """The official network for pictures of 224x224, CC BY-NC-SA 4.0; downloaded once."""
    return _load("224-linear", device, dtype)


def _load(name: str, device: str, dtype: "torch.dtype | None") -> "Cut3r":
    from cut3r.weights.checkpoint import load

    return load(name, device=device, dtype=dtype)
