"""Several clips or folders of one place as one stream: a list of them, one after the other."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cut3r.io.content import Kind, irregular, recognise
from cut3r.io.frame import Frame
from cut3r.io.lists import LIST_SUFFIXES, read_list

if TYPE_CHECKING:
    from cut3r.io.frames import FrameStream

USUAL_STEP_S = 1 / 30  # between two clips, if a clip has one frame only


def clips_of(source: str | Path | Sequence[str | Path]) -> list[Path] | None:
    """The clips that a list or a text file names; None if the source is something else, such as a list of pictures."""
    if isinstance(source, (str, Path)):
        path = Path(os.path.expanduser(source))
        if path.suffix.lower() not in LIST_SUFFIXES or not path.is_file():
            return None
        paths = read_list(path)
    else:
        paths = [Path(each) for each in source]
    return paths if len(paths) > 1 and all(map(_is_clip, paths)) else None


@dataclass
class Joined:
    """Opens clips one after the other. Of each, all of `frames` says how it is opened; errors are its own.

    A frame's `index` and time go on from clip to clip; its name says which clip it is of.

    Attributes:
        expected: How many frames will probably come, for a progress display; None when a clip does not say.
        files: Of all clips, in their order.
        skipped: Names and reasons of the unreadable frames so far.
    """

    clips: Sequence[Path]
    open_clip: "Callable[[Path], FrameStream]"
    skipped: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Look at each once, so that what is wrong with the last is known before the first is read."""
        counts: list[int | None] = []
        self.files: list[Path] = []
        for clip in self.clips:
            with self.open_clip(clip) as stream:
                counts.append(stream.expected)
                self.files += stream.files
        known = [count for count in counts if count is not None]
        self.expected = sum(known) if len(known) == len(counts) else None
        self._open: FrameStream | None = None

    def __iter__(self) -> Iterator[Frame]:
        index, begins_s = 0, 0.0
        for clip in self.clips:
            last: Frame | None = None
            times: list[float] = []
            with self.open_clip(clip) as stream:
                self._open = stream
                for frame in stream:
                    last = frame
                    times = [*times[-1:], *([] if frame.time_s is None else [frame.time_s])]
                    time_s = None if frame.time_s is None else begins_s + frame.time_s
                    yield replace(frame, index=index + frame.index, time_s=time_s, name=self._name(clip, frame))
                self.skipped += stream.skipped
            index += 0 if last is None else last.index + 1
            if times:
                begins_s += times[-1] + (times[-1] - times[0] if len(times) > 1 else USUAL_STEP_S)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()

    def _name(self, clip: Path, frame: Frame) -> str:
        """Frames of videos are called after them; photos, and videos of one name, need that of their folder."""
        if clip.is_dir():
            return f"{clip.name}/{frame.name}"
        alike = sum(other.name == clip.name for other in self.clips) > 1
        return f"{clip.parent.name}/{frame.name}" if alike else frame.name


def _is_clip(path: Path) -> bool:
    if path.is_dir():
        return True
    if not path.is_file() or irregular(path) is not None:
        return False
    content = recognise(path)
    return content is not None and content.kind is Kind.video
