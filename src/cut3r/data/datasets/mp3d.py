"""Matterport3D."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64

from cut3r.data.card import Card
from cut3r.data.graph_sampling import OverlapPolicy
from cut3r.data.layout import Layout, read_npy, read_npz
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import MaskProbabilities
from cut3r.data.scene import Graph, Scene
from cut3r.data.view import RawFrame
from cut3r.files.listing import visible
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image

OVERLAP = (0.01, 1.0)  # what two pictures share, intersection over union; 1 is a picture and itself
CARD = Card(
    slug="mp3d",
    label="mp3d",
    title="Matterport3D",
    url="https://niessner.github.io/Matterport/",
    licence="terms of use to be signed, academic",
    about="buildings, seen from tripods in 18 directions each, depth by structured light",
    metric=True,
    scenes=90,
    frames=194_400,
    differs=(
        "the principal point is counted from the top of the picture, not from its bottom (0 to 7 pixels)",
        "overlaps count both ways, once, and by the number in a picture's name",
        "partners repeat only where there are too few",
        "a picture that is missing or damaged is left out by name",
    ),
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/rgb/{frame}.png",
        "depth": "{scene}/depth/{frame}.npy",
        "camera": "{scene}/cam/{frame}.npz",
        "overlap": "{scene}/overlap.npy",
    }
)


class Matterport3d(ProcessedDataset):
    """Buildings: a picture, and others that see the same.

    Parity: overlaps count by the rank of a picture among the files, and as their table lists them; what
    `OverlapPolicy` says.
    """

    card = CARD
    layout = LAYOUT
    policy = OverlapPolicy()
    parity_policy = OverlapPolicy(parity=True)
    masks = MaskProbabilities(0.85, 0.10, 0.05)

    def list_scenes(self) -> Iterator[Scene]:
        for path in visible(self.root, f"*/{LAYOUT.path(self.root, 'overlap').name}"):
            name = path.parent.name
            frames = LAYOUT.frames(self.root, "rgb", name)
            if frames:
                table = read_npy(path).astype(np.float64).reshape(-1, 3)
                rows = _kept(table) if self.parity else _in_files(both_ways(_kept(table)), frames)
                yield Scene(name, frames, graph=Graph.from_pairs(len(frames), rows))

    def read(self, scene: Scene, position: int) -> RawFrame:
        rgb = read_image(self.file("rgb", scene, position))
        intrinsics, pose = read_npz(self.file("camera", scene, position), "intrinsics", "pose")
        intrinsics = intrinsics.astype(np.float64)
        if not self.parity and (self.made is None or self.made.parity):
            intrinsics[1, 2] = rgb.shape[0] - 1 - intrinsics[1, 2]
        depth = read_depth(self.file("depth", scene, position))
        return RawFrame(
            rgb=rgb,
            depth=np.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0),
            intrinsics=intrinsics,
            world_from_cam=pose.astype(np.float64),
        )


def both_ways(rows: Float64[np.ndarray, "m 3"]) -> Float64[np.ndarray, "n 3"]:
    """Add each pair the other way around where it is not listed, and keep the first of several."""
    both = np.concatenate((rows, rows[:, [1, 0, 2]]))
    _, first = np.unique(both[:, :2], axis=0, return_index=True)
    return both[first]


def _kept(rows: Float64[np.ndarray, "m 3"]) -> Float64[np.ndarray, "n 3"]:
    return rows[(rows[:, 2] > OVERLAP[0]) & (rows[:, 2] < OVERLAP[1])]


def _in_files(rows: Float64[np.ndarray, "m 3"], frames: tuple[str, ...]) -> Float64[np.ndarray, "n 3"]:
    """Turn the numbers of pictures into positions; pairs with one that is not there are dropped."""
    numbers = np.array([int(frame) for frame in frames])
    there = np.isin(rows[:, :2], numbers).all(axis=1)
    return np.concatenate((np.searchsorted(numbers, rows[there, :2]), rows[there, 2:]), axis=1)
