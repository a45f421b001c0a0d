"""CO3Dv2."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npz, read_png16
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.view import RawFrame
from cut3r.files.damaged import naming_the_file
from cut3r.io.images import read_image

OBJECT_PROBABILITY = 0.1  # what the mask must exceed; uncertain pixels are kept
CARD = Card(
    slug="co3d",
    label="Co3d_v2",
    title="CO3Dv2",
    url="https://github.com/facebookresearch/co3d",
    licence="see the official page (others cite CC BY-NC 4.0)",
    about="walks around single objects, real, depth by multi-view stereo, up to scale",
    metric=False,
    raw_gb=5500.0,
    # half a pixel of a raw picture, which the converter has made smaller, typically to 0.4 (the files do not say)
    corner_shift=-0.2,
    differs=(
        "the principal point is at pixel centres (half a raw pixel; files of the original are moved by 0.2)",
        "depths above the 99.9th percentile are unknown, because one of them coarsens the whole map",
        "views come in their natural order",
        "a frame without depth is replaced by one that the sample does not show yet",
    ),
)
LAYOUT = Layout(
    {
        "selection": "selected_seqs_{split}.json",
        "category": "{scene}/selected_seqs_{split}.json",
        "rgb": "{scene}/images/{frame}.jpg",
        "depth": "{scene}/depths/{frame}.jpg.geometric.png",
        "foreground": "{scene}/masks/{frame}.png",
        "camera": "{scene}/images/{frame}.npz",
    }
)


class Co3d(ProcessedDataset):
    """Walks around single objects. Parity: the views come in reverse order, also those of videos."""

    card = CARD
    layout = LAYOUT
    splits = ("train", "test")
    policy = SamplingPolicy()
    parity_policy = replace(policy, reverse=True)
    needs_depth = True
    foreground_prob = 0.1

    def list_scenes(self) -> Iterator[Scene]:
        for split, path in zip(self.splits, self.made_from(), strict=True):
            if not path.is_file():
                continue
            with naming_the_file(path):
                selection = json.loads(path.read_text())
            for category, sequences in selection.items():
                for sequence, numbers in sequences.items():
                    frames = tuple(f"frame{number:06d}" for number in numbers)
                    yield Scene(f"{category}/{sequence}", frames, split=split)

    def made_from(self) -> list[Path]:
        return [LAYOUT.path(self.root, "selection", split=split) for split in self.splits]

    def read(self, scene: Scene, position: int) -> RawFrame:
        camera = self.file("camera", scene, position)
        pose, intrinsics, largest = read_npz(camera, "camera_pose", "camera_intrinsics", "maximum_depth")
        with Image.open(self.file("foreground", scene, position)) as mask:
            foreground = np.asarray(mask) / 255 > OBJECT_PROBABILITY
        codes = read_png16(self.file("depth", scene, position)).astype(np.float32)
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position)),
            depth=codes / 65535 * np.nan_to_num(np.float32(largest)),
            intrinsics=self.centred(intrinsics.astype(np.float64)),
            world_from_cam=pose.astype(np.float64),
            foreground=foreground,
        )
