"""From what the user names - folder, pattern, list, text file, file - to the files that are meant."""

import glob
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from cut3r.io.images import IMAGE_SUFFIXES, is_image
from cut3r.io.selection import FrameOptions, sort_paths

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv"})
LIST_SUFFIXES = frozenset({".txt"})

_DEPTH_STEM = re.compile(r"(^|[._-])depth$", re.IGNORECASE)  # frame-000005.depth.png


def find_images(source: str | Path | Sequence[str | Path], options: FrameOptions) -> list[Path] | Path:
    """List the images that a source stands for, in their order, or give the path of the video that it names.

    Raises:
        FileNotFoundError: No such file or folder, or a pattern that matches nothing.
        ValueError: Nothing in it can be used; the message says what is there instead.
    """
    if not isinstance(source, (str, Path)):
        return _from_list([Path(path) for path in source], "the list")
    if not str(source):
        raise ValueError("the input is empty; name a folder of images, a video, an image, or camera:0")
    path = Path(source).expanduser()
    if path.is_dir():
        return _from_folder(path, options)
    if path.exists():
        return _from_file(path)
    if glob.has_magic(str(path)):
        return _from_pattern(str(path), options)
    raise FileNotFoundError(f"there is no file or folder {path}; check the path (the current folder is {Path.cwd()})")


def _from_folder(folder: Path, options: FrameOptions) -> list[Path]:
    """Listed, not globbed, so that brackets in the folder's name mean nothing; hidden files are left out."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    images = [entry for entry in entries if is_image(entry, parity=options.parity) and entry.is_file()]
    if not images:
        raise ValueError(f"the folder {folder} holds no image ({_known()}); {_hint(entries)}")
    logger.debug("%s: %d images, %d other entries ignored", folder, len(images), len(entries) - len(images))
    return sort_paths(images if options.parity else _without_depth_maps(folder, images), options.sort)


def _without_depth_maps(folder: Path, images: list[Path]) -> list[Path]:
    colour = [path for path in images if not _DEPTH_STEM.search(path.stem)]
    if not colour or len(colour) == len(images):
        return images
    left_out = len(images) - len(colour)
    logger.warning("%s: left out %d depth maps (*depth.*); a glob pattern would include them", folder, left_out)
    return colour


def _from_file(path: Path) -> list[Path] | Path:
    if path.suffix.lower() in LIST_SUFFIXES:
        return _from_text(path)
    if is_image(path):
        return [path]
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes); copy it again")
    return path  # whatever else it is, FFmpeg knows more containers than any list of extensions


def _from_text(path: Path) -> list[Path]:
    """One path per line, relative to the file; blank lines and lines that start with # are ignored."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text; expected one image path per line") from error
    return _from_list([path.parent / line for line in lines if line and not line.startswith("#")], str(path))


def _from_pattern(pattern: str, options: FrameOptions) -> list[Path] | Path:
    matches = [Path(match) for match in glob.glob(pattern, recursive=True)]
    if not matches:
        raise FileNotFoundError(f"there is no file {pattern}, and as a pattern it matches nothing; check it")
    images = [path for path in matches if is_image(path, parity=options.parity) and path.is_file()]
    if images:
        return sort_paths(images, options.sort)
    if len(matches) == 1 and matches[0].is_file():
        return _from_file(matches[0])
    raise ValueError(f"the pattern {pattern} matches no image ({_known()}); {_hint(matches)}")


def _from_list(paths: list[Path], name: str) -> list[Path]:
    """Keeps the order. A file that is missing or damaged is found when its turn comes, like any unreadable frame."""
    if not paths:
        raise ValueError(f"{name} names no image; give at least one path")
    others = [path for path in paths if not is_image(path)]
    if others:
        raise ValueError(
            f"{name} contains {others[0]}, which is not an image ({_known()}); "
            "list images only, and name a folder or video by itself"
        )
    return paths


def _known() -> str:
    return f"known extensions: {' '.join(sorted(IMAGE_SUFFIXES))}"


def _hint(entries: list[Path]) -> str:
    """What was found instead of images, and what to do about it."""
    if not entries:
        return "it is empty"
    videos = [entry.name for entry in entries if entry.suffix.lower() in VIDEO_SUFFIXES]
    if videos:
        return f"there are {len(videos)} videos, name one of them (such as {min(videos)})"
    folders = sorted(entry for entry in entries if entry.is_dir())
    with_images = [folder.name for folder in folders if any(is_image(path) for path in folder.iterdir())]
    if with_images:
        return f"there are {len(with_images)} folders with images inside, name one of them (such as {with_images[0]})"
    return f"it holds {len(entries)} other entries (such as {min(entry.name for entry in entries)})"
