"""One step towards the cameras that see given points of the world best: pose and focal length; the depth is free.

A camera sees its pixel's point somewhere on a ray, so only the distance of a target from the ray counts. The unknowns
are a turn and a shift in the camera's own frame and the logarithm of the focal length. Source:
spec/global_alignment.md 6.3.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cut3r.geometry.cameras import camera_rays
from cut3r.geometry.lie import rotation_from_vector, skew
from cut3r.geometry.poses import invert, pose_from_parts, transform

DAMPING = 1e-4  # of the diagonal
ZOOM = 0.2  # the logarithm of a focal length changes by no more in a step
BLOCK = 32  # frames at a time


@dataclass(frozen=True)
class Held:
    """What a step leaves as it is: some poses, some focal lengths; `shared` changes all others by one factor."""

    poses: Bool[Tensor, "n"]
    focals: Bool[Tensor, "n"]
    shared: bool = False


@dataclass(frozen=True)
class Cameras:
    """Where cameras stand and how they see, in double precision. `intrinsics` in pixels of pictures of any one size."""

    world_from_cam: Float[Tensor, "n 4 4"]
    intrinsics: Float[Tensor, "n 3 3"]


def depth_along(rays: Float[Tensor, "*batch 3"], points_cam: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
    """Give the depth at which each ray (z = 1) is closest to its point."""
    return (rays * points_cam).sum(dim=-1) / rays.square().sum(dim=-1)


def step_cameras(
    cameras: Cameras,
    size: tuple[int, int],
    targets: Float[Tensor, "n p 3"],
    weights: Float[Tensor, "n p"],
    held: Held,
) -> Cameras:
    """Move cameras so that the weighted sum of squared distances of rays from their targets falls.

    Args:
        size: (h, w) of the pictures, whose pixels row by row are the p rays.
        targets: Points of the world, metres.
        weights: A frame without any keeps its camera.
    """
    parts = [
        _normal_equations(cameras.world_from_cam[some], cameras.intrinsics[some], size, targets[some], weights[some])
        for some in torch.arange(len(targets)).split(BLOCK)
    ]
    matrix, slope = (torch.cat(each).double() for each in zip(*parts, strict=True))
    unseen = matrix.diagonal(dim1=-2, dim2=-1).sum(dim=-1) == 0
    free = torch.ones(len(targets), 7, dtype=torch.bool)
    free[:, :6] = ~(held.poses | unseen)[:, None]
    free[:, 6] = ~(held.focals | unseen)
    step = _solved(matrix, slope, free, shared=held.shared)
    return _moved(cameras, step)


def _normal_equations(
    world_from_cam: Float[Tensor, "k 4 4"],
    intrinsics: Float[Tensor, "k 3 3"],
    size: tuple[int, int],
    targets: Float[Tensor, "k p 3"],
    weights: Float[Tensor, "k p"],
) -> tuple[Float[Tensor, "k 7 7"], Float[Tensor, "k 7"]]:
    """J^T W J and J^T W e, e being the vector from the ray's nearest point to the target."""
    rays = camera_rays(intrinsics.float(), size).flatten(1, 2)
    seen = transform(invert(world_from_cam).float(), targets)
    depth = depth_along(rays, seen)[..., None]
    error = seen - depth * rays
    zoom = depth * rays * rays.new_tensor((1.0, 1.0, 0.0))  # a longer focal length turns rays towards the axis
    minus_eye = -torch.eye(3).expand(*seen.shape[:2], 3, 3)
    free = torch.cat((skew(seen), minus_eye, zoom[..., None]), dim=-1)  # [k, p, 3, 7]
    along = (rays[..., None, :] @ free) / rays.square().sum(dim=-1)[..., None, None]
    jacobian = (free - rays[..., None] * along).flatten(1, 2)  # motion along a ray is no error
    weighted = jacobian.mT * weights.repeat_interleave(3, dim=1)[:, None]
    return weighted @ jacobian, (weighted @ error.flatten(1)[..., None])[..., 0]


def _solved(
    matrix: Float[Tensor, "n 7 7"], slope: Float[Tensor, "n 7"], free: Bool[Tensor, "n 7"], *, shared: bool
) -> Float[Tensor, "n 7"]:
    """The damped Gauss-Newton step of what is free."""
    damped = matrix + DAMPING * torch.diag_embed(matrix.diagonal(dim1=-2, dim2=-1))
    both = free[:, :, None] & free[:, None, :]
    damped = damped.where(both, torch.eye(7).double())  # what is held: a row of its own, with nothing to do
    slope = slope.where(free, 0.0)
    if not shared or not bool(free[:, 6].any()):
        return torch.linalg.solve(damped, -slope)
    pose, across, zoom = damped[:, :6, :6], damped[:, :6, 6], damped[:, 6, 6]
    without = torch.linalg.solve(pose, -slope[:, :6])
    along = torch.linalg.solve(pose, -across)
    here = free[:, 6].double()
    curve = (here * (zoom + (across * along).sum(dim=-1))).sum()  # Schur complement: poses follow the common zoom
    fall = (here * (slope[:, 6] + (across * without).sum(dim=-1))).sum()
    common = -fall / curve
    return torch.cat((without + common * along, (common * here)[:, None]), dim=-1)


def _moved(cameras: Cameras, step: Float[Tensor, "n 7"]) -> Cameras:
    rotation, place = cameras.world_from_cam[:, :3, :3], cameras.world_from_cam[:, :3, 3]
    shift = (rotation @ step[:, 3:6, None])[..., 0]
    intrinsics = cameras.intrinsics.clone()
    intrinsics[:, :2, :2] *= step[:, 6].clamp(-ZOOM, ZOOM).exp()[:, None, None]
    return Cameras(pose_from_parts(rotation @ rotation_from_vector(step[:, :3]), place + shift), intrinsics)
