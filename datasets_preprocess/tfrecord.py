"""TFRecord files, without TensorFlow: records of bytes, each with its length and two checksums.

Layout: uint64 length, uint32 masked CRC-32C of the length, the bytes, uint32 masked CRC-32C of the bytes; little
endian. Compressed files are not read.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from datasets_preprocess.crc32c import crc32c, masked

HEAD, TAIL = 12, 4  # bytes around the data of a record
REMEDY = "download it again"


class Place(NamedTuple):
    """Where a record begins in its file, and how many bytes of data it has."""

    offset: int
    length: int


def read_records(path: Path, *, check: bool = True) -> Iterator[tuple[Place, bytes]]:
    """Read record by record. The file is walked through first, so that a broken one gives no record at all.

    Args:
        check: Compare the checksums of the data, too; 200 MB take about two seconds.

    Raises:
        ValueError: The file is empty or broken off, or a record is damaged; names the byte where that record begins.
    """
    with path.open("rb") as file:
        for place in find_records(path):
            file.seek(place.offset + HEAD)
            data = file.read(place.length)
            (stored,) = struct.unpack("<I", file.read(TAIL))
            if check and masked(crc32c(data)) != stored:
                raise ValueError(
                    f"{path}: the record at byte {place.offset} is damaged (its checksum does not fit); {REMEDY}"
                )
            yield place, data


def find_records(path: Path) -> list[Place]:
    """List the records by their heads, without reading the data.

    Raises:
        ValueError: The file is empty or broken off, or the head of a record is damaged.
    """
    size, places, offset = os.path.getsize(path), [], 0
    with path.open("rb") as file:
        while offset < size:
            file.seek(offset)
            head = file.read(HEAD)
            place = Place(offset, _length(path, offset, head))
            end = offset + HEAD + place.length + TAIL
            if end > size:
                raise ValueError(
                    f"{path} is broken off: its record at byte {offset} ends at {end}, the file at {size}; {REMEDY}"
                )
            places.append(place)
            offset = end
    if not places:
        raise ValueError(f"{path} is empty; {REMEDY}")
    return places


def _length(path: Path, offset: int, head: bytes) -> int:
    if len(head) < HEAD:
        raise ValueError(f"{path} is broken off: at byte {offset}, {len(head)} bytes are left; {REMEDY}")
    length, stored = struct.unpack("<QI", head)
    if masked(crc32c(head[:8])) != stored:
        raise ValueError(
            f"{path}: the record at byte {offset} has a damaged length (its checksum does not fit), or this is no "
            f"uncompressed TFRecord file; {REMEDY}"
        )
    return int(length)
