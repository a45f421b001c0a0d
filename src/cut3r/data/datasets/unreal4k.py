"""UnrealStereo4K."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npy, read_npz
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import MaskProbabilities, SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.transforms import drop_far
from cut3r.data.view import RawFrame
from cut3r.files.listing import visible
from cut3r.io.images import read_image

SKY_DEPTH = 1000.0  # metres and beyond
# Unreal's world is left-handed; with x and y swapped it is right-handed.
SWAPPED = np.array([[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
CARD = Card(
    slug="unreal4k",
    label="UnReal4K",
    title="UnrealStereo4K",
    url="https://github.com/fabiotosi92/SMD-Nets",
    licence="see the official page",
    about="synthetic stereo flights, indoors and outdoors, exact depth and pose",
    metric=True,
    scenes=9,
    corner_shift=-0.5 * 384 / 2160,  # half a pixel of a raw picture, which is made smaller
    differs=(
        "the principal point is at pixel centres (half a raw pixel; files of the original are moved by 0.09)",
        "poses are stored in a right-handed world",
        "depth is stored as float32, and what is no number is unknown",
        "the farthest 2 % of the exact depth are kept",
    ),
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/{frame}_rgb.png",
        "depth": "{scene}/{frame}_depth.npy",
        "camera": "{scene}/{frame}.npz",
    }
)


class UnrealStereo4K(ProcessedDataset):
    """Flights of a stereo camera; left and right are sequences of their own.

    Parity: the farthest 2 % of each exact depth map are forgotten.
    """

    card = CARD
    layout = LAYOUT
    policy = SamplingPolicy(max_interval=2)
    masks = MaskProbabilities(0.75, 0.20, 0.05)
    repeats = 10

    def list_scenes(self) -> Iterator[Scene]:
        for folder in visible(self.root, "*/[01]"):
            name = folder.relative_to(self.root).as_posix()
            yield Scene(name, LAYOUT.frames(self.root, "rgb", name))

    def made_from(self) -> list[Path]:
        return [self.root, *visible(self.root, "*")]

    def read(self, scene: Scene, position: int) -> RawFrame:
        depth = read_npy(self.file("depth", scene, position)).astype(np.float32)
        depth = np.where(depth >= SKY_DEPTH, np.float32(-1), np.nan_to_num(depth, nan=0.0, neginf=0.0))
        pose, intrinsics = read_npz(self.file("camera", scene, position), "cam2world", "intrinsics")
        mirrored = np.linalg.det(pose[:3, :3]) < 0  # as the original's converter leaves it
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position)),
            depth=drop_far(depth) if self.parity else depth,
            intrinsics=self.centred(intrinsics.astype(np.float64)),
            world_from_cam=(SWAPPED @ pose if mirrored else pose).astype(np.float64),
        )
