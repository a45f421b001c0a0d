"""CO3Dv2."""

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from PIL import Image

from cut3r.data.dataset import MultiViewDataset
from cut3r.data.layout import LAYOUTS, read_npz, read_png16
from cut3r.data.sampling import SamplingPolicy, Scene
from cut3r.data.view import RawFrame
from cut3r.io.images import read_image

LAYOUT = LAYOUTS["co3d"]
OBJECT_PROBABILITY = 0.1  # what the mask must exceed; uncertain pixels are kept


class Co3d(MultiViewDataset):
    """Walks around single objects, up to scale. https://github.com/facebookresearch/co3d

    Parity: the views come in reverse order, also those of videos.
    """

    name = "Co3d_v2"
    splits = ("train", "test")
    policy = SamplingPolicy()
    parity_policy = replace(policy, reverse=True)
    needs_depth = True
    foreground_prob = 0.1

    def index(self) -> Iterator[Scene]:
        selection = json.loads(LAYOUT.path(self.root, "selection", split=self.split or "").read_text())
        for category, sequences in selection.items():
            for sequence, numbers in sequences.items():
                yield Scene(f"{category}/{sequence}", tuple(f"frame{number:06d}" for number in numbers))

    def read(self, scene: Scene, frame: str) -> RawFrame:
        kinds = ("rgb", "depth", "foreground", "camera")
        paths = {kind: LAYOUT.path(self.root, kind, scene.name, frame) for kind in kinds}
        pose, intrinsics, largest = read_npz(paths["camera"], "camera_pose", "camera_intrinsics", "maximum_depth")
        with Image.open(paths["foreground"]) as mask:
            foreground = np.asarray(mask) / 255 > OBJECT_PROBABILITY
        return RawFrame(
            rgb=read_image(paths["rgb"]),
            depth=read_png16(paths["depth"]).astype(np.float32) / 65535 * np.nan_to_num(np.float32(largest)),
            intrinsics=intrinsics.astype(np.float64),
            world_from_cam=pose.astype(np.float64),
            foreground=foreground,
        )
