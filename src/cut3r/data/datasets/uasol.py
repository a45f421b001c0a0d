"""UASOL."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npy, read_npz
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import MaskProbabilities, SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.view import RawFrame
from cut3r.files.damaged import naming_the_file
from cut3r.files.listing import visible
from cut3r.io.images import read_image

FARTHEST = 20.0  # metres; depth from there on is too noisy
NUMBER = re.compile(r"\d+")
CARD = Card(
    slug="uasol",
    label="UASOL",
    title="UASOL",
    url="https://osf.io/64532/",
    licence="see the project's page",
    about="walks outdoors with a stereo camera, real, depth by matching, people move",
    metric=True,
    differs=(
        "the left camera's calibration is used; the original reads on to the right camera's",
        "frames are in the order in which they were recorded, not of a number in their names",
        "frames whose pose is no rigid motion are left out",
    ),
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/rgb/{frame}.png",
        "depth": "{scene}/depth/{frame}.npy",
        "camera": "{scene}/cam/{frame}.npz",
        "order": "{scene}/frames.json",
    }
)


class Uasol(ProcessedDataset):
    """Walks outdoors. Depth from 20 m on is forgotten.

    Parity: frames are in the order of the first number in their names.
    """

    card = CARD
    layout = LAYOUT
    splits = (None, "train")
    policy = SamplingPolicy(max_interval=40, video_prob=0.75, fixed_interval_prob=0.75)
    masks = MaskProbabilities(0.75, 0.20, 0.05)

    def list_scenes(self) -> Iterator[Scene]:
        for folder in visible(self.root, "*"):
            frames = self._frames_of(folder.name)
            if frames:
                yield Scene(folder.name, frames, split="train")

    def made_from(self) -> list[Path]:
        return [self.root, *(LAYOUT.path(self.root, "order", folder.name) for folder in visible(self.root, "*"))]

    def _frames_of(self, scene: str) -> tuple[str, ...]:
        frames = tuple(sorted(LAYOUT.frames(self.root, "rgb", scene), key=_first_number))
        order = LAYOUT.path(self.root, "order", scene)
        if self.parity or not order.is_file():
            return frames
        with naming_the_file(order):
            return tuple(str(frame) for frame in json.loads(order.read_text()))

    def read(self, scene: Scene, position: int) -> RawFrame:
        depth = np.nan_to_num(read_npy(self.file("depth", scene, position)).astype(np.float32), nan=0.0, posinf=0.0)
        pose, intrinsics = read_npz(self.file("camera", scene, position), "pose", "intrinsics")
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position)),
            depth=np.where((depth > 0) & (depth < FARTHEST), depth, np.float32(0)),
            intrinsics=intrinsics.astype(np.float64),
            world_from_cam=pose.astype(np.float64),
        )


def _first_number(frame: str) -> tuple[int, str]:
    found = NUMBER.search(frame)
    return (int(found[0]) if found else -1, frame)
