"""Where an interrupted run goes on: its session, its scene and its settings in one file that is replaced atomically."""

import json
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cut3r.files.atomic import atomic_path
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.session import Session

MOST_OF_THE_TIME = 0.05  # the share of a run that saving may take
SELDOM_S = 10.0  # and it need not happen more often than this


class ResumePoint:
    """Saves a run now and then; a run that stops in between repeats the frames since, with the same results.

    Args:
        path: The file, an .npz.
        settings: Everything that changes the results, by name. A run with other settings cannot go on from this file.
    """

    def __init__(self, path: Path, settings: dict[str, str]) -> None:
        self.path = path
        self.settings = settings
        self._next_time = time.monotonic() + SELDOM_S

    def save_now_and_then(self, session: Session, scene: Reconstruction) -> None:
        """Call it after every frame: it saves seldom enough to take at most 5 % of the time."""
        start = time.monotonic()
        if start < self._next_time:
            return
        self.save(session, scene)
        end = time.monotonic()
        self._next_time = end + max(SELDOM_S, (end - start) / MOST_OF_THE_TIME)

    def save(self, session: Session, scene: Reconstruction) -> None:
        tensors, record = session.pack()
        arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
        arrays |= {f"scene/{name}": array for name, array in scene.state_arrays().items()}
        arrays["record"] = np.array(json.dumps({"settings": self.settings, "session": record}))
        with atomic_path(self.path) as temporary:
            np.savez(temporary, **arrays)

    def load(self, session: Session) -> Reconstruction | None:
        """Bring the session to where the run stopped and return its scene; None when there is nothing to go on from.

        Raises:
            ValueError: The file is damaged, or belongs to a run with other settings or another network.
        """
        if not self.path.is_file():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            record = json.loads(str(arrays.pop("record")))
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{self.path} cannot be read ({error}); start again without --resume") from error
        self._check_settings(record["settings"])
        tensors = {name: torch.from_numpy(arrays[name]) for name in arrays if name.startswith("session.")}
        session.unpack(tensors, record["session"], name=str(self.path))
        scene = {name.removeprefix("scene/"): array for name, array in arrays.items() if name.startswith("scene/")}
        return Reconstruction.from_state_arrays(scene)

    def _check_settings(self, theirs: dict[str, str]) -> None:
        changed = [
            f"{name} was {theirs.get(name)} and is {self.settings.get(name)}"
            for name in sorted(theirs.keys() | self.settings.keys())
            if theirs.get(name) != self.settings.get(name)
        ]
        if changed:
            raise ValueError(
                f"the interrupted run had other settings ({'; '.join(changed)}); "
                "repeat them to resume, or start again without --resume"
            )
