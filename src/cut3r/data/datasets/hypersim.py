"""Hypersim."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npz
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import MaskProbabilities, SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.transforms import finite
from cut3r.data.view import RawFrame
from cut3r.files.damaged import naming_the_file
from cut3r.files.listing import visible, visible_folders
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image

SPLITS = ("train", "val", "test")
CARD = Card(
    slug="hypersim",
    label="hypersim",
    title="Hypersim",
    url="https://github.com/apple/ml-hypersim",
    licence="CC BY-SA 3.0",
    about="photorealistic rendered rooms, nothing moves, exact depth and pose",
    metric=True,
    scenes=461,
    frames=74_619,
    raw_gb=1900.0,
    needs=("h5py",),
    corner_shift=-0.5,
    differs=(
        "tilted and shifted lenses become upright pinhole cameras (the rays of the original are wrong by more "
        "than 1 degree in 117 of 482 scenes, by 15 degrees at worst)",
        "depth follows from the rays of that camera, not from the middle of the picture and the mean focal length",
        "the principal point is at pixel centres (half a pixel)",
        "scenes are left out for a skew of a pixel or more (19) or a principal point too near the border (16); the "
        "original leaves out 7 for any skew",
        "the scale is found by its name in the table, not by its place",
        "a frame that lacks its picture or depth is left out alone, not with its trajectory",
    ),
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/{frame}_rgb.png",
        "depth": "{scene}/{frame}_depth.npy",
        "camera": "{scene}/{frame}_cam.npz",
        "split": "{scene}/split.json",  # where its authors' table of splits was there
    }
)


class Hypersim(ProcessedDataset):
    """Rendered rooms. Each trajectory of a camera, <scene>/<camera>, is a scene of its own.

    All trajectories are for training unless the official split was converted. Parity: every split is all of them.
    """

    card = CARD
    layout = LAYOUT
    splits = SPLITS
    policy = SamplingPolicy(max_interval=4, block_shuffle=16)
    masks = MaskProbabilities(0.75, 0.20, 0.05)
    repeats = 10

    def list_scenes(self) -> Iterator[Scene]:
        for folder in visible_folders(self.root, "*/*"):
            name = folder.relative_to(self.root).as_posix()
            split = str(self.split) if self.parity else split_of(LAYOUT.path(self.root, "split", name))
            yield Scene(name, LAYOUT.frames(self.root, "rgb", name), split=split)

    def made_from(self) -> list[Path]:
        return [self.root, *visible_folders(self.root), *visible(self.root, "*/*/split.json")]

    def read(self, scene: Scene, position: int) -> RawFrame:
        intrinsics, pose = read_npz(self.file("camera", scene, position), "intrinsics", "pose")
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position)),
            depth=finite(read_depth(self.file("depth", scene, position))),
            intrinsics=self.centred(intrinsics.astype(np.float64)),
            world_from_cam=pose.astype(np.float64),
        )


def split_of(path: Path) -> str:
    """Read the official split of a trajectory; without the file, it is for training.

    Raises:
        ValueError: The file is damaged.
    """
    if not path.is_file():
        return SPLITS[0]
    with naming_the_file(path):
        split = json.loads(path.read_text())["split"]
        if split not in SPLITS:
            raise ValueError(f"it holds the split {split!r}; expected one of {', '.join(SPLITS)}")
    return str(split)
