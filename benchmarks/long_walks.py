"""Walks that are not made of formulas, for `long_accuracy.py`: a recording and rendered rooms, as long streams.

A recording of some seconds becomes a long stream by walking it to and fro: all frames are seen again, from the same
places.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from drifting_oracle import SIZE
from jaxtyping import Float, UInt8
from planted_walk import PlantedWalk
from torch import Tensor

from cut3r.data.synthetic import synthetic_walk
from cut3r.data.walks import WalkConfig
from cut3r.geometry.cameras import pixel_grid, resize_intrinsics
from cut3r.geometry.poses import pose_from_parts
from cut3r.geometry.registration import best_rotation
from cut3r.io.frames import Frame
from cut3r.io.images import read_image
from eval.sequences import open_set
from eval.sequences.sequence import Sequence

ROOM = Path(__file__).parents[2] / "shared" / "examples" / "rgbd_room"  # not published
RENDERED = WalkConfig(size=(96, 128), frames=300)


@dataclass(frozen=True)
class Footage:
    """Pictures and their true cameras."""

    rgb: list[UInt8[np.ndarray, "h w 3"]]
    world_from_cam: Float[Tensor, "v 4 4"]

    def frames(self) -> Iterator[Frame]:
        for number, rgb in enumerate(self.rgb):
            yield Frame(rgb, number, number / 30, f"walk#{number:06d}")


class RecordedWalk(PlantedWalk):
    """A recording to and fro, as the oracle takes a walk: its true geometry, and nothing of its pictures."""

    def __init__(self, recording: Sequence, frames: int, *, seed: int = 0) -> None:
        assert recording.world_from_cam is not None
        assert recording.intrinsics is not None
        assert recording.read_depth is not None
        self.frames, self.size = frames, SIZE
        self._generator = torch.Generator().manual_seed(seed)
        order = to_and_fro(len(recording), frames)
        self.world_from_cam = rigid(torch.from_numpy(recording.world_from_cam))[order]
        depth = np.stack([nearest(recording.read_depth(number)) for number in range(len(recording))])
        self.depth = torch.from_numpy(depth)[order].double()
        h, w = recording.read_depth(0).shape
        self.intrinsics = resize_intrinsics(torch.from_numpy(recording.intrinsics[0]), (SIZE[1] / w, SIZE[0] / h))
        self._rays = pixel_grid(*SIZE).double() @ self.intrinsics.inverse().mT


def room_footage(recording: Sequence, frames: int) -> Footage:
    """The recording itself, to and fro."""
    assert recording.world_from_cam is not None
    order = to_and_fro(len(recording), frames)
    pictures = [read_image(path) for path in recording.images]
    return Footage([pictures[number] for number in order], torch.from_numpy(recording.world_from_cam[order]))


def rendered_footage(frames: int, seed: int) -> Footage:
    """A walk through a furnished room that the tiny network was not trained on, but was trained on the likes of."""
    walk = synthetic_walk(1_000_003, seed, WalkConfig(size=RENDERED.size, frames=frames))
    return Footage(list(walk.rgb.numpy()), walk.world_from_cam.double())


def open_room(folder: Path = ROOM) -> Sequence:
    """Raises FileNotFoundError where the recording is not there."""
    (recording,) = open_set("mv_recon", "rgbd", folder)
    return recording


def rigid(world_from_cam: Float[Tensor, "v 4 4"]) -> Float[Tensor, "v 4 4"]:
    """Poses of a file have six digits; the oracle multiplies hundreds of them, and takes transposes for inverses."""
    rotation, _ = best_rotation(world_from_cam[:, :3, :3].mT)
    return pose_from_parts(rotation, world_from_cam[:, :3, 3])


def to_and_fro(count: int, frames: int) -> list[int]:
    """0 to the last and back again, without showing either end twice in a row."""
    return list(islice(cycle([*range(count), *range(count - 2, 0, -1)]), frames))


def nearest(depth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "small_h small_w"]:
    """Depth at the oracle's size: that of the nearest pixel, for a mean of two surfaces is on neither."""
    rows, columns = ((np.arange(n) + 0.5) * side / n for n, side in zip(SIZE, depth.shape, strict=True))
    return depth[rows.astype(int)[:, None], columns.astype(int)]
