"""Read files of `torch.save` without ever running what is in them.

A pickle is a program: unpickling a downloaded file the plain way runs whatever its author wrote into it. Here torch's
restricted unpickler reads the file. It builds tensors and plain containers, and nothing else. The configuration
objects that real checkpoints carry (OmegaConf, argparse) are not built either: each becomes an `Inert`, a box that
keeps what was in it. So no library but torch sees the file, and neither OmegaConf nor its version matters.
"""

import collections
import pickle
import re
import struct
import warnings
from pathlib import Path

import torch

from cut3r.weights.file_kind import REMEDY, FileKind, identify

INERT_NAMES = (
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.tupleconfig.TupleConfig",
    "omegaconf.base.Metadata",
    "omegaconf.base.ContainerMetadata",
    *(
        f"omegaconf.nodes.{kind}Node"
        for kind in ("Any", "Boolean", "Bytes", "Float", "Integer", "InterpolationResult", "Path", "String")
    ),
    *(f"typing.{name}" for name in ("Any", "Dict", "List", "Optional", "Tuple", "Union")),
    *(f"pathlib.{name}" for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    *(f"pathlib._local.{name}" for name in ("Path", "PosixPath", "WindowsPath")),  # Python 3.13
    "argparse.Namespace",
    # numbers of numpy, such as a best score
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.dtypes.Float32DType",
    "numpy.dtypes.Float64DType",
    "numpy.dtypes.Int64DType",
    "_codecs.encode",
)
HARMLESS = (dict, list, int, float, str, bool, set, tuple, collections.defaultdict)

# What a broken pickle makes an unpickler stumble over. The list is long because a pickle is a program.
BROKEN = (
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    AssertionError,
    OSError,
    MemoryError,
    OverflowError,
    struct.error,
)


class Inert:
    """Stands where an object of a known harmless class was: what it was called with and what it was filled with."""

    def __init__(self, *args: object) -> None:
        self.args = args
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __hash__(self) -> int:  # a file may use one as a key
        return id(self)


def read_torch_file(path: Path) -> object:
    """Read what `torch.save` wrote, with the tensors mapped from the file, not copied, where the format allows.

    Mapped tensors follow the file: copy them before it is moved to, or overwritten by, something else.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: The file is of another kind, damaged, or wants to run code; nothing in it has been run.
    """
    kind = identify(path)
    known: list = [*HARMLESS, *((Inert, name) for name in INERT_NAMES)]
    try:
        with torch.serialization.safe_globals(known), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # foreign pickles get an error below; torch warns about them before
            return torch.load(path, map_location="cpu", weights_only=True, mmap=kind is FileKind.torch_zip)
    except pickle.UnpicklingError as error:
        raise ValueError(_refusal(path, str(error))) from error
    except BROKEN as error:
        what = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(
            f"{path} is a damaged file, or a pickle that torch.save did not write ({what}); "
            f"download it again, or {REMEDY}"
        ) from error


def _refusal(path: Path, reason: str) -> str:
    named = re.search(r"GLOBAL ([\w.]+)", reason)
    if named is None:
        what = "; ".join(line for line in reason.split("\n") if "Unsupported" in line or "Trying" in line)
        return (
            f"{path} is refused: it is not a plain file of weights ({what or 'not a pickle of torch.save'}); {REMEDY}"
        )
    return (
        f"{path} is refused: on loading it asks to run or build {named[1]}, which no file of weights needs, and "
        f"nothing of it has been run. It is malicious, or a whole pickled object instead of a state dict; {REMEDY}"
    )


def plain_entry(container: object, key: str) -> object:
    """Return one entry of a dict, an `argparse.Namespace` or an OmegaConf `DictConfig`; None when it has none."""
    entries = container.state if isinstance(container, Inert) else container
    if isinstance(entries, dict) and "_content" in entries and "_metadata" in entries:  # a DictConfig
        entries = entries["_content"]
    entry = entries.get(key) if isinstance(entries, dict) else None
    if isinstance(entry, Inert) and isinstance(entry.state, dict) and "_val" in entry.state:  # a node of a DictConfig
        return entry.state["_val"]
    return entry
