"""Rooms to pictures: rays through pixels, visible surfaces, textures, lamps and shadows, exposure.

Axes: f frames, r rays (pixels of a frame), p solids. Vectors lie along the second axis ("f 3 r"): their components are
then contiguous, which makes a CPU several times faster. Row 0 of the surfaces is the room itself, a box seen from
inside; row 1 + p is solid p.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cut3r.data.raycast import Kind, Solids, cast, exit_room
from cut3r.data.rooms import SHELL_FACES, Materials, Room
from cut3r.data.textures import patterns_of, sample_patterns
from cut3r.geometry.cameras import pixel_grid

PAIRS_AT_ONCE = 1 << 26  # rays x solids of a batch of frames on a GPU
RAYS_AT_ONCE = 100_000  # of a batch of frames on a CPU: small pictures are faster together,
RAYS_PER_BLOCK = 16_384  # but tracing multiplies them by the solids, and so much stays in the cache
SHADOW = 0.12  # share of the first lamp's light that reaches its shadow
GLOW = 1.6  # radiance of a shining surface, in units of its colour


def render(
    room: Room,
    world_from_cam: Float[Tensor, "v 4 4"],
    intrinsics: Float[Tensor, "v 3 3"],
    size: tuple[int, int],
    time_s: Float[Tensor, "v"],
) -> tuple[Float[Tensor, "v h w 3"], Float[Tensor, "v h w"]]:
    """Render views of a room: sRGB in [0, 1] and exact depth (z, metres).

    The views do not influence each other.

    Args:
        intrinsics: In pixels of pictures of this size.
        time_s: When each view is taken: where the moving objects are.
    """
    on_cpu = world_from_cam.device.type == "cpu"
    rays_at_once = RAYS_AT_ONCE if on_cpu else PAIRS_AT_ONCE // (1 + len(room.solids.kind))
    frames = max(1, rays_at_once // (size[0] * size[1]))
    batches = zip(*(x.split(frames) for x in (world_from_cam, intrinsics, time_s)), strict=True)
    parts = [render_frames(room, poses, cameras, times, size) for poses, cameras, times in batches]
    rgb, depth = (torch.cat(images) for images in zip(*parts, strict=True))
    return rgb.permute(0, 2, 1).unflatten(1, size), depth.unflatten(1, size)


def render_frames(
    room: Room, world_from_cam: Tensor, intrinsics: Tensor, time_s: Tensor, size: tuple[int, int]
) -> tuple[Float[Tensor, "f 3 r"], Float[Tensor, "f r"]]:
    rays = camera_rays(world_from_cam, intrinsics, size)
    origins = world_from_cam[:, :3, 3]
    depth, row = in_blocks(partial(first_hit, room), origins, rays, time_s)
    points = torch.addcmul(origins.unsqueeze(-1), rays, depth.unsqueeze(1))
    surface = describe(room, points, row, time_s)
    length = rays.square().sum(dim=1).sqrt_()
    facing = ((surface.normal * rays).sum(dim=1) / length).abs_().clamp_min_(0.2)
    footprint_m = depth * length / intrinsics[:, 0, 0, None] / facing
    albedo, glow = paint(room.materials, surface, footprint_m)
    light = illuminate(room, points, surface.normal, time_s)
    radiance = albedo * torch.lerp(light, torch.full_like(light[:, :1], GLOW), glow)
    return develop(radiance, room.exposure), depth


def in_blocks(trace: Callable[..., tuple[Tensor, ...]], origins: Tensor, rays: Tensor, time_s: Tensor) -> list[Tensor]:
    """Trace a few rows of one frame after the other on a CPU, against the solids in their sight; all on a GPU."""
    if rays.device.type != "cpu":
        return list(trace(origins, rays, time_s))
    frames = [
        [trace(origin, block, time) for block in frame.split(RAYS_PER_BLOCK, dim=2)]
        for origin, frame, time in zip(origins.split(1), rays.split(1), time_s.split(1), strict=True)
    ]
    joined = [[torch.cat(results, dim=1) for results in zip(*blocks, strict=True)] for blocks in frames]
    return [torch.cat(results) for results in zip(*joined, strict=True)]


def camera_rays(world_from_cam: Tensor, intrinsics: Tensor, size: tuple[int, int]) -> Float[Tensor, "f 3 r"]:
    """Directions in world axes through all pixel centres, with z = 1 in the camera's frame: distance is depth."""
    pixels = pixel_grid(*size).to(intrinsics).flatten(0, 1).T  # [3, r]
    focal, center = intrinsics[:, [0, 1], [0, 1], None], intrinsics[:, :2, 2, None]
    x, y = ((pixels[:2] - center) / focal).unsqueeze(2).unbind(dim=1)  # [f, 1, r] each
    right, down, forward = world_from_cam[:, :3, :3, None].unbind(dim=2)  # [f, 3, 1] each
    return (right * x).addcmul_(down, y).add_(forward)


