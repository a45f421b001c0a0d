"""TartanAir."""

from collections.abc import Iterator

import numpy as np

from cut3r.data.dataset import MultiViewDataset
from cut3r.data.layout import LAYOUTS, read_npy, read_npz
from cut3r.data.sampling import MaskProbabilities, SamplingPolicy, Scene
from cut3r.data.transforms import drop_far
from cut3r.data.view import RawFrame
from cut3r.files.listing import visible
from cut3r.io.images import read_image

LAYOUT = LAYOUTS["tartanair"]
SKY_DEPTH = 1000.0  # metres and beyond


class TartanAir(MultiViewDataset):
    """Synthetic flights, indoors and outdoors, with exact depth and pose. https://theairlab.org/tartanair-dataset/

    Parity: the farthest 2 % of each perfect depth map are forgotten.
    """

    name = "TartanAir"
    metric = True
    policy = SamplingPolicy(max_interval=20, video_prob=0.8, fixed_interval_prob=0.8, block_shuffle=16)
    masks = MaskProbabilities(0.75, 0.20, 0.05)

    def index(self) -> Iterator[Scene]:
        for environment in visible(self.root, "*"):
            for mode in ("Easy", "Hard"):
                for trajectory in visible(environment, f"{mode}/P*"):
                    name = trajectory.relative_to(self.root).as_posix()
                    yield Scene(name, LAYOUT.frames(self.root, "rgb", name))

    def read(self, scene: Scene, frame: str) -> RawFrame:
        paths = {kind: LAYOUT.path(self.root, kind, scene.name, frame) for kind in ("rgb", "depth", "camera")}
        depth = read_npy(paths["depth"]).astype(np.float32)
        if not np.isfinite(depth).any():
            raise ValueError(f"{paths['depth']} holds no finite depth; download the scene and convert it again")
        depth = np.nan_to_num(np.where(depth >= SKY_DEPTH, np.float32(-1), depth), posinf=0.0, neginf=0.0)
        pose, intrinsics = read_npz(paths["camera"], "camera_pose", "camera_intrinsics")
        return RawFrame(
            rgb=read_image(paths["rgb"]),
            depth=drop_far(depth) if self.parity else depth,
            intrinsics=intrinsics.astype(np.float64),
            world_from_cam=pose.astype(np.float64),
        )
