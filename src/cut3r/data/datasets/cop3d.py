"""COP3D: Common Pets in 3D."""

from dataclasses import dataclass

import numpy as np

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npz
from cut3r.data.sampling import Choice, SamplingPolicy, Wanted
from cut3r.data.scene import Scene
from cut3r.data.selected import SelectedDataset
from cut3r.data.view import RawFrame
from cut3r.io.images import read_image

CARD = Card(
    slug="cop3d",
    label="Cop3D",
    title="COP3D",
    url="https://github.com/facebookresearch/cop3d",
    licence="CC BY-NC 4.0",
    about="cats and dogs, real, they move, up to scale, no depth",
    metric=False,
    scenes=4200,
    raw_gb=322.0,
    # half a pixel of a raw picture, which the converter has made smaller, typically to 0.4 (the files do not say)
    corner_shift=-0.2,
    differs=(
        "the principal point is at pixel centres (half a raw pixel; files of the original are moved by 0.2)",
        "all sequences of good quality with all their frames, not those of the many-view lists alone",
        "sequences shorter than a sample are used when frames may repeat",
    ),
)
LAYOUT = Layout(
    {
        "selection": "selected_seqs_{split}.json",
        "category": "{scene}/selected_seqs_{split}.json",
        "rgb": "{scene}/images/{frame}.jpg",
        "foreground": "{scene}/masks/{frame}.png",
        "camera": "{scene}/images/{frame}.npz",
    }
)


@dataclass(frozen=True)
class LongEnough(SamplingPolicy):
    """Parity: 16_cop3d.md quirk 3, a sequence with fewer frames than views is replaced even when frames may repeat."""

    def choose(self, scene: Scene, entry: int, wanted: Wanted, rng: np.random.Generator) -> Choice:
        if len(scene.frames) < wanted.most:
            raise ValueError(f"{len(scene.frames)} frames are fewer than {wanted.most} views")
        return super().choose(scene, entry, wanted, rng)


class Cop3d(SelectedDataset):
    """Videos of pets. There is no depth: it is 1 everywhere, and only cameras are learnt from."""

    card = CARD
    layout = LAYOUT
    frame_name = "frame{:06d}"
    policy = SamplingPolicy(max_interval=5, video_prob=1.0, fixed_interval_prob=0.9)
    parity_policy = LongEnough(max_interval=5, video_prob=1.0, fixed_interval_prob=0.9)
    camera_only = True

    def read(self, scene: Scene, position: int) -> RawFrame:
        rgb = read_image(self.file("rgb", scene, position))
        pose, intrinsics = read_npz(self.file("camera", scene, position), "camera_pose", "camera_intrinsics")
        return RawFrame(
            rgb=rgb,
            depth=np.ones(rgb.shape[:2], np.float32),
            intrinsics=self.centred(intrinsics.astype(np.float64)),
            world_from_cam=pose.astype(np.float64),
        )
