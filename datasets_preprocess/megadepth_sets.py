"""Sets of photos that see the same things, for MegaDepth: our own recipe, since that of the published sets is unknown.

Two photos belong together as far as their reconstruction has 3-D points that both see. A set grows by a random walk:
from a photo to one that shares points with it, the likelier the more they share; where a photo leads nowhere new, the
walk goes on from the one before. Each usable photo is in at least one set, and a walk never leaves its reconstruction,
because those of one place have different scales.

The same seed gives the same sets, whatever the order of images in the files.
"""

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from scipy.sparse import csr_array

from cut3r.io.colmap import ColmapImage

SET_SIZE = 64
SMALLEST_SET = 4  # photos; training draws no fewer views
FEWEST_SHARED = 15  # 3-D points; COLMAP, too, takes two photos that share fewer matches for strangers
PADDING = -1


@dataclass(frozen=True)
class ModelSets:
    """The sets of a reconstruction.

    Attributes:
        scene: Its name as the published file writes it: "0015 0".
        names: The photos.
        sets: Numbers of photos in the order of their walk, then PADDING.
    """

    scene: str
    names: tuple[str, ...]
    sets: Int64[np.ndarray, "m size"]


def model_sets(
    scene: str, images: Sequence[ColmapImage], usable: Collection[str], *, seed: int = 0, size: int = SET_SIZE
) -> ModelSets:
    """Make the sets of one reconstruction.

    Args:
        images: With their points (`read_images(path, points=True)`).
        usable: Names of the images that have a photo and depth.

    Raises:
        ValueError: The images were read without their points.
    """
    chosen = sorted((image for image in images if image.name in set(usable)), key=lambda image: image.name)
    points = [image.points for image in chosen if image.points is not None]
    if len(points) < len(chosen):
        raise ValueError(f"the images of {scene} have no points; read them with read_images(path, points=True)")
    rng = np.random.default_rng([seed, zlib.crc32(scene.encode())])
    return ModelSets(scene, tuple(image.name for image in chosen), grow_sets(covisibility(points), size, rng))


def covisibility(points: Sequence[Int64[np.ndarray, "_"]]) -> csr_array:
    """Count the 3-D points that each two images share, from FEWEST_SHARED on: symmetric, nothing on the diagonal.

    Args:
        points: For each image the numbers of the 3-D points that it sees; negative ones are none, repeated ones one.
    """
    seen = [np.unique(numbers[numbers >= 0]) for numbers in points]
    flat = np.concatenate((*seen, np.empty(0, np.int64)))
    known, columns = np.unique(flat, return_inverse=True)
    starts = np.concatenate(([0], np.cumsum([len(numbers) for numbers in seen]))).astype(np.int64)
    sees = csr_array((np.ones(len(flat), np.int64), columns, starts), shape=(len(seen), max(len(known), 1)))
    shared = (sees @ sees.T).tocoo()
    kept = (shared.row != shared.col) & (shared.data >= FEWEST_SHARED)
    pairs = (shared.row[kept], shared.col[kept])
    return csr_array((shared.data[kept], pairs), shape=shared.shape)


def grow_sets(shared: csr_array, size: int, rng: np.random.Generator) -> Int64[np.ndarray, "m size"]:
    """Walk from random images, never from one that is in a set already, until all are in one or too much alone."""
    rows, covered = [], np.zeros(shared.shape[0], bool)
    for first in rng.permutation(shared.shape[0]).tolist():
        if covered[first]:
            continue
        found = grow_set(shared, first, size, rng)
        covered[found] = True
        if len(found) >= min(SMALLEST_SET, size):
            rows.append(found + [PADDING] * (size - len(found)))
    return np.array(rows, np.int64).reshape(-1, size)


def grow_set(shared: csr_array, first: int, size: int, rng: np.random.Generator) -> list[int]:
    """Walk from one image to at most `size` different ones, in the order in which they are met."""
    found, path, taken = [first], [first], np.zeros(shared.shape[0], bool)
    taken[first] = True
    while path and len(found) < size:
        row = slice(*shared.indptr[path[-1] : path[-1] + 2])
        new = ~taken[shared.indices[row]]
        if not new.any():
            path.pop()
            continue
        neighbours, weights = shared.indices[row][new], shared.data[row][new]
        image = int(rng.choice(neighbours, p=weights / weights.sum()))
        taken[image] = True
        found.append(image)
        path.append(image)
    return found


def join_sets(models: Sequence[ModelSets]) -> dict[str, np.ndarray]:
    """Give the arrays of the published file megadepth_sets_64.npz: `scenes`, `images` and `sets`.

    A row of `sets` is the number of its scene, then numbers of images, then PADDING.
    """
    names: list[str] = []
    rows = []
    for number, model in enumerate(models):
        sets = np.where(model.sets >= 0, model.sets + len(names), PADDING)
        rows.append(np.insert(sets, 0, number, axis=1))
        names += model.names
    return {
        "scenes": np.array([model.scene for model in models], dtype=str),
        "images": np.array(names, dtype=str),
        "sets": np.concatenate(rows) if rows else np.empty((0, 1 + SET_SIZE), np.int64),
    }
