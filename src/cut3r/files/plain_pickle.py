"""Pickles of numbers, texts and containers, read without running what is in them."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from cut3r.files.damaged import naming_the_file

_SCALAR = np.float64(0).__reduce__()[0]  # what NumPy pickles its numbers with
# Anything else that a pickle names could be a function that it wants to run.
NUMBERS: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "scalar"): _SCALAR,
    ("numpy._core.multiarray", "scalar"): _SCALAR,
}


def read_plain_pickle(path: Path) -> Any:
    """Read dictionaries, lists, tuples, texts and numbers.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, or holds something else; nothing in it has been run.
    """
    with naming_the_file(path):
        try:
            return _Plain(io.BytesIO(path.read_bytes())).load()
        except (pickle.UnpicklingError, AttributeError, IndexError, TypeError, MemoryError, OverflowError) as error:
            raise ValueError(str(error) or type(error).__name__) from error


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in NUMBERS:
            raise pickle.UnpicklingError(f"it names {module}.{name}, and only numbers and texts are read")
        return NUMBERS[module, name]
