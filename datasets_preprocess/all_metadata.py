"""One file about all scenes, which the original's readers of ARKitScenes, ScanNet and ScanNet++ begin with."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64

from cut3r.data.datasets.arkitscenes import matrices
from cut3r.data.layout import read_npz, write_npz

NAMES = ("images", "intrinsics", "trajectories", "pairs")


def write_all_metadata(path: Path, scenes: Iterable[tuple[str, Path]]) -> None:
    """Join the metadata of scenes, given with their files, in order. Pairs count in the joined list of images."""
    parts, names, counts, pairs, total = [], [], [], [], 0
    for name, file in scenes:
        images, intrinsics, trajectories, own_pairs = read_npz(file, *NAMES)
        parts.append((images, matrices(intrinsics), trajectories))
        names.append(name)
        counts.append(total)
        pairs.append(own_pairs.reshape(-1, 3) + np.array([total, total, 0]))
        total += len(images)
    if not parts:
        return
    images, intrinsics, trajectories = (np.concatenate(column) for column in zip(*parts, strict=True))
    lengths = [len(part[0]) for part in parts]
    write_npz(
        path,
        counts=np.array(counts, np.int64),
        scenes=np.array(names),
        sceneids=np.repeat(np.arange(len(parts)), lengths),
        images=images,
        intrinsics=intrinsics,
        trajectories=trajectories,
        pairs=np.concatenate(pairs),
    )


def renumber(pairs: Float[np.ndarray, "p 3"], old: list[str], new: list[str]) -> Float64[np.ndarray, "q 3"]:
    """Let rows (image, image, score) count in another list of images; rows of images that it lacks are dropped."""
    number = {name: i for i, name in enumerate(new)}
    rows = [(old[int(i)], old[int(j)], score) for i, j, score in pairs]
    kept = [(number[a], number[b], score) for a, b, score in rows if a in number and b in number]
    return np.array(kept, dtype=np.float64).reshape(-1, 3)
