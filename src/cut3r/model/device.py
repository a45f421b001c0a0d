"""Which device is meant, and whether it is there."""

import torch

KNOWN = "auto, cpu, cuda, cuda:1 or mps"


def check_device(name: str) -> torch.device:
    """Turn a name into a device that can compute here. "auto" is CUDA where there is one, else MPS, else the CPU.

    Raises:
        ValueError: No such device, or this machine (or this PyTorch) does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"there is no device {name!r}; expected {KNOWN}") from error
    match device.type:
        case "cpu" if not device.index:
            return device
        case "cuda":
            _check_cuda(name, device.index or 0)
            return device
        case "mps" if not device.index:
            if not _has_mps():
                raise ValueError(f"the device {name!r} is not there: it is for Macs with Apple's chips; use auto or cpu")
            return device
    raise ValueError(f"the device {name!r} cannot be used here; expected {KNOWN}")


def _check_cuda(name: str, index: int) -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise ValueError(f"the device {name!r} is not there: PyTorch finds no CUDA device; use auto or cpu")
    if index >= count:
        raise ValueError(f"the device {name!r} is not there: the {count} CUDA devices count from cuda:0")


def _has_mps() -> bool:
    return torch.backends.mps.is_available()
