"""What this machine can do, and what is in the way: one finding each, with its remedy."""

import importlib.metadata
import os
import platform
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import torch

from cut3r.io import codecs
from cut3r.model.config import ModelConfig, published_224_linear, published_512_dpt
from cut3r.run.console import version
from cut3r.speed.device import check_device
from cut3r.speed.machine import cpu_name
from cut3r.speed.memory import FrameMemory, free_on_host, memory_of_frame
from cut3r.speed.packed import can_pack
from cut3r.speed.precision import fastest_dtype
from cut3r.speed.processor import BFLOAT16_UNITS, cpu_features
from cut3r.weights import zoo

GB = 1e9
EXTRA = re.compile(r"""^([\w.-]+).*extra\s*==\s*["'](\w+)["']""")  # a line of a package's metadata
NETWORKS: dict[str, tuple[ModelConfig, tuple[int, int]]] = {  # with the size (h, w) of their usual frames
    "512-dpt": (published_512_dpt(), (384, 512)),
    "224-linear": (published_224_linear(), (224, 224)),
}
NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16"}


class Verdict(Enum):
    good = "ok"
    note = "note"
    bad = "BAD"


@dataclass(frozen=True)
class Finding:
    """A line of the doctor; `remedy` is a part of a sentence, or empty."""

    subject: str
    verdict: Verdict
    text: str
    remedy: str = ""

    def line(self) -> str:
        remedy = f": {self.remedy}" if self.remedy else ""
        return f"{self.verdict.value:<5}{self.subject:<11}{self.text}{remedy}"


def examine(*, port: int, device_name: str = "auto") -> Iterator[Finding]:
    """Look at everything, the quick things first.

    Raises:
        ValueError: There is no such device here.
    """
    device = check_device(device_name)
    yield from look_at_versions()
    yield from look_at_extras()
    yield look_at_device(device)
    yield look_at_precision(device)
    yield from look_at_memory(device)
    yield look_at_codecs()
    yield look_at_page(port)
    yield from look_at_networks()


def look_at_versions() -> Iterator[Finding]:
    names = ("numpy", "opencv-python-headless", "safetensors")
    libraries = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names if _is_installed(name))
    system = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("versions", Verdict.good, f"cut3r {version()}, {system}, torch {torch.__version__}, {libraries}")


def look_at_extras() -> Iterator[Finding]:
    """What `pip install 'cut3r[...]'` would add. What developers need is their affair."""
    try:
        lines = importlib.metadata.requires("cut3r") or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding("extras", Verdict.note, "cut3r is not installed, only found", "pip install -e . in the checkout")
        return
    needed: dict[str, list[str]] = {}
    for match in filter(None, map(EXTRA.match, lines)):
        needed.setdefault(match[2], []).append(match[1])
    missing = {extra: [name for name in names if not _is_installed(name)] for extra, names in needed.items()}
    whole = sorted(extra for extra, names in missing.items() if not names and extra not in ("dev", "all"))
    yield Finding("extras", Verdict.good, f"installed: {', '.join(whole) or 'none'}")
    for extra, names in sorted(missing.items()):
        if names and extra not in ("dev", "all"):
            yield Finding("extras", Verdict.note, f"{extra} needs {', '.join(names)}", f"pip install 'cut3r[{extra}]'")


def look_at_device(device: torch.device) -> Finding:
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        text = f"{facts.name}, {facts.total_memory / GB:.1f} GB, CUDA {torch.version.cuda}"
        return Finding("device", Verdict.good, text)
    cpu = f"{cpu_name()}, {torch.get_num_threads()} threads of {os.cpu_count()} processors"
    if device.type == "mps":
        return Finding(
            "device", Verdict.note, "Apple's GPU (mps), tested only by a forged one", "--device cpu if it fails"
        )
    if _has_nvidia_gpu():
        build = "is built without CUDA" if torch.version.cuda is None else f"(CUDA {torch.version.cuda}) cannot use it"
        remedy = "install another PyTorch by https://pytorch.org/get-started, or a newer driver"
        return Finding("device", Verdict.bad, f"{cpu}; there is an NVIDIA GPU, but this PyTorch {build}", remedy)
    return Finding("device", Verdict.good, f"{cpu}; no GPU, so a large network takes seconds for a frame")


