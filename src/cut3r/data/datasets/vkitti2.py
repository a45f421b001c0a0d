"""Virtual KITTI 2."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npz, read_png16
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import MaskProbabilities, SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.view import RawFrame
from cut3r.files.listing import visible
from cut3r.io.images import read_image

CENTIMETRES = 100  # per metre: depth PNGs of all other datasets count millimetres
SKY_CODE = 65535
SKY_CODE_OF_ORIGINAL = 65500
CARD = Card(
    slug="vkitti2",
    label="VirtualKITTI2",
    title="Virtual KITTI 2",
    url="https://europe.naverlabs.com/research/computer-vision/proxy-virtual-worlds-vkitti-2/",
    licence="CC BY-NC-SA 3.0",
    about="synthetic drives, outdoors, exact depth and pose, traffic moves",
    metric=True,
    scenes=50,
    differs=("only the largest number of a depth map is sky; distances from 655 m on are distances",),
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/{frame}_rgb.jpg",
        "depth": "{scene}/{frame}_depth.png",
        "camera": "{scene}/{frame}_cam.npz",
    }
)


class VirtualKitti2(ProcessedDataset):
    """Drives in several weathers, each seen by two cameras. The last scene is for tests; by default all are used.

    Parity: 655 m and everything farther is sky, also what has a depth.
    """

    card = CARD
    layout = LAYOUT
    splits = (None, "train", "test")
    policy = SamplingPolicy(max_interval=5, video_prob=1.0, fixed_interval_prob=0.9)
    masks = MaskProbabilities(0.85, 0.10, 0.05)

    def list_scenes(self) -> Iterator[Scene]:
        places = [path for path in visible(self.root, "*") if path.is_dir()]
        for place in places:
            split = "test" if place == places[-1] else "train"
            for folder in visible(place, "*/Camera_[01]"):
                name = folder.relative_to(self.root).as_posix()
                yield Scene(name, LAYOUT.frames(self.root, "rgb", name), split=split)

    def made_from(self) -> list[Path]:
        return [self.root, *visible(self.root, "*"), *visible(self.root, "*/*")]

    def read(self, scene: Scene, position: int) -> RawFrame:
        codes = read_png16(self.file("depth", scene, position))
        sky = codes >= (SKY_CODE_OF_ORIGINAL if self.parity else SKY_CODE)
        pose, intrinsics = read_npz(self.file("camera", scene, position), "camera_pose", "camera_intrinsics")
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position)),
            depth=np.where(sky, np.float32(-1), codes.astype(np.float32) / CENTIMETRES),
            intrinsics=intrinsics.astype(np.float64),
            world_from_cam=pose.astype(np.float64),
        )
