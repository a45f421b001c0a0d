"""Where an interrupted run goes on: its session, its scene and its settings in one file that is replaced atomically.

The state before the newest one is kept beside it, for the case that the newest file is damaged later: by a full disk, a
copy that broke off, a power failure.
"""

import json
import logging
import os
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cut3r.files.archive import read_npz
from cut3r.files.atomic import atomic_path
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.session import Session
from cut3r.inference.snapshot import Packed

logger = logging.getLogger(__name__)

MAX_TIME_SHARE = 0.05  # of a run that saving may take
LONGEST_SETTING = 200  # characters of one that are shown
MIN_INTERVAL_S = 10.0  # between two saves


class ResumePoint:
    """Saves a run now and then; a run that stops in between repeats the frames since, with the same results.

    Args:
        path: The file, an .npz. The state before lies beside it, as `NAME.previous.npz`.
        settings: Everything that changes the results, by name. A run with other settings cannot go on from this file.
    """

    def __init__(self, path: Path, settings: dict[str, str]) -> None:
        self.path = path
        self.settings = settings
        self.previous_path = path.with_name(f"{path.stem}.previous{path.suffix}")
        self._newest_counts = self._previous_counts = False  # whether a file is whole and of this run: worth keeping
        self._next_time = time.monotonic() + MIN_INTERVAL_S

    def is_due(self) -> bool:
        """Whether it is time to save: seldom enough to take at most 5 % of the time."""
        return time.monotonic() >= self._next_time

    def save(self, session: Session, scene: Reconstruction) -> None:
        """Write the state, and keep the one before."""
        self.write(session.pack(), scene)

    def write(self, packed: Packed, scene: Reconstruction) -> None:
        """The same with what `Session.pack` gave when the session stood at the last frame of the scene."""
        start = time.monotonic()
        tensors, record = packed
        arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
        arrays |= {f"scene/{name}": array for name, array in scene.state_arrays().items()}
        arrays["record"] = np.array(json.dumps({"settings": self.settings, "session": record}))
        with atomic_path(self.path) as temporary:
            np.savez(temporary, **arrays)
            self._make_room()
        self._newest_counts = True
        end = time.monotonic()
        self._next_time = end + max(MIN_INTERVAL_S, (end - start) / MAX_TIME_SHARE)

    def _make_room(self) -> None:
        if self._newest_counts and self.path.is_file():
            os.replace(self.path, self.previous_path)  # should the run be killed right after this, `load` takes it
        elif not self._previous_counts:
            self.previous_path.unlink(missing_ok=True)  # of an earlier run in this folder

    def load(self, session: Session) -> Reconstruction | None:
        """Bring the session to where the run stopped and return its scene; None when there is nothing to go on from.

        A damaged file is passed over, with a warning, for the state before it.

        Raises:
            ValueError: No file is whole, or they belong to a run with other settings or another network.
        """
        damaged = []
        for path in (self.path, self.previous_path):
            if not path.is_file():
                continue
            try:
                arrays, record = _read(path)
            except (ValueError, OSError) as error:
                damaged.append(f"{path} ({error})")
                continue
            scene = self._take_over(session, arrays, record, path)
            if damaged:
                logger.warning(
                    "%s is damaged; going on from the state before, in %s, after %d frames",
                    damaged[0],
                    path,
                    session.frames_seen,
                )
            self._newest_counts, self._previous_counts = path == self.path, True
            return scene
        if damaged:
            raise ValueError(f"{' and '.join(damaged)} cannot be read; start again without --resume")
        return None

    def _take_over(
        self, session: Session, arrays: dict[str, np.ndarray], record: dict[str, Any], path: Path
    ) -> Reconstruction:
        self._check_settings(record["settings"])
        states = {name.removeprefix("scene/"): array for name, array in arrays.items() if name.startswith("scene/")}
        tensors = {
            name: torch.from_numpy(array)
            for name, array in arrays.items()
            if name.startswith("session.") and array.dtype.kind in "biuf"
        }
        try:
            scene = Reconstruction.from_state_arrays(states)
        except ValueError as error:
            raise ValueError(f"{path} cannot be used ({error}); start again without --resume") from error
        session.unpack(tensors, record["session"], name=str(path))
        return scene

    def _check_settings(self, theirs: dict[str, str]) -> None:
        changed = [
            f"{_short(name)} was {_short(theirs.get(name))} and is {_short(self.settings.get(name))}"
            for name in sorted(theirs.keys() | self.settings.keys())
            if theirs.get(name) != self.settings.get(name)
        ]
        if changed:
            raise ValueError(
                f"the interrupted run had other settings ({'; '.join(changed)}); "
                "repeat them to resume, or start again without --resume"
            )


def _short(setting: str | None) -> str:
    """A setting on one line; those in a file may hold anything."""
    return textwrap.shorten(repr(setting)[1:-1] if setting is not None else "not set", LONGEST_SETTING)


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the arrays and the record of a state.

    Raises:
        OSError, ValueError: It cannot be read, or holds no record of a run.
    """
    arrays = read_npz(path)
    try:
        record = json.loads(str(arrays.pop("record")))
    except (KeyError, ValueError, RecursionError) as error:
        raise ValueError("it holds no record of a run") from error
    texts = [record.get(part) for part in ("settings", "session")] if isinstance(record, dict) else [None]
    if not all(isinstance(text, dict) and all(isinstance(value, str) for value in text.values()) for text in texts):
        raise ValueError("its record is not that of a run")
    return arrays, record
