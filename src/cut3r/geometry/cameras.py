"""Pinhole cameras: rays, projection, ray maps, and intrinsics under resizing and cropping.

Axes follow OpenCV: x right, y down, z forward. Pixel (0, 0) is the centre of the top-left pixel; pixels are (x, y),
sizes (h, w). Intrinsics are [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels: no skew.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from cut3r.geometry.poses import rotate, spread, transform


def pixel_grid(
    h: int, w: int, *, device: torch.device | None = None, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "h w 3"]:
    """Homogeneous pixel centres (x, y, 1)."""
    x = torch.arange(w, device=device, dtype=dtype).expand(h, w)
    y = torch.arange(h, device=device, dtype=dtype).unsqueeze(-1).expand(h, w)
    return torch.stack((x, y, torch.ones_like(x)), dim=-1)


def image_center(size: tuple[int, int]) -> tuple[float, float]:
    """The (x, y) pixel coordinates of the middle of an image."""
    return (size[1] - 1) / 2, (size[0] - 1) / 2


def pinhole(
    size: tuple[int, int],
    focal: float | Float[Tensor, "*batch"],
    principal_point: tuple[float, float] | Float[Tensor, "*batch 2"] | None = None,
) -> Float[Tensor, "*batch 3 3"]:
    """Build the intrinsics of square pixels.

    Args:
        focal: Pixels.
        principal_point: (x, y) in pixels; the middle of the image by default.
    """
    focal = focal if isinstance(focal, Tensor) else torch.tensor(float(focal))
    center = torch.as_tensor(image_center(size) if principal_point is None else principal_point).to(focal)
    intrinsics = focal.new_zeros(*focal.shape, 3, 3)
    intrinsics[..., 0, 0] = focal
    intrinsics[..., 1, 1] = focal
    intrinsics[..., :2, 2] = center
    intrinsics[..., 2, 2] = 1
    return intrinsics


def viewer_intrinsics(size: tuple[int, int]) -> Float[Tensor, "3 3"]:
    """Give the camera the original's viewer queries with: focal length = diagonal, principal point (w // 2, h // 2)."""
    h, w = size
    return pinhole(size, math.hypot(h, w), (float(w // 2), float(h // 2)))


def camera_rays(intrinsics: Float[Tensor, "*batch 3 3"], size: tuple[int, int]) -> Float[Tensor, "*batch h w 3"]:
    """Give every pixel's point at depth 1, in the camera's frame (z = 1, not unit length)."""
    pixels = pixel_grid(*size, device=intrinsics.device, dtype=intrinsics.dtype)[..., :2]
    return pixel_rays(pixels.expand(*intrinsics.shape[:-2], *size, 2), intrinsics)


def pixel_rays(
    pixels: Float[Tensor, "*points 2"], intrinsics: Float[Tensor, "*batch 3 3"]
) -> Float[Tensor, "*points 3"]:
    """Give the point at depth 1, in the camera's frame, of each pixel (x, y); `project` is the way back.

    The leading axes of the pixels are those of the intrinsics, the others are free.
    """
    focal, center = _focal_and_center(intrinsics)
    xy = (pixels - spread(center, pixels)) / spread(focal, pixels)
    return torch.cat((xy, torch.ones_like(xy[..., :1])), dim=-1)


def unproject(
    depth: Float[Tensor, "*batch h w"], intrinsics: Float[Tensor, "*batch 3 3"]
) -> Float[Tensor, "*batch h w 3"]:
    """Lift a depth map to points in its camera's frame.

    Args:
        depth: Metres along the optical axis (z), not along the ray. A pixel without depth holds 0.
        intrinsics: In pixels of this depth map.

    Returns:
        Points in metres; a pixel without depth gives the camera centre, so mask before use.
    """
    h, w = depth.shape[-2:]
    return camera_rays(intrinsics, (h, w)) * depth.unsqueeze(-1)


def project(
    points_cam: Float[Tensor, "*points 3"], intrinsics: Float[Tensor, "*batch 3 3"]
) -> tuple[Float[Tensor, "*points 2"], Float[Tensor, "*points"]]:
    """Give pixels (x, y) and depth z (metres) of points in the camera's frame.

    The leading axes of the points are those of the intrinsics, the others are free. Pixels mean nothing where z <= 0,
    and are not finite where z = 0: mask by the returned depth.
    """
    z = points_cam[..., 2]
    focal, center = _focal_and_center(intrinsics)
    return points_cam[..., :2] / z.unsqueeze(-1) * spread(focal, points_cam) + spread(center, points_cam), z


def ray_map(
    world_from_cam: Float[Tensor, "*batch 4 4"],
    intrinsics: Float[Tensor, "*batch 3 3"],
    size: tuple[int, int],
    *,
    include_translation: bool,
) -> Float[Tensor, "*batch h w 6"]:
    """Describe a camera per pixel: channels 0-2 the origin of the pixel's ray, 3-5 a vector of unit length.

    Args:
        world_from_cam: "World" is the camera of the stream's first view. Metres: the origin is not normalised.
        include_translation: What the vector is. False: the direction of the ray. True: the normalised *position* of
            the ray's point at depth 1, the camera's translation included. Parity: the published weights were trained
            with True (quirk Q18).
    """
    rays_cam = camera_rays(intrinsics, size)
    vectors = transform(world_from_cam, rays_cam) if include_translation else rotate(world_from_cam, rays_cam)
    origins = spread(world_from_cam[..., :3, 3], rays_cam).expand_as(rays_cam)
    return torch.cat((origins, normalize(vectors, dim=-1)), dim=-1)


def resize_intrinsics(
    intrinsics: Float[Tensor, "*batch 3 3"], scale: tuple[float, float]
) -> Float[Tensor, "*batch 3 3"]:
    """Follow an image through resampling by (sx, sy) new pixels per old pixel.

    Resampling aligns pixel areas, so centres move: x' = (x + 0.5) sx - 0.5.
    """
    return _map_pixels(intrinsics, scale, (0.5 * scale[0] - 0.5, 0.5 * scale[1] - 0.5))


def crop_intrinsics(
    intrinsics: Float[Tensor, "*batch 3 3"], offset: tuple[float, float]
) -> Float[Tensor, "*batch 3 3"]:
    """Follow an image through cutting a window that starts at pixel (ox, oy); negative when the image is padded."""
    return _map_pixels(intrinsics, (1.0, 1.0), (-offset[0], -offset[1]))


def fov_from_focal(focal: float, side: int) -> float:
    """Give the field of view (radians) across an image side, both in pixels."""
    return 2 * math.atan(side / (2 * focal))


def focal_from_fov(fov: float, side: int) -> float:
    """Give the focal length (pixels) that shows `fov` radians across an image side of so many pixels."""
    return side / (2 * math.tan(fov / 2))


def _focal_and_center(
    intrinsics: Float[Tensor, "*batch 3 3"],
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch 2"]]:
    return intrinsics.diagonal(dim1=-2, dim2=-1)[..., :2], intrinsics[..., :2, 2]


def _map_pixels(
    intrinsics: Float[Tensor, "*batch 3 3"], scale: tuple[float, float], shift: tuple[float, float]
) -> Float[Tensor, "*batch 3 3"]:
    rows = intrinsics * intrinsics.new_tensor([*scale, 1.0]).unsqueeze(-1)
    moved = rows[..., :2, 2] + intrinsics.new_tensor(shift)
    rows[..., :2, 2] = moved
    return rows
