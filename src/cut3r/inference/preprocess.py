"""Fit a picture to the sizes that the network knows, and map pixels and intrinsics between the two.

Every side of a network image is a multiple of 16, the patch size. The arithmetic is that of the published loaders, down
to the bit: scale the long side to `size` (at 224: the short side), then cut a centred window. Sizes are (h, w).
"""

import functools
import logging
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor

from cut3r.geometry.cameras import crop_intrinsics, resize_intrinsics
from cut3r.io.images import Resampling, resize

logger = logging.getLogger(__name__)

PATCH = 16
SQUARE_SIZE = 224  # the network of this size knows 224 x 224 only
NEAR_SQUARE = 1.15  # long / short side; below it the 4:3 window of a square is nearer to the training sizes
MAX_ASPECT = 64  # a sliver beyond this could need gigabytes at size 224


class FitMode(Enum):
    """How the scaled image becomes one whose sides are multiples of 16."""

    crop = "crop"  # cut the centred window: the original's demo, and its evaluation of camera poses
    stretch = "stretch"  # resample everything into the window's size: the original's evaluation of depth
    resize = "resize"  # round each side to the nearest multiple: shows everything, distorts by less than 16 pixels
    pad = "pad"  # repeat the border up to the next multiple: shows everything undistorted, masked by inside()


@dataclass
class FitConfig:
    """How pictures become network images."""

    size: int = 512  # long side in pixels; 224 always gives 224 x 224
    mode: FitMode = FitMode.crop
    allow_square: bool = False  # keep (nearly) square pictures instead of cutting 4:3 out of them, as in training
    parity: bool = False  # as the original: nearly square pictures pass, although the network never saw such sizes

    def __post_init__(self) -> None:
        if self.size < PATCH or self.size % PATCH:
            raise ValueError(f"size is {self.size}, expected a positive multiple of {PATCH} such as 512 or 224")


