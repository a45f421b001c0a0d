"""Which device is meant, whether it is there, and what to do when it fails."""

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
                raise ValueError(
                    f"the device {name!r} is not there: it is for Macs with Apple's chips; use auto or cpu"
                )
            return device
    raise ValueError(f"the device {name!r} cannot be used here; expected {KNOWN}")


def device_failure(error: Exception) -> str | None:
    """Say what to do about a device or a memory that gave up; None for other errors."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or "can't allocate memory" in text or "not enough memory" in text:
        return "the machine is out of memory; use a smaller --size, or fewer --max-points"
    if "out of memory" in text:
        return "the device is out of memory; use --dtype bf16, a smaller --size or --device cpu"
    if "cuda error" in text or "cudnn" in text:
        return f"the device failed ({str(error).splitlines()[0]}); try again, or use --device cpu"
    return None


def _check_cuda(name: str, index: int) -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise ValueError(f"the device {name!r} is not there: PyTorch finds no CUDA device; use auto or cpu")
    if index >= count:
        raise ValueError(f"the device {name!r} is not there: the {count} CUDA devices count from cuda:0")


def _has_mps() -> bool:
    return torch.backends.mps.is_available()
