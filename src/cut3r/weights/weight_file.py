"""The tensors of any file of weights by their names, and what the file says about the network they belong to."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from cut3r.weights.file_kind import REMEDY, FileKind, identify
from cut3r.weights.safe_pickle import BROKEN, plain_entry, read_torch_file

# What wrappers put between the parts of a name: parallel training, torch.compile, and sharding and checkpointing of
# activations.
WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}


@dataclass(frozen=True)
class WeightFile:
    """A file's content, whoever wrote it.

    Attributes:
        entries: Names as in the file, without what wrappers put into them (`module.`, `_orig_mod.`). The tensors are
            mapped from the file where its format allows it: copy what shall outlive it.
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
        entries, metadata = read_safetensors(path)
        return WeightFile(_without_wrappers(entries, path), constructor=None, metadata=metadata)
    content = read_torch_file(path)
    constructor = plain_entry(plain_entry(content, "args"), "model")
    return WeightFile(
        _tensors(content, path), constructor=constructor if isinstance(constructor, str) else None, metadata={}
    )


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the text of a safetensors file, whatever it is for.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: It is of another kind, or damaged.
    """
    if identify(path) is not FileKind.safetensors:
        raise ValueError(f"{path} is no safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, *BROKEN) as error:
        what = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} is a truncated or damaged safetensors file ({what}); copy or download it again"
        ) from error


def _tensors(content: object, path: Path) -> dict[str, Tensor]:
    state = content.get("model", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not any(isinstance(entry, Tensor) for entry in state.values()):
        held = f"a dict with the keys {first(map(str, content))}" if isinstance(content, dict) else _kind(content)
        raise ValueError(f"{path} was written by torch.save but holds {held}, no weights under 'model'; {REMEDY}")
    others = [str(name) for name, entry in state.items() if not (isinstance(name, str) and isinstance(entry, Tensor))]
    if others:
        raise ValueError(f"{path} has entries among its weights that are no tensors: {first(others)}; {REMEDY}")
    return _without_wrappers(state, path)


def _without_wrappers(entries: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Drop what wrappers put into the names, in any order and at any depth."""
    plain: dict[str, Tensor] = {}
    for name, entry in entries.items():
        parts = [part for part in name.split(".") if part not in WRAPPERS]
        bare = ".".join(parts)
        if bare in plain:
            raise ValueError(f"{path} holds {shorten(bare)} twice, with and without {' or '.join(WRAPPERS)}; {REMEDY}")
        plain[bare] = entry
    return plain


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
    return f"another network ({len(entries)} entries: {first(entries)})"


def first(names: Iterable[str], count: int = 3, joint: str = ", ") -> str:
    """The first few names, for a message."""
    listed = [shorten(name) for name in names]
    return joint.join(listed[:count]) + (f"{joint}..." if len(listed) > count else "")


def shorten(name: str, most: int = 80) -> str:
    """A name from a file, in one line and no longer than that."""
    name = name if name.isprintable() else repr(name)
    return name if len(name) <= most else f"{name[: most - 3]}..."


def _kind(content: object) -> str:
    return f"a {type(content).__name__}"
