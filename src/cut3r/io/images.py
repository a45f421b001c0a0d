"""Pictures: files <-> upright 8-bit sRGB arrays of shape `h w 3`.

Decoding applies the EXIF orientation, so a row index always counts from the top of the scene. Resampling is Pillow's
8-bit fixed-point arithmetic, which gives the same bytes on every machine.
"""

import importlib.util
import struct
import zlib
from enum import Enum
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from cut3r.files.atomic import atomic_path

WHITE = (255, 255, 255)
HEIF_SUFFIXES = frozenset({".heic", ".heif"})  # need the optional package pillow-heif
ORIGINAL_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"}) | HEIF_SUFFIXES
IMAGE_SUFFIXES = ORIGINAL_SUFFIXES | {".tif", ".tiff", ".webp"}

# What Pillow's decoders raise on damaged bytes; it documents no common base class.
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


class UnreadableImageError(ValueError):
    """The file exists but does not hold a picture that can be decoded; the message names it and says why."""


class Resampling(Enum):
    bicubic = "bicubic"
    lanczos = "lanczos"


def is_image(path: Path, *, parity: bool = False) -> bool:
    """Tell by the extension whether `read_image` should be able to read the file.

    Args:
        parity: Know only the extensions that the original accepts.
    """
    return path.suffix.lower() in (ORIGINAL_SUFFIXES if parity else IMAGE_SUFFIXES)


def read_image(
    path: str | Path, *, background: tuple[int, int, int] = WHITE, parity: bool = False
) -> UInt8[np.ndarray, "h w 3"]:
    """Decode a picture to upright sRGB.

    Transparent pixels are blended over `background`. 16-bit grey is scaled by 1/257; of 16-bit colour, Pillow gives the
    high byte, at most one level away from that. Embedded colour profiles are not applied.

    Args:
        parity: Do as the original does: drop the alpha channel (hidden colours show), clip 16-bit grey at 255 (it turns
            white).

    Raises:
        FileNotFoundError: No such file.
        UnreadableImageError: Empty, truncated, too large, or of no known format.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no image file {path}; check the path")
    if path.stat().st_size == 0:
        raise UnreadableImageError(f"{path} is empty (0 bytes); copy it again or remove it")
    if path.suffix.lower() in HEIF_SUFFIXES:
        _register_heif(path)
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            rgb = _to_rgb_as_original(upright) if parity else _to_rgb(upright, background)
            return np.array(rgb)
    except UnidentifiedImageError as error:
        raise UnreadableImageError(f"{path} is not a picture of a known format, or its header is damaged") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(
            f"{path} has more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels, which looks like a decompression bomb; "
            "shrink it first if you trust it"
        ) from error
    except _DECODE_ERRORS as error:
        raise UnreadableImageError(f"{path} cannot be decoded ({error}); it is damaged or truncated") from error


def write_image(path: str | Path, rgb: UInt8[np.ndarray, "h w 3"], *, quality: int = 95) -> None:
    """Write a PNG or JPEG, chosen by the suffix, atomically.

    Args:
        quality: Of a JPEG, 1 to 100.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in {".png", ".jpg", ".jpeg"}:
        raise ValueError(f"cannot write an image as '{path.suffix}'; use .png, .jpg or .jpeg instead of {path.name}")
    with atomic_path(path) as temporary:
        if suffix == ".png":
            Image.fromarray(rgb).save(temporary, format="PNG")
        else:
            Image.fromarray(rgb).save(temporary, format="JPEG", quality=quality)


def resize(
    rgb: UInt8[np.ndarray, "h0 w0 3"], size: tuple[int, int], resampling: Resampling = Resampling.lanczos
) -> UInt8[np.ndarray, "h w 3"]:
    """Resample to `size` = (h, w) with antialiasing; pixel areas are aligned, so corners stay corners.

    A picture that has this size already is returned as it is.
    """
    if rgb.shape[:2] == size:
        return rgb
    filters = {Resampling.bicubic: Image.Resampling.BICUBIC, Resampling.lanczos: Image.Resampling.LANCZOS}
    h, w = size
    return np.array(Image.fromarray(rgb).resize((w, h), filters[resampling]))


def _to_rgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    if image.mode in {"F", "I"} or image.mode.startswith("I;16"):
        return _scaled_grey(image).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    canvas = Image.new("RGBA", image.size, (*background, 255))
    canvas.alpha_composite(image.convert("RGBA"))
    return canvas.convert("RGB")


def _to_rgb_as_original(image: Image.Image) -> Image.Image:
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # same colours; Pillow warns about the direct way
    return image.convert("RGB")  # Parity: inference.md Q5 (alpha dropped) and Q6 (16-bit grey clipped)


def _scaled_grey(image: Image.Image) -> Image.Image:
    """16-bit grey (which older files hold as 32-bit integers) to 8 bits: value / 257, rounded."""
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ValueError("its values are not 8 or 16 bit: a depth or float map, not a picture")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _register_heif(path: Path) -> None:
    if importlib.util.find_spec("pillow_heif") is None:
        raise UnreadableImageError(
            f"{path} is a HEIC picture and the package that reads them is missing; "
            "run 'pip install pillow-heif', or convert it to JPEG"
        )
    import pillow_heif

    pillow_heif.register_heif_opener()
