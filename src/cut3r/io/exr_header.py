"""The head of an OpenEXR file: which channels, which pixels, how compressed.

Format: https://openexr.com/en/latest/OpenEXRFileLayout.html; all numbers are little-endian.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

MAGIC = b"\x76\x2f\x31\x01"
VERSION = 2
LONG_NAMES = 0x400  # names of up to 255 bytes instead of 31
NOT_PLAIN = {0x200: "it is tiled", 0x800: "it holds deep pixels", 0x1000: "it holds several parts"}
DTYPES = (np.dtype("<u4"), np.dtype("<f2"), np.dtype("<f4"))  # by the number of the pixel type
LARGEST_SIDE = 1 << 20  # pixels; a larger picture is a damaged header


class Compression(IntEnum):
    """Compressions that need nothing but zlib, by their numbers in the file."""

    none = 0
    rle = 1
    zips = 2
    zip = 3

    @property
    def lines(self) -> int:
        """Lines of pixels in a block."""
        return 16 if self is Compression.zip else 1


OTHER = ("PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB", "HTJ2K256", "HTJ2K32", "LJ2K", "ZSTD")  # from 4 on


@dataclass(frozen=True)
class Channel:
    """A plane of numbers."""

    name: str
    dtype: np.dtype


@dataclass(frozen=True)
class Header:
    """What precedes the pixels of a plain file.

    Attributes:
        channels: In the order of the file, which is that of their names.
        top: Number of the first line of pixels.
        size: (h, w) of the data window.
        end: Bytes before the table of blocks.
    """

    channels: tuple[Channel, ...]
    compression: Compression
    top: int
    size: tuple[int, int]
    end: int = 0

    @property
    def line_bytes(self) -> int:
        return self.size[1] * sum(channel.dtype.itemsize for channel in self.channels)

    @property
    def blocks(self) -> int:
        return -(-self.size[0] // self.compression.lines)


class NotPlainError(Exception):
    """The file is a good one, but of a kind that only the OpenEXR library reads; the message says which."""


def parse_header(data: bytes) -> Header:
    """Read the head of a file.

    Raises:
        NotPlainError: Tiled, deep, of several parts, with subsampled channels, or of another compression.
        ValueError: No OpenEXR file, or a damaged one.
    """
    if data[:4] != MAGIC or len(data) < 8:
        raise ValueError(f"it begins with {data[:4]!r}, which no OpenEXR file does")
    (version,) = struct.unpack_from("<I", data, 4)
    for flag, kind in NOT_PLAIN.items():
        if version & flag:
            raise NotPlainError(kind)
    attributes, end = _attributes(data, 8)
    missing = {"channels", "compression", "dataWindow"} - attributes.keys()
    if missing:
        raise ValueError(f"its header lacks {', '.join(sorted(missing))}")
    if len(attributes["dataWindow"]) != 16:
        raise ValueError("its data window is damaged")
    left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"])
    size = (bottom - top + 1, right - left + 1)
    if not all(0 < side <= LARGEST_SIDE for side in size):
        raise ValueError(f"its data window is {size[1]}x{size[0]} pixels")
    return Header(_channels(attributes["channels"]), _compression(attributes["compression"]), top, size, end)


def format_header(header: Header) -> bytes:
    """Write the head of a file whose data window is all of the picture."""
    h, w = header.size
    window = struct.pack("<4i", 0, header.top, w - 1, header.top + h - 1)
    channels = [
        channel.name.encode() + b"\0" + struct.pack("<iB3xii", DTYPES.index(channel.dtype), 0, 1, 1)
        for channel in header.channels
    ]
    long_names = any(len(channel.name.encode()) > 31 for channel in header.channels)
    attributes = (
        ("channels", "chlist", b"".join(channels) + b"\0"),
        ("compression", "compression", bytes([header.compression])),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", b"\0"),  # from top to bottom
        ("pixelAspectRatio", "float", struct.pack("<f", 1.0)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0.0, 0.0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1.0)),
    )
    parts = [MAGIC, struct.pack("<I", VERSION | LONG_NAMES * long_names)]
    for name, kind, value in attributes:
        parts.append(f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value)
    return b"".join(parts) + b"\0"


def _attributes(data: bytes, at: int) -> tuple[dict[str, bytes], int]:
    """The attributes by their names, and where they end."""
    found = {}
    while data[at : at + 1] != b"\0":
        name, at = _word(data, at)
        _, at = _word(data, at)
        if at + 4 > len(data):
            raise ValueError("it ends within its header")
        (size,) = struct.unpack_from("<I", data, at)
        at += 4
        if at + size > len(data):
            raise ValueError("it ends within its header")
        found[name] = data[at : at + size]
        at += size
    return found, at + 1


def _word(data: bytes, at: int) -> tuple[str, int]:
    end = data.find(b"\0", at, at + 256)  # names have at most 255 bytes
    if end < 0:
        raise ValueError("it ends within its header")
    return data[at:end].decode(errors="replace"), end + 1


def _channels(value: bytes) -> tuple[Channel, ...]:
    channels, at = [], 0
    while value[at : at + 1] not in (b"\0", b""):
        name, at = _word(value, at)
        if at + 16 > len(value):
            raise ValueError("its list of channels is cut off")
        kind, _, *sampling = struct.unpack_from("<iB3xii", value, at)
        at += 16
        if not 0 <= kind < len(DTYPES):
            raise ValueError(f"its channel {name} has the unknown pixel type {kind}")
        if sampling != [1, 1]:
            raise NotPlainError(f"its channel {name} has fewer pixels than the picture")
        channels.append(Channel(name, DTYPES[kind]))
    if not channels or len({channel.name for channel in channels}) < len(channels):
        raise ValueError("its list of channels is empty, or has a name twice")
    return tuple(channels)


def _compression(value: bytes) -> Compression:
    number = value[0] if len(value) == 1 else -1
    if 0 <= number - len(Compression) < len(OTHER):
        raise NotPlainError(f"its compression is {OTHER[number - len(Compression)]}")
    if number not in list(Compression):
        raise ValueError(f"its compression has the unknown number {number}")
    return Compression(number)