@dataclass(frozen=True)
class PixelMap:
    """Between the original (upright) image and the network's image.

    u' = (u + 0.5) sx - 0.5 - ox: resampling aligns pixel areas, then a window is cut. Source: spec/inference.md 2.1.
    """

    original_size: tuple[int, int]  # (h, w)
    image_size: tuple[int, int]  # (h, w), what the network sees
    scale: tuple[float, float]  # (sx, sy), network pixels per original pixel
    offset: tuple[float, float]  # (ox, oy), network pixels: start of the window in the scaled image; < 0: padding

    def intrinsics_to_image(self, intrinsics: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
        """From pixels of the original to pixels of the network's image."""
        return crop_intrinsics(resize_intrinsics(intrinsics, self.scale), self.offset)

    def intrinsics_to_original(self, intrinsics: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
        """From pixels of the network's image to pixels of the original."""
        (sx, sy), (ox, oy) = self.scale, self.offset
        return resize_intrinsics(crop_intrinsics(intrinsics, (-ox, -oy)), (1 / sx, 1 / sy))

    def pixels_to_image(self, pixels: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Positions (u, v) in the original to positions in the network's image; may fall outside its window."""
        return (pixels + 0.5) * pixels.new_tensor(self.scale) - 0.5 - pixels.new_tensor(self.offset)

    def pixels_to_original(self, pixels: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Positions (u, v) in the network's image to positions in the original."""
        return (pixels + 0.5 + pixels.new_tensor(self.offset)) / pixels.new_tensor(self.scale) - 0.5

    def inside(self) -> Bool[Tensor, "h w"]:
        """Network pixels whose centre shows a part of the original image; False in padding."""
        inside_v, inside_u = (
            (scaled > 0) & (scaled < side * scale)
            for scaled, side, scale in zip(self._scaled_centres(), self.original_size, self.scale[::-1], strict=True)
        )
        return inside_v[:, None] & inside_u

    def mask_to_image(self, mask: Bool[np.ndarray, "h0 w0"]) -> Bool[Tensor, "h w"]:
        """Say of each network pixel whether the original pixel at its centre is True; False in padding."""
        return self.nearest_to_image(mask) & self.inside()

    def nearest_to_image(self, values: Shaped[np.ndarray, "h0 w0"]) -> Shaped[Tensor, "h w"]:
        """Give each network pixel the value of the original pixel at its centre; in padding that of the border."""
        rows, columns = (
            (scaled / scale).floor().long().clamp(0, side - 1)
            for scaled, side, scale in zip(self._scaled_centres(), self.original_size, self.scale[::-1], strict=True)
        )
        return torch.from_numpy(np.ascontiguousarray(values))[rows[:, None], columns]

    def nearest_to_original(
        self, values: Shaped[np.ndarray, "h w *more"], outside: float | None = None
    ) -> Shaped[np.ndarray, "h0 w0 *more"]:
        """Give each original pixel the value of the nearest network pixel.

        Args:
            outside: What is not seen gets; by default the value of the border.
        """
        (h, w), (h0, w0), (sx, sy), (ox, oy) = self.image_size, self.original_size, self.scale, self.offset
        rows = np.floor((np.arange(h0) + 0.5) * sy - oy).astype(int)
        columns = np.floor((np.arange(w0) + 0.5) * sx - ox).astype(int)
        found = values[rows.clip(0, h - 1)[:, None], columns.clip(0, w - 1)]
        if outside is not None:
            found[(rows < 0) | (rows >= h)] = outside
            found[:, (columns < 0) | (columns >= w)] = outside
        return found

    def _scaled_centres(self) -> tuple[Tensor, Tensor]:
        """Rows and columns of the pixel centres in the scaled image, measured from its edge."""
        (h, w), (ox, oy) = self.image_size, self.offset
        return torch.arange(h) + 0.5 + oy, torch.arange(w) + 0.5 + ox


def fit(
    rgb: UInt8[np.ndarray, "h0 w0 3"], config: FitConfig, *, name: str = "the image"
) -> tuple[UInt8[np.ndarray, "h w 3"], PixelMap]:
    """Make a network image, and the map that leads back to the original.

    Args:
        name: Of the picture, for messages.

    Raises:
        ValueError: The picture is too narrow: less than 16 pixels would be left of its short side.
    """
    if min(rgb.shape[:2]) == 0 or max(rgb.shape[:2]) > MAX_ASPECT * min(rgb.shape[:2]):
        raise _sliver(rgb, config, name)
    match config.mode:
        case FitMode.crop:
            return _crop(rgb, config, name)
        case FitMode.stretch:
            return _stretch(rgb, config, name)
        case FitMode.resize:
            return _resize(rgb, config)
        case FitMode.pad:
            return _pad(rgb, config)


def to_tensor(image: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "1 3 h w"]:
    """Bytes to the network's range, [-1, 1]."""
    return normalize(torch.tensor(image)[None])


def normalize(images: UInt8[Tensor, "*batch h w 3"]) -> Float[Tensor, "*batch 3 h w"]:
    """Bytes to the network's range, [-1, 1], on their device."""
    return images.movedim(-1, -3).contiguous().float().div(255).sub(0.5).div(0.5)


def _crop(rgb: np.ndarray, config: FitConfig, name: str) -> tuple[np.ndarray, PixelMap]:
    scaled = _scale(rgb, config, name)
    h, w = _window(rgb, scaled, config, name)
    oy, ox = scaled.shape[0] // 2 - h // 2, scaled.shape[1] // 2 - w // 2
    image = np.ascontiguousarray(scaled[oy : oy + h, ox : ox + w])
    return image, _pixel_map(rgb, scaled, image, (ox, oy))


def _stretch(rgb: np.ndarray, config: FitConfig, name: str) -> tuple[np.ndarray, PixelMap]:
    scaled = _scale(rgb, config, name)
    window = _window(rgb, scaled, config, name)
    if config.parity and scaled.shape[0] == scaled.shape[1] != window[0]:  # inference.md Q12
        raise ValueError(
            f"{name} is square ({_wh(rgb)}), where the original's stretching loader fails; "
            "use parity=False or allow_square=True"
        )
    image = resize(scaled, window, Resampling.lanczos)
    return image, _pixel_map(rgb, image, image, (0, 0))


def _resize(rgb: np.ndarray, config: FitConfig) -> tuple[np.ndarray, PixelMap]:
    h0, w0 = rgb.shape[:2]
    h, w = (max(PATCH, round(side * config.size / max(h0, w0) / PATCH) * PATCH) for side in (h0, w0))
    size = (SQUARE_SIZE, SQUARE_SIZE) if config.size == SQUARE_SIZE else (h, w)
    image = resize(rgb, size, _resampling(max(h0, w0), config.size))
    return image, _pixel_map(rgb, image, image, (0, 0))


def _pad(rgb: np.ndarray, config: FitConfig) -> tuple[np.ndarray, PixelMap]:
    h0, w0 = rgb.shape[:2]
    h, w = (max(1, round(side * config.size / max(h0, w0))) for side in (h0, w0))
    scaled = resize(rgb, (h, w), _resampling(max(h0, w0), config.size))
    square = config.size == SQUARE_SIZE
    missing_h, missing_w = (config.size - side if square else -side % PATCH for side in (h, w))
    above, left = missing_h // 2, missing_w // 2
    # The border is repeated: a constant colour would draw an edge that is not in the scene.
    image = np.pad(scaled, ((above, missing_h - above), (left, missing_w - left), (0, 0)), mode="edge")
    return image, _pixel_map(rgb, scaled, image, (-left, -above))


def _scale(rgb: np.ndarray, config: FitConfig, name: str) -> np.ndarray:
    """Steps 1 and 2 of spec/inference.md 2: the long side becomes `size`; at 224 the short side does."""
    h0, w0 = rgb.shape[:2]
    long_side = max(h0, w0)
    target = round(config.size * max(w0 / h0, h0 / w0)) if config.size == SQUARE_SIZE else config.size
    h, w = round(h0 * target / long_side), round(w0 * target / long_side)
    if min(h, w) < PATCH:  # inference.md Q11: the window would be empty
        raise _sliver(rgb, config, name)
    return resize(rgb, (h, w), _resampling(long_side, target))


def _resampling(long_side: int, target: int) -> Resampling:
    return Resampling.lanczos if long_side > target else Resampling.bicubic


def _window(rgb: np.ndarray, scaled: np.ndarray, config: FitConfig, name: str) -> tuple[int, int]:
    """Step 3: the size (h, w) of the largest window of whole patches, 4:3 (or 3:4) for square pictures."""
    if config.size == SQUARE_SIZE:
        return SQUARE_SIZE, SQUARE_SIZE
    h, w = (side // PATCH * PATCH for side in scaled.shape[:2])
    if config.allow_square or not _counts_as_square(rgb, scaled, config):
        return h, w
    if rgb.shape[0] != rgb.shape[1] and not config.parity:
        _warn_near_square(_wh(rgb))
    three_quarters = 3 * max(h, w) // 4
    if config.parity and three_quarters % PATCH:  # inference.md Q13
        raise ValueError(
            f"{name} is square ({_wh(rgb)}), and at size {config.size} the original cuts it to {w}x{three_quarters}, "
            f"which is no multiple of {PATCH}; use parity=False or a size that is a multiple of 64"
        )
    short = max(PATCH, three_quarters // PATCH * PATCH)
    return (short, w) if w >= h else (h, short)


def _counts_as_square(rgb: np.ndarray, scaled: np.ndarray, config: FitConfig) -> bool:
    if config.parity:  # inference.md Q9: one pixel off, and the network sees 512 x 496
        return scaled.shape[0] == scaled.shape[1]
    return max(rgb.shape[:2]) < NEAR_SQUARE * min(rgb.shape[:2])


@functools.cache  # once per size, not once per frame
def _warn_near_square(wh: str) -> None:
    logger.warning(
        "images of %s are nearly square, a shape that the network was not trained on: cut to 4:3; "
        "keep it with --allow-square",
        wh,
    )


def _pixel_map(rgb: np.ndarray, scaled: np.ndarray, image: np.ndarray, offset: tuple[int, int]) -> PixelMap:
    (h0, w0), (h, w) = rgb.shape[:2], scaled.shape[:2]
    return PixelMap(
        original_size=(h0, w0),
        image_size=(image.shape[0], image.shape[1]),
        scale=(w / w0, h / h0),
        offset=(float(offset[0]), float(offset[1])),
    )


def _sliver(rgb: np.ndarray, config: FitConfig, name: str) -> ValueError:
    return ValueError(
        f"{name} is {_wh(rgb)}, too narrow for a network image of size {config.size}: less than {PATCH} pixels would "
        "be left of its short side; crop or split it first"
    )


def _wh(rgb: np.ndarray) -> str:
    return f"{rgb.shape[1]}x{rgb.shape[0]} pixels"
