"""WildRGB-D."""

from dataclasses import replace

import numpy as np

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npz
from cut3r.data.sampling import MaskProbabilities, SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.selected import SelectedDataset, read_foreground
from cut3r.data.view import RawFrame
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image

CARD = Card(
    slug="wildrgbd",
    label="WildRGBD",
    title="WildRGB-D",
    url="https://github.com/wildrgbd/wildrgbd",
    licence="see the official page",
    about="walks around single objects, real, filmed by a phone with a depth sensor",
    metric=True,
    raw_gb=3400.0,
    differs=(
        "scenes are chosen by a seed of the category's name, not by the same in all categories",
        "a scene with fewer frames than are wanted gives all of them",
        "views come in their natural order",
        "a frame without depth is replaced by one that the sample does not show yet",
    ),
)
LAYOUT = Layout(
    {
        "selection": "selected_seqs_{split}.json",
        "category": "{scene}/selected_seqs_{split}.json",
        "rgb": "{scene}/rgb/{frame}.jpg",
        "depth": "{scene}/depth/{frame}.png",
        "foreground": "{scene}/masks/{frame}.png",
        "camera": "{scene}/metadata/{frame}.npz",
    }
)


class WildRgbd(SelectedDataset):
    """Walks around single objects with measured depth. Parity: the views come in reverse order, also of videos."""

    card = CARD
    layout = LAYOUT
    frame_name = "{:05d}"
    unusable = frozenset({"box/scenes/scene_257"})  # the original's reader leaves it out
    policy = SamplingPolicy()
    parity_policy = replace(policy, reverse=True)
    masks = MaskProbabilities(0.80, 0.15, 0.05)
    needs_depth = True
    foreground_prob = 0.1

    def read(self, scene: Scene, position: int) -> RawFrame:
        pose, intrinsics = read_npz(self.file("camera", scene, position), "camera_pose", "camera_intrinsics")
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position)),
            depth=read_depth(self.file("depth", scene, position)),
            intrinsics=intrinsics.astype(np.float64),
            world_from_cam=pose.astype(np.float64),
            foreground=read_foreground(self.file("foreground", scene, position)),
        )
