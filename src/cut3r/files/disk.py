"""Whether a file can be written here, and whether a failure to write means that the disk is full."""

import errno
import os
import re
import secrets
import shutil
from pathlib import Path

FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
FULL_TEXTS = tuple(os.strerror(number) for number in FULL)
SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # numpy's words for it
ALMOST_NOTHING = 1 << 16  # bytes left on a disk that counts as full when a library gives no reason


class DiskFullError(OSError):
    """There is no room (or no quota) for a file in `folder`; `errno` is ENOSPC."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            errno.ENOSPC, f"the disk of {folder} is full; make room there, or choose a folder on another disk"
        )
        self.folder = folder

    def __str__(self) -> str:
        return str(self.strerror)

    def __reduce__(self) -> tuple[type["DiskFullError"], tuple[Path]]:
        return DiskFullError, (self.folder,)  # OSError would hand its number and text to a worker's parent


def is_disk_full(error: Exception, folder: Path) -> bool:
    """Tell whether an error of writing into a folder means that its disk is full.

    Libraries hide it: numpy reports a short write without an error number, safetensors gives the system's text in an
    error of its own, torch says only that writing failed.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in FULL
    if any(text in str(error) for text in FULL_TEXTS):
        return True
    if not isinstance(error, (OSError, RuntimeError)):
        return False
    return bool(SHORT_WRITE.search(str(error))) or shutil.disk_usage(folder).free < ALMOST_NOTHING


def check_creatable(path: Path) -> None:
    """Find out now whether a file could be written (or replaced) later, as far as that can be known.

    A file of no length is made and removed again in the nearest folder that exists: permissions alone say little about
    the superuser, read-only disks and network folders.

    Raises:
        ValueError: It could not.
    """
    if path.is_dir():
        raise ValueError(f"{path} cannot be written, because it is a folder; name a file")
    folder = path.parent
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise ValueError(f"{path} cannot be written, because {folder} is not a folder; name another place")
    trial = folder / temporary_name(path)
    try:
        trial.touch(exist_ok=False)
        trial.unlink()
    except OSError as error:
        raise ValueError(
            f"{path} cannot be written in {folder} ({error.strerror}); name a place where you may write"
        ) from error


def temporary_name(path: Path) -> str:
    """A hidden name that no other file has, with the same suffix, so that libraries write the same format."""
    return f".{path.stem}.{secrets.token_hex(6)}{path.suffix}"
