"""Files that exist completely or not at all."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cut3r.files.disk import DiskFullError, is_disk_full, temporary_name


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what is written there takes the place of `path` when the block ends well.

    The temporary name starts with a dot and keeps the suffix, so that libraries which look at suffixes write the right
    format. A block that fails or is interrupted leaves an older file at `path` as it was, and no temporary file.
    Missing folders are created. The file's mode follows the umask, whatever the library that wrote it prefers
    (safetensors makes files that only their owner can read).

    Raises:
        DiskFullError: There is no room for the file, whatever the library that wrote it called that.
    """
    target = Path(path)
    temporary = target.with_name(temporary_name(target))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = _new_file_mode(temporary)
        yield temporary
        temporary.chmod(mode)
        os.replace(temporary, target)
    except Exception as error:
        if target.parent.is_dir() and is_disk_full(error, target.parent):
            raise DiskFullError(target.parent) from error
        raise
    finally:
        with suppress(NotADirectoryError):  # a parent is a file: said above, when it was to be made
            temporary.unlink(missing_ok=True)


def _new_file_mode(path: Path) -> int:
    """The mode of a new file. Asked of the file system: a process can read its umask only by changing it."""
    path.touch(exist_ok=False)
    mode = stat.S_IMODE(path.stat().st_mode)
    path.unlink()
    return mode
