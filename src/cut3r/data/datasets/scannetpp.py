"""ScanNet++ (version 1)."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from cut3r.data.card import Card
from cut3r.data.graph_sampling import GroupPolicy
from cut3r.data.layout import Layout, read_npz
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import MaskProbabilities, SamplingPolicy
from cut3r.data.scene import Graph, Scene
from cut3r.data.view import RawFrame
from cut3r.files.listing import visible
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image

CARD = Card(
    slug="scannetpp",
    label="ScanNet++",
    title="ScanNet++ v1",
    url="https://kaldir.vc.in.tum.de/scannetpp/",
    licence="application, own terms",
    about="rooms, filmed by a DSLR and a phone, depth rendered from a laser scan",
    metric=True,
    needs=("trimesh",),
    # half a pixel, less half a pixel of a raw picture that was made smaller to 0.59 (DSLR) or 0.48 (iPhone)
    corner_shift=-0.23,
    differs=(
        "intrinsics are in one pixel convention (the original is off by 0.21 to 0.26 pixels)",
        "depth is that of pixel centres (by up to 0.4 pixels of slope), also of faces seen from behind",
        "groups are ranked by overlap and not by name, and walk along either camera",
        "an image without a pose is left out by name (the original stops)",
    ),
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/images/{frame}.jpg",
        "depth": "{scene}/depth/{frame}.png",
        "all": "all_metadata.npz",
        "selected": "{scene}/scene_metadata.npz",
        "scene": "{scene}/new_scene_metadata.npz",
    }
)


class ScanNetpp(ProcessedDataset):
    """Rooms, seen by two cameras. Each image and the images that see the same place form a group.

    Parity: groups and scenes come in the order of the original's files, and what `GroupPolicy` says.
    """

    card = CARD
    layout = LAYOUT
    splits = ("train",)
    policy = GroupPolicy(
        SamplingPolicy(max_interval=3, video_prob=0.8, fixed_interval_prob=0.5, block_shuffle=16),
        video_share=0.7,
        ordered_share=0.05,
    )
    parity_policy = replace(policy, parity=True)
    masks = MaskProbabilities(0.75, 0.20, 0.05)
    repeats = 10

    def list_scenes(self) -> Iterator[Scene]:
        for name in self._names():
            images, pairs = read_npz(LAYOUT.path(self.root, "scene", name), "images", "pairs")
            anchors = dict.fromkeys(pairs[:, 0].astype(int).tolist())
            tracks = [0 if image.startswith("DSC") else 1 for image in images.tolist()]
            graph = Graph.from_pairs(len(images), pairs)
            yield Scene(name, tuple(images.tolist()), split="train", graph=graph, anchors=list(anchors), tracks=tracks)

    def _names(self) -> list[str]:
        there = [path.parent.name for path in visible(self.root, f"*/{LAYOUT.path(self.root, 'scene').name}")]
        order = LAYOUT.path(self.root, "all")
        if not (self.parity and order.is_file()):
            return there
        return [name for name in read_npz(order, "scenes")[0].tolist() if name in there]

    def scene_data(self, scene: Scene) -> tuple[Float64[np.ndarray, "n 4 4"], Float64[np.ndarray, "n 3 3"]]:
        poses, intrinsics = read_npz(self.file("scene", scene), "trajectories", "intrinsics")
        return poses.astype(np.float64), intrinsics.astype(np.float64)

    def read(self, scene: Scene, position: int) -> RawFrame:
        poses, intrinsics = self.data_of(scene)
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position)),
            depth=read_depth(self.file("depth", scene, position)),
            intrinsics=self.centred(intrinsics[position]),
            world_from_cam=poses[position],
        )
