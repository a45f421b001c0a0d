"""OpenEXR pictures: planes of numbers (depth, disparity, normals), each under the name of its channel.

Plain files (lines of pixels, uncompressed or compressed with RLE or ZIP) are read and written here, with nothing but
zlib; the package OpenEXR, where it is installed, reads the others (tiles, several parts, PIZ, DWAA, B44, ...).
OpenCV does neither: its wheels have no EXR, or give zeros for channels whose names they do not know.
"""

import os
import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped, UInt8

from cut3r.files.atomic import atomic_path
from cut3r.files.damaged import naming_the_file
from cut3r.files.packed_path import as_path
from cut3r.io.exr_header import DTYPES, Channel, Compression, Header, NotPlainError, format_header, parse_header
from cut3r.io.exr_library import read_names, read_planes

NAMES = {1: ("Y",), 3: ("R", "G", "B"), 4: ("R", "G", "B", "A")}  # by the number of channels
LARGEST_RATIO = 1032  # zlib compresses no better
LEVEL = 4  # of zlib, as the OpenEXR library's


def read_exr(
    path: str | os.PathLike[str], channels: str | Sequence[str] | None = None
) -> Float32[np.ndarray, "h w"] | Float32[np.ndarray, "h w c"]:
    """Read the pixels of the data window, as they are: not a number and infinite stay.

    Whole numbers are exact up to 2**24.

    Args:
        channels: A name gives h w; several names give h w c in their order. None is all of them by their names, and
            h w if there is only one.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, lacks a channel, or needs the package OpenEXR, which is not installed.
    """
    path = as_path(path)
    try:
        with naming_the_file(path):
            data = path.read_bytes()
            header = parse_header(data)
            found = [channel.name for channel in header.channels]
            names = _wanted(found, channels)
            planes = _read_planes(data, header, names)
    except NotPlainError as reason:
        planes = _read_others(path, channels, str(reason))
    alone = isinstance(channels, str) or (channels is None and len(planes) == 1)
    return planes[0] if alone else np.stack(planes, axis=-1)


