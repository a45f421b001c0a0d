"""A source of frames that is opened more than once: for each pass, and to go on after an interruption."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from cut3r.inference.preprocess import FitConfig, fit
from cut3r.io.frames import Frame, FrameOptions, FrameStream, open_frames
from cut3r.run.known import Known

LIVE = "live"  # the contents of what has no files


class Footage:
    """What a run reads. Use it in a `with`, which closes what is open in the end.

    Args:
        source: As for `open_frames`, which is called at once: what is wrong with the source is known before a network
            is loaded.

    Attributes:
        stream: The one that was opened last.
        expected: How many frames the whole source will probably give; None when unknown.
        files: What the source is made of, itself included.
        can_be_read_again: Opening it again gives the same frames: no camera, network stream or pipe.
        known: What is known of its cameras, which `frames` puts onto frames.
        fit: How frames will be brought to a size of the network, once that is known. A frame that cannot be counts as
            unreadable.
    """

    def __init__(self, source: str, options: FrameOptions) -> None:
        self.fit: FitConfig | None = None
        self.known = Known()
        self._total: int | None = None
        self._source, self._options = source, options
        self._fitting: set[tuple[int, ...]] = set()  # sizes of pictures that were tried
        self.stream = self._open(0)
        self._is_new = True
        self.expected = self.stream.expected
        self.can_be_read_again = not self.stream.live and not any(map(_is_special, self.stream.files))
        self.files = [*self.stream.files, *([Path(source)] if os.path.lexists(source) else [])]

    @property
    def contents(self) -> str:
        """The files behind it in a few words that change when they do."""
        if self.stream.fingerprint is None:
            return LIVE
        return f"{len(self.stream.files)} files with fingerprint {self.stream.fingerprint[:16]}"

    def open(self, skip: int) -> FrameStream:
        """Open it from its first frame, or after so many."""
        if skip or not self._is_new:
            self.stream.close()
            self.stream = self._open(skip)
        self._is_new = False
        return self.stream

    def know(self, known: Known) -> None:
        """Say what is known of its cameras. A calibration of the source itself counts where no other is known."""
        options = self._options
        if known.intrinsics is None and not options.parity and options.panorama is None:
            known = replace(known, intrinsics=self.stream.cameras)
        self.known, self._total = known, self._count_all() if known else None

    def frames(self, skip: int) -> Iterator[Frame]:
        """Open it, and give its frames with what is known of their cameras; errors as of `Known.onto`."""
        return self.known.onto(self.open(skip), self._total, skipped=skip)

    def _count_all(self) -> int | None:
        """The frames of the whole source, of which options may choose some; None if unknown."""
        if self.stream.live or not self.can_be_read_again:
            return None
        options = FrameOptions(sort=self._options.sort, parity=self._options.parity, topic=self._options.topic)
        with open_frames(self._source, options) as stream:
            return stream.expected

    def __enter__(self) -> "Footage":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stream.close()

    def _open(self, skip: int) -> FrameStream:
        return open_frames(self._source, self._options, skip=skip, check=self._check)

    def _check(self, frame: Frame) -> None:
        size = frame.rgb.shape
        if self.fit is not None and size not in self._fitting:
            fit(frame.rgb, self.fit, name=frame.name)
            self._fitting.add(size)


def _is_special(path: Path) -> bool:
    """A pipe or a device. A file that is missing is none: it may come back."""
    return path.exists() and not path.is_file()
