"""Bonn RGB-D dynamic: five hand-held sequences with moving people, 640x480, depth registered to colour.

`python -m eval.prepare bonn` makes the folders `rgb_110` and `depth_110` (or another number, for the long variants).
"""

import logging
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from cut3r.data.layout import read_png16
from eval.sequences.inventory import Found, Request, depth_reader, gather, list_files, number_in_name, pair, shortage
from eval.sequences.sequence import Sequence

logger = logging.getLogger(__name__)

ADVICE = (
    "get https://www.ipb.uni-bonn.de/html/projects/rgbd_dynamic2019/rgbd_bonn_dataset.zip, then run: "
    "python -m eval.prepare bonn --raw DOWNLOAD --out {root}{length}"
)
SEQUENCES = ("balloon2", "crowd2", "crowd3", "person_tracking2", "synchronous")
FRAMES = 110
UNITS_PER_METRE = 5000.0


def open_depth(root: Path, request: Request) -> list[Sequence]:
    """Open the five sequences with depth (float64, -1 where it is unknown).

    Pictures and depth are named by their own clocks, so the first is paired with the first and so on.
    """
    frames = request.frames or FRAMES

    def find(name: str) -> Found:
        sequence = folder / f"rgbd_bonn_{name}"
        images, depths = (
            list_files(sequence / f"rgb_{frames}", ".png"),
            list_files(sequence / f"depth_{frames}", ".png"),
        )
        pairs, missing = pair(images, depths, by_order=True)
        # A long variant ends where its sequence ends; every sequence has the published 110.
        missing += shortage(name, len(pairs), min(frames, FRAMES), frames)
        if not request.parity:
            _warn_of_gaps(name, pairs)
        reader = depth_reader((depth for _, depth in pairs), read_depth)
        return Found(Sequence(name, tuple(image for image, _ in pairs), reader) if pairs else None, missing)

    folder = folder_of(root, request.frames)
    return gather(SEQUENCES, find, folder=folder, root=root, advice=ADVICE, request=request)


def folder_of(root: Path, frames: int | None) -> Path:
    """Give the folder of the prepared sequences; `frames` is None for the set as published."""
    return root / ("bonn" if frames is None else "long_bonn_s1") / "rgbd_bonn_dataset"


def read_depth(path: Path) -> Float64[np.ndarray, "h w"]:
    """Read a depth map of Bonn: metres, -1 where it is unknown."""
    values = read_png16(path).astype(np.float64)
    return np.where(values == 0, -1.0, values / UNITS_PER_METRE)


def _warn_of_gaps(name: str, pairs: list[tuple[Path, Path]]) -> None:
    """Say if pictures and depth were paired by count and have drifted apart."""
    rgb_times = [number_in_name(image) for image, _ in pairs]
    gaps = [abs(time - number_in_name(depth)) for time, (_, depth) in zip(rgb_times, pairs, strict=True)]
    spacing = float(np.median([later - earlier for earlier, later in pairwise(rgb_times)] or [np.inf]))
    if pairs and max(gaps) > spacing:
        logger.warning(
            "%s: a picture and its depth are up to %.3f s apart, more than one frame (quirk 18: paired by count); "
            "python -m eval.prepare bonn pairs by time",
            name,
            max(gaps),
        )
