"""An alignment in one file, from which an interrupted run goes on."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cut3r.alignment.result import Alignment
from cut3r.alignment.taken import Taken
from cut3r.files.archive import read_npz
from cut3r.files.atomic import atomic_path
from cut3r.geometry.registration import Similarity

logger = logging.getLogger(__name__)

TENSORS = ("world_from_cam", "intrinsics", "scales", "confidence", "kept")
PERHAPS = ("points_cam", "depth", "k1")  # one of the first two is None
BEFORE = ("rotation", "translation", "scale")


def fingerprint_of(aligned: Alignment) -> str:
    """Of all that a later stage could build on: cameras, points, groups, and the pictures that they belong to."""
    taken, digest = aligned.taken, hashlib.sha256()
    known = [
        sorted((k, value.tolist()) for k, value in some.items()) for some in (taken.intrinsics, taken.world_from_cam)
    ]
    names = [(frame.name, frame.index) for frame in taken.frames]
    digest.update(repr((names, taken.pixel_maps, known, aligned.report.get("groups"))).encode())
    given = (getattr(aligned, name) for name in TENSORS + PERHAPS)
    for tensor in (taken.images, taken.counts, *(tensor for tensor in given if tensor is not None)):
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()


def save_alignment(path: Path, aligned: Alignment, key: str) -> None:
    """Write everything but the frames, atomically.

    Args:
        key: Of the frames, the network and the settings, for `load_alignment`.
    """
    arrays: dict[str, Any] = {name: getattr(aligned, name).numpy() for name in TENSORS}
    arrays |= {name: value.numpy() for name in PERHAPS if (value := getattr(aligned, name)) is not None}
    arrays |= {f"before_{name}": getattr(aligned.before, name).numpy() for name in BEFORE}
    arrays["record"] = np.array(json.dumps({"key": key, "report": aligned.report}))
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)


def load_alignment(path: Path, taken: Taken, key: str) -> Alignment | None:
    """Read what `save_alignment` wrote; None if there is none, or one of other frames or settings, or a damaged one."""
    if not path.exists():
        return None
    try:
        arrays = read_npz(path)
        record = json.loads(str(arrays.pop("record")))
        if record["key"] != key:
            logger.info("%s is the alignment of other frames or settings, and is made anew", path)
            return None
        tensors: dict[str, Any] = {name: torch.from_numpy(array) for name, array in arrays.items()}
        before = Similarity(*(tensors.pop(f"before_{name}") for name in BEFORE))
        fields: dict[str, Any] = dict.fromkeys(PERHAPS) | tensors
        aligned = Alignment(taken, report=record["report"], before=before, **fields)
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s is damaged, and the alignment is made anew (%s)", path, error)
        return None
    logger.info("the alignment is there already")
    return aligned
