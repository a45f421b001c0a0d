"""The 3-D points of a COLMAP model (points3D.bin, points3D.txt), with the images that see each."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from cut3r.io.colmap_file import ByteReader, is_binary, naming, read_lines
from cut3r.io.numbers import number

FIXED = np.dtype([("id", "<i8"), ("world", "<f8", 3), ("color", "u1", 3), ("error", "<f8"), ("seen", "<u8")])
SEEN = np.dtype([("image", "<i4"), ("index", "<i4")])
LAYOUT = "POINT3D_ID X Y Z R G B ERROR, then pairs of IMAGE_ID and POINT2D_IDX"


@dataclass(frozen=True)
class ColmapPoints:
    """The points, and their tracks one after the other: that of point i is `starts[i] : starts[i + 1]`.

    Attributes:
        ids: Numbers of the points, as the images name them.
        world: In the model's unit.
        errors: Mean distance between seen and projected, in pixels.
        images: Numbers of the images that see a point.
        indices: Places of that point among the 2-D points of these images.
    """

    ids: Int64[np.ndarray, "p"]
    world: Float64[np.ndarray, "p 3"]
    colors: UInt8[np.ndarray, "p 3"]
    errors: Float64[np.ndarray, "p"]
    starts: Int64[np.ndarray, "p+1"]
    images: Int64[np.ndarray, "k"]
    indices: Int64[np.ndarray, "k"]


def read_points3d(path: Path) -> ColmapPoints:
    """Read points3D.bin or points3D.txt, whichever it is, in its order.

    Raises:
        ValueError: Not such a file; the message names it and the line.
    """
    return _binary(path) if is_binary(path) else _text(path)


def _binary(path: Path) -> ColmapPoints:
    data = ByteReader(path)
    heads, tracks = [], []
    for _ in range(data.take("<Q")[0]):
        head = data.skip(FIXED.itemsize)
        (seen,) = np.frombuffer(data.data, "<u8", 1, head + FIXED.itemsize - 8).tolist()
        track = data.skip(SEEN.itemsize * seen)
        heads.append(data.data[head : head + FIXED.itemsize])
        tracks.append(data.data[track : data.at])
    fixed = np.frombuffer(b"".join(heads), FIXED)
    seen = np.frombuffer(b"".join(tracks), SEEN)
    parts = (fixed["id"], fixed["world"], fixed["color"], fixed["error"], fixed["seen"])
    return _points(*parts, seen["image"], seen["index"])


def _text(path: Path) -> ColmapPoints:
    rows, tracks = [], []
    for line, text in read_lines(path):
        if words := text.split():
            with naming(f"{path}, line {line}"):
                if len(words) < 8 or len(words) % 2:
                    raise ValueError(f"{len(words)} words; expected {LAYOUT}")
                rows.append([int(words[0]), *map(number, words[1:8])])
                tracks.append(np.array(words[8:], np.int64))
    table = np.array([row[1:] for row in rows], np.float64).reshape(-1, 7)
    seen = np.concatenate((*tracks, np.empty(0, np.int64))).reshape(-1, 2)
    counts = np.array([len(track) // 2 for track in tracks], np.int64)
    ids = np.array([row[0] for row in rows], np.int64)
    return _points(ids, table[:, :3], table[:, 3:6], table[:, 6], counts, seen[:, 0], seen[:, 1])


def _points(
    ids: np.ndarray,
    world: np.ndarray,
    colors: np.ndarray,
    errors: np.ndarray,
    counts: np.ndarray,
    images: np.ndarray,
    indices: np.ndarray,
) -> ColmapPoints:
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    numbers = (ids.astype(np.int64), world.astype(np.float64), colors.astype(np.uint8), errors.astype(np.float64))
    return ColmapPoints(*numbers, starts, images.astype(np.int64), indices.astype(np.int64))
