"""Where the time of a sample goes: the stages of loading, each without those that run inside of it.

Functions are watched from outside, so that the loader itself knows nothing of clocks. Times are processor time of one
thread: on a machine that is busy with other things, wall-clock time says more about those.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cut3r.data.dataset
import cut3r.data.single_views
from cut3r.data.datasets import PROCESSED
from cut3r.data.transforms import ColorChange
from cut3r.files.packed_path import PackedFile, PackedPath

STAGES = ("read", "image", "depth", "camera", "crop", "colour", "assemble", "hand over", "other")
_IN_READERS = {  # the functions by which readers decode, by the stage that they are
    "read_image": "image",
    "read_depth": "depth",
    "read_png16": "depth",
    "read_npy": "depth",
    "read_npz": "camera",
}


class Watch:
    """Adds up the time of stages; one inside of another counts for the inner one alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]  # of the stages that are running, what those inside of them took

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._inner.append(0.0)
        start = time.thread_time()
        try:
            yield
        finally:
            spent = time.thread_time() - start
            self.seconds[name] += spent - self._inner.pop()
            self._inner[-1] += spent

    def watching(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            with self.stage(name):
                return function(*arguments, **named)

        return watched

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Watch the loader while the block runs."""
        replaced: list[tuple[Any, str, Any]] = []

        def put(owner: Any, name: str, function: Callable[..., Any]) -> None:
            replaced.append((owner, name, owner.__dict__[name]))
            setattr(owner, name, function)

        for module in {sys.modules[reader.__module__] for reader in PROCESSED.values()} | {cut3r.data.single_views}:
            for name in _IN_READERS.keys() & vars(module).keys():
                put(module, name, self.watching(_IN_READERS[name], vars(module)[name]))
        put(cut3r.data.dataset, "fit", self.watching("crop", cut3r.data.dataset.fit))
        put(cut3r.data.dataset, "assemble", self.watching("assemble", cut3r.data.dataset.assemble))
        put(ColorChange, "apply", self.watching("colour", ColorChange.apply))
        put(Path, "open", self.watching("read", _read_whole(Path.open)))
        for owner in (Path, PackedPath):
            put(owner, "stat", self.watching("read", owner.stat))
        put(PackedPath, "read_bytes", self.watching("read", PackedPath.read_bytes))
        try:
            yield
        finally:
            for owner, name, function in reversed(replaced):
                setattr(owner, name, function)


def _read_whole(opened: Callable[..., Any]) -> Callable[..., Any]:
    """Read a file when it is opened, so that reading it is not counted as decoding."""

    def read(path: Path, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if mode != "rb":
            return opened(path, mode, *arguments, **named)
        with opened(path, mode) as file:
            return PackedFile(file.read(), str(path))

    return read
