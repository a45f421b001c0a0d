"""Arrays in MATLAB's files (.mat, versions 4 to 7.2; version 7.3 is HDF5, see `cut3r.io.hdf5`)."""

import struct
from pathlib import Path

import numpy as np

from cut3r.files.damaged import naming_the_file


def read_mat(path: Path, name: str) -> np.ndarray:
    """Read an array of real numbers, with the type that the file names.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, of another version, or has no such array of real numbers.
    """
    from scipy.io import loadmat, whosmat  # late, because it takes long
    from scipy.io.matlab import MatReadError

    damage = (MatReadError, NotImplementedError, IndexError, TypeError, struct.error, OverflowError)
    with naming_the_file(path), path.open("rb") as file:
        try:
            found = loadmat(file, variable_names=[name])
            if name not in found:
                file.seek(0)
                names = ", ".join(each for each, _, _ in whosmat(file)) or "nothing"
                raise ValueError(f"it has {names}; expected the array {name}")
        except damage as error:
            raise ValueError(f"it is no whole MATLAB file of version 7.2 or older: {error}") from error
        array = found[name]
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
            raise ValueError(f"its {name} is no array of real numbers")
        return array
