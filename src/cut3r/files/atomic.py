"""Files that exist completely or not at all."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what is written there takes the place of `path` when the block ends well.

    The temporary name starts with a dot and keeps the suffix, so that libraries which look at suffixes write the right
    format. A block that fails or is interrupted leaves an older file at `path` as it was, and no temporary file.
    Missing folders are created. The file's mode follows the umask, whatever the library that wrote it prefers
    (safetensors makes files that only their owner can read).
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(6)}{target.suffix}")
    mode = _new_file_mode(temporary)
    try:
        yield temporary
        temporary.chmod(mode)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _new_file_mode(path: Path) -> int:
    """The mode of a new file. Asked of the file system: a process can read its umask only by changing it."""
    path.touch(exist_ok=False)
    mode = stat.S_IMODE(path.stat().st_mode)
    path.unlink()
    return mode
