"""HDF5 files (.h5, .hdf5, .dsp5, .flo5): the arrays in them, by their names. Needs the package h5py."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cut3r.files.damaged import naming_the_file
from cut3r.files.packed_path import as_path, named_file

INSTALL = 'pip install "cut3r[preprocess]"'


def read_hdf5(path: str | os.PathLike[str], name: str) -> np.ndarray:
    """Read one array. Strings, which the file holds as bytes, come as text.

    Args:
        name: With the groups around it, as `hdf5_names` gives it: "scene/values".

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, lacks the array, or h5py is not installed.
    """
    with _opened(as_path(path)) as file:
        dataset: Any = file.get(name) if name else None
        if not _is_array(dataset):
            names = ", ".join(map(repr, _names(file)[:10])) or "none"
            raise ValueError(f"it lacks the array {name!r}; it has {names}")
        if dataset.shape is None:
            raise ValueError(f"its array {name!r} is empty, without even a shape")
        return np.asarray(dataset.asstr()[()], dtype=str) if _is_text(dataset) else np.asarray(dataset[()])


def hdf5_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Name all arrays of a file with the groups around them, sorted: "scene/values".

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, or h5py is not installed.
    """
    with _opened(as_path(path)) as file:
        return _names(file)


def _names(file: Any) -> tuple[str, ...]:
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if _is_array(item) else None)
    return tuple(sorted(names))


def _is_array(item: Any) -> bool:
    import h5py

    return isinstance(item, h5py.Dataset)


def _is_text(dataset: Any) -> bool:
    import h5py

    return h5py.check_string_dtype(dataset.dtype) is not None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import h5py
    except ImportError as error:
        raise ValueError(f"{path}: HDF5 files need the package h5py ({error}): {INSTALL}") from error
    # locking=False: we only read, and network disks often refuse locks. RuntimeError: what HDF5 raises in damaged trees
    with naming_the_file(path), named_file(path) as named:
        try:
            with h5py.File(named, "r", locking=False) as file:
                yield file
        except RuntimeError as error:
            raise ValueError(str(error)) from error