def first_hit(room: Room, origins: Tensor, rays: Tensor, time_s: Tensor) -> tuple[Tensor, Tensor]:
    """Depth, and the row of the surface: 0 for the room, 1 + p for solid p; [f, r] each."""
    rows = in_sight(room.solids, origins, rays, time_s)
    near = cast(room.solids.select(rows), origins, rays, time_s)
    near = torch.cat((exit_room(room.size, origins, rays).unsqueeze(1), near), dim=1)
    depth = near.amin(dim=1)
    assert near.shape[1] <= 256
    # The row of the minimum: with single bytes this takes a tenth of the time of `min(dim)`.
    number = torch.arange(near.shape[1], dtype=torch.uint8, device=near.device).unsqueeze(-1)
    winner = ((near == depth.unsqueeze(1)).view(torch.uint8) * number).amax(dim=1)
    return depth, torch.cat((rows.new_zeros(1), rows + 1)).index_select(0, winner.flatten().int()).view_as(winner)


def shadowed(room: Room, origins: Tensor, rays: Tensor, time_s: Tensor) -> tuple[Bool[Tensor, "f r"]]:
    """Whether a solid stands between a lamp at the origin of the rays and their ends."""
    rows = in_sight(room.solids, origins, rays, time_s)
    if not len(rows):
        return (torch.zeros_like(rays[:, 0], dtype=torch.bool),)
    return (cast(room.solids.select(rows), origins, rays, time_s).amin(dim=1) < 0.99,)


def in_sight(solids: Solids, origins: Tensor, rays: Tensor, time_s: Tensor) -> Int[Tensor, "q"]:
    """Rows of the solids whose bounding sphere meets, in some frame, the cone around all its rays."""
    axis = rays.mean(dim=2, keepdim=True)
    axis = axis / axis.norm(dim=1, keepdim=True).clamp_min(1e-6)  # [f, 3, 1]
    cosine = (rays * axis).sum(dim=1) / rays.square().sum(dim=1).sqrt()
    opening = cosine.amin(dim=1, keepdim=True).clamp(-1, 1).acos()  # [f, 1]
    offset = solids.centers_at(time_s) - origins.unsqueeze(1)  # [f, p, 3]
    radius, distance = bounding_radius(solids), offset.norm(dim=-1).clamp_min(1e-6)
    angle = ((offset * axis.mT).sum(dim=-1) / distance).clamp(-1, 1).acos()
    seen = (angle < opening + (radius / distance).clamp_max(1).asin() + 0.01) | (distance < radius)
    return seen.any(dim=0).nonzero().squeeze(-1)


def bounding_radius(solids: Solids) -> Float[Tensor, "p"]:
    x, y, z = solids.half.unbind(dim=-1)
    across = torch.where(solids.kind < Kind.cylinder, x.hypot(y), x)
    return torch.where(solids.kind == Kind.sphere, x, across.hypot(z)) + 1e-3


@dataclass(frozen=True)
class Surface:
    """What is known of the visible points before they are painted."""

    normal: Float[Tensor, "f 3 r"]  # towards the viewer's side
    u: Float[Tensor, "f r"]  # metres along the surface
    v: Float[Tensor, "f r"]  # metres, running down on upright surfaces
    material: Int[Tensor, "f r"]


def describe(room: Room, points: Tensor, row: Tensor, time_s: Tensor) -> Surface:
    """Normals, texture coordinates and materials of points on the surfaces `row`."""
    kind, cos, sin, hx, hy, hz, cx, cy, cz = lookup(surface_table(room, time_s), row)
    x, y, z = (points - torch.stack((cx, cy, cz), dim=1)).unbind(dim=1)
    x, y = x * cos + y * sin, y * cos - x * sin
    round_, is_sphere = kind >= Kind.cylinder, kind == Kind.sphere
    over_x, over_y, over_z = x.abs() - hx, y.abs() - hy, z.abs() - hz
    over_x = torch.where(kind == Kind.cylinder, torch.hypot(x, y) - hx, over_x)
    over_y = over_y.masked_fill(kind == Kind.cylinder, -torch.inf)
    on_z = (over_z >= over_x) & (over_z >= over_y)
    on_x = ~on_z & (over_x >= over_y)
    curved = is_sphere | (round_ & ~on_z)
    nx, ny, nz = (
        torch.where(curved, x, x.sign() * on_x),
        torch.where(curved, y, y.sign() * ~(on_x | on_z)),
        torch.where(curved, z * is_sphere, z.sign() * on_z),
    )
    outward = torch.where(row == 0, -1.0, 1.0) / torch.hypot(torch.hypot(nx, ny), nz).clamp_min_(1e-9)
    nx, ny, nz = nx * outward, ny * outward, nz * outward
    u = torch.where(curved & ~is_sphere, torch.atan2(y, x) * hx, torch.where(on_x, y, x))
    face = 4 * on_z + 2 * ~(on_x | on_z) + (torch.where(on_z, z, torch.where(on_x, x, y)) > 0)
    return Surface(
        normal=torch.stack((nx * cos - ny * sin, nx * sin + ny * cos, nz), dim=1),
        u=u,
        v=torch.where(on_z, y, -z),
        material=torch.where(row == 0, face, row + (SHELL_FACES - 1)),
    )


