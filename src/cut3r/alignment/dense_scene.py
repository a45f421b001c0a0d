"""What dense refinement varies: cameras, a depth for each sample, the place of each pair; and what is free of meaning.

Where the world's origin is and how large it is, no pair says. Each group of frames that pairs hold together has such a
freedom of its own (a gauge), which known cameras take away.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cut3r.alignment.camera_step import Cameras
from cut3r.alignment.samples import Samples
from cut3r.geometry.poses import invert, pose_from_parts
from cut3r.geometry.registration import Similarity

NEAREST = 1e-3  # of a frame's median depth: no point is nearer


@dataclass(frozen=True)
class DenseScene:
    """Cameras (intrinsics of the full pictures), depth at the samples' pixels, and what brings pairs into the world.

    Metres along the optical axis; double precision but for the depth.
    """

    cameras: Cameras
    depth: Float[Tensor, "n p"]
    world_from_pair: Similarity


def first_dense_scene(samples: Samples, world_from_frame: Similarity, intrinsics: Float[Tensor, "n 3 3"]) -> DenseScene:
    """Where the pose graph ends: each frame as it sees itself, each pair as its first frame."""
    first = samples.ends[:, 0]
    pose = pose_from_parts(world_from_frame.rotation, world_from_frame.translation)
    depth = samples.points_self[:, 2].float() * world_from_frame.scale.float()[:, None]
    return DenseScene(Cameras(pose.double(), intrinsics.double()), in_front(depth), rows_of(world_from_frame, first))


@dataclass(frozen=True)
class Gauge:
    """A group of frames and its pairs; `known` is one of its frames whose camera is known, if there is one."""

    frames: list[int]
    pairs: Int[Tensor, "k"]
    known: int | None
    scale_is_free: bool

    @classmethod
    def of(cls, group: Sequence[int], samples: Samples, known: Bool[Tensor, "n"], cameras: Cameras) -> "Gauge":
        """Of a group, some of whose cameras are known and stand where `cameras` has them."""
        here = mask_of(samples.frames, group)
        anchors = [k for k in group if known[k]]
        places = cameras.world_from_cam[anchors, :3, 3]
        free = not anchors or float((places - places[0]).norm(dim=-1).max()) == 0
        return cls(list(group), here[samples.ends[:, 0]].nonzero()[:, 0], anchors[0] if anchors else None, free)

    def scaled(self, scene: DenseScene, world_scale: float) -> DenseScene:
        """Make `world_scale` the geometric mean of the group's pairs, unless known cameras say how large it is."""
        if not self.scale_is_free or not len(self.pairs):
            return scene
        by = world_scale / scene.world_from_pair.scale[self.pairs].log().mean().exp()
        center = torch.zeros(3).double()
        if self.known is not None:
            center = scene.cameras.world_from_cam[self.known, :3, 3]
        return self._moved(scene, Similarity(torch.eye(3).double(), (1 - by) * center, by))

    def at_origin(self, scene: DenseScene) -> DenseScene:
        """Put the first camera at the origin of the world, unless one is known."""
        if self.known is not None:
            return scene
        back = invert(scene.cameras.world_from_cam[self.frames[0]])
        return self._moved(scene, Similarity(back[:3, :3], back[:3, 3], torch.ones(()).double()))

    def _moved(self, scene: DenseScene, by: Similarity) -> DenseScene:
        pose, depth = scene.cameras.world_from_cam.clone(), scene.depth.clone()
        pose[self.frames] = by.place(pose[self.frames])
        depth[self.frames] *= float(by.scale)
        matrix = scene.world_from_pair.matrix()
        matrix[self.pairs] = by.matrix() @ matrix[self.pairs]
        return DenseScene(replace(scene.cameras, world_from_cam=pose), depth, Similarity.from_matrix(matrix))


def in_front(depth: Float[Tensor, "n p"]) -> Float[Tensor, "n p"]:
    """Bring forward what is behind its camera or very near."""
    nearest = NEAREST * depth.median(dim=1, keepdim=True).values.abs().clamp_min(1e-6)
    return torch.maximum(depth, nearest)


def mask_of(n: int, numbers: Sequence[int]) -> Bool[Tensor, "n"]:
    """Say of each of n frames whether it is among the numbers."""
    mask = torch.zeros(n, dtype=torch.bool)
    mask[list(numbers)] = True
    return mask


def rows_of(fits: Similarity, rows: Int[Tensor, "k"]) -> Similarity:
    """Some of many similarities."""
    return Similarity(fits.rotation[rows], fits.translation[rows], fits.scale[rows])
