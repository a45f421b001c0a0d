"""From what the user names - folder, pattern, list, text file, file - to the files that are meant."""

import glob
import logging
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cut3r.io.content import Kind, irregular, recognise
from cut3r.io.images import IMAGE_SUFFIXES, is_image, page_count
from cut3r.io.lists import LIST_SUFFIXES, read_list
from cut3r.io.recording import is_bag_folder
from cut3r.io.selection import FrameOptions, sort_paths

logger = logging.getLogger(__name__)

RECORDING_SUFFIXES = frozenset({".mcap", ".bag", ".db3"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv"})
# Files beside pictures that are not opened to see whether they are some; backups and thumbnails would be, twice.
_OTHER = """
.mts .m2ts .3gp .flv .lrv .thm .wav .mp3 .srt .vtt
.md .csv .tsv .json .jsonl .xml .yaml .yml .toml .ini .cfg .conf .log .html .pdf .py .sh .sha256 .md5 .lnk .url .nfo
.npy .npz .pt .pth .h5 .hdf5 .mat .pkl .db .sqlite .zip .gz .tar .7z .rar
.ply .obj .glb .gltf .stl .pcd .las .laz .exr .hdr .pfm .flo .svg .psd .ico .aae .xmp
.dng .cr2 .cr3 .nef .arw .orf .rw2 .raf .pef .srw
.bak .old .orig .tmp .part .crdownload .jpg_original .jpeg_original .png_original
"""
_OTHER_SUFFIXES = VIDEO_SUFFIXES | RECORDING_SUFFIXES | LIST_SUFFIXES | frozenset(_OTHER.split())
_NAMED_AT_MOST = 5

_DEPTH_STEM = re.compile(r"(^|[._-])depth$", re.IGNORECASE)  # frame-000005.depth.png


def find_images(source: str | Path | Sequence[str | Path], options: FrameOptions) -> list[Path] | Path:
    """List the images that a source stands for, in their order, or give the path of the video or recording that it
    names.

    Raises:
        FileNotFoundError: No such file or folder, or a pattern that matches nothing.
        ValueError: Nothing in it can be used; the message says what is there instead.
    """
    if not isinstance(source, (str, Path)):
        return _from_list([Path(path) for path in source], "the list")
    if not str(source):
        raise ValueError("the input is empty; name a folder of images, a video, an image, or camera:0")
    path = Path(source)
    if not os.path.lexists(path):
        path = Path(os.path.expanduser(path))
    if path.is_dir():
        return _from_folder(path, options)
    if os.path.lexists(path):
        return _from_file(path, options)
    if glob.has_magic(str(path)):
        return _from_pattern(str(path), options)
    raise FileNotFoundError(f"there is no file or folder {path}; check the path (the current folder is {Path.cwd()})")


@dataclass
class _Sorted:
    """The entries of a folder, or the matches of a pattern, by what they are."""

    images: list[Path] = field(default_factory=list)
    dangling: list[Path] = field(default_factory=list)  # links to nothing with the name of a picture
    by_content: list[Path] = field(default_factory=list)  # those of `images` that their suffix does not tell


def _from_folder(folder: Path, options: FrameOptions) -> list[Path] | Path:
    """Listed, not globbed, so that brackets in the folder's name mean nothing; hidden files are left out."""
    if is_bag_folder(folder):
        return folder
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    found = _sorted_out(entries, parity=options.parity)
    if not found.images:
        raise _none_in(f"the folder {folder} holds", entries, found)
    _report(str(folder), found)
    logger.debug("%s: %d images, %d other entries ignored", folder, len(found.images), len(entries) - len(found.images))
    images = found.images if options.parity else _without_depth_maps(folder, found.images)
    return sort_paths(images, options.sort)


def _sorted_out(entries: Iterable[Path], *, parity: bool) -> _Sorted:
    found = _Sorted()
    for entry in entries:
        known = is_image(entry, parity=parity)
        if not known and (parity or entry.suffix.lower() in _OTHER_SUFFIXES or entry.name.endswith("~")):
            continue
        if entry.is_file():
            if known:
                found.images.append(entry)
            elif _is_picture_inside(entry):
                found.images.append(entry)
                found.by_content.append(entry)
        elif entry.is_symlink() and not entry.exists() and (known or is_image(Path(os.readlink(entry)))):
            found.dangling.append(entry)
    return found


def _is_picture_inside(path: Path) -> bool:
    """By its first bytes, which are read: only for a file whose suffix says nothing."""
    try:
        content = recognise(path)
    except OSError:  # not ours to read, and nothing says that it is a picture
        return False
    return content is not None and content.kind is Kind.picture


def _report(name: str, found: _Sorted) -> None:
    if found.dangling:
        logger.warning(
            "%s: left out %d of %d pictures, which are links to nothing (%s); fetch the files that they point to",
            name,
            len(found.dangling),
            len(found.dangling) + len(found.images),
            _listed(found.dangling),
        )
    if found.by_content:
        logger.info(
            "%s: %d files are pictures by their content, not by their suffix (%s)",
            name,
            len(found.by_content),
            _listed(found.by_content),
        )


def _listed(paths: Sequence[Path]) -> str:
    names = sorted(path.name for path in paths)
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def _without_depth_maps(folder: Path, images: list[Path]) -> list[Path]:
    colour = [path for path in images if not _DEPTH_STEM.search(path.stem)]
    if not colour or len(colour) == len(images):
        return images
    left_out = len(images) - len(colour)
    logger.warning("%s: left out %d depth maps (*depth.*); a glob pattern would include them", folder, left_out)
    return colour


def _from_file(path: Path, options: FrameOptions) -> list[Path] | Path:
    """A picture, a list, or what FFmpeg may know: it knows more containers than any list of extensions."""
    if (words := irregular(path)) is not None:
        return _from_irregular(path, words)
    if path.suffix.lower() in LIST_SUFFIXES:
        return _from_text(path)
    content = recognise(path)
    kind = None if content is None else content.kind
    as_original = options.parity and content is not None and content.name != "GIF"  # the one that it reads as a video
    if kind is Kind.picture and not as_original and page_count(path) > 1:
        return path  # all its frames, as a video
    if kind is Kind.picture or (is_image(path) and kind is not Kind.video):
        return [path]
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes); copy it again")
    if content is not None and kind is Kind.other:
        raise ValueError(f"{path} is neither a picture nor a video but {content.name}; {content.remedy}")
    return path


def _from_irregular(path: Path, words: str) -> Path:
    """A pipe is read like a video that cannot be read twice; nothing else is."""
    if path.is_fifo():
        return path
    if not path.exists():
        raise FileNotFoundError(f"{path} {words}; fetch the file or check the path")
    camera = re.fullmatch(r"/dev/video(\d+)", os.path.realpath(path))
    if camera is not None:
        raise ValueError(f"{path} is a camera; write camera:{camera[1]} to read from it")
    raise ValueError(f"{path} {words}, not a file; name a folder of images, a video, an image, or camera:0")


def _from_text(path: Path) -> list[Path]:
    content = recognise(path)
    if content is not None and content.kind is Kind.other:
        raise ValueError(f"{path} is not a list of images but {content.name}; {content.remedy}")
    return _from_list(read_list(path), str(path))


def _from_pattern(pattern: str, options: FrameOptions) -> list[Path] | Path:
    matches = [Path(match) for match in glob.glob(pattern, recursive=True)]
    if not matches:
        raise FileNotFoundError(f"there is no file {pattern}, and as a pattern it matches nothing; check it")
    if len(matches) == 1 and not matches[0].is_dir():
        return _from_file(matches[0], options)
    found = _sorted_out(matches, parity=options.parity)
    if not found.images:
        raise _none_in(f"the pattern {pattern} matches", matches, found)
    _report(f"the pattern {pattern}", found)
    return sort_paths(found.images, options.sort)


def _from_list(paths: list[Path], name: str) -> list[Path]:
    """Keeps the order. A file that is missing or damaged is found when its turn comes, like any unreadable frame."""
    if not paths:
        raise ValueError(f"{name} names no image; give at least one path")
    for path in paths:
        if is_image(path) or (path.is_file() and _is_picture_inside(path)):
            continue
        there = os.path.lexists(path) or path.suffix.lower() in _OTHER_SUFFIXES
        what = "is not an image" if there else "does not exist"
        raise ValueError(
            f"{name} contains {path}, which {what} ({_known()}); list images only, and name a folder or video by itself"
        )
    return paths


def _known() -> str:
    return f"known extensions: {' '.join(sorted(IMAGE_SUFFIXES))}"


def _none_in(name: str, entries: list[Path], found: _Sorted) -> ValueError:
    if found.dangling:
        return ValueError(
            f"{name} {len(found.dangling)} pictures, all of which are links to nothing ({_listed(found.dangling)}); "
            "fetch the files that they point to"
        )
    return ValueError(f"{name} no image ({_known()}); {_hint(entries)}")


def _hint(entries: list[Path]) -> str:
    """What was found instead of images, and what to do about it."""
    if not entries:
        return "it is empty"
    videos = [entry.name for entry in entries if entry.suffix.lower() in VIDEO_SUFFIXES]
    if videos:
        return f"there are {len(videos)} videos, name one of them (such as {min(videos)})"
    recordings = [entry.name for entry in entries if entry.suffix.lower() in RECORDING_SUFFIXES]
    if recordings:
        return f"there are {len(recordings)} recordings, name one of them (such as {min(recordings)})"
    folders = sorted(entry for entry in entries if entry.is_dir() and os.access(entry, os.R_OK | os.X_OK))
    with_images = [folder.name for folder in folders if any(is_image(path) for path in folder.iterdir())]
    if with_images:
        return f"there are {len(with_images)} folders with images inside, name one of them (such as {with_images[0]})"
    return f"it holds {len(entries)} other entries (such as {min(entry.name for entry in entries)})"
