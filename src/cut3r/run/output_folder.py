"""Whose an output folder is: a marker says so, a lock keeps a second run out, and files of others stay as they are."""

import errno
import json
import logging
import os
import platform
import zipfile
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from types import TracebackType

import numpy as np
from filelock import FileLock, Timeout

from cut3r.files.atomic import atomic_path
from cut3r.inference.chunk_file import CHUNKS
from cut3r.inference.frame_folder import SUFFIXES, FrameFolder
from cut3r.run.output_check import MARKER, RESUME_FILES

logger = logging.getLogger(__name__)

LOCK = ".cut3r.lock"
THE_INPUT = "the input"  # a setting that no flag names: which files, of which sizes and times
NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})  # some network folders
LARGEST_RECORD = 1 << 20  # bytes of the text in a resume file; ours has some hundred


class RunState(Enum):
    running = "running"  # or killed: then nobody holds the lock
    stopped = "stopped"  # by Ctrl-C or an error
    finished = "finished"


@dataclass(frozen=True)
class Marker:
    """What `cut3r.json` in an output folder says about the run that wrote it.

    Attributes:
        settings: All flags that change the results; no passwords.
        created: When the run began to write, ISO 8601 with time zone.
        frames: Finished frames when the marker was written.
        foreign: The folder held files of somebody else, which runs replace (with --overwrite) but never remove.
    """

    version: str
    settings: dict[str, str]
    created: str
    state: RunState = RunState.running
    frames: int = 0
    foreign: bool = False

    def write(self, path: Path) -> None:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(asdict(self) | {"state": self.state.value}, indent=2) + "\n")


