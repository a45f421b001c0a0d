"""Archives of arrays (.npz) whose arrays stay on the disk until they are looked at."""

import zipfile
from pathlib import Path

import numpy as np

from cut3r.files.atomic import atomic_path

_LOCAL_HEADER = 30  # bytes before a member's name; two lengths lie at 26
_NAME_LENGTH = slice(26, 28)
_EXTRA_LENGTH = slice(28, 30)


def write_mapped(path: Path, **arrays: np.ndarray) -> None:
    """Write an uncompressed .npz, atomically, that `read_mapped` can map."""
    with atomic_path(path) as temporary:
        np.savez(temporary, allow_pickle=False, **arrays)


def read_mapped(path: Path) -> dict[str, np.ndarray]:
    """Map the arrays of an uncompressed .npz into memory, read-only: nothing is read before it is looked at, and
    processes share the pages.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, compressed, or holds something else than arrays of numbers.
    """
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            return {info.filename.removesuffix(".npy"): _map(path, file, info) for info in archive.infolist()}
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is no whole .npz archive ({error}); remove it, and it is made again") from error


def _map(path: Path, file, info: zipfile.ZipInfo) -> np.ndarray:  # type: ignore[no-untyped-def]
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{path} is compressed and cannot be mapped; remove it, and it is made again")
    file.seek(info.header_offset)
    header = file.read(_LOCAL_HEADER)
    lengths = (int.from_bytes(header[span], "little") for span in (_NAME_LENGTH, _EXTRA_LENGTH))
    file.seek(info.header_offset + _LOCAL_HEADER + sum(lengths))
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read(file)
    if dtype.hasobject:
        raise ValueError(f"{path} holds pickled objects, which are not read; remove it, and it is made again")
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran_order else "C")