def exr_channels(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Name the channels of a file, sorted.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, or needs the package OpenEXR, which is not installed.
    """
    path = as_path(path)
    try:
        with naming_the_file(path):
            return tuple(sorted(channel.name for channel in parse_header(path.read_bytes()).channels))
    except NotPlainError as reason:
        return tuple(sorted(read_names(path, str(reason))))


def write_exr(
    path: str | os.PathLike[str],
    values: Shaped[np.ndarray, "h w *c"],
    *,
    channels: Sequence[str] | None = None,
    compression: Compression = Compression.zip,
) -> None:
    """Write a picture, atomically, with as many bits as the values have.

    Args:
        values: float32, float16 or uint32.
        channels: The names of the last axis; None is Y for h w, RGB for h w 3 and RGBA for h w 4.

    Raises:
        ValueError: No pixels, other numbers, names that do not fit, or a compression that is only read (RLE).
    """
    planes = values[..., None] if values.ndim == 2 else values
    names = tuple(channels) if channels is not None else NAMES.get(planes.shape[-1], ())
    if compression is Compression.rle:
        raise ValueError(f"{path}: RLE is only read; expected none, zips or zip as compression")
    if planes.ndim != 3 or 0 in planes.shape or len(set(names)) != planes.shape[-1] or not all(names):
        raise ValueError(f"{path}: values {values.shape} with channels {names}; expected h w, or h w c and c names")
    dtype = values.dtype.newbyteorder("<")
    if dtype not in DTYPES:
        raise ValueError(f"{path}: {values.dtype} has no place in OpenEXR; expected float32, float16 or uint32")
    order = sorted(range(len(names)), key=lambda k: names[k].encode())
    header = Header(tuple(Channel(names[k], dtype) for k in order), compression, 0, planes.shape[:2])
    lines = np.ascontiguousarray(planes[..., order].astype(dtype, copy=False).transpose(0, 2, 1))  # [h, c, w]
    raw = lines.reshape(header.size[0], -1).view(np.uint8)  # [h, bytes of a line]
    starts = range(0, header.size[0], compression.lines)
    blocks = [_block(y, raw[y : y + compression.lines].reshape(-1), compression) for y in starts]
    head = format_header(header)
    first = len(head) + 8 * len(blocks)
    offsets = np.cumsum([first, *map(len, blocks[:-1])], dtype="<u8")
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"".join((head, offsets.tobytes(), *blocks)))


def _wanted(found: Sequence[str], channels: str | Sequence[str] | None) -> list[str]:
    names = sorted(found) if channels is None else [channels] if isinstance(channels, str) else list(channels)
    if lacking := [name for name in names if name not in found]:
        raise ValueError(f"it lacks the channels {', '.join(lacking)}; it has {', '.join(sorted(found))}")
    return names


def _read_planes(data: bytes, header: Header, names: list[str]) -> list[Float32[np.ndarray, "h w"]]:
    """Undo block after block; each says at which line it begins."""
    h, w = header.size
    if h * header.line_bytes > LARGEST_RATIO * len(data) or header.end + 8 * header.blocks > len(data):
        raise ValueError(f"its {len(data):,} bytes cannot hold the {w}x{h} pixels that its header claims")
    ends = np.cumsum([0, *(w * channel.dtype.itemsize for channel in header.channels)])
    columns = {c.name: (slice(*ends_), c.dtype) for c, ends_ in zip(header.channels, pairwise(ends), strict=True)}
    planes = [np.zeros((h, w), np.float32) for _ in names]
    missing = np.ones(h, bool)
    for offset in np.frombuffer(data, "<u8", header.blocks, header.end).tolist():
        if offset + 8 > len(data):
            raise ValueError("it is broken off; a block of pixels is missing")
        line, size = struct.unpack_from("<ii", data, offset)
        y = line - header.top
        count = min(header.compression.lines, h - y)
        if not (0 <= y < h and missing[y : y + count].all() and 0 <= size <= len(data) - offset - 8):
            raise ValueError("it is broken off, or a block of pixels is damaged")
        raw = _undo(data[offset + 8 : offset + 8 + size], count * header.line_bytes, header.compression)
        lines = raw.reshape(count, -1)
        for plane, (column, dtype) in zip(planes, map(columns.__getitem__, names), strict=True):
            plane[y : y + count] = np.ascontiguousarray(lines[:, column]).view(dtype)
        missing[y : y + count] = False
    if missing.any():
        raise ValueError(f"{missing.sum()} of its {h} lines are missing")
    return planes


def _undo(block: bytes, expected: int, compression: Compression) -> UInt8[np.ndarray, "n"]:
    """Decompress a block; one that would not get smaller was stored as it is."""
    if len(block) == expected:
        return np.frombuffer(block, np.uint8)
    if compression is Compression.none:
        raise ValueError(f"a block has {len(block)} bytes instead of {expected}")
    if compression is Compression.rle:
        content = _undo_runs(block)
    else:
        content = zlib.decompressobj().decompress(block, expected + 1)
    if len(content) != expected:
        raise ValueError(f"a block decompresses to {len(content)} bytes instead of {expected}")
    differences = np.frombuffer(content, np.uint8) - np.uint8(128)  # modulo 256
    differences[:1] += np.uint8(128)
    halves = np.cumsum(differences, dtype=np.uint8)
    raw = np.empty_like(halves)
    raw[0::2], raw[1::2] = np.split(halves, [(expected + 1) // 2])
    return raw


def _undo_runs(block: bytes) -> bytes:
    """Undo run lengths: a count of -n precedes n bytes as they are, one of n a byte that stands n + 1 times."""
    parts, at = [], 0
    while at < len(block):
        count = block[at]
        if count > 127:
            parts.append(block[at + 1 : at + 257 - count])
            at += 257 - count
        else:
            parts.append(block[at + 1 : at + 2] * (count + 1))
            at += 2
    return b"".join(parts)


def _block(line: int, raw: UInt8[np.ndarray, "n"], compression: Compression) -> bytes:
    """A block of lines with its head; as it is where compression would not make it smaller."""
    content = raw.tobytes()
    if compression is not Compression.none:
        halves = np.concatenate((raw[0::2], raw[1::2]))
        halves[1:] = np.diff(halves) + np.uint8(128)
        content = min(zlib.compress(halves.tobytes(), LEVEL), content, key=len)
    return struct.pack("<ii", line, len(content)) + content


def _read_others(path: Path, channels: str | Sequence[str] | None, reason: str) -> list[Float32[np.ndarray, "h w"]]:
    found = read_planes(path, reason)
    with naming_the_file(path):
        names = _wanted(list(found), channels)
    planes = [found[name].astype(np.float32) for name in names]
    if len({plane.shape for plane in planes}) > 1:
        raise ValueError(f"{path}: its channels {', '.join(names)} differ in size; read one after the other")
    return planes
