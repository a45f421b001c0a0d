"""The folder of a run as a stream of views: what is there, and, while the run goes on, what comes."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from cut3r.geometry.registration import Similarity
from cut3r.inference.chunk_file import read_places
from cut3r.inference.frame_folder import is_frame_file, read_frame_folder
from cut3r.inference.view import View
from cut3r.run.output_check import MARKER
from cut3r.run.output_folder import RunState, read_marker

LOOK_EVERY_S = 0.5  # for new frames


def follow(
    folder: Path, on_move: Callable[[int, Similarity], None], *, wait: Callable[[float], None] = time.sleep
) -> Iterator[View]:
    """Give the frames of a run in their order, each in its chunk; of a run that goes on, until it ends.

    A run that was killed looks like one that goes on: then it waits for ever.

    Args:
        on_move: Called when a chunk stands elsewhere than its frames said: its number, and world_from_chunk.
        wait: Is given the seconds until the next look.

    Raises:
        FileNotFoundError: The folder holds no frames, and no run writes any.
        ValueError: A file of the run is damaged.
    """
    first, given, shown = 0, set[int](), dict[int, Similarity]()
    while True:
        goes_on = is_running(folder)  # before looking for frames, so that the last ones are not missed
        places = read_places(folder)
        if _has_frames(folder) or not goes_on:
            for saved in read_frame_folder(folder, first, places):
                first = saved.number + 1
                view = saved.view()
                given.add(view.chunk)
                place = places.get(view.chunk) if saved.placed else None
                yield view if place is None else in_its_chunk(view, place)
        for chunk, place in places.items():
            if chunk in given and chunk in shown and not _is_same(shown[chunk], place):
                on_move(chunk, place)
        shown = dict(places)
        if not goes_on:
            return
        wait(LOOK_EVERY_S)


def check_followed(folder: Path) -> None:
    """See that there is something to follow.

    Raises:
        FileNotFoundError: No such folder, or it holds no frames of a run, finished or going on.
        ValueError: The marker of the run is damaged.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}; expected is the --output_dir of a run")
    if not _has_frames(folder) and not is_running(folder):
        raise FileNotFoundError(
            f"{folder} holds no frames of a run (camera/000000.npz); run again with --save-frames all or some"
        )


def is_running(folder: Path) -> bool:
    """Whether the marker of the folder says that a run writes to it (or was killed).

    Raises:
        ValueError: The marker is damaged.
    """
    marker = read_marker(folder / MARKER)
    return marker is not None and marker.state is RunState.running


def in_its_chunk(view: View, place: Similarity) -> View:
    """The same view, of points and a camera in the world, as a part of the chunk that stands there."""
    return replace(
        view,
        chunk_from_cam=place.inverse().place(view.world_from_cam),
        points=view.points / float(place.scale),
        world_from_chunk=place,
    )


def _has_frames(folder: Path) -> bool:
    return any(is_frame_file(path) for path in (folder / "camera").glob("*.npz"))


def _is_same(one: Similarity, other: Similarity) -> bool:
    return bool((one.matrix() == other.matrix()).all())
