"""What a file is, judged by its first bytes, since a name says little: many a web page has been saved as `.pth`."""

import zipfile
from enum import Enum
from pathlib import Path

from cut3r.files.archive import BROKEN_ZIP, check_members

LONGEST_HEADER = 20 << 20  # bytes of a safetensors header; that of the published networks has 150 thousand
REMEDY = "use an official checkpoint (`cut3r models list` lists them) or a file written by our own save()"


class FileKind(Enum):
    torch_zip = "torch_zip"  # what torch.save writes since 2020
    torch_legacy = "torch_legacy"  # a bare pickle: what torch.save wrote before, or any other pickle
    safetensors = "safetensors"


def identify(path: Path) -> FileKind:
    """Tell which of the readable kinds a file is.

    Raises:
        FileNotFoundError: Nothing is there, or a folder is.
        ValueError: It is something else; the message says what it looks like and what to do.
    """
    if path.is_dir():
        raise FileNotFoundError(f"{path} is a folder, and a checkpoint is a single file: name the file inside it")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: check the spelling and the folder it is in")
    with path.open("rb") as file:
        head = file.read(1024)
    # Eight bytes of header length, then JSON. First of all, since the length may begin like one of the others.
    if head[5:9] == b"\0\0\0{":
        if (length := int.from_bytes(head[:8], "little")) > LONGEST_HEADER:
            raise ValueError(f"{path} is damaged: its header claims {length:,} bytes; copy or download it again")
        return FileKind.safetensors
    if head.startswith(b"PK"):
        _check_torch_zip(path)
        return FileKind.torch_zip
    if head.startswith(b"\x80"):
        return FileKind.torch_legacy
    raise ValueError(f"{path} is {_describe(head)}; {REMEDY}")


def _check_torch_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:  # the table of contents is at the end
            names = archive.namelist()
            unfit = _unfit(archive, path.stat().st_size)
    except BROKEN_ZIP as error:
        raise ValueError(
            f"{path} is a truncated or damaged zip file of {path.stat().st_size:,} bytes (torch.save writes zip "
            "files), probably from an interrupted download; delete it and download it again"
        ) from error
    if any(name.endswith("/constants.pkl") for name in names):
        raise ValueError(f"{path} is a TorchScript program, which holds code, not a checkpoint; {REMEDY}")
    if not any(name.endswith("/data.pkl") for name in names):
        listing = ", ".join(names[:3]) or "nothing"
        raise ValueError(
            f"{path} is a zip file but not one that torch.save wrote (it holds {listing}); "
            f"if a checkpoint is packed inside, unpack it first, otherwise {REMEDY}"
        )
    if unfit:
        raise ValueError(
            f"{path} is not as torch.save wrote it: {unfit}; copy or download it again, or unpack it and pack it anew "
            "without compression (`zip -0`)"
        )


def _unfit(archive: zipfile.ZipFile, size: int) -> str:
    """What `check_members` has to say against an archive; empty if nothing."""
    try:
        check_members(archive, size)
    except ValueError as error:
        return str(error)
    return ""


def _describe(head: bytes) -> str:
    if not head:
        return "empty (0 bytes), probably an interrupted download or a full disk"
    if not head.strip(b"\0"):
        return "filled with zero bytes, probably an interrupted download"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:1] == b"<" and any(tag in start.lower() for tag in (b"<!doctype html", b"<html", b"<head")):
        return (
            "a web page, not weights, such as Google Drive's quota page, saved in place of the file: download it again"
        )
    if start.startswith(b"version https://git-lfs.github.com/spec"):
        return "a Git LFS pointer, not the file it points to: run `git lfs pull` where it came from"
    if head.startswith(b"\x1f\x8b") or head[257:262] == b"ustar":
        return "a tar or gzip archive: unpack it first"
    try:
        text = head.decode("utf-8", errors="strict" if len(head) < 1024 else "ignore")
    except UnicodeDecodeError:
        return f"of an unknown kind (it starts with the bytes {head[:8].hex(' ')})"
    if text.isprintable() or all(c.isprintable() or c.isspace() for c in text):
        return f"a text file (it starts with {text[:40]!r})"
    return f"of an unknown kind (it starts with the bytes {head[:8].hex(' ')})"