def surface_table(room: Room, time_s: Tensor) -> Float[Tensor, "9 f q"]:
    """Kind, cos and sin of the yaw, half extents, centre of every surface in every frame; row 0 is the room."""
    solids, f = room.solids, len(time_s)
    shell = room.size.new_tensor([Kind.box, 1, 0]).expand(f, 3)
    shell = torch.cat((shell, (room.size / 2).repeat(2).expand(f, 6)), dim=1)
    facts = torch.stack((solids.kind.float(), solids.yaw.cos(), solids.yaw.sin(), *solids.half.T))  # [6, p]
    rest = torch.cat((facts.expand(f, *facts.shape), solids.centers_at(time_s).mT), dim=1)  # [f, 9, p]
    return torch.cat((shell.unsqueeze(-1), rest), dim=2).transpose(0, 1)


def lookup(table: Float[Tensor, "k f q"], row: Int[Tensor, "f r"]) -> list[Float[Tensor, "f r"]]:
    """The columns of a table per ray, each contiguous."""
    f, q = table.shape[1:]
    flat = row + q * torch.arange(f, device=row.device).unsqueeze(-1)
    return [column.index_select(0, flat.flatten()).view_as(row) for column in table.reshape(len(table), f * q)]


def paint(materials: Materials, surface: Surface, footprint_m: Tensor) -> tuple[Tensor, Tensor]:
    """Albedo (linear RGB) [f, 3, r] and glow [f, 1, r]."""
    table = torch.cat(
        (
            torch.stack((materials.detail, materials.glow)),
            materials.scale.T,
            materials.offset.T,
            materials.palette.flatten(1).T,
        )
    )  # [15, m]
    rows = surface.material.flatten()
    detail, glow, *rest = (column.index_select(0, rows).view_as(surface.u) for column in table)
    scale_u, scale_v, offset_u, offset_v = rest[:4]
    pattern = materials.pattern.index_select(0, rows).view_as(surface.u)
    u, v = torch.addcmul(offset_u, surface.u, scale_u), torch.addcmul(offset_v, surface.v, scale_v)
    mix, accent = sample_patterns(pattern, u, v, footprint_m * torch.maximum(scale_u, scale_v))
    dirt_row = torch.full_like(pattern, patterns_of("plaster")[0])
    dirt, _ = sample_patterns(dirt_row, 0.37 * surface.u, 0.37 * surface.v, 0.37 * footprint_m)
    gain = detail * (2 * dirt - 1) + 1
    first, second, third = (torch.stack(rest[i : i + 3], dim=1) for i in (4, 7, 10))  # [f, 3, r] each
    albedo = torch.lerp(torch.lerp(first, second, mix.unsqueeze(1)), third, accent.unsqueeze(1))
    return albedo * gain.unsqueeze(1), glow.unsqueeze(1)


def illuminate(room: Room, points: Tensor, normal: Tensor, time_s: Tensor) -> Float[Tensor, "f 3 r"]:
    """Ambient light, dimmer near corners, and lamps with soft falloff; the first one casts shadows."""
    ambient = crevices(room, points, normal) * (0.85 + 0.15 * normal[:, 2])
    light = room.ambient[:, None] * ambient.unsqueeze(1)
    for number, (position, color) in enumerate(zip(room.lights, room.light_colors, strict=True)):
        from_light = points - position[:, None]
        squared = from_light.square().sum(dim=1)
        incident = -(from_light * normal).sum(dim=1).clamp_max_(0)
        incident = incident * squared.rsqrt() / (0.3 + 0.35 * squared)
        if number == 0:
            origins = position.expand(len(time_s), 3)
            (shadow,) = in_blocks(partial(shadowed, room), origins, from_light, time_s)
            incident = incident * torch.where(shadow, SHADOW, 1.0)
        light.addcmul_(color[:, None], incident.unsqueeze(1))
    return light


def crevices(room: Room, points: Tensor, normal: Tensor) -> Float[Tensor, "f r"]:
    """A cheap stand-in for occlusion: dimmer near those walls, floor and ceiling that a surface does not face."""
    to_wall = torch.minimum(points, room.size[:, None] - points) + 2 * normal.abs()
    return (1 - 0.45 * torch.exp(-4 * to_wall)).prod(dim=1)


def develop(radiance: Float[Tensor, "f 3 r"], exposure: float) -> Float[Tensor, "f 3 r"]:
    """Expose each frame by its own mean, as a camera does; soft highlights, gamma."""
    # float64, so that the order of the sum, which depends on the number of frames, does not show.
    mean = radiance.double().mean(dim=(1, 2), keepdim=True).float()
    gain = exposure**2.2 / mean.clamp_min(1e-3)
    exposed = radiance * gain
    return (1.25 * exposed / (1 + 0.25 * exposed)).clamp_(1e-6, 1).pow_(1 / 2.2)
