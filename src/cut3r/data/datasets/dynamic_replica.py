"""Dynamic Replica."""

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

CAMERA = "left"  # the one that is read
SPLITS = ("train", "valid", "test")
CARD = Card(
    slug="dynamic_replica",
    label="dynamic_replica",
    title="Dynamic Replica",
    url="https://dynamic-stereo.github.io/",
    licence="an own agreement; the code of its authors is CC BY-NC",
    about="rendered rooms, people and animals move, stereo (the left camera is read), exact depth and pose",
    metric=True,
    scenes=524,
    frames=145_200,
    raw_gb=491.0,
    corner_shift=-0.5,
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/rgb/{frame}.png",
        "depth": "{scene}/depth/{frame}.npy",
        "camera": "{scene}/cam/{frame}.npz",
        "flow_forward": "{scene}/flow_forward/{frame}.npz",
        "flow_backward": "{scene}/flow_backward/{frame}.npz",
    }
)


class DynamicReplica(ProcessedDataset):
    """Rooms in which people and animals move, seen by the left of two cameras. Frames are named by their time."""

    card = CARD
    layout = LAYOUT
    splits = SPLITS
    policy = SamplingPolicy(max_interval=16, video_prob=1.0, fixed_interval_prob=1.0)
    masks = MaskProbabilities(0.85, 0.10, 0.05)

    def list_scenes(self) -> Iterator[Scene]:
        for split in SPLITS:
            for folder in visible_folders(self.root / split):
                name = f"{split}/{folder.name}"
                frames = LAYOUT.frames(self.root, "rgb", f"{name}/{CAMERA}")
                yield Scene(name, tuple(sorted(frames, key=float)), folder=f"{name}/{CAMERA}", split=split)

    def made_from(self) -> list[Path]:
        return [self.root / split for split in SPLITS]

    def read(self, scene: Scene, position: int) -> RawFrame:
        intrinsics, pose = read_npz(self.file("camera", scene, position), "intrinsics", "pose")
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position), parity=True),  # alpha is no part of it
            depth=finite(read_depth(self.file("depth", scene, position))),
            intrinsics=self.centred(intrinsics.astype(np.float64)),
            world_from_cam=pose.astype(np.float64),
        )
