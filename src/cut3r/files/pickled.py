"""Arrays of texts and numbers that others have pickled, read without running what a pickle may hold."""

import codecs
import io
import pickle
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from cut3r.files.damaged import naming_the_file

_SCALAR = np.float64(0).__reduce__()[0]  # what NumPy pickles its numbers with
_ARRAY = np.zeros(0).__reduce__()[0]  # and its arrays
# By the names that pickles of all versions use. Anything else could be a function that a pickle wants to run.
_PLAIN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _ARRAY,
    ("numpy.core.multiarray", "scalar"): _SCALAR,
    ("numpy._core.multiarray", "_reconstruct"): _ARRAY,
    ("numpy._core.multiarray", "scalar"): _SCALAR,
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): defaultdict,
    ("builtins", "list"): list,
    ("builtins", "dict"): dict,
    ("_codecs", "encode"): codecs.encode,  # bytes, in old protocols
}


class _Unpickler(pickle.Unpickler):
    """Makes arrays, lists, dictionaries, texts and numbers, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _PLAIN:
            raise ValueError(f"it holds {module}.{name}, which may run code; expected arrays, lists and texts only")
        return _PLAIN[module, name]


def read_pickled(path: Path) -> Any:
    """Read a pickle of arrays, lists, dictionaries, texts and numbers.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, or holds something else.
    """
    with naming_the_file(path):
        return _read(path.read_bytes())


def read_pickled_npz(path: Path, *names: str) -> list[np.ndarray]:
    """Read these arrays of an archive; those of objects are unpickled as far as they are plain values.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, lacks an array, or one holds something else than plain values.
    """
    with naming_the_file(path), path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return [_member(archive, name) for name in names]


def read_pickled_npy(path: Path) -> np.ndarray:
    """Read an array; one of objects is unpickled as far as they are plain values.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, or holds something else than plain values.
    """
    with naming_the_file(path), path.open("rb") as file:
        return _array(file)


def _member(archive: Any, name: str) -> np.ndarray:
    try:
        array: np.ndarray = archive[name]
        return array
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
    with archive.zip.open(f"{name}.npy") as member:
        return _array(member)


def _array(file: Any) -> np.ndarray:
    start = file.tell()
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        return np.asarray(_read(file.read())).reshape(shape)
    file.seek(start)
    array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _read(data: bytes) -> Any:
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, AttributeError, IndexError, TypeError, MemoryError, OverflowError) as error:
        raise ValueError(f"it is no whole pickle: {error}") from error
