"""One step towards the cameras that see given points of the world best: pose and focal length; the depth is free.

A camera sees its pixel's point somewhere on a ray, so only the distance of a target from the ray counts. The unknowns
are a turn and a shift in the camera's own frame and the logarithm of the focal length. Source:
spec/global_alignment.md 6.3.

Where a scene is shallow, a longer focal length and a camera further back see nearly the same. What a frame has seen
alone says which of them it is: those points are in the camera's own frame, wherever that stands.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cut3r.geometry.cameras import camera_rays
from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import invert, pose_from_parts

DAMPING = 1e-4  # of the diagonal
ZOOM = 0.2  # the logarithm of a focal length changes by no more in a step
BLOCK = 32  # frames at a time
SHARES = (1.0, 0.3, 0.1)  # of a step: the first that helps is taken, and none where none does


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


@dataclass(frozen=True)
class Targets:
    """Where points should be, one for each pixel, row by row, and how much each weighs (of squared distances).

    `world` in the world, metres; `alone` in the frame of each camera. A frame without any weight keeps its camera.
    """

    world: Float[Tensor, "n 3 p"]
    weights: Float[Tensor, "n p"]
    alone: Float[Tensor, "n 3 p"]
    weights_alone: Float[Tensor, "n p"]


def planes_of_rays(cameras: Cameras, size: tuple[int, int]) -> Float[Tensor, "n 3 p"]:
    """Every pixel's point at depth 1 in its camera, each coordinate in a plane of its own."""
    return camera_rays(cameras.intrinsics.float(), size).flatten(1, 2).mT.contiguous()


def step_cameras(cameras: Cameras, size: tuple[int, int], targets: Targets, held: Held) -> Cameras:
    """Move cameras so that the weighted sum of squared distances of rays from their targets falls.

    A camera for which no step makes it fall stays.

    Args:
        size: (h, w) of the pictures.
    """
    rays = planes_of_rays(cameras, size)
    parts = [
        _normal_equations(cameras.world_from_cam[some], rays[some], targets.world[some], targets.weights[some])
        for some in torch.arange(len(rays)).split(BLOCK)
    ]
    matrix, slope = (torch.cat(each).double() for each in zip(*parts, strict=True))
    curve, fall = zoom_alone(rays, targets.alone, targets.weights_alone)
    matrix[:, 6, 6] += curve.double()
    slope[:, 6] += fall.double()
    unseen = targets.weights.sum(dim=1) == 0
    free = torch.ones(len(rays), 7, dtype=torch.bool)
    free[:, :6] = ~(held.poses | unseen)[:, None]
    free[:, 6] = ~(held.focals | unseen)
    step = _solved(matrix, slope, free, shared=held.shared)
    before, found = _cost(cameras, rays, targets), cameras
    waiting = torch.ones(len(rays), dtype=torch.bool)
    for share in SHARES:
        there = _moved(cameras, share * step)
        fallen = _cost(there, planes_of_rays(there, size), targets) - before
        better = fallen.sum() < 0 if held.shared else fallen < 0  # one focal length changes for all or for none
        found = _where(waiting & better, there, found)
        waiting = waiting & ~better
        if not bool(waiting.any()):
            break
    return found


def _cost(cameras: Cameras, rays: Float[Tensor, "n 3 p"], targets: Targets) -> Float[Tensor, "n"]:
    cam_from_world = invert(cameras.world_from_cam).float()
    seen = torch.baddbmm(cam_from_world[:, :3, 3:], cam_from_world[:, :3, :3], targets.world)
    here = (targets.weights * off_rays(rays, seen).square().sum(dim=1)).sum(dim=1)
    return here + (targets.weights_alone * off_rays(rays, targets.alone).square().sum(dim=1)).sum(dim=1)


def off_rays(rays: Float[Tensor, "n 3 p"], points_cam: Float[Tensor, "n 3 p"]) -> Float[Tensor, "n 3 p"]:
    """What leads from the nearest point of each ray to its point."""
    depth = (rays * points_cam).sum(dim=1) / rays.square().sum(dim=1)
    return points_cam - depth[:, None] * rays


def _where(chosen: Bool[Tensor, "n"], first: Cameras, second: Cameras) -> Cameras:
    which = chosen[:, None, None]
    return Cameras(
        first.world_from_cam.where(which, second.world_from_cam), first.intrinsics.where(which, second.intrinsics)
    )


def _normal_equations(
    world_from_cam: Float[Tensor, "k 4 4"],
    rays: Float[Tensor, "k 3 p"],
    targets: Float[Tensor, "k 3 p"],
    weights: Float[Tensor, "k p"],
) -> tuple[Float[Tensor, "k 7 7"], Float[Tensor, "k 7"]]:
    """J^T W J and J^T W e, e being the vector from the ray's nearest point to the target.

    Motion along a ray is no error, so e is measured along two directions across it.
    """
    cam_from_world = invert(world_from_cam).float()
    seen = torch.baddbmm(cam_from_world[:, :3, 3:], cam_from_world[:, :3, :3], targets)
    x, y, _ = rays.unbind(dim=1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    sideways = torch.stack((one, zero, -x), dim=1) / (1 + x.square()).sqrt()[:, None]
    upright = torch.linalg.cross(rays, sideways, dim=1) / rays.square().sum(dim=1, keepdim=True).sqrt()
    depth = (rays * seen).sum(dim=1) / rays.square().sum(dim=1)
    rows, errors = [], []
    for across in (sideways, upright):
        zoom = depth * (across[:, 0] * x + across[:, 1] * y)  # a longer focal length turns rays towards the axis
        rows.append(torch.cat((torch.linalg.cross(across, seen, dim=1), -across, zoom[:, None]), dim=1))
        errors.append((across * seen).sum(dim=1))
    jacobian, error = torch.cat(rows, dim=2), torch.cat(errors, dim=1)  # [k, 7, 2p]
    weighted = jacobian * weights.repeat(1, 2)[:, None]
    return weighted @ jacobian.mT, (weighted @ error[..., None])[..., 0]


def zoom_alone(
    rays: Float[Tensor, "n 3 p"], points_cam: Float[Tensor, "n 3 p"], weights: Float[Tensor, "n p"]
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    """What points in a camera's own frame add to the normal equations: only its focal length can bring rays to them."""
    along = rays[:, :2].square().sum(dim=1)
    depth = (rays * points_cam).sum(dim=1) / (1 + along)
    error = points_cam[:, :2] - depth[:, None] * rays[:, :2]
    slope = depth * (rays[:, :2] * error).sum(dim=1)
    return (weights * depth.square() * along / (1 + along)).sum(dim=1), (weights * slope).sum(dim=1)


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
