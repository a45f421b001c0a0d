"""The .sens recordings of ScanNet, read frame by frame: memory does not grow with their length.

Little endian. A header (see `read_header`), then per frame: world_from_cam as 16 float32; two uint64 time stamps; the
sizes of colour and depth data as uint64; the data.
"""

import os
import struct
import zlib
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from jaxtyping import Float64, UInt16

VERSION = 4
PNG, JPEG = 1, 2  # codecs of colour
RAW, ZLIB = 0, 1  # codecs of depth
HEADER_END = "<iiIIIIfQ"  # codecs of colour and depth; sizes (w, h) of colour and depth; depth units; frames


@dataclass(frozen=True)
class Header:
    color_codec: int
    depth_codec: int
    depth_size: tuple[int, int]  # (h, w)
    units_per_metre: float
    frames: int


@dataclass(frozen=True)
class SensFrame:
    """One frame. `color` is a picture file (JPEG or PNG, as recorded); a lost camera is not finite."""

    color: bytes
    depth_mm: UInt16[np.ndarray, "h w"]
    world_from_cam: Float64[np.ndarray, "4 4"]


def read_header(file: BinaryIO) -> Header:
    """Read the header, up to the first frame.

    Raises:
        ValueError: Another version, or a codec that ScanNet does not use.
    """
    version, name_length = struct.unpack("<IQ", _read(file, 12))
    if version != VERSION:
        raise ValueError(f"{file.name} is a .sens of version {version}; expected {VERSION}; download it again")
    _read(file, name_length + 4 * 64)  # the sensor's name; intrinsics and extrinsics of both cameras
    fields = struct.unpack(HEADER_END, _read(file, struct.calcsize(HEADER_END)))
    color_codec, depth_codec, _, _, depth_w, depth_h, units_per_metre, frames = fields
    if color_codec not in (PNG, JPEG) or depth_codec not in (RAW, ZLIB):
        raise ValueError(
            f"{file.name} has colour codec {color_codec} and depth codec {depth_codec}; expected 1 or 2 and 0 or 1; "
            "export it to color/, depth/ and pose/ with ScanNet's own reader"
        )
    return Header(color_codec, depth_codec, (depth_h, depth_w), units_per_metre, frames)


def read_frames(file: BinaryIO, header: Header, wanted: Container[int]) -> Iterator[SensFrame]:
    """Read the wanted frames, in order; the data of the others is skipped.

    Raises:
        ValueError: The file ends too early.
    """
    for index in range(header.frames):
        numbers = np.frombuffer(_read(file, 64), "<f4").reshape(4, 4)
        _, _, color_bytes, depth_bytes = struct.unpack("<4Q", _read(file, 32))
        if index in wanted:
            color, depth = _read(file, color_bytes), _read(file, depth_bytes)
            yield SensFrame(color, _decode_depth(depth, header), numbers.astype(np.float64))
        else:
            file.seek(color_bytes + depth_bytes, os.SEEK_CUR)


def _decode_depth(data: bytes, header: Header) -> UInt16[np.ndarray, "h w"]:
    raw = zlib.decompress(data) if header.depth_codec == ZLIB else data
    values = np.frombuffer(raw, "<u2").reshape(header.depth_size)
    return np.rint(values * (1000.0 / header.units_per_metre)).astype(np.uint16)


def _read(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise ValueError(f"{file.name} ends too early, at byte {file.tell()}; download it again")
    return data
