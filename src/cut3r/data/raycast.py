"""Exact ray casting of a few dozen solids inside a room: boxes, upright cylinders and spheres.

World: x and y along the floor, z up, the room's interior spans 0 ... size. All rays of a frame share their origin.
Ray directions need no unit length: distances along a ray are in units of its direction, so directions with z = 1 in
the camera's frame give depth.
"""

from dataclasses import dataclass, fields
from enum import IntEnum
from functools import reduce
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

NEAREST = 1e-3  # hits closer than this, in units of the direction, do not count


class Kind(IntEnum):
    box = 0  # its faces are parallel to the room's: half the work of a turned one
    turned_box = 1
    cylinder = 2
    sphere = 3


@dataclass(frozen=True)
class Solids:
    """Solids of a scene, sorted by kind.

    `half` is (rx, ry, rz): (r, r, height / 2) for an upright cylinder, (r, r, r) for a sphere. A solid moves if its
    `swing` is not zero: it is at center + swing * sin(rate * time_s + phase).
    """

    kind: Int[Tensor, "p"]
    center: Float[Tensor, "p 3"]
    half: Float[Tensor, "p 3"]
    yaw: Float[Tensor, "p"]  # about the vertical, from world x to local x; 0 for a box
    swing: Float[Tensor, "p 3"]
    rate: Float[Tensor, "p"]
    phase: Float[Tensor, "p"]

    def select(self, rows: Int[Tensor, "q"] | Bool[Tensor, "p"]) -> "Solids":
        """Keep some of the solids; rows must ascend."""
        return Solids(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def to(self, device: torch.device | str) -> "Solids":
        return Solids(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def centers_at(self, time_s: Float[Tensor, "f"]) -> Float[Tensor, "f p 3"]:
        """World positions of the centres."""
        return self.center + self.swing * torch.sin(time_s[:, None] * self.rate + self.phase).unsqueeze(-1)


def cast(
    solids: Solids, origins: Float[Tensor, "f 3"], rays: Float[Tensor, "f 3 r"], time_s: Float[Tensor, "f"]
) -> Float[Tensor, "f p r"]:
    """Give the distance at which each ray enters each solid, in units of its direction; infinity for a miss."""
    offset = (origins.unsqueeze(1) - solids.centers_at(time_s)).unsqueeze(
        -1
    )  # [f, p, 3, 1], from the centre to the eye
    rays = rays.masked_fill(rays == 0, 1e-9).unsqueeze(2)  # [f, 3, 1, r]; parallel to a face: hit it far away
    parts = []
    for enter, rows in zip(ENTER, rows_by_kind(solids.kind), strict=True):
        if rows.stop > rows.start:
            near, far = enter(offset[:, rows], rays, solids.half[rows, :, None], solids.yaw[rows, None])
            hit = (near <= far).logical_and_(near > NEAREST)  # a nan is a miss
            parts.append(near.masked_fill_(hit.logical_not_(), torch.inf))
    return torch.cat(parts, dim=1) if parts else rays.new_empty(len(rays), 0, rays.shape[3])


def rows_by_kind(kind: Int[Tensor, "p"]) -> list[slice]:
    ends = [0, *(kind.unsqueeze(-1) <= torch.tensor(list(Kind), device=kind.device)).sum(dim=0).tolist()]
    return [slice(start, end) for start, end in pairwise(ends)]


def enter_boxes(offset: Tensor, rays: Tensor, half: Tensor, yaw: Tensor) -> tuple[Tensor, Tensor]:
    intervals = [slab(offset[:, :, i], rays[:, i], half[:, i]) for i in range(3)]
    return common(*intervals)


def enter_turned_boxes(offset: Tensor, rays: Tensor, half: Tensor, yaw: Tensor) -> tuple[Tensor, Tensor]:
    cos, sin = yaw.cos(), yaw.sin()
    x, y, z = rays.unbind(dim=1)  # [f, 1, r] each
    eye_x, eye_y, eye_z = offset.unbind(dim=2)  # [f, p, 1] each
    return common(
        slab(eye_x * cos + eye_y * sin, (x * cos).addcmul_(y, sin), half[:, 0]),
        slab(eye_y * cos - eye_x * sin, (y * cos).addcmul_(x, sin, value=-1), half[:, 1]),
        slab(eye_z, z, half[:, 2]),
    )


def enter_cylinders(offset: Tensor, rays: Tensor, half: Tensor, yaw: Tensor) -> tuple[Tensor, Tensor]:
    return common(ball(offset[:, :, :2], rays[:, :2], half[:, 0]), slab(offset[:, :, 2], rays[:, 2], half[:, 2]))


def enter_spheres(offset: Tensor, rays: Tensor, half: Tensor, yaw: Tensor) -> tuple[Tensor, Tensor]:
    return ball(offset, rays, half[:, 0])


ENTER = (enter_boxes, enter_turned_boxes, enter_cylinders, enter_spheres)  # in the order of Kind


def common(first: tuple[Tensor, Tensor], *others: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The common part of intervals; the first ones are overwritten."""
    near, far = first
    for other_near, other_far in others:
        torch.maximum(near, other_near, out=near)
        torch.minimum(far, other_far, out=far)
    return near, far


def slab(offset: Tensor, direction: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """The interval of a ray between two parallel planes."""
    inverse = direction.reciprocal()  # of shape [f, 1, r] where all solids share the axis
    spread = inverse.abs()
    middle = inverse * -offset
    return torch.addcmul(middle, spread, half, value=-1), middle.addcmul_(spread, half)


def ball(offset: Tensor, rays: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """The interval of a ray inside a disc or ball, from the point nearest to the centre: no cancellation far away."""
    axes = range(rays.shape[1])
    per_squared = (rays.square().sum(dim=1) + 1e-12).reciprocal_()  # [f, 1, r]
    middle = reduce(torch.add, [rays[:, i] * -offset[:, :, i] for i in axes]).mul_(per_squared)  # [f, p, r]
    beside = reduce(torch.add, [(middle * rays[:, i]).add_(offset[:, :, i]).square_() for i in axes])
    extent = (radius.square() - beside).mul_(per_squared)
    miss = extent < 0
    extent = extent.clamp_min_(0).sqrt_()
    return (middle - extent).masked_fill_(miss, torch.inf), middle.add_(extent)


def exit_room(
    size: Float[Tensor, "3"], origins: Float[Tensor, "f 3"], rays: Float[Tensor, "f 3 r"]
) -> Float[Tensor, "f r"]:
    """Distance to the walls, floor or ceiling, from inside."""
    half = (size / 2).unsqueeze(-1)
    inverse = (rays + 1e-9).reciprocal_()
    return (inverse.abs() * half).addcmul_(inverse, half - origins.unsqueeze(-1)).amin(dim=1)


def clearance(
    solids: Solids, size: Float[Tensor, "3"], points: Float[Tensor, "k f 3"], time_s: Float[Tensor, "f"]
) -> Float[Tensor, "k f"]:
    """Distance from points to the nearest surface, in metres; negative inside a solid or outside the room.

    Args:
        time_s: One time per step of the paths `points`.
    """
    walls = torch.minimum(points, size - points).amin(dim=-1)
    if not len(solids.kind):
        return walls
    offset = points.unsqueeze(-2) - solids.centers_at(time_s)  # [k, f, p, 3]
    return torch.minimum(walls, signed_distance(solids, offset).amin(dim=-1))


def signed_distance(solids: Solids, offset: Float[Tensor, "*batch p 3"]) -> Float[Tensor, "*batch p"]:
    """Distance to each solid's surface of a point given relative to its centre, in world axes; negative inside."""
    x, y, z = offset.unbind(dim=-1)
    cos, sin = solids.yaw.cos(), solids.yaw.sin()
    over_x, over_y = (x * cos + y * sin).abs() - solids.half[:, 0], (y * cos - x * sin).abs() - solids.half[:, 1]
    over_z, across = z.abs() - solids.half[:, 2], torch.hypot(x, y)
    sphere = torch.hypot(across, z) - solids.half[:, 0]
    cylinder = beyond(across - solids.half[:, 0], over_z)
    box = beyond(beyond(over_x, over_y), over_z)
    return torch.where(solids.kind < Kind.cylinder, box, torch.where(solids.kind == Kind.cylinder, cylinder, sphere))


def beyond(a: Tensor, b: Tensor) -> Tensor:
    """Signed distance to the common part of two bodies with perpendicular faces, from the distances to each."""
    return torch.hypot(a.clamp_min(0), b.clamp_min(0)) + torch.maximum(a, b).clamp_max(0)
