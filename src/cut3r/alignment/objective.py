"""What the original's global alignment minimises, and the numbers that it varies.

Every pair has a similarity that brings its two pictures into the world, every frame a camera and a depth map. They
should agree: the mean distance of points, weighted by the logarithm of their confidence (spec/global_alignment.md 2).

Parity: the principal point is (w / 2, h / 2) although pixels are counted from their centres, and the geometric mean of
all pair scales is always 0.5, which makes the world half as large as the network says.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cut3r.alignment.pairs import Pairs
from cut3r.geometry.cameras import pinhole, unproject
from cut3r.geometry.poses import matrix_from_quaternion, pose_from_parts, quaternion_from_matrix, transform
from cut3r.geometry.registration import Similarity

WORLD_SCALE = 0.5  # Parity: metres of the world per metre of the network
FOCAL_BREAK = 20  # the focal length's exponent is divided by it, so that its steps are small


@dataclass(frozen=True)
class Scene:
    """Cameras, depth maps (metres along the optical axis), and what brings each pair into the world."""

    world_from_cam: Float[Tensor, "n 4 4"]
    focals: Float[Tensor, "n"]
    depth: Float[Tensor, "n h w"]
    world_from_pair: Similarity

    @property
    def intrinsics(self) -> Float[Tensor, "n 3 3"]:
        """In pixels, with the principal point of the original."""
        h, w = self.depth.shape[-2:]
        return pinhole((h, w), self.focals, (w / 2, h / 2))

    @property
    def points_world(self) -> Float[Tensor, "n h w 3"]:
        return transform(self.world_from_cam, unproject(self.depth, self.intrinsics))

    def moved(self, target_from_world: Similarity) -> "Scene":
        """The same scene in another frame and another unit."""
        scale = target_from_world.scale
        pair = target_from_world.matrix() @ self.world_from_pair.matrix()
        return Scene(
            target_from_world.place(self.world_from_cam), self.focals, self.depth * scale, Similarity.from_matrix(pair)
        )


@dataclass(frozen=True)
class Unknowns:
    """A scene as numbers that may have any value, which is what an optimiser needs.

    `pairs` and `frames` hold a quaternion (w, x, y, z; of any length) and a translation t as sign(t) log(1 + |t|); of
    pairs also the logarithm of the scale, which is applied after the translation.
    """

    pairs: Float[Tensor, "e 8"]
    frames: Float[Tensor, "n 7"]
    focals: Float[Tensor, "n"]
    log_depth: Float[Tensor, "n h w"]

    @classmethod
    def of(cls, scene: Scene) -> "Unknowns":
        fit = scene.world_from_pair
        pair_poses = pose_from_parts(fit.rotation, fit.translation / fit.scale[:, None])
        return cls(
            torch.cat((_encode(pair_poses), fit.scale.log()[:, None]), dim=-1).float(),
            _encode(scene.world_from_cam).float(),
            (FOCAL_BREAK * scene.focals.log()).float(),
            scene.depth.log().float(),
        )

    def scene(self) -> Scene:
        log_scale = self.pairs[:, 7]
        scale = WORLD_SCALE * (log_scale - log_scale.mean()).exp()
        pair_poses = _decode(self.pairs[:, :7])
        translation = scale[:, None] * pair_poses[:, :3, 3]
        return Scene(
            _decode(self.frames),
            (self.focals / FOCAL_BREAK).exp(),
            self.log_depth.exp(),
            Similarity(pair_poses[:, :3, :3], translation, scale),
        )

    def leaves(self) -> "Unknowns":
        """Copies that gradients are computed for."""
        return Unknowns(*(tensor.detach().clone().requires_grad_() for tensor in self.tensors()))

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return (self.pairs, self.frames, self.focals, self.log_depth)


class Objective:
    """The loss of a scene, given the pairs: metres of the world times the logarithm of a confidence."""

    def __init__(self, pairs: Pairs) -> None:
        self._sides = [
            _Side(pairs.ends[:, 0], pairs.points_first, pairs.conf_first.log()),
            _Side(pairs.ends[:, 1], pairs.points_second, pairs.conf_second.log()),
        ]

    def __call__(self, scene: Scene) -> Float[Tensor, ""]:
        world = scene.points_world
        loss = world.new_zeros(())
        for side in self._sides:
            distance = (world[side.frames] - scene.world_from_pair.apply(side.points)).norm(dim=-1)
            loss = loss + (side.weights * distance).mean()
        return loss


@dataclass(frozen=True)
class _Side:
    """The first or the second frames of all pairs."""

    frames: Int[Tensor, "e"]
    points: Float[Tensor, "e h w 3"]
    weights: Float[Tensor, "e h w"]


def _encode(poses: Float[Tensor, "k 4 4"]) -> Float[Tensor, "k 7"]:
    translation = poses[:, :3, 3]
    return torch.cat((quaternion_from_matrix(poses[:, :3, :3]), translation.sign() * translation.abs().log1p()), dim=-1)


def _decode(numbers: Float[Tensor, "k 7"]) -> Float[Tensor, "k 4 4"]:
    signed_log = numbers[:, 4:]
    return pose_from_parts(matrix_from_quaternion(numbers[:, :4]), signed_log.sign() * signed_log.abs().expm1())