def read_marker(path: Path) -> Marker | None:
    """Read a `cut3r.json`; None when there is none.

    Raises:
        ValueError: It is not what a run writes.
    """
    if not os.path.lexists(path):
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        settings = {str(name): str(value) for name, value in record["settings"].items()}
        return Marker(
            version=str(record["version"]),
            settings=settings,
            created=str(record["created"]),
            state=RunState(record["state"]),
            frames=int(record["frames"]),
            foreign=bool(record["foreign"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is not what a run writes there ({error!r}); name another --output_dir, or remove it if it is yours"
        ) from error


class OutputFolder:
    """The folder of a run. Use it in a `with`: it is locked meanwhile, and the system unlocks what was killed.

    Nothing in it changes before `begin`.

    Args:
        overwrite: Let the run replace files of somebody else that have the names of its own. They are never removed.

    Raises:
        ValueError: Its marker is damaged. Entering: another run is writing to it.
    """

    def __init__(self, folder: Path, *, overwrite: bool = False) -> None:
        self.folder = folder
        self._marker_path = folder / MARKER
        self.marker = read_marker(self._marker_path)
        self._overwrite = overwrite
        self._foreign = self._first_file() is not None  # until it is known better
        self._lock = FileLock(folder / LOCK)
        self._made: list[Path] = []
        self._began = False

    @property
    def resume_path(self) -> Path:
        """Where the run can go on from, once it has saved that."""
        return self.folder / RESUME_FILES[0]

    @property
    def can_be_resumed(self) -> bool:
        """There is a state to go on from: the newest, or one that was kept in case it is damaged."""
        return any((self.folder / name).is_file() for name in RESUME_FILES)

    def check_owner(self) -> None:
        """See whose the files in the folder are, before `with`.

        Raises:
            ValueError: No run of ours is known to have written them.
        """
        foreign = None if self._is_ours() else self._first_file()
        if foreign is not None and not self._overwrite:
            raise ValueError(
                f"{self.folder} holds files such as {foreign.relative_to(self.folder)} that no run of this program is "
                "known to have written; name another --output_dir, or replace files that have a frame's name with "
                "--overwrite"
            )
        self._foreign = foreign is not None

    def check_input(self, settings: dict[str, str]) -> None:
        """See that the run that would be gone on with had the same input. Other settings are for `ResumePoint.load`.

        Raises:
            ValueError: The flags are the same, and the files behind them are not.
        """
        if self.marker is None or not self.can_be_resumed:
            return
        theirs = self.marker.settings
        if {name for name in settings if theirs.get(name) != settings[name]} == {THE_INPUT}:
            raise ValueError(
                f"the input is not the one that the run in {self.folder} was stopped on ({theirs.get(THE_INPUT)} then, "
                f"{settings[THE_INPUT]} now); bring it back, or start again without --resume"
            )

    def __enter__(self) -> "OutputFolder":
        lock = self.folder / LOCK
        self._made = [path for path in (lock, self.folder, *self.folder.parents) if not path.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise ValueError(
                f"another run{_holder(lock)} is writing to {self.folder}; wait until it ends, "
                "or name another --output_dir"
            ) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            logger.warning("%s cannot be locked (%s): start no second run there", self.folder, error.strerror)
        lock.write_text(f"process {os.getpid()} on {platform.node()}\n")
        self.marker = read_marker(self._marker_path)  # nobody can change it any more
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Unlock the folder. A run that never began takes away what it made: the lock, and folders that are empty."""
        lock, made = self.folder / LOCK, [] if self._began else self._made
        if lock in made:
            lock.unlink(missing_ok=True)  # while it is locked: nobody else can be using it
            made.remove(lock)
        else:
            lock.write_text("")
        self._lock.release()
        for path in made:
            if any(path.iterdir()):
                break
            path.rmdir()

    def begin(self, version: str, settings: dict[str, str], *, first: int = 0) -> None:
        """Make the folder that of a new run, or of one that goes on: its marker first, then away with older frames.

        Args:
            first: The first frame that this run will write; those before are kept. With 0, the older run cannot be
                resumed any more.
        """
        if first == 0:
            for name in RESUME_FILES:
                (self.folder / name).unlink(missing_ok=True)
            if self.is_ours:
                (self.folder / CHUNKS).unlink(missing_ok=True)
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        created = self.marker.created if self.marker is not None and first else now
        self.marker = Marker(version, settings, created, frames=first, foreign=self._foreign)
        self.marker.write(self._marker_path)
        self._began = True
        self.clear(first)

    @property
    def is_ours(self) -> bool:
        """Whether nothing in it could be somebody else's."""
        return not self._foreign

    def clear(self, first: int) -> None:
        """Remove the files of frames from number `first` on, unless they could be somebody else's."""
        if not self._foreign:
            FrameFolder(self.folder).begin(first)

    def end(self, state: RunState, frames: int) -> None:
        """Write down how the run ended."""
        assert self.marker is not None, "begin() writes the first one, in this run or in the one that it goes on from"
        self.marker = replace(self.marker, state=state, frames=frames)
        self.marker.write(self._marker_path)

    def _is_ours(self) -> bool:
        if self.marker is not None:
            return not self.marker.foreign
        if self._is_of_an_earlier_version():
            return True
        if os.path.lexists(self.resume_path):
            raise ValueError(f"{self.resume_path} was not written by a run of this program; name another --output_dir")
        return False

    def _first_file(self) -> Path | None:
        """Any file in the four folders, whatever it is, unless it is hidden."""
        files = (path for kind in SUFFIXES for path in (self.folder / kind).glob("[!.]*"))
        return next(files, None)

    def _is_of_an_earlier_version(self) -> bool:
        """Versions before the marker left a resume file with their settings."""
        try:
            with zipfile.ZipFile(self.resume_path) as archive:
                if archive.getinfo("record.npy").file_size > LARGEST_RECORD:
                    return False
            with np.load(self.resume_path, allow_pickle=False) as arrays:
                record = json.loads(str(arrays["record"]))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return False
        return isinstance(record, dict) and {"settings", "session"} <= record.keys()


def _holder(lock: Path) -> str:
    """Who holds a lock, as far as it can be read."""
    try:
        text = lock.read_text().strip()
    except OSError:  # Windows locks it for readers, too
        text = ""
    return f" ({text})" if text else ""
