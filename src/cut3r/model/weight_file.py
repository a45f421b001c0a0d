"""The tensors of any file of weights by their names, and what the file says about the network they belong to."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from cut3r.model.file_kind import REMEDY, FileKind, identify
from cut3r.model.safe_pickle import plain_entry, read_torch_file


@dataclass(frozen=True)
class WeightFile:
    """A file's content, whoever wrote it.

    Attributes:
        entries: Names as in the file, without a `module.` prefix. The tensors are mapped from the file where its format
            allows it: copy what shall outlive it.
        constructor: An official file's description of its network; None when there is none.
        metadata: The header of a safetensors file; empty for the others.
    """

    entries: dict[str, Tensor]
    constructor: str | None
    metadata: dict[str, str]


def read_weight_file(path: Path) -> WeightFile:
    """Read a file of `torch.save` or a safetensors file, of this or of another project.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: It holds no weights, is damaged, or wants to run code; the message says what it is and what to do.
    """
    if identify(path) is FileKind.safetensors:
        return _read_safetensors(path)
    content = read_torch_file(path)
    constructor = plain_entry(plain_entry(content, "args"), "model")
    return WeightFile(
        _tensors(content, path), constructor=constructor if isinstance(constructor, str) else None, metadata={}
    )


def _read_safetensors(path: Path) -> WeightFile:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return WeightFile(_without_prefix(load_file(path)), constructor=None, metadata=metadata)
    except SafetensorError as error:
        raise ValueError(
            f"{path} is a truncated or damaged safetensors file ({error}); copy or download it again"
        ) from error


def _tensors(content: object, path: Path) -> dict[str, Tensor]:
    state = content.get("model", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not any(isinstance(entry, Tensor) for entry in state.values()):
        held = f"a dict with the keys {_first(map(str, content))}" if isinstance(content, dict) else _kind(content)
        raise ValueError(f"{path} was written by torch.save but holds {held}, no weights under 'model'; {REMEDY}")
    others = [str(name) for name, entry in state.items() if not (isinstance(name, str) and isinstance(entry, Tensor))]
    if others:
        raise ValueError(f"{path} has entries among its weights that are no tensors: {_first(others)}; {REMEDY}")
    return _without_prefix(state)


def _without_prefix(entries: dict[str, Tensor]) -> dict[str, Tensor]:
    """Drop the `module.` that training on several GPUs puts in front of every name."""
    return {name.removeprefix("module."): entry for name, entry in entries.items()}


def describe(entries: dict[str, Tensor]) -> str:
    """Say what network the names belong to, for a message."""
    if "pose_retriever.mem" in entries or "memory.slots" in entries:
        return "the weights of a CUT3R network"
    if any(name.startswith("dec_blocks2.") for name in entries):
        return "a DUSt3R or MASt3R network (use warm_start to begin a training with its weights)"
    if "decoder_embed.weight" in entries and any(name.startswith("enc_blocks.") for name in entries):
        return "a CroCo network (use warm_start to begin a training with its weights)"
    if "layer1.0.conv1.weight" in entries:
        return "a ResNet for images"
    return f"another network ({len(entries)} entries: {_first(entries)})"


def _first(names: Iterable[str], count: int = 3) -> str:
    listed = list(names)
    return ", ".join(listed[:count]) + (", ..." if len(listed) > count else "")


def _kind(content: object) -> str:
    return f"a {type(content).__name__}"
