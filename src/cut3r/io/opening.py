"""Open pictures with Pillow by what they hold, so that nothing but the pixels can make one unreadable.

Pillow's decoders also parse metadata, and give up on a picture whose metadata are odd. None of them is needed but the
orientation, so the rest is kept away from Pillow, and the orientation is read here.
"""

import contextlib
import importlib.util
import io
import re
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from PIL import Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError, features

from cut3r.io.content import HEAD_BYTES, Kind, describe_unknown, irregular, recognise_head

HEIF_SUFFIXES = frozenset({".heic", ".heif"})  # need the optional package pillow-heif
MAX_PIXELS = 500_000_000  # declared by the header; beyond, a file is taken for a decompression bomb

# What Pillow's decoders raise on damaged bytes; it documents no common base class.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
)
_ORIENTATION = 0x0112
_TEXT_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_ORIENTATION_TEXTS = frozenset({b"XML:com.adobe.xmp", b"Raw profile type exif"})


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
        except _DECODE_ERRORS as error:
            raise UnreadableImageError(
                f"{path} cannot be decoded ({error}); it is damaged or truncated, or of a rare kind that must be "
                "converted to JPEG or PNG"
            ) from error


def orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8 of a decoded picture; 1 where there is none or its value is broken.

    Source: EXIF 3.0, 4.6.4 (tag 0x0112). XMP counts where EXIF says nothing.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return 1  # see _Tiff
    return _upright_or(_exif_orientation(_exif(image)), image)


def _upright_or(value: object, image: Image.Image) -> int:
    if value is None:
        xmp = image.info.get("XML:com.adobe.xmp") or image.info.get("xmp") or b""
        found = re.search(rb'tiff:Orientation(="|>)([0-9])', xmp.encode() if isinstance(xmp, str) else xmp)
        value = int(found[2]) if found else 1
    return value if isinstance(value, int) and value in range(1, 9) else 1


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
        return _Tiff(file, str(path))
    if name == "PNG":
        return PngImagePlugin.PngImageFile(_without_texts(file), str(path))
    if name == "HEIF" or (content is None and path.suffix.lower() in HEIF_SUFFIXES):
        _register_heif(path)
    if name == "AVIF" and not features.check("avif"):
        raise UnreadableImageError(
            f"{path} is an AVIF picture, which this build of Pillow cannot read; install the wheel with "
            "'pip install --force-reinstall pillow', or convert it to JPEG"
        )
    return Image.open(file, formats=None if name is None else [name])


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """A JPEG whose EXIF Pillow does not parse (it would, for the resolution); also the first picture of an MPO."""

    def getexif(self) -> Image.Exif:
        return Image.Exif()


class _Tiff(TiffImagePlugin.TiffImageFile):
    """A TIFF of whose entries only the orientation is looked at; Pillow turns it upright when it loads the pixels."""

    def getexif(self) -> Image.Exif:
        exif = Image.Exif()
        exif[_ORIENTATION] = _upright_or(self.tag_v2.get(_ORIENTATION), self)
        return exif


def _exif(image: Image.Image) -> bytes:
    if exif := image.info.get("exif"):
        return bytes(exif)
    try:  # of older ImageMagick, in PNG: a name, a length, then hexadecimal digits
        return bytes.fromhex("".join(image.info.get("Raw profile type exif", "").split("\n")[3:]))
    except ValueError:
        return b""


def _exif_orientation(exif: bytes) -> object:
    """The entry of the first directory, read so that no other entry matters; None if it cannot be found."""
    exif = re.sub(rb"^(Exif\0\0){1,2}", b"", exif)
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return None
    value = None
    with contextlib.suppress(struct.error):  # cut off: what was found before still counts
        (offset,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, offset)
        for entry in range(offset + 2, offset + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", exif, entry)
            if tag == _ORIENTATION:
                (value,) = struct.unpack_from(order + {1: "B", 4: "I"}.get(kind, "H"), exif, entry + 8)
    return value


def _without_texts(file: IO[bytes]) -> io.BytesIO:
    """A PNG without its texts and colour profile, which Pillow would unpack, and refuse when they are large."""
    data, kept, start = file.read(), [], 8
    while start + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length
        if kind not in _TEXT_CHUNKS | {b"iCCP"} or _holds_orientation(kind, data[start + 8 : end - 4]):
            kept.append(data[start:end])
        start = end
    return io.BytesIO(b"".join([data[:8], *kept, data[start:]]))


def _holds_orientation(kind: bytes, body: bytes) -> bool:
    """Whether a text chunk may, and Pillow will accept its size."""
    name, _, rest = body.partition(b"\0")
    if name not in _ORIENTATION_TEXTS or len(body) > PngImagePlugin.MAX_TEXT_CHUNK:
        return False
    packed = rest[1:] if kind == b"zTXt" else rest[2:].split(b"\0", 2)[-1] if rest[:1] == b"\1" else b""
    inflate = zlib.decompressobj()
    try:
        inflate.decompress(packed, PngImagePlugin.MAX_TEXT_CHUNK)
    except zlib.error:
        return False
    return not inflate.unconsumed_tail


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
