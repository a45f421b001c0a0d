"""Which frames of a raw scene can be read; those that cannot are left out, by name and with the reason."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from cut3r.files.damaged import read_errors
from datasets_preprocess.runner import Writer

Loaded = TypeVar("Loaded")


def readable_frames(
    frames: Iterable[str], read: Callable[[str], Loaded], writer: Writer
) -> Iterator[tuple[str, Loaded]]:
    """Read frame after frame, each completely before anything of it is written.

    Raises:
        ValueError: None of them can be read, or there is none; the message is the reason of the first.
    """
    first, any_read = "there is no frame", False
    for frame in frames:
        try:
            loaded = read(frame)
        except read_errors() as error:
            reason = str(error) or type(error).__name__
            writer.leave_out(frame, reason)
            first = first if first != "there is no frame" else f"none of its frames can be used; {frame}: {reason}"
            continue
        any_read = True
        yield frame, loaded
    if not any_read:
        raise ValueError(first)
