"""Predictions while they come: a folder under a hidden name, which gets its own when it is complete.

    .alley_2@1f2e3d4c/
        depth/frame_0001.npy, ...      as in eval.systems.saved
        rows.npz                       cameras of the frames so far
        memory_000700.safetensors      what the system remembered after 700 frames
        begun.json                     of which pictures
        .lock                          held by the process that writes; the system lets go of what a killed one held

Whoever is killed leaves such a folder behind, and the next one goes on from its newest memory.
"""

import glob
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from cut3r.data.layout import read_npz, write_npz
from cut3r.files.atomic import atomic_path
from cut3r.io.images import write_image
from eval.systems.base import FramePrediction
from eval.systems.saved import PICTURES, RECORD

logger = logging.getLogger(__name__)

KEEP_S = 10.0  # between two memories: what a kill costs at most, beside the frame that was at work
ROWS, BEGUN, LOCK, MEMORY = "rows.npz", "begun.json", ".lock", "memory_{:06d}.safetensors"
CAMERAS = ("world_from_cam", "picture_intrinsics")


class PredictionWriter:
    """Writes one sequence; use it in a `with`. It is the `Bookmark` of the system that predicts (eval.systems.base).

    Args:
        order: Numbers of the pictures in the order of the predictions; by default that of the pictures.
        dtype: Of depth, points and confidence on disk, float32 or float16; cameras stay as they are.
        pictures: What tells these pictures from others: what is left of a run on others is not gone on with.
    """

    def __init__(
        self,
        folder: Path,
        stems: Sequence[str],
        *,
        dtype: np.dtype[Any],
        order: Sequence[int] | None = None,
        pictures: str = "",
    ) -> None:
        self.folder, self._stems, self._dtype, self._pictures = folder, stems, dtype, pictures
        self._places = list(range(len(stems)) if order is None else order)
        self._rows: dict[str, list[np.ndarray]] = {}
        self.count = 0  # predictions that are written
        self._kept_s = time.monotonic()

    def __enter__(self) -> "PredictionWriter":
        self._partial, self._lock, self.done = self._take_over()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not self.done:
            shutil.rmtree(self._partial, ignore_errors=True)
        self._lock.release()

    def restore(self, load: Callable[[Path], None]) -> int:
        """Have the system remember; gives the number of frames that need not be shown again, 0 if there is nothing.

        Args:
            load: Raises a ValueError for a file that it cannot use; then everything is predicted anew.
        """
        if self.done:
            path = self._partial / MEMORY.format(self.done)
            try:
                load(path)
                self._rows = _read_rows(self._partial / ROWS, self.done)
            except (ValueError, OSError) as error:
                logger.warning("%s cannot be gone on with (%s); its frames are predicted anew", self.folder, error)
                path.unlink(missing_ok=True)
                self.done = 0
        self.count = self.done
        if self.done:
            logger.info("%s goes on after %d of %d frames", self.folder, self.done, len(self._stems))
        return self.done

    def keep(self, save: Callable[[Path], None]) -> None:
        """Now and then, keep what the system remembers after the predictions so far."""
        if time.monotonic() - self._kept_s < KEEP_S or self.count == len(self._stems):
            return
        write_npz(self._partial / ROWS, **{name: np.stack(rows) for name, rows in self._rows.items()})
        with atomic_path(self._partial / MEMORY.format(self.count)) as temporary:
            save(temporary)
        before, self.done = self.done, self.count
        if before:
            (self._partial / MEMORY.format(before)).unlink(missing_ok=True)
        self._kept_s = time.monotonic()

    def add(self, prediction: FramePrediction) -> None:
        """Write the next prediction.

        Raises:
            ValueError: There are more than pictures.
        """
        if self.count == len(self._stems):
            raise self._wrong_count("more")
        stem = self._stems[self._places[self.count]]
        per_frame = {
            "depth": prediction.depth,
            "points": prediction.points_world,
            "confidence": prediction.conf_depth if prediction.conf_world is None else prediction.conf_world,
        }
        for kind, array in per_frame.items():
            if array is not None:
                (self._partial / kind).mkdir(exist_ok=True)
                np.save(self._partial / kind / f"{stem}.npy", array.astype(self._dtype, copy=False))
        if prediction.rgb is not None:
            write_image(self._partial / PICTURES / f"{stem}.png", prediction.rgb)
        for name, row in zip(CAMERAS, (prediction.world_from_cam, prediction.intrinsics), strict=True):
            if row is not None:
                self._rows.setdefault(name, []).append(row)
        self.count += 1

    def complete(self, record: dict[str, Any]) -> None:
        """Give the folder its name, in place of an older one, and keep the record with it.

        Raises:
            ValueError: There are fewer predictions than pictures.
        """
        if self.count != len(self._stems):
            raise self._wrong_count(str(self.count))
        if self._rows:
            rows = {name: np.stack(values)[np.argsort(self._places)] for name, values in self._rows.items()}
            np.savez(self._partial / "cameras.npz", **rows)  # type: ignore[arg-type]
        (self._partial / RECORD).write_text(json.dumps({"frames": self.count, **record}, indent=1))
        _put_in_place(self._partial, self.folder)
        for name in (ROWS, BEGUN, LOCK, MEMORY.format(self.done)):  # now that nobody can take them for left over
            (self.folder / name).unlink(missing_ok=True)

    def _take_over(self) -> tuple[Path, FileLock, int]:
        """Lock what is left of a killed run, the most of it, and remove the rest; or begin a new folder."""
        left = []
        for path in self.folder.parent.glob(f".{glob.escape(self.folder.name)}@*"):
            lock = FileLock(path / LOCK)
            with suppress(Timeout, OSError):  # its process is at work; or nobody can tell
                lock.acquire(timeout=0)
                left.append((self._done_in(path), path, lock))
        left.sort(key=lambda each: each[0])
        best = left.pop() if left and left[-1][0] else None
        for _, path, lock in left:
            shutil.rmtree(path, ignore_errors=True)
            lock.release()
        if best is not None:
            done, path, lock = best
            return path, lock, done
        # no other sequence's: `room` and `room.2`
        path = self.folder.with_name(f".{self.folder.name}@{secrets.token_hex(4)}")
        path.mkdir(parents=True)
        lock = FileLock(path / LOCK)
        with suppress(Timeout, OSError):
            lock.acquire(timeout=0)
        (path / BEGUN).write_text(json.dumps({"pictures": self._pictures}))
        return path, lock, 0

    def _done_in(self, left: Path) -> int:
        """How many frames of these pictures a folder has a memory of."""
        begun = left / BEGUN
        try:
            ours = bool(self._pictures) and json.loads(begun.read_text())["pictures"] == self._pictures
        except (OSError, ValueError, KeyError):  # killed before it was written
            return 0
        memories = [int(path.stem.removeprefix("memory_")) for path in left.glob("memory_*.safetensors")]
        return max(memories, default=0) if ours else 0

    def _wrong_count(self, said: str) -> ValueError:
        self.done = 0
        return ValueError(
            f"the system gave {said} predictions for {len(self._stems)} pictures of {self.folder.name}; "
            "expected one each"
        )