def look_at_precision(device: torch.device) -> Finding:
    """What `--dtype auto` takes for a large network, and why."""
    is_half = fastest_dtype(device) is torch.bfloat16
    if device.type == "mps":
        return Finding("precision", Verdict.good, "fp32, for nobody has measured bfloat16 on Apple's GPUs")
    if device.type != "cpu":
        why = f"the GPU {'multiplies' if is_half else 'does not multiply'} bfloat16"
        return Finding("precision", Verdict.good, f"{'bf16' if is_half else 'fp32'}, for {why}")
    if not is_half:
        why = f"the processor has no {', '.join(sorted(BFLOAT16_UNITS))}, without which bfloat16 is many times slower"
        return Finding("precision", Verdict.good, f"fp32, for {why}")
    units = ", ".join(sorted(BFLOAT16_UNITS & cpu_features()))
    packed = "packed weights" if can_pack() else "weights as they are (PyTorch has no operators to pack them)"
    return Finding("precision", Verdict.good, f"bf16 with {packed}, for the processor has {units}; tiny: fp32")


def look_at_memory(device: torch.device) -> Iterator[Finding]:
    """What fits, by the count of `memory_of_frame`."""
    on_gpu = device.type == "cuda"
    free = torch.cuda.mem_get_info(device)[0] if on_gpu else free_on_host()
    yield Finding("memory", Verdict.good, f"{free / GB:.1f} GB {'of the GPU ' if on_gpu else ''}are free")
    for name, (config, size) in NETWORKS.items():
        needs = {dtype: memory_of_frame(config, size, dtype) for dtype in NAMES}
        yield _fits(name, size, needs, free, on_gpu=on_gpu)


def look_at_codecs() -> Finding:
    if missing := codecs.missing_decoders():
        text = f"{codecs.version()} cannot decode {', '.join(missing)}"
        return Finding("codecs", Verdict.note, text, "pip install --upgrade av, or convert such videos to h264")
    return Finding("codecs", Verdict.good, f"{codecs.version()} decodes {', '.join(codecs.USUAL)}")


def look_at_page(port: int) -> Finding:
    if not _is_installed("viser"):
        return Finding("page", Verdict.note, "there is no 3D page without viser", "pip install 'cut3r[viewer]'")
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            text = f"port {port} cannot be used ({error.strerror}), so the page takes the next free one"
            return Finding("page", Verdict.note, text, "--port names another")
    return Finding("page", Verdict.good, f"port {port} is free: http://127.0.0.1:{port} in a browser with WebGL 2")


def look_at_networks() -> Iterator[Finding]:
    here, folder = zoo.here(), zoo.cache_folder()
    if set(here) & set(zoo.OFFICIAL):
        yield Finding("networks", Verdict.good, f"{', '.join(here)} are here")
        return
    remedy = "cut3r models download 512-dpt (3.2 GB; not for commercial use)"
    yield Finding("networks", Verdict.note, f"only {', '.join(here) or 'none'} here, not for real footage", remedy)
    parent = next(path for path in (folder, *folder.parents) if path.exists())
    if (free := shutil.disk_usage(parent).free) < max(each.size_gb for each in zoo.OFFICIAL.values()) * GB:
        yield Finding("disk", Verdict.bad, f"{folder} has {free / GB:.1f} GB left", "CUT3R_HOME names another folder")


def _fits(
    name: str, size: tuple[int, int], needs: dict[torch.dtype, FrameMemory], free: int, *, on_gpu: bool
) -> Finding:
    gb = {NAMES[dtype]: need.needs(on_gpu=on_gpu) / GB for dtype, need in needs.items()}
    told = ", ".join(f"{amount:.1f} GB in {dtype}" for dtype, amount in gb.items())
    text = f"{name} at {size[1]}x{size[0]} needs {told}"
    fitting = [dtype for dtype, amount in gb.items() if amount * GB <= free]
    if len(fitting) == len(gb):
        return Finding("memory", Verdict.good, f"{text}: fits")
    if fitting:
        return Finding("memory", Verdict.note, f"{text}: only {fitting[0]} fits", f"--dtype {fitting[0]}")
    return Finding("memory", Verdict.bad, f"{text}: does not fit", "close programs, or a smaller network")


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _has_nvidia_gpu() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
