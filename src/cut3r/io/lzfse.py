"""LZFSE, Apple's compression, in which Record3D writes depth.

A stream is blocks: `bvx-` (as it is: the number of bytes, then these) and `bvx$` (the end) are read here; the
compressed ones by the package pyliblzfse, where it is installed.
"""

import struct
from pathlib import Path

STORED, END = b"bvx-", b"bvx$"
INSTALL = "pip install pyliblzfse"


def read_lzfse(path: Path) -> bytes:
    """Read and decompress a file.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, no LZFSE, or needs the package pyliblzfse, which is not installed.
    """
    data = path.read_bytes()
    if not data.startswith(b"bvx"):
        raise ValueError(f"{path} does not begin as LZFSE does; copy or export it again")
    content = _stored(data)
    return _compressed(data, path) if content is None else content


def _stored(data: bytes) -> bytes | None:
    """Put stored blocks together; None if one is compressed, or the end is missing."""
    parts, at = [], 0
    while data[at : at + 4] == STORED and at + 8 <= len(data):
        (count,) = struct.unpack_from("<I", data, at + 4)
        parts.append(data[at + 8 : at + 8 + count])
        at += 8 + count
    return b"".join(parts) if data[at : at + 4] == END else None


def _compressed(data: bytes, path: Path) -> bytes:
    try:
        import liblzfse
    except ImportError as error:
        raise ValueError(f"{path} is compressed with LZFSE, which needs the package pyliblzfse: {INSTALL}") from error
    try:
        content: bytes = liblzfse.decompress(data)
    except Exception as error:  # liblzfse.error is no subclass of anything better
        raise ValueError(f"{path} cannot be read ({error}); copy or export it again") from error
    return content
