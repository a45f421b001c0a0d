"""ScanNet++ (version 1)."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from cut3r.data.dataset import MultiViewDataset
from cut3r.data.layout import LAYOUTS, read_npz
from cut3r.data.sampling import Group, GroupPolicy, MaskProbabilities, SamplingPolicy, Scene
from cut3r.data.view import RawFrame
from cut3r.files.listing import visible
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image

LAYOUT = LAYOUTS["scannetpp"]


class ScanNetpp(MultiViewDataset):
    """Rooms, seen by a DSLR and a phone, with depth rendered from a laser scan. https://kaldir.vc.in.tum.de/scannetpp/

    Each image and the images that see the same place form a group. Parity: the members are ranked by name instead of
    score, a group's videos are those of the other camera, start too late in short ones, and groups smaller than
    `num_views` are left out even when frames may repeat.
    """

    name = "ScanNet++"
    splits = ("train",)
    metric = True
    policy = GroupPolicy(
        SamplingPolicy(max_interval=3, video_prob=0.8, fixed_interval_prob=0.5, block_shuffle=16),
        video_share=0.7,
        ordered_share=0.05,
    )
    parity_policy = replace(policy, too_short_videos=True)
    masks = MaskProbabilities(0.75, 0.20, 0.05)
    repeats = 10

    def index(self) -> Iterator[Scene]:
        for path in visible(self.root, LAYOUT.templates["scene"].format(scene="*")):
            images, pairs = read_npz(path, "images", "pairs")
            yield Scene(path.parent.name, tuple(images.tolist()), tuple(self._groups(images.tolist(), pairs)))

    def read(self, scene: Scene, frame: str) -> RawFrame:
        poses, intrinsics = _cameras(LAYOUT.path(self.root, "scene", scene.name))
        number = scene.frames.index(frame)
        return RawFrame(
            rgb=read_image(LAYOUT.path(self.root, "rgb", scene.name, frame)),
            depth=read_depth(LAYOUT.path(self.root, "depth", scene.name, frame)),
            intrinsics=intrinsics[number],
            world_from_cam=poses[number],
        )

    def _groups(self, images: list[str], pairs: Float64[np.ndarray, "p 3"]) -> Iterator[Group]:
        cameras = [tuple(i for i, name in enumerate(images) if _is_dslr(name) == dslr) for dslr in (True, False)]
        smallest = self.num_views if self.parity else self.cut_off
        for reference in range(len(images)):
            partners = pairs[pairs[:, 0] == reference]
            if len(partners) + 1 < smallest:
                continue
            best_first = partners[np.argsort(-partners[:, 2], kind="stable"), 1].astype(int).tolist()
            own, other = cameras if _is_dslr(images[reference]) else cameras[::-1]
            if self.parity:
                yield Group(tuple(sorted([reference, *best_first])), (other,))
            else:
                yield Group((reference, *best_first), (own, other))


def _is_dslr(image: str) -> bool:
    return image.startswith("DSC")


@lru_cache(maxsize=8)  # a sample reads the same file for each of its views
def _cameras(path: Path) -> tuple[Float64[np.ndarray, "n 4 4"], Float64[np.ndarray, "n 3 3"]]:
    poses, intrinsics = read_npz(path, "trajectories", "intrinsics")
    return poses.astype(np.float64), intrinsics.astype(np.float64)
