"""What a file holds, told by its first bytes: suffixes lie (a HEIC named .jpg, a web page named .png) or are missing.

Nothing is opened that could block or that has no end: pipes, sockets and devices are told by the file system.
"""

import os
import re
import stat
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

HEAD_BYTES = 512  # enough for every signature below


class Kind(Enum):
    picture = "picture"
    video = "video"
    recording = "recording"  # topics with messages
    other = "other"


@dataclass(frozen=True)
class Content:
    """What the first bytes of a file say.

    `name` is Pillow's name of a picture's format ("JPEG"), otherwise words for people ("a Git LFS pointer").
    """

    kind: Kind
    name: str
    remedy: str = ""


def _picture(name: str) -> Content:
    return Content(Kind.picture, name)


def _video(name: str) -> Content:
    return Content(Kind.video, f"a video ({name})", "name it by itself as the input, with a suffix such as .mp4")


def _other(name: str, remedy: str) -> Content:
    return Content(Kind.other, name, remedy)


def _recording(name: str) -> Content:
    return Content(Kind.recording, name, "name it by itself as the input")


_CONVERT = "convert it to JPEG or PNG"
_DOWNLOAD = "download the file itself again"
_UNPACK = "unpack it and name the folder"

# First match wins; each pattern is matched at the start of the file.
_SIGNATURES: list[tuple[re.Pattern[bytes], Content]] = [
    (re.compile(pattern, re.DOTALL | re.IGNORECASE if text else re.DOTALL), content)
    for text, pattern, content in [
        (False, rb"\xff\xd8\xff", _picture("JPEG")),
        (False, rb"\x89PNG\r\n\x1a\n", _picture("PNG")),
        (False, rb"GIF8[79]a", _picture("GIF")),
        (False, rb"RIFF.{4}WEBP", _picture("WEBP")),
        (False, rb"II\*\0|MM\0\*|II\+\0|MM\0\+", _picture("TIFF")),
        (False, rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", _picture("BMP")),
        (False, rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", _picture("JPEG2000")),
        (False, rb"P[1-6][\s#]", _picture("PPM")),
        (False, rb"qoif", _picture("QOI")),
        (False, rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", _other("a JPEG XL picture", _CONVERT)),
        (False, rb"\x76\x2f\x31\x01", _other("an OpenEXR picture", _CONVERT)),
        (False, rb"8BPS", _other("a Photoshop document", _CONVERT)),
        (False, rb"FUJIFILMCCD-RAW|.{4}ftypcrx ", _other("a raw picture of a camera", _CONVERT)),
        (False, rb"%PDF-", _other("a PDF document", _CONVERT)),
        (False, rb"RIFF.{4}AVI ", _video("AVI")),
        (False, rb"\x1aE\xdf\xa3", _video("Matroska or WebM")),
        (False, rb"OggS", _video("Ogg")),
        (False, rb"FLV\x01", _video("FLV")),
        (False, rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", _video("WMV")),
        (False, rb"\0\0\x01[\xba\xb3]", _video("MPEG")),
        (False, rb"G.{187}G.{187}G", _video("MPEG transport stream")),
        (False, rb".{4}(moov|mdat|wide)", _video("QuickTime")),
        (False, rb"\x89MCAP0\r\n", _recording("MCAP")),
        (False, rb"#ROSBAG V", _recording("ROS bag")),
        (False, rb"SQLite format 3\0", _recording("SQLite")),
        (False, rb"PK\x03\x04", _other("a ZIP archive", _UNPACK)),
        (False, rb"\x1f\x8b|7z\xbc\xaf\x27\x1c|Rar!|.{257}ustar", _other("an archive", _UNPACK)),
        (False, rb"\0\x05\x16\x07", _other("what macOS keeps beside a file (AppleDouble)", "remove it")),
        (False, rb"\x93NUMPY", _other("a NumPy array", _CONVERT)),
        (False, rb"\x89HDF\r\n\x1a\n", _other("an HDF5 file", _CONVERT)),
        (
            False,
            rb"version https://git-lfs",
            _other("a Git LFS pointer", "run 'git lfs pull' in its repository to fetch the file itself"),
        ),
        (
            False,
            rb"[^\n]{0,400}/annex/objects/",
            _other("a git-annex pointer", "run 'git annex get' in its repository to fetch the file itself"),
        ),
        (True, rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg", _other("an SVG drawing", _CONVERT)),
        (
            True,
            rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<(!doctype html|html|head|body|script|meta|title)",
            _other("a web page (HTML)", _DOWNLOAD),
        ),
        (True, rb"(\xef\xbb\xbf)?\s*<(\?xml|error|!doctype)", _other("an XML text", _DOWNLOAD)),
        (False, rb'(\xef\xbb\xbf)?\s*(\{\s*["}]|\[\s*[{"\[])', _other("a JSON text", _DOWNLOAD)),
    ]
]
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_AVIF_BRANDS = {b"avif", b"avis"}


def recognise(path: Path) -> Content | None:
    """Tell a regular file by its first bytes; None where they say nothing."""
    with path.open("rb") as file:
        return recognise_head(file.read(HEAD_BYTES))


def recognise_head(head: bytes) -> Content | None:
    """Tell what a file holds by its first `HEAD_BYTES` bytes."""
    for pattern, content in _SIGNATURES:
        if pattern.match(head):
            return content
    return _iso_media(head) if head[4:8] == b"ftyp" else None


def _iso_media(head: bytes) -> Content | None:
    """HEIC, AVIF and MP4 share one container; the brands tell them apart, and of two the first."""
    size = int.from_bytes(head[:4], "big")
    box = head[8 : min(size, len(head))]
    brands = [box[:4]] + [box[start : start + 4] for start in range(8, len(box), 4)]
    for brand in brands:
        if brand in _HEIF_BRANDS:
            return _picture("HEIF")
        if brand in _AVIF_BRANDS:
            return _picture("AVIF")
    if brands[0] in {b"mif1", b"msf1"}:
        return _picture("HEIF")
    return _video("MP4") if len(brands[0]) == 4 else None


def describe_unknown(path: Path) -> str:
    """Words for a regular file whose first bytes say nothing: "a text", or what else can be seen."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if not head.strip(b"\0") and _only_zeros(path):
            return "zeros only, from a copy or download that did not finish"
    if re.fullmatch(rb"[\t\n\r\x20-\x7e\x80-\xff]+", head) and _is_utf8(head):
        return f"a text that begins with {head[:40].decode(errors='replace').splitlines()[0]!r}"
    return ""


def irregular(path: Path) -> str | None:
    """Words for a path that is no regular file, like "is a pipe"; None for one that is."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return f"is a link to {os.readlink(path)}, which does not exist" if path.is_symlink() else "does not exist"
    except OSError as error:
        return f"cannot be looked at ({error.strerror})"
    words = {
        stat.S_IFDIR: "is a folder",
        stat.S_IFIFO: "is a pipe",
        stat.S_IFSOCK: "is a socket",
        stat.S_IFCHR: "is a terminal" if os.path.realpath(path).startswith("/dev/pts/") else "is a device",
        stat.S_IFBLK: "is a disk",
    }
    return words.get(stat.S_IFMT(mode))


def _only_zeros(path: Path) -> bool:
    with path.open("rb") as file:
        return not any(block.strip(b"\0") for block in iter(lambda: file.read(1 << 20), b""))


def _is_utf8(head: bytes) -> bool:
    """Up to a character that the end of the head cuts."""
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.end == len(head) and len(head) == HEAD_BYTES
    return True
