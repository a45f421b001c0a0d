"""ARKitScenes with the depth of a laser scanner."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from cut3r.data.datasets.arkitscenes import CARD as LOWRES_CARD
from cut3r.data.datasets.arkitscenes import HIGHRES_FOLDERS as FOLDERS
from cut3r.data.datasets.arkitscenes import Cameras, matrices
from cut3r.data.layout import Layout, read_npz
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import MaskProbabilities, SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.view import RawFrame
from cut3r.files.listing import visible
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image
from cut3r.io.selection import natural_key

CARD = replace(
    LOWRES_CARD,
    slug="arkitscenes_highres",
    label="arkitscenes_highres",
    title="ARKitScenes, laser depth",
    about="rooms, filmed with a hand-held tablet, depth by a stationary laser scanner",
    scenes=2257,
    differs=(
        "principal points turn with the picture",
        "frames whose time ends in 0 are not lost",
        "the nearest calibration counts, not the earliest within 0.1 s",
        "frames are in order of time, not of names",
        "scene_list.json names the videos (the original's is empty)",
    ),
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/vga_wide/{frame}.jpg",
        "depth": "{scene}/highres_depth/{frame}.png",
        "scene": "{scene}/scene_metadata.npz",
        "list": "{scene}/scene_list.json",
    }
)


class ArkitScenesHighres(ProcessedDataset):
    """Rooms, filmed by hand, in order of time. Parity: in order of names, which differs when times gain a digit."""

    card = CARD
    layout = LAYOUT
    splits = ("train", "test")
    policy = SamplingPolicy(max_interval=8, block_shuffle=16)
    masks = MaskProbabilities(0.70, 0.25, 0.05)

    def list_scenes(self) -> Iterator[Scene]:
        for split, folder in FOLDERS.items():
            for path in visible(self.root, f"{folder}/*/{LAYOUT.path(self.root, 'scene').name}"):
                (images,) = read_npz(path, "images")
                frames = sorted(_frame(image) for image in images.tolist())
                frames = frames if self.parity else sorted(frames, key=natural_key)
                yield Scene(path.parent.name, tuple(frames), f"{folder}/{path.parent.name}", split)

    def made_from(self) -> list[Path]:
        return [self.root / folder for folder in FOLDERS.values()]

    def scene_data(self, scene: Scene) -> Cameras:
        images, poses, intrinsics = read_npz(self.file("scene", scene), "images", "trajectories", "intrinsics")
        rows = {_frame(image): row for row, image in enumerate(images.tolist())}
        return rows, poses.astype(np.float64), matrices(intrinsics.astype(np.float64))

    def read(self, scene: Scene, position: int) -> RawFrame:
        rows, poses, intrinsics = self.data_of(scene)
        row = rows[scene.frames[position]]
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position)),
            depth=read_depth(self.file("depth", scene, position)),
            intrinsics=intrinsics[row],
            world_from_cam=poses[row],
        )


def _frame(image: str) -> str:
    """Give the name of a frame; the original's files hold names of pictures."""
    return image.removesuffix(".png")
