"""MVS-Synth."""

from collections.abc import Iterator

import numpy as np

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npz
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.transforms import drop_far, finite
from cut3r.data.view import RawFrame
from cut3r.files.listing import visible_folders
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image

FARTHEST = 1000.0  # in the unit of the dataset
CARD = Card(
    slug="mvs_synth",
    label="MVS_Synth",
    title="MVS-Synth",
    url="https://phuang17.github.io/DeepMVS/mvs-synth.html",
    licence="see the official page",
    about="streets of a video game, traffic moves, exact depth and pose, up to scale",
    metric=False,
    scenes=120,
    frames=12_000,
    differs=(
        "the farthest 2 % of each depth map are kept",
        "depth below 0 is unknown, not sky",
        "the world is made right-handed by its y axis, not by swapping x and y (relative poses are the same)",
        "pictures are called .png, which they are, not .jpg",
    ),
)
LAYOUT = Layout(
    {
        "rgb": ("{scene}/rgb/{frame}.png", "{scene}/rgb/{frame}.jpg"),
        "rgb_jpg": "{scene}/rgb/{frame}.jpg",  # as the original's converter writes them: PNG all the same
        "depth": "{scene}/depth/{frame}.npy",
        "camera": "{scene}/cam/{frame}.npz",
    }
)


class MvsSynth(ProcessedDataset):
    """Streets of a video game, in units of about a tenth of a metre.

    Parity: the farthest 2 % of each depth map are forgotten; what is negative is sky.
    """

    card = CARD
    layout = LAYOUT
    splits = ("train",)
    unit_m = 0.1  # 26_mvs_synth.md, section 6
    policy = SamplingPolicy(max_interval=4, video_prob=1.0, fixed_interval_prob=1.0)

    def list_scenes(self) -> Iterator[Scene]:
        for folder in visible_folders(self.root):
            yield Scene(folder.name, LAYOUT.frames(self.root, "rgb", folder.name), split="train")

    def read(self, scene: Scene, position: int) -> RawFrame:
        intrinsics, pose = read_npz(self.file("camera", scene, position), "intrinsics", "pose")
        depth = finite(read_depth(self.file("depth", scene, position)))
        depth = drop_far(depth) if self.parity else np.maximum(depth, 0)
        depth = np.where(depth > FARTHEST, np.float32(0), depth)
        world_from_cam = pose.astype(np.float64)
        if self.in_metres:
            depth = depth * np.float32(self.unit_m)
            world_from_cam[:3, 3] *= self.unit_m
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position)),
            depth=depth,
            intrinsics=intrinsics.astype(np.float64),
            world_from_cam=world_from_cam,
        )
