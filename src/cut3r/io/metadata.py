"""Metadata of pictures: orientation and time are read, the rest is kept away from Pillow.

Pillow's decoders also parse metadata, and give up on a picture whose metadata are odd, although none is needed.
"""

import contextlib
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime

from PIL import Image, PngImagePlugin, TiffImagePlugin

ORIENTATION = 0x0112
EXIF_DIRECTORY = 0x8769
TAKEN, TAKEN_ZONE, TAKEN_FRACTION = 0x9003, 0x9011, 0x9291
ASCII = 2  # a type of values
_TEXT_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_ORIENTATION_TEXTS = frozenset({b"XML:com.adobe.xmp", b"Raw profile type exif"})


def orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8 of a decoded picture; 1 where there is none or its value is broken.

    Source: EXIF 3.0, 4.6.4 (tag 0x0112). XMP counts where EXIF says nothing.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return 1  # Pillow has turned it, see opening.py
    return known_orientation(_exif_orientation(_exif(image)), image)


def capture_time(image: Image.Image) -> float | None:
    """When a picture was taken, in seconds since 1970; None where EXIF does not say, or nothing that is a time.

    Where it names no time zone, its clock counts as UTC: differences between pictures of one camera are right.

    Source: EXIF 3.0, 4.6.6 (DateTimeOriginal, OffsetTimeOriginal, SubSecTimeOriginal).
    """
    texts = _texts(_exif(image), (TAKEN, TAKEN_ZONE, TAKEN_FRACTION))
    zone, fraction = texts.get(TAKEN_ZONE) or "+00:00", texts.get(TAKEN_FRACTION, "")
    with contextlib.suppress(ValueError):
        taken = datetime.strptime(f"{texts.get(TAKEN)} {zone}", "%Y:%m:%d %H:%M:%S %z")
        return taken.timestamp() + (float(f"0.{fraction}") if fraction.isdecimal() else 0.0)
    return None


def known_orientation(value: object, image: Image.Image) -> int:
    """The value of the entry if it is one of the eight, else what XMP says, where there is no entry."""
    if value is None:
        xmp = image.info.get("XML:com.adobe.xmp") or image.info.get("xmp") or b""
        found = re.search(
            rb'tiff:Orientation(="|>)([0-9])', xmp.encode(errors="replace") if isinstance(xmp, str) else xmp
        )
        value = int(found[2]) if found else 1
    return value if isinstance(value, int) and value in range(1, 9) else 1


def without_texts(data: bytes) -> bytes:
    """A PNG without its texts and colour profile, which Pillow would unpack, and refuse when they are large."""
    kept, start = [], 8
    while start + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length
        if kind not in _TEXT_CHUNKS | {b"iCCP"} or _holds_orientation(kind, data[start + 8 : end - 4]):
            kept.append(data[start:end])
        start = end
    return b"".join([data[:8], *kept, data[start:]])


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


def without_exif(data: bytes) -> bytes:
    """An AVIF whose EXIF, of which the format uses nothing, is hidden: an entry of the item list by another name."""
    return re.sub(rb"(infe.{8})Exif", rb"\1none", data, flags=re.DOTALL)


def _exif(image: Image.Image) -> bytes:
    if exif := image.info.get("exif"):
        return bytes(exif)
    try:  # of older ImageMagick, in PNG: a name, a length, then hexadecimal digits
        return bytes.fromhex("".join(image.info.get("Raw profile type exif", "").split("\n")[3:]))
    except ValueError:
        return b""


def _exif_orientation(exif: bytes) -> object:
    """The entry of the first directory, read so that no other entry matters; None if it cannot be found."""
    value = None
    exif, order = _without_head(exif)
    with contextlib.suppress(struct.error):  # cut off: what was found before still counts
        for tag, kind, _, at in _entries(exif, order, 4):
            if tag == ORIENTATION:
                (value,) = struct.unpack_from(order + {1: "B", 4: "I"}.get(kind, "H"), exif, at)
    return value


def _texts(exif: bytes, wanted: Iterable[int]) -> dict[int, str]:
    """Texts of the directory that says how the picture was taken, by their tags."""
    found = {}
    exif, order = _without_head(exif)
    with contextlib.suppress(struct.error):
        pointers = (at for tag, _, _, at in _entries(exif, order, 4) if tag == EXIF_DIRECTORY)
        for tag, kind, count, at in _entries(exif, order, next(pointers, len(exif))):
            if tag in wanted and kind == ASCII:
                start = at if count <= 4 else struct.unpack_from(f"{order}I", exif, at)[0]
                found[tag] = exif[start : start + count].split(b"\0")[0].decode("ascii", "replace").strip()
    return found


def _without_head(exif: bytes) -> tuple[bytes, str]:
    """The same from its byte order on, and that as `struct` calls it; empty if it says none."""
    exif = re.sub(rb"^(Exif\0\0){1,2}", b"", exif)
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    return (b"", "<") if order is None else (exif, order)


def _entries(exif: bytes, order: str, pointer: int) -> Iterator[tuple[int, int, int, int]]:
    """Tag, kind, count, and the place of the value (or of its offset), of the directory to which a pointer leads.

    Raises:
        struct.error: It is cut off.
    """
    (offset,) = struct.unpack_from(f"{order}I", exif, pointer)
    (count,) = struct.unpack_from(f"{order}H", exif, offset)
    for entry in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, kind, length = struct.unpack_from(f"{order}HHI", exif, entry)
        yield tag, kind, length, entry + 8
