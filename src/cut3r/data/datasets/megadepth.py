"""MegaDepth."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npz
from cut3r.data.processed import ProcessedDataset
from cut3r.data.scene import Scene
from cut3r.data.set_sampling import SetPolicy
from cut3r.data.view import RawFrame
from cut3r.files.pickled import read_pickled_npz
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image

HELD_OUT = ("0015", "0022")  # scenes of the split "val"
FEWEST_VALUES = 5  # different depths of a map that is one; others are ordinal maps: the same value everywhere
SETS_URL = "https://drive.google.com/file/d/1bU1VqRu1NdW-4J4BQybqQS64mUG1EtF1"  # of the published sets
CARD = Card(
    slug="megadepth",
    label="MegaDepth",
    title="MegaDepth v1",
    url="https://www.cs.cornell.edu/projects/megadepth/",
    licence="see the official page",
    about="landmarks in photos from the internet, depth by multi-view stereo, up to scale",
    metric=False,
    scenes=196,
    needs=("h5py",),
    differs=(
        "ordinal depth maps (negative, or the same everywhere) are no depth; the original takes them for sky or a wall",
        "sets lose photos that are missing or have no depth; without the published sets we make our own",
    ),
)
LAYOUT = Layout(
    {
        "all_sets": "megadepth_sets_64.npz",
        "sets": "{scene}/sets.npz",
        "rgb": "{scene}/{frame}.jpg",
        "depth": "{scene}/{frame}.exr",
        "camera": "{scene}/{frame}.npz",
    }
)


class MegaDepth(ProcessedDataset):
    """Sets of photos that see the same landmark. A scene is a set; several may be of the same reconstruction.

    Parity: negative depth stays and counts as sky, flat maps stay, and sets name photos that are not there.
    """

    card = CARD
    layout = LAYOUT
    splits = ("train", "val")
    policy = SetPolicy()
    needs_depth = True

    def list_scenes(self) -> Iterator[Scene]:
        path = LAYOUT.path(self.root, "all_sets")
        if not path.is_file():
            raise FileNotFoundError(f"there is no {path}; download it ({SETS_URL}), or convert without parity")
        scenes, images, sets = read_pickled_npz(path, "scenes", "images", "sets")
        there: dict[str, set[str]] = {}
        for number, *photos in sets.tolist():
            name = str(scenes[number]).replace(" ", "/")
            if name not in there:
                there[name] = set(LAYOUT.frames(self.root, "rgb", name)) & set(LAYOUT.frames(self.root, "depth", name))
            frames = [str(images[photo]) for photo in photos if photo >= 0]
            if not self.parity:
                frames = [frame for frame in dict.fromkeys(frames) if frame in there[name]]
            yield Scene(name, frames, split="val" if name.startswith(HELD_OUT) else "train")

    def made_from(self) -> list[Path]:
        return [self.root, LAYOUT.path(self.root, "all_sets")]

    def read(self, scene: Scene, position: int) -> RawFrame:
        depth = read_depth(self.file("depth", scene, position))
        intrinsics, pose = read_npz(self.file("camera", scene, position), "intrinsics", "cam2world")
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position)),
            depth=depth if self.parity else metric_map(depth),
            intrinsics=intrinsics.astype(np.float64),
            world_from_cam=pose.astype(np.float64),
        )


def metric_map(depth: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Keep what is depth: nothing of an ordinal map (negative, or nearly the same everywhere) is."""
    known = np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))
    if len(np.unique(known[known > 0])) < FEWEST_VALUES:
        return np.zeros_like(depth)
    return known
