"""Zip files that are not trusted: torch.save and numpy.savez write their members stored, one after the other.

So the sizes that such a file declares add up to less than its own. A file that declares more is damaged, or made to
fill the memory of whoever opens it, and is refused before a member is read.
"""

import io
import math
import tokenize
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

# What the standard library raises for a damaged zip file, depending on where the damage is.
BROKEN_ZIP = (zipfile.BadZipFile, RuntimeError, OSError, EOFError, ValueError, OverflowError)
BROKEN_ARRAY = (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, OverflowError, tokenize.TokenError)


def check_members(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse members that are compressed, doubled, or together larger than the file of `size` bytes.

    Raises:
        ValueError: What is wrong, as half a sentence.
    """
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("a member of it is compressed, which its writer never does")
    if (declared := sum(member.file_size for member in members)) > size:
        raise ValueError(f"it declares {declared:,} bytes of content and has {size:,}")
    if len({member.filename for member in members}) < len(members):
        raise ValueError("it holds two members of one name")


def read_npz(path: Path) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Read what `numpy.savez` wrote; no pickles, and every byte is checked against the CRC of its member.

    Raises:
        OSError: It cannot be opened.
        ValueError: It is damaged or no such file; the message says what is wrong, as half a sentence.
    """
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                check_members(archive, path.stat().st_size)
                return {
                    member.filename.removesuffix(".npy"): _array(member.filename, archive.read(member))
                    for member in archive.infolist()
                }
        except BROKEN_ZIP as error:
            raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from error


def _array(name: str, content: bytes) -> np.ndarray:
    """Parse a .npy file. Its shape is held against its length first, so that no header can ask for memory."""
    header = io.BytesIO(content)
    try:
        if np.lib.format.read_magic(header) != (1, 0):
            raise ValueError("it is not of version 1.0")
        shape, by_column, dtype = np.lib.format.read_array_header_1_0(header)
    except BROKEN_ARRAY as error:
        raise ValueError(f"{name[:40]!r} in it is no array") from error
    plain = dtype.kind in "biufU" and dtype.itemsize > 0 and dtype.isnative
    declared = math.prod(shape) * dtype.itemsize
    if not plain or min(shape, default=0) < 0 or declared != len(content) - header.tell():
        raise ValueError(f"{name[:40]!r} in it is not the array that it says it is")
    return np.frombuffer(content, dtype, offset=header.tell()).reshape(shape, order="F" if by_column else "C").copy()
