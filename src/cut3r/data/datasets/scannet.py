"""ScanNet."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npz
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import MaskProbabilities, SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.view import RawFrame
from cut3r.files.listing import visible
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image

FOLDERS = {"train": "scans_train", "test": "scans_test"}
CARD = Card(
    slug="scannet",
    label="ScanNet",
    title="ScanNet",
    url="http://www.scan-net.org",
    licence="CC BY-NC-SA 4.0 and terms of use, by a form",
    about="rooms, filmed with a tablet and a structured-light sensor, noisy depth",
    metric=True,
    scenes=1513,
    frames=2_500_000,
    differs=(
        ".sens files are read without an export",
        "scans without calibration and frames without tracking are named",
        "--warp-depth moves the depth into the colour camera, and takes that one's intrinsics",
    ),
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/color/{frame}.jpg",
        "depth": "{scene}/depth/{frame}.png",
        "camera": "{scene}/cam/{frame}.npz",
        "scene": "{scene}/new_scene_metadata.npz",
    }
)


class ScanNet(ProcessedDataset):
    """Rooms, filmed by hand."""

    card = CARD
    layout = LAYOUT
    splits = ("train", "test")
    policy = SamplingPolicy(max_interval=30, video_prob=0.6, fixed_interval_prob=0.6, block_shuffle=16)
    masks = MaskProbabilities(0.75, 0.20, 0.05)

    def list_scenes(self) -> Iterator[Scene]:
        for split, folder in FOLDERS.items():
            for path in (path for path in visible(self.root, f"{folder}/scene*") if path.is_dir()):
                yield Scene(path.name, self._listed(f"{folder}/{path.name}"), f"{folder}/{path.name}", split)

    def _listed(self, folder: str) -> tuple[str, ...]:
        listed = LAYOUT.path(self.root, "scene", folder)
        if not listed.is_file():
            return LAYOUT.frames(self.root, "camera", folder)
        return tuple(read_npz(listed, "images")[0].tolist())

    def made_from(self) -> list[Path]:
        return [self.root / folder for folder in FOLDERS.values()]

    def read(self, scene: Scene, position: int) -> RawFrame:
        intrinsics, pose = read_npz(self.file("camera", scene, position), "intrinsics", "pose")
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position)),
            depth=read_depth(self.file("depth", scene, position)),
            intrinsics=intrinsics.astype(np.float64),
            world_from_cam=pose.astype(np.float64),
        )
