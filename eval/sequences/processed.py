"""Sets that `datasets_preprocess` has converted, read by their reader in `cut3r.data`: ROOT/NAME, NAME as in its table.

Of videos that papers score by pairs of frames, ten frames are drawn from each, the same ones each time.
"""

import zlib
from collections.abc import Sequence as Ordered
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from cut3r.data.datasets import PROCESSED
from cut3r.data.processed import ProcessedDataset
from cut3r.data.scene import Scene
from cut3r.files.damaged import read_errors
from eval.sequences.inventory import Found, Request, gather
from eval.sequences.sequence import Sequence

DRAWN = 10  # frames of a scene, as in PoseDiffusion's and later tables
ANY_SIZE = ((224, 224),)  # of samples, which are not asked for
ADVICE = "convert it: python -m datasets_preprocess NAME, and name the folder that holds the result root=..."


@dataclass(frozen=True)
class SceneDepth:
    """True depth through the reader, 0 where it is unknown."""

    dataset: ProcessedDataset
    scene: Scene
    positions: tuple[int, ...]

    def __call__(self, number: int) -> Float32[np.ndarray, "h w"]:
        depth = self.dataset.read(self.scene, self.positions[number]).depth
        return np.maximum(depth, 0)  # the sky is negative


def open_realestate10k(root: Path, request: Request) -> list[Sequence]:
    """Open ten frames of each video, with cameras and without depth."""
    return _open(root, "realestate10k", None, request, drawn=DRAWN, depth=False)


def open_co3d(root: Path, request: Request) -> list[Sequence]:
    """Open ten frames of each sequence of the test split, with cameras."""
    return _open(root, "co3d", "test", request, drawn=DRAWN, depth=False)


def open_scannetpp(root: Path, request: Request) -> list[Sequence]:
    """Open the scenes with depth, cameras and intrinsics."""
    return _open(root, "scannetpp", None, request, drawn=None, depth=True)


def draw(name: str, frames: int, count: int) -> list[int]:
    """Choose so many frames of a scene, in their order; the same ones each time, and others in each scene."""
    chosen = np.random.default_rng(zlib.crc32(name.encode())).permutation(frames)[:count]
    return sorted(chosen.tolist())


def _open(
    root: Path, slug: str, split: str | None, request: Request, *, drawn: int | None, depth: bool
) -> list[Sequence]:
    folder = root / slug
    dataset = PROCESSED[slug](folder, split=split, num_views=2, sizes=ANY_SIZE)
    scenes = {scene.name: scene for scene in _scenes(dataset)}

    def find(name: str) -> Found:
        scene = scenes[name]
        positions = range(len(scene.frames)) if drawn is None else draw(name, len(scene.frames), drawn)
        return _found(dataset, scene, list(positions), depth=depth)

    return gather(scenes, find, folder=folder, root=root, advice=ADVICE, request=request)


def _scenes(dataset: ProcessedDataset) -> Ordered[Scene]:
    return [dataset.scenes[index] for index in range(len(dataset.scenes))]


def _found(dataset: ProcessedDataset, scene: Scene, positions: list[int], *, depth: bool) -> Found:
    """Read the cameras, which the reader gives with the pictures; frames that cannot be read are missing."""
    images, cameras, intrinsics, usable, missing = [], [], [], [], []
    for position in positions:
        try:
            frame = dataset.read(scene, position)
        except read_errors():
            missing.append(f"{scene.name}/{scene.frames[position]}")
            continue
        images.append(dataset.file("rgb", scene, position))
        cameras.append(frame.world_from_cam)
        intrinsics.append(frame.intrinsics)
        usable.append(position)
    if not images:
        return Found(None, tuple(missing))
    reader = SceneDepth(dataset, scene, tuple(usable)) if depth else None
    return Found(Sequence(scene.name, tuple(images), reader, np.stack(cameras), np.stack(intrinsics)), tuple(missing))
