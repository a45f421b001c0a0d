"""COLMAP's dense maps (stereo/depth_maps/*.geometric.bin, stereo/normal_maps/*): depth, or three channels of normals.

A line of text `W&H&C&`, then float32, channel after channel. 0 is no depth; the unit is that of the model.
"""

import math
import os
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from cut3r.files.atomic import atomic_path
from cut3r.files.damaged import naming_the_file

HEADER = re.compile(rb"(\d{1,9})&(\d{1,9})&(\d{1,9})&")
HEADER_BYTES = 64
BYTES = 4  # of a value


def read_dense_map(path: str | os.PathLike[str]) -> Float32[np.ndarray, "h w"] | Float32[np.ndarray, "h w c"]:
    """Read a map: h w if it has one channel.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, or no such map.
    """
    path = Path(path)
    with naming_the_file(path):
        data = path.read_bytes()
        header = HEADER.match(data[:HEADER_BYTES])
        if header is None:
            raise ValueError("it does not begin with width&height&channels&, as COLMAP's dense maps do")
        w, h, c = map(int, header.groups())
        size = len(data) - header.end()
        if size != BYTES * math.prod((w, h, c)) or size == 0:
            raise ValueError(f"{size:,} bytes follow its header instead of {BYTES * math.prod((w, h, c)):,}")
        values = np.frombuffer(data, "<f4", offset=header.end()).reshape(c, h, w)
        return np.ascontiguousarray(values[0] if c == 1 else values.transpose(1, 2, 0), np.float32)


def write_dense_map(
    path: str | os.PathLike[str], values: Float32[np.ndarray, "h w"] | Float32[np.ndarray, "h w c"]
) -> None:
    """Write a map, atomically.

    Raises:
        ValueError: It has no pixels.
    """
    if 0 in values.shape:
        raise ValueError(f"{path}: values {values.shape} have no pixels; expected h w or h w c")
    planes = values[..., None] if values.ndim == 2 else values
    h, w, c = planes.shape
    with atomic_path(path) as temporary:
        temporary.write_bytes(f"{w}&{h}&{c}&".encode() + planes.transpose(2, 0, 1).astype("<f4").tobytes())
