"""Pictures at their stored size become pictures at the training size, and their intrinsics follow exactly.

Sizes are (h, w); pixel (0, 0) is the centre of the top-left pixel. The same rules are used at training time (`fit`) and
by converters that store smaller pictures (`Rescale`, `object_size`). Source: common.md C3, C5.
"""

import importlib
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Shaped, UInt8

from cut3r.data.view import RawFrame
from cut3r.geometry.cameras import crop_intrinsics, resize_intrinsics

Size = tuple[int, int]
Intrinsics = Float64[np.ndarray, "3 3"]


def fit(frame: RawFrame, size: Size, *, margin: int = 0) -> RawFrame:
    """Crop a frame around its principal point and resample it to exactly `size`.

    Args:
        margin: Resample to `size` plus so many pixels in both directions, then cut them off: an augmentation of the
            field of view.

    Raises:
        ValueError: The principal point is too close to the border, or the pixels are skewed.
    """
    frame = crop(frame, principal_window(frame.size, frame.intrinsics))
    scaling = Rescale.to_cover(frame.size, (size[0] + margin, size[1] + margin))
    frame = rescale(frame, scaling)
    return crop(frame, central_window(frame.size, size))


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels that begins at row `top` and column `left`."""

    top: int
    left: int
    size: Size

    def cut(self, pixels: Shaped[np.ndarray, "h w *c"]) -> Shaped[np.ndarray, "h1 w1 *c"]:
        return pixels[self.top : self.top + self.size[0], self.left : self.left + self.size[1]]

    def intrinsics(self, intrinsics: Intrinsics) -> Intrinsics:
        return crop_intrinsics(torch.from_numpy(intrinsics), (float(self.left), float(self.top))).numpy()


def principal_window(size: Size, intrinsics: Intrinsics) -> Window:
    """Give the largest window with the principal point, rounded to a pixel, in its middle.

    Raises:
        ValueError: It would have less than two fifths of a side, or the intrinsics have skew.
    """
    if intrinsics[0, 1] != 0 or intrinsics[1, 0] != 0:
        raise ValueError(f"intrinsics with skew ({intrinsics[0, 1]}, {intrinsics[1, 0]}); rectify the images first")
    h, w = size
    cx, cy = round(float(intrinsics[0, 2])), round(float(intrinsics[1, 2]))  # half to even, as the original
    half_w, half_h = min(cx, w - cx), min(cy, h - cy)
    if half_w <= w / 5 or half_h <= h / 5:
        raise ValueError(
            f"the principal point ({cx}, {cy}) is less than a fifth of the image of {h} x {w} (h x w) away from its "
            "border; check the intrinsics and the units they are stored in"
        )
    return Window(cy - half_h, cx - half_w, (2 * half_h, 2 * half_w))


def central_window(size: Size, wanted: Size) -> Window:
    """Give the window of `wanted` size in the middle; half a pixel is rounded to the even side."""
    return Window(round((size[0] - wanted[0]) / 2), round((size[1] - wanted[1]) / 2), wanted)


@dataclass(frozen=True)
class Rescale:
    """Resampling from `old` to `new` size by `factor` new pixels per old pixel, equal in both directions."""

    old: Size
    new: Size
    factor: float

    @classmethod
    def to_cover(cls, old: Size, target: Size, *, enlarge: bool = True) -> "Rescale":
        """Give the smallest size of the same shape that covers the target.

        Args:
            enlarge: False leaves a picture alone that is too small or just large enough.
        """
        factor = max(target[0] / old[0], target[1] / old[1]) + 1e-8
        if factor >= 1 and not enlarge:
            return cls(old, old, 1.0)
        return cls(old, (math.floor(old[0] * factor), math.floor(old[1] * factor)), factor)

    def image(self, rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h1 w1 3"]:
        from cut3r.io.images import Resampling, resize  # here, because rooms are rendered without Pillow

        return resize(rgb, self.new, Resampling.lanczos if self.factor < 1 else Resampling.bicubic)

    def nearest(self, pixels: Shaped[np.ndarray, "h w"]) -> Shaped[np.ndarray, "h1 w1"]:
        """Resample what must not be blended: depth and masks. Source pixel = floor(pixel * old / new)."""
        # Parity: in floating point, as OpenCV, so that the border of two pixels may fall to the one before
        sides = zip(self.new, self.old, strict=True)
        rows, columns = ((np.arange(new) * (1 / (new / old))).astype(np.int64) for new, old in sides)
        return pixels.take(rows, 0).take(columns, 1)  # one axis after the other takes a third of the time

    def intrinsics(self, intrinsics: Intrinsics) -> Intrinsics:
        """Follow; the fraction of a pixel that rounding the size cut off is cut off evenly on both sides."""
        scaled = resize_intrinsics(torch.from_numpy(intrinsics), (self.factor, self.factor))
        lost = [o * self.factor - n for o, n in zip(self.old, self.new, strict=True)]
        return crop_intrinsics(scaled, (lost[1] / 2, lost[0] / 2)).numpy()


def object_size(size: Size, longest: int = 512) -> Size:
    """Give the size that converters of object-centric datasets make a picture cover: the shorter side is three quarters
    of `longest`, or the longer side `longest` if that makes it larger."""
    factor = longest * 3 // 4 / min(size) + 1e-8
    scaled = (math.floor(size[0] * factor), math.floor(size[1] * factor))
    if max(scaled) >= longest:
        return scaled
    factor = longest / max(size) + 1e-8
    return (math.floor(size[0] * factor), math.floor(size[1] * factor))


def crop(frame: RawFrame, window: Window) -> RawFrame:
    return replace(
        frame,
        rgb=window.cut(frame.rgb),
        depth=window.cut(frame.depth),
        intrinsics=window.intrinsics(frame.intrinsics),
        foreground=None if frame.foreground is None else window.cut(frame.foreground),
    )


def rescale(frame: RawFrame, scaling: Rescale) -> RawFrame:
    return replace(
        frame,
        rgb=scaling.image(frame.rgb),
        depth=scaling.nearest(frame.depth),
        intrinsics=scaling.intrinsics(frame.intrinsics),
        foreground=None if frame.foreground is None else scaling.nearest(frame.foreground),
    )


def finite(depth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Forget the depth (0) that is infinite or no number."""
    if np.isfinite(depth).all():  # nearly always, and a fifth of the time
        return depth
    return np.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0)


