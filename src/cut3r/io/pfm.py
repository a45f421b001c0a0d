"""PFM, the portable float map: depth and disparity of many recordings, as float32 rows from bottom to top.

Format: http://www.pauldebevec.com/Research/HDR/PFM/
"""

import math
import os
import re

import numpy as np
from jaxtyping import Float32

from cut3r.files.atomic import atomic_path
from cut3r.files.damaged import naming_the_file
from cut3r.files.packed_path import as_path

HEADER = re.compile(rb"(P[Ff])\s+(\d{1,9})\s+(\d{1,9})\s+(\S{1,32})[ \t]*\r?\n")  # kind, width, height, scale
HEADER_BYTES = 256
BYTES = 4  # of a value


def read_pfm(path: str | os.PathLike[str]) -> Float32[np.ndarray, "h w"] | Float32[np.ndarray, "h w 3"]:
    """Read a picture of one or three channels, rows from top to bottom, values as they are.

    The sign of the header's scale gives the order of bytes. Its size is not applied: programs disagree on its meaning.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, or no PFM.
    """
    path = as_path(path)
    with naming_the_file(path):
        data = path.read_bytes()
        header = HEADER.match(data[:HEADER_BYTES])
        if header is None:
            raise ValueError("it does not begin as a PFM: Pf or PF, width, height, scale")
        w, h = int(header[2]), int(header[3])
        scale = float(header[4])
        if scale == 0 or not math.isfinite(scale):
            raise ValueError(f"its scale is {scale}; expected a positive number, or a negative one for little-endian")
        shape = (h, w) if header[1] == b"Pf" else (h, w, 3)
        if len(data) - header.end() != BYTES * math.prod(shape) or 0 in shape:
            pixels = len(data) - header.end()
            raise ValueError(f"{pixels:,} bytes follow its header instead of {BYTES * math.prod(shape):,}")
        values = np.frombuffer(data, "<f4" if scale < 0 else ">f4", offset=header.end()).reshape(shape)
        return np.ascontiguousarray(values[::-1], np.float32)


def write_pfm(path: str | os.PathLike[str], values: Float32[np.ndarray, "h w"] | Float32[np.ndarray, "h w 3"]) -> None:
    """Write a picture, little-endian, atomically.

    Raises:
        ValueError: It has no pixels.
    """
    if 0 in values.shape:
        raise ValueError(f"{path}: values {values.shape} have no pixels; expected h w or h w 3")
    h, w = values.shape[:2]
    with atomic_path(path) as temporary:
        header = f"{'Pf' if values.ndim == 2 else 'PF'}\n{w} {h}\n-1.0\n"
        temporary.write_bytes(header.encode() + values[::-1].astype("<f4").tobytes())
