"""Open pictures with Pillow by what they hold, so that nothing but the pixels can make one unreadable.

The decoder is chosen by the first bytes, metadata are kept away from it (`metadata.py`), and a size beyond `MAX_PIXELS`
is refused before anything is decoded.
"""

import contextlib
import importlib.util
import io
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from PIL import Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError, features

from cut3r.io.content import HEAD_BYTES, Kind, describe_unknown, irregular, recognise_head
from cut3r.io.metadata import ORIENTATION, known_orientation, without_exif, without_texts

HEIF_SUFFIXES = frozenset({".heic", ".heif"})  # need the optional package pillow-heif
MAX_PIXELS = 500_000_000  # declared by the header; beyond, a file is taken for a decompression bomb

# What Pillow's decoders raise on damaged bytes; it documents no common base class.
DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)


class UnreadableImageError(ValueError):
    """The file exists but does not hold a picture that can be decoded; the message names it and says why."""


@contextlib.contextmanager
def open_picture(path: Path) -> Iterator[Image.Image]:
    """Open a picture whose pixels are decoded when they are asked for, inside the block.

    Raises:
        FileNotFoundError: No such file, or a link to nothing.
        UnreadableImageError: Empty, truncated, too large, or no picture. Errors of Pillow inside the block become this.
    """
    _check_file(path)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(0)
        try:
            with _raised_limit(), _decoder(file, head, path) as image:
                _check_size(image, path)
                yield image
        except UnreadableImageError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise _bomb(path, "too many") from error
        except UnidentifiedImageError as error:
            raise UnreadableImageError(_unidentified(path, head)) from error
        except DECODE_ERRORS as error:
            reason = str(error) or type(error).__name__
            raise UnreadableImageError(
                f"{path} cannot be decoded ({reason}); it is damaged or truncated, or of a rare kind that must be "
                "converted to JPEG or PNG"
            ) from error


def _check_file(path: Path) -> None:
    if (words := irregular(path)) is not None:
        if path.exists():
            raise UnreadableImageError(f"{path} {words}, not an image file; name a file")
        raise FileNotFoundError(f"there is no image file {path}: it {words}; check the path")
    if path.stat().st_size == 0:
        raise UnreadableImageError(f"{path} is empty (0 bytes); copy it again or remove it")


def _check_size(image: Image.Image, path: Path) -> None:
    if (pixels := image.width * image.height) > MAX_PIXELS:
        raise _bomb(path, f"{pixels / 1e6:,.0f}")


def _bomb(path: Path, megapixels: str) -> UnreadableImageError:
    return UnreadableImageError(
        f"{path} says that it has {megapixels} megapixels, expected at most {MAX_PIXELS / 1e6:,.0f}: it looks like a "
        "decompression bomb; shrink it first if you trust it"
    )


def _unidentified(path: Path, head: bytes) -> str:
    content = recognise_head(head)
    if content is not None and content.kind is not Kind.picture:
        return f"{path} is not a picture but {content.name}; {content.remedy}"
    if content is None and (words := describe_unknown(path)):
        return f"{path} is not a picture but {words}; copy or download it again"
    return f"{path} is not a picture of a known format, or its header is damaged; copy it again or remove it"


def _decoder(file: IO[bytes], head: bytes, path: Path) -> Image.Image:
    content = recognise_head(head)
    name = content.name if content is not None and content.kind is Kind.picture else None
    if name == "JPEG":
        return _Jpeg(file, str(path))
    if name == "TIFF":
        return _tiff(file, path)
    if name == "PNG":
        return PngImagePlugin.PngImageFile(io.BytesIO(without_texts(file.read())), str(path))
    if name == "HEIF" or (content is None and path.suffix.lower() in HEIF_SUFFIXES):
        _register_heif(path)
    if name == "AVIF":
        return _avif(file, path)
    return Image.open(file, formats=None if name is None else [name])


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """A JPEG whose EXIF Pillow does not parse (it would, for the resolution); also the first picture of an MPO."""

    def getexif(self) -> Image.Exif:
        return Image.Exif()


class _Tiff(TiffImagePlugin.TiffImageFile):
    """A TIFF of whose entries only the orientation is looked at; Pillow turns it upright when it loads the pixels."""

    def getexif(self) -> Image.Exif:
        exif = Image.Exif()
        exif[ORIENTATION] = known_orientation(self.tag_v2.get(ORIENTATION), self)
        return exif


def _tiff(file: IO[bytes], path: Path) -> Image.Image:
    """OpenCV knows grey of more kinds than Pillow: 10, 12 and 14 bits packed, 64-bit floats, big-endian integers."""
    try:
        return _Tiff(file, str(path))
    except SyntaxError:
        _check_tiff_size(file, path)
        data = np.frombuffer(file.read(), np.uint8)
        values = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        if values is None or values.ndim != 2 or values.dtype == np.uint8:
            raise
        return Image.fromarray(values.astype(np.float32))


def _check_tiff_size(file: IO[bytes], path: Path) -> None:
    file.seek(0)
    directory = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
    file.seek(directory.next)
    directory.load(file)
    if (pixels := directory.get(256, 0) * directory.get(257, 0)) > MAX_PIXELS:
        raise _bomb(path, f"{pixels / 1e6:,.0f}")
    file.seek(0)


def _avif(file: IO[bytes], path: Path) -> Image.Image:
    if not features.check("avif"):
        raise UnreadableImageError(
            f"{path} is an AVIF picture, which this build of Pillow cannot read; install the wheel with "
            "'pip install --force-reinstall pillow', or convert it to JPEG"
        )
    return Image.open(io.BytesIO(without_exif(file.read())), formats=["AVIF"])


_limit_lock = threading.Lock()
_limit_users, _limit_before = 0, Image.MAX_IMAGE_PIXELS


@contextlib.contextmanager
def _raised_limit() -> Iterator[None]:
    """Pillow's limit of pixels, a global, at ours while any thread is inside."""
    global _limit_users, _limit_before
    with _limit_lock:
        if _limit_users == 0:
            _limit_before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS
        _limit_users += 1
    try:
        yield
    finally:
        with _limit_lock:
            _limit_users -= 1
            if _limit_users == 0:
                Image.MAX_IMAGE_PIXELS = _limit_before


def _register_heif(path: Path) -> None:
    if importlib.util.find_spec("pillow_heif") is None:
        raise UnreadableImageError(
            f"{path} is a HEIC picture and the package that reads them is missing; "
            "run 'pip install pillow-heif', or convert it to JPEG"
        )
    import pillow_heif

    pillow_heif.register_heif_opener()
