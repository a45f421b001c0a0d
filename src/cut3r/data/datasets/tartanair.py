"""TartanAir."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npy, read_npz
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import MaskProbabilities, SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.transforms import drop_far
from cut3r.data.view import RawFrame
from cut3r.files.listing import visible
from cut3r.io.images import read_image

SKY_DEPTH = 1000.0  # metres and beyond
CARD = Card(
    slug="tartanair",
    label="TartanAir",
    title="TartanAir",
    url="https://theairlab.org/tartanair-dataset/",
    licence="see the official page",
    about="synthetic flights, indoors and outdoors, exact depth and pose, some motion",
    metric=True,
    scenes=369,
    differs=(
        "the farthest 2 % of each perfect depth map are kept",
        "optical flow, which nothing reads, is not copied",
        "a folder with only Easy or Hard is fine",
    ),
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/{frame}_rgb.png",
        "depth": "{scene}/{frame}_depth.npy",
        "camera": "{scene}/{frame}_cam.npz",
        "flow": "{scene}/{frame}_flow.npy",
        "flow_mask": "{scene}/{frame}_mask.npy",
    }
)


class TartanAir(ProcessedDataset):
    """Synthetic flights. Parity: the farthest 2 % of each perfect depth map are forgotten."""

    card = CARD
    layout = LAYOUT
    policy = SamplingPolicy(max_interval=20, video_prob=0.8, fixed_interval_prob=0.8, block_shuffle=16)
    masks = MaskProbabilities(0.75, 0.20, 0.05)

    def list_scenes(self) -> Iterator[Scene]:
        for trajectory in self.made_from():
            for folder in visible(trajectory, "P*"):
                name = folder.relative_to(self.root).as_posix()
                yield Scene(name, LAYOUT.frames(self.root, "rgb", name))

    def made_from(self) -> list[Path]:
        return [environment / mode for environment in visible(self.root, "*") for mode in ("Easy", "Hard")]

    def read(self, scene: Scene, position: int) -> RawFrame:
        path = self.file("depth", scene, position)
        depth = read_npy(path).astype(np.float32)
        if not np.isfinite(depth).any():
            raise ValueError(f"{path} holds no finite depth; download the scene and convert it again")
        depth = np.nan_to_num(np.where(depth >= SKY_DEPTH, np.float32(-1), depth), posinf=0.0, neginf=0.0)
        pose, intrinsics = read_npz(self.file("camera", scene, position), "camera_pose", "camera_intrinsics")
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position)),
            depth=drop_far(depth) if self.parity else depth,
            intrinsics=intrinsics.astype(np.float64),
            world_from_cam=pose.astype(np.float64),
        )