def save_predictions(
    folder: Path, stems: tuple[str, ...], predictions: Iterable[FramePrediction], *, dtype: np.dtype[Any]
) -> None:
    """Write one sequence's predictions in the order of its pictures; raises what `PredictionWriter` raises."""
    with PredictionWriter(folder, stems, dtype=dtype) as writer:
        for prediction in predictions:
            writer.add(prediction)
        writer.complete({})


def join_predictions(parts: Sequence[Path], folder: Path, record: dict[str, Any]) -> None:
    """Make one folder of those of successive parts, which stay as they are."""
    partial = folder.with_name(f".{folder.name}@joined")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    rows: dict[str, list[np.ndarray]] = {}
    for part in parts:
        shutil.copytree(part, partial, copy_function=_link, dirs_exist_ok=True)
        if (part / "cameras.npz").is_file():
            for name, values in _read_rows(part / "cameras.npz").items():
                rows.setdefault(name, []).extend(values)
    for name in ("cameras.npz", RECORD):  # links: what is written here must not change the last part
        (partial / name).unlink(missing_ok=True)
    if rows:
        np.savez(partial / "cameras.npz", **{name: np.stack(values) for name, values in rows.items()})  # type: ignore[arg-type]
    (partial / RECORD).write_text(json.dumps(record, indent=1))
    _put_in_place(partial, folder)


def _link(source: str, target: str) -> None:
    """Give a file a second name; copy it where the file system has no such thing, or the name is taken."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _put_in_place(partial: Path, folder: Path) -> None:
    """Give a finished folder its name, in place of an older one."""
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(partial, folder)


def _read_rows(path: Path, count: int | None = None) -> dict[str, list[np.ndarray]]:
    """The first so many rows of each array, or all."""
    with np.load(path, allow_pickle=False) as file:
        names = file.files
    return {name: list(rows[:count]) for name, rows in zip(names, read_npz(path, *names), strict=True)}
