"""What predictions and scores were computed from, so that they are made again when that has changed.

Files are told apart by name, size and time of change, cameras by their numbers. Pictures are also told apart by their
content, which is read only if their times differ: a set that was copied to another machine is still the same set.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cut3r.files.fingerprint import fingerprint
from eval.sequences.sequence import DepthFiles, Sequence
from eval.systems.saved import Predictions


def pictures_of(sequence: Sequence) -> dict[str, str]:
    """Say what the system sees of a sequence; kept with its predictions."""
    return {"files": fingerprint(sequence.images), "content": content(sequence)}


def are_of(record: Mapping[str, Any], sequence: Sequence) -> bool:
    """Tell whether predictions with this record are of these pictures."""
    kept = record.get("pictures")
    if kept is None:
        return False
    return kept["files"] == fingerprint(sequence.images) or kept["content"] == content(sequence)


def content(sequence: Sequence) -> str:
    """Digest of the pictures' names and bytes, in order."""
    digest = hashlib.sha256()
    for image in sequence.images:
        digest.update(image.name.encode(errors="surrogatepass") + b"\0" + _sha256(image))
    return digest.hexdigest()


def inputs_of(sequence: Sequence, predictions: Predictions) -> dict[str, str | None]:
    """Say what one sequence's score is computed from; kept with it."""
    return {
        "pictures": fingerprint(sequence.images),
        "depth": _depth(sequence),
        "cameras": _numbers(sequence.world_from_cam),
        "intrinsics": _numbers(sequence.intrinsics),
        "times": _numbers(sequence.times_s),
        "predictions": fingerprint(predictions.files()),
    }


def _depth(sequence: Sequence) -> str | None:
    read = sequence.read_depth
    if read is None:
        return None
    if isinstance(read, DepthFiles):
        return fingerprint(read.paths)
    digest = hashlib.sha256()  # no files that could be looked at
    for number in range(len(sequence)):
        digest.update(read(number).tobytes())
    return digest.hexdigest()


def _numbers(rows: np.ndarray | None) -> str | None:
    return None if rows is None else hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
