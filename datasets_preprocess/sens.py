"""ScanNet's .sens files: the pictures, depth maps and poses of a scan, one after the other. Source: 07_scannet.md.

Numbers are little-endian. A file has gigabytes, so its frames are read one at a time.
"""

import io
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float64, UInt8, UInt16
from PIL import Image

from cut3r.files.damaged import naming_the_file

VERSION = 4
RAW_COLOR, JPEG = 0, 2
RAW_DEPTH, ZLIB = 0, 1
MILLIMETRES = 1000.0  # of depth per metre
NAME_BYTES = 4096  # no sensor's name is longer
FRAME_HEAD = np.dtype([("pose", "<f4", (4, 4)), ("times", "<u8", 2), ("color_bytes", "<u8"), ("depth_bytes", "<u8")])
_HEAD = np.dtype(
    [
        ("matrices", "<f4", (4, 4, 4)),
        ("color_coding", "<i4"),
        ("depth_coding", "<i4"),
        ("color_size", "<u4", 2),
        ("depth_size", "<u4", 2),
        ("depth_shift", "<f4"),
        ("frames", "<u8"),
    ]
)


@dataclass(frozen=True)
class SensHead:
    """What holds for all frames. Sizes are (h, w), matrices 4x4: intrinsics, and rig_from_cam of both cameras."""

    color_intrinsics: Float64[np.ndarray, "4 4"]
    color_extrinsics: Float64[np.ndarray, "4 4"]
    depth_intrinsics: Float64[np.ndarray, "4 4"]
    depth_extrinsics: Float64[np.ndarray, "4 4"]
    color_size: tuple[int, int]
    depth_size: tuple[int, int]
    color_coding: int
    depth_coding: int
    frames: int
    begins: int  # the byte at which the first frame begins


@dataclass(frozen=True)
class SensFrame:
    """One frame as it is stored."""

    head: SensHead
    world_from_cam: Float64[np.ndarray, "4 4"]
    color: bytes
    depth: bytes

    def decode_color(self) -> UInt8[np.ndarray, "h w 3"]:
        """Raises ValueError, or what Pillow raises, for a damaged picture."""
        if self.head.color_coding == RAW_COLOR:
            return np.frombuffer(self.color, np.uint8).reshape(*self.head.color_size, 3)
        with Image.open(io.BytesIO(self.color)) as image:
            return np.array(image.convert("RGB"))

    def decode_depth(self) -> UInt16[np.ndarray, "h w"]:
        """Give millimetres. Raises ValueError, or what zlib raises, for a damaged depth map."""
        numbers = zlib.decompress(self.depth) if self.head.depth_coding == ZLIB else self.depth
        return np.frombuffer(numbers, "<u2").reshape(self.head.depth_size).astype(np.uint16)


def read_head(path: Path) -> SensHead:
    """Read what stands before the frames.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, of another version, or coded in a way that ScanNet does not use.
    """
    with naming_the_file(path), path.open("rb") as file:
        version, length = _number(file, "<u4"), _number(file, "<u8")
        if version != VERSION or length > NAME_BYTES:
            raise ValueError(f"it is of version {version}; expected a .sens file of version {VERSION}")
        _bytes(file, int(length))
        head = np.frombuffer(_bytes(file, _HEAD.itemsize), _HEAD)[0]
        if head["depth_coding"] not in (RAW_DEPTH, ZLIB) or not RAW_COLOR <= head["color_coding"] <= JPEG:
            raise ValueError(f"its codings {head['color_coding']} and {head['depth_coding']} are not those of ScanNet")
        if head["depth_shift"] != MILLIMETRES:
            raise ValueError(f"{head['depth_shift']} units of depth are a metre; expected {MILLIMETRES}")
        (color_w, color_h), (depth_w, depth_h) = head["color_size"].tolist(), head["depth_size"].tolist()
        color_intrinsics, color_extrinsics, depth_intrinsics, depth_extrinsics = head["matrices"].astype(np.float64)
        return SensHead(
            color_intrinsics,
            color_extrinsics,
            depth_intrinsics,
            depth_extrinsics,
            color_size=(color_h, color_w),
            depth_size=(depth_h, depth_w),
            color_coding=int(head["color_coding"]),
            depth_coding=int(head["depth_coding"]),
            frames=int(head["frames"]),
            begins=file.tell(),
        )


class SensFile:
    """The frames of a file, in any order."""

    def __init__(self, path: Path) -> None:
        """Read the head, and find out where the frames are, as far as the file goes.

        Raises:
            FileNotFoundError: No such file.
            ValueError: It is damaged before the first frame.
        """
        self.path, self.head = path, read_head(path)
        self._places = list(self._find())

    def __len__(self) -> int:
        """The number of frames that the head promises."""
        return self.head.frames

    def read(self, number: int) -> SensFrame:
        """Read one frame.

        Raises:
            ValueError: The file ends before.
        """
        with naming_the_file(self.path), self.path.open("rb") as file:
            if number >= len(self._places):
                raise ValueError(f"it ends before frame {number} of {len(self)}")
            file.seek(self._places[number])
            here = _read_frame_head(file)
            color, depth = (_bytes(file, int(here[f"{kind}_bytes"])) for kind in ("color", "depth"))
        return SensFrame(self.head, here["pose"].astype(np.float64), color, depth)

    def _find(self) -> Iterator[int]:
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            place = self.head.begins
            for _ in range(self.head.frames):
                if place + FRAME_HEAD.itemsize > size:
                    return
                file.seek(place)
                here = _read_frame_head(file)
                end = place + FRAME_HEAD.itemsize + int(here["color_bytes"]) + int(here["depth_bytes"])
                if end > size:
                    return
                yield place
                place = end


def _read_frame_head(file: BinaryIO) -> np.void:
    return np.frombuffer(_bytes(file, FRAME_HEAD.itemsize), FRAME_HEAD)[0]


def _number(file: BinaryIO, dtype: str) -> int:
    return int(np.frombuffer(_bytes(file, np.dtype(dtype).itemsize), dtype)[0])


def _bytes(file: BinaryIO, count: int) -> bytes:
    left = os.fstat(file.fileno()).st_size - file.tell()
    if count > left:
        raise ValueError(f"it ends {count - left} bytes too early")
    return file.read(count)
