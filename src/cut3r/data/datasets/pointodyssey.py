"""PointOdyssey."""

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
from cut3r.files.listing import visible_folders
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image

SPLITS = ("train", "val", "test")
FARTHEST = 1000.0  # metres
# Others are left out on purpose: outdoors, animals, and benches without texture. Source: 28_pointodyssey.md
SEQUENCES = frozenset(
    """
    cnb_dlab_0215_3rd cnb_dlab_0215_ego1 cnb_dlab_0225_3rd cnb_dlab_0225_ego1 dancing dancingroom0_3rd footlab_3rd
    footlab_ego1 footlab_ego2 girl girl_egocentric human_egocentric human_in_scene human_in_scene1 kg kg_ego1 kg_ego2
    kitchen_gfloor kitchen_gfloor_ego1 kitchen_gfloor_ego2 scene_carb_h_tables scene_carb_h_tables_ego1
    scene_carb_h_tables_ego2 scene_j716_3rd scene_j716_ego1 scene_j716_ego2 scene_recording_20210910_S05_S06_0_3rd
    scene_recording_20210910_S05_S06_0_ego2 scene1_0129 scene1_0129_ego seminar_h52_3rd seminar_h52_ego1
    seminar_h52_ego2
    """.split()  # noqa: SIM905
)
CARD = Card(
    slug="pointodyssey",
    label="PointOdyssey",
    title="PointOdyssey",
    url="https://pointodyssey.com/",
    licence="CC BY-NC-SA 4.0",
    about="long rendered videos, indoors (those outdoors are not read), people and things move",
    metric=True,
    differs=(
        "the largest number of a depth map, which stands for sky and all that is far, is unknown, not 1,000 m",
        "rotations, stored in half precision, are made orthonormal (they are to 5e-4)",
        "a frame that lacks its picture or depth is left out alone, not with its sequence",
    ),
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/rgb/{frame}.jpg",
        "depth": "{scene}/depth/{frame}.npy",
        "camera": "{scene}/cam/{frame}.npz",
    }
)


class PointOdyssey(ProcessedDataset):
    """Long rendered videos, of which 33 are read."""

    card = CARD
    layout = LAYOUT
    splits = SPLITS
    policy = SamplingPolicy(max_interval=4, video_prob=1.0, fixed_interval_prob=1.0)
    masks = MaskProbabilities(0.90, 0.05, 0.05)

    def list_scenes(self) -> Iterator[Scene]:
        for split in SPLITS:
            for folder in visible_folders(self.root / split):
                if folder.name in SEQUENCES:
                    name = f"{split}/{folder.name}"
                    yield Scene(name, LAYOUT.frames(self.root, "rgb", name), split=split)

    def made_from(self) -> list[Path]:
        return [self.root / split for split in SPLITS]

    def read(self, scene: Scene, position: int) -> RawFrame:
        intrinsics, pose = read_npz(self.file("camera", scene, position), "intrinsics", "pose")
        depth = finite(read_depth(self.file("depth", scene, position)))
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position)),
            depth=np.where(depth > FARTHEST, np.float32(0), depth),
            intrinsics=intrinsics.astype(np.float64),
            world_from_cam=pose.astype(np.float64),
        )
