"""One frame as a dataset stores it, one view as it travels, and one view as the network is trained on it.

Poses are `world_from_cam` (OpenCV axes: x right, y down, z forward), sizes (h, w), pixel (0, 0) is the centre of the
top-left pixel. Depth is z along the optical axis, in the unit of the poses: metres if the dataset is metric. 0 means
unknown, negative means sky, and it is never nan or infinite.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, UInt8
from torch import Tensor

from cut3r.geometry.cameras import ray_map, unproject
from cut3r.geometry.poses import invert, transform


@dataclass(frozen=True)
class RawFrame:
    """What a reader returns: one picture with its depth and camera, at the size in which it is stored.

    `world_from_cam` is float64 because some worlds are kilometres wide. `foreground` marks the object of an
    object-centric dataset; None elsewhere.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    depth: Float32[np.ndarray, "h w"]
    intrinsics: Float64[np.ndarray, "3 3"]
    world_from_cam: Float64[np.ndarray, "4 4"]
    foreground: Bool[np.ndarray, "h w"] | None = None

    def __post_init__(self) -> None:
        if self.rgb.shape[:2] != self.depth.shape:
            raise ValueError(
                f"image of size {self.rgb.shape[:2]} with depth of size {self.depth.shape}; "
                "a frame's depth map has the size of its image, so resize one of them in the reader"
            )

    @property
    def size(self) -> tuple[int, int]:
        return (self.rgb.shape[0], self.rgb.shape[1])


@dataclass(frozen=True)
class Described:
    """What a view holds wherever it is; after packing, of b samples of equal size.

    The leading axes `*b` are absent in a sample. `world_from_cam` is in the world of the sample: the dataset's, moved
    so that view 0 stands at its origin (its axes stay the dataset's). The last four flags are facts of the sample,
    equal in all its views.
    """

    depth: Float32[Tensor, "*b h w"]
    intrinsics: Float[Tensor, "*b 3 3"]
    world_from_cam: Float[Tensor, "*b 4 4"]

    has_image: Bool[Tensor, "*b"]
    has_rays: Bool[Tensor, "*b"]
    update: Bool[Tensor, "*b"]  # may change the state
    reset: Bool[Tensor, "*b"]  # the state returns to its initial value after this view

    metric: Bool[Tensor, "*b"]
    camera_only: Bool[Tensor, "*b"]  # the depth is made up: supervise the camera and the directions of rays
    depth_only: Bool[Tensor, "*b"]  # the depth is known up to scale and shift
    single_view: Bool[Tensor, "*b"]  # the views are unrelated pictures

    label: str | list[str]  # dataset/scene/frame, for messages and pictures

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) in pixels."""
        return (self.depth.shape[-2], self.depth.shape[-1])

    def tensors(self) -> dict[str, Tensor]:
        """Give the fields that are tensors, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}


@dataclass(frozen=True)
class View(Described):
    """One view as the network is trained on it.

    `image` is RGB in [-1, 1]. `points` are in the world of the sample and finite everywhere; where `valid` is False
    they are the camera's centre. `ray_map` is relative to the camera of view 0.
    """

    image: Float[Tensor, "*b 3 h w"]
    points: Float[Tensor, "*b h w 3"]
    valid: Bool[Tensor, "*b h w"]
    sky: Bool[Tensor, "*b h w"]
    ray_map: Float[Tensor, "*b h w 6"]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "View":
        return self.map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def map(self, change: Callable[[Tensor], Tensor]) -> "View":
        """Apply one change to every tensor."""
        changed: dict[str, Any] = {name: change(tensor) for name, tensor in self.tensors().items()}
        return replace(self, **changed)


@dataclass(frozen=True)
class CompactView(Described):
    """One view as it travels from a data worker to the device: 7 bytes per pixel, of which `to` makes the 54 of a view.

    `first_from_cam` comes from the dataset's float64 poses, so that ray maps of worlds that are kilometres wide are
    exact. `include_translation` is what they hold; see `cut3r.geometry.cameras.ray_map`.
    """

    rgb: UInt8[Tensor, "*b h w 3"]
    first_from_cam: Float[Tensor, "*b 4 4"]
    include_translation: bool

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> View:
        """Move the view, and make there what the network is trained on."""
        moved = {name: tensor.to(device, non_blocking=non_blocking) for name, tensor in self.tensors().items()}
        rgb, first_from_cam = moved.pop("rgb"), moved.pop("first_from_cam")
        depth, intrinsics = moved["depth"], moved["intrinsics"]
        return View(
            image=image_tensor(rgb),
            points=transform(moved["world_from_cam"], unproject(depth.clamp_min(0), intrinsics)),
            valid=depth > 0,
            sky=depth < 0,
            ray_map=ray_map(first_from_cam, intrinsics, self.size, include_translation=self.include_translation),
            label=self.label,
            **moved,
        )


AnyView = View | CompactView  # what a feed may give: both have `to` and flags


@dataclass(frozen=True)
class Facts:
    """What holds for every view of a sample; `View` explains the names."""

    metric: bool = False
    camera_only: bool = False
    depth_only: bool = False
    single_view: bool = False


def assemble(
    frames: Sequence[RawFrame],
    labels: Sequence[str],
    shown: Sequence[tuple[bool, bool]],
    facts: Facts,
    *,
    include_translation: bool = True,
    any_inverse: bool = False,
) -> list[CompactView]:
    """Make a sample of frames of equal size.

    Positions are subtracted in float64 before anything becomes float32, which knows a kilometre only to 0.1 mm.

    Args:
        shown: Whether the network gets the image, and the ray map, of each view.
        include_translation: What ray maps hold; see `cut3r.geometry.cameras.ray_map`.
        any_inverse: Invert the first pose as any matrix, so that one that is no exact rotation is not taken for one.
    """
    poses = torch.from_numpy(np.stack([frame.world_from_cam for frame in frames]))
    first_from_world = torch.linalg.inv(poses[0]) if any_inverse else invert(poses[0])
    first_from_cams = (first_from_world @ poses).float()
    poses[:, :3, 3] -= poses[0, :3, 3].clone()
    flags = {field.name: torch.tensor(getattr(facts, field.name)) for field in fields(facts)}
    return [
        CompactView(
            rgb=torch.from_numpy(np.ascontiguousarray(frame.rgb)),
            depth=torch.from_numpy(np.ascontiguousarray(frame.depth)),
            intrinsics=torch.from_numpy(frame.intrinsics).float(),
            world_from_cam=pose,
            first_from_cam=first_from_cam,
            include_translation=include_translation,
            has_image=torch.tensor(image),
            has_rays=torch.tensor(rays),
            update=torch.tensor(image),
            reset=torch.tensor(facts.single_view),
            label=label,
            **flags,
        )
        for frame, pose, first_from_cam, label, (image, rays) in zip(
            frames, poses.float(), first_from_cams, labels, shown, strict=True
        )
    ]


def image_tensor(rgb: UInt8[Tensor, "*b h w 3"]) -> Float[Tensor, "*b 3 h w"]:
    """Give the network's image, in [-1, 1]."""
    return (rgb.movedim(-1, -3).contiguous() / 255 - 0.5) / 0.5
