"""Which sequences of pictures a list of videos, folders and patterns stands for."""

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path

from cut3r.files.listing import visible
from cut3r.io.frames import FrameOptions
from cut3r.io.images import is_image
from cut3r.io.selection import SortOrder, sort_paths
from cut3r.io.sources import VIDEO_SUFFIXES, find_images
from cut3r.io.video import is_stream, public_name

Source = Path | list[Path]  # a video; photos in their order


def find_sequences(footage: Sequence[str]) -> list[Source]:
    """List the sequences, each once.

    A video is one; the photos that lie in a folder, or match a pattern, are one; each video in a folder, and each
    folder that matches a pattern, is looked at by itself.

    Raises:
        FileNotFoundError: An entry does not exist, or matches nothing.
        ValueError: There are no entries, one holds neither photos nor videos, or can be read only once.
    """
    if not footage:
        raise ValueError("there is no footage for the teacher; set data.footage=[kitchen.mp4,photos/]")
    found = [source for entry in footage for source in _sequences(entry)]
    return list({str(source): source for source in found}.values())


def _sequences(entry: str) -> list[Source]:
    if is_stream(entry):
        raise ValueError(
            f"data.footage names {public_name(entry)}, which can be seen only once; record it to a file and name that"
        )
    path = Path(entry).expanduser()
    if path.is_dir():
        return _sorted_out(visible(path, "*"), entry=str(path))
    if path.exists() or not glob.has_magic(str(path)):
        return [_checked(find_images(path, FrameOptions()))]
    matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
    inside = [source for match in matches if match.is_dir() for source in _sequences(str(match))]
    files = [match for match in matches if match.is_file()]
    return [*inside, *_sorted_out(files, entry=str(path))] if files or not inside else inside


def _sorted_out(files: Iterable[Path], *, entry: str) -> list[Source]:
    """Make one sequence of all photos, and one of each video."""
    files = [file for file in files if file.is_file()]
    photos = [file for file in files if is_image(file)]
    videos: list[Source] = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    if not photos and not videos:
        return [find_images(entry, FrameOptions())]  # which knows what else could be meant, or what is wrong
    return [*([sort_paths(photos, SortOrder.natural)] if photos else []), *videos]


def _checked(source: Source) -> Source:
    if isinstance(source, Path) and not source.is_file():
        raise ValueError(f"data.footage names {source}, which is no file and can be read only once; record it first")
    return source