def drop_far(depth: Float[np.ndarray, "h w"], percentile: float = 98.0) -> Float[np.ndarray, "h w"]:
    """Forget the depth (0) beyond the percentile of the known depths; sky stays sky. Source: "P98", common.md C14."""
    known = depth[depth > 0]
    limit = np.percentile(known, percentile) if known.size else 0.0
    return np.where(depth > limit, np.zeros_like(depth), depth)


@dataclass(frozen=True)
class ColorJitter:
    """The spans of a change of colour that all views of a sample share; `hue` is a share of the colour circle."""

    brightness: float = 0.5
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 0.1

    def __post_init__(self) -> None:
        _torchvision()  # once, here, so that worker processes inherit it

    def draw(self, rng: np.random.Generator) -> "ColorChange":
        order = tuple(int(i) for i in rng.permutation(4))
        around_one = (1 + rng.uniform(-1, 1) * span for span in (self.brightness, self.contrast, self.saturation))
        brightness, contrast, saturation = around_one
        return ColorChange(order, (brightness, contrast, saturation, rng.uniform(-1, 1) * self.hue))


@dataclass(frozen=True)
class ColorChange:
    """Brightness, contrast, saturation and hue, changed by `factors` in this `order`."""

    order: tuple[int, ...]
    factors: tuple[float, float, float, float]

    def apply(self, rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        from PIL import Image

        functional = _torchvision()
        adjust = (
            functional.adjust_brightness,
            functional.adjust_contrast,
            functional.adjust_saturation,
            functional.adjust_hue,
        )
        image = Image.fromarray(rgb)
        for i in self.order:
            image = adjust[i](image, self.factors[i])
        return np.array(image)


def _torchvision() -> Any:
    """Import late what takes seconds to import."""
    return importlib.import_module("torchvision.transforms.functional")
