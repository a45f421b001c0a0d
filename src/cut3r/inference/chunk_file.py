"""`chunks.json` beside the files of each frame: where chunks stand now, how they were joined, and which loops closed.

The files of a frame say where its chunk stood when they were written. Chunks may be moved later, so whoever reads a
folder takes places from here (`read_frame_folder` does): no file of a frame is written twice.
"""

import json
from pathlib import Path
from typing import Any

import torch

from cut3r.files.atomic import atomic_path
from cut3r.geometry.registration import Similarity
from cut3r.inference.chunk_points import is_similarity
from cut3r.inference.course import Course

CHUNKS = "chunks.json"


def write_chunks(folder: Path, course: Course, frames: int) -> None:
    """Write it anew, if there is more than one chunk, or the only one does not stand at the origin.

    Args:
        frames: Of the stream so far: a chunk that begins behind them has none yet.
    """
    joints = [joint for joint in course.joints if joint.first < frames]
    if not joints and all(is_origin(place) for place in course.places.world_from_chunk.values()):
        return
    last = joints[-1].chunk if joints else max(course.places.world_from_chunk)
    places = {str(n): place.matrix().tolist() for n, place in course.places.world_from_chunk.items() if n <= last}
    record: dict[str, Any] = {"world_from_chunk": places}
    record["joints"] = [joint.report() | {"doubt": joint.doubt, "scale_change": joint.scale_change} for joint in joints]
    record["loops"] = [loop.report() for loop in course.places.loops]
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / CHUNKS) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def is_origin(place: Similarity) -> bool:
    return bool(torch.equal(place.matrix(), torch.eye(4).to(place.matrix())))


def read_places(folder: Path) -> dict[int, Similarity]:
    """Where the chunks of a folder stand, by their number; empty where no run in chunks wrote it.

    Raises:
        ValueError: The file is damaged.
    """
    path = folder / CHUNKS
    if not path.is_file():
        return {}
    try:
        said = json.loads(path.read_text(encoding="utf-8"))["world_from_chunk"]
        matrices = {int(number): torch.tensor(matrix, dtype=torch.float64) for number, matrix in said.items()}
        sound = all(each.shape == (4, 4) and is_similarity(each.numpy()) for each in matrices.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); make the run again, or remove it to take frames as written"
        ) from error
    if not sound:
        raise ValueError(f"{path} holds a place that is no rotation, scale and translation; make the run again")
    return {number: Similarity.from_matrix(matrix) for number, matrix in matrices.items()}
