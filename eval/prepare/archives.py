"""Folders of a download, whether it is unpacked or still a zip or tar archive."""

import hashlib
import re
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cut3r.files.listing import visible

LEVELS = 3  # how many folders may lie between the download and what is looked for


@contextmanager
def download_folder(
    name: str, raw: Path, archives: Iterable[str], scratch: Path, *, holding: str = ""
) -> Iterator[Path]:
    """Give a folder of a download, unpacked from the first of the archives that is there if need be.

    Args:
        name: Its last one or more levels, as in "val/drive_sync".
        archives: Names of archives in `raw` that hold it.
        scratch: Where to unpack; what was unpacked is removed when the block ends.
        holding: Something in it, to tell it from the folder of this name that is being prepared.

    Raises:
        FileNotFoundError: It is neither in `raw` nor in the archives.
    """
    folder = _find(raw, name, holding)
    if folder is not None:
        yield folder
        return
    packed = next((raw / archive for archive in archives if (raw / archive).is_file()), None)
    if packed is None:
        raise FileNotFoundError(f"neither a folder {name} nor {' or '.join(archives)} is in {raw}; download it")
    with unpacked(packed, scratch, rf"(.*/)?{re.escape(name)}/.*") as top:
        folder = _find(top, name, holding)
        if folder is None:
            raise FileNotFoundError(f"{packed} holds no folder {name} with {holding or 'files'}; download it again")
        yield folder


@contextmanager
def unpacked(archive: Path, scratch: Path, members: str = ".*") -> Iterator[Path]:
    """Unpack the members of an archive whose names match a regular expression, for as long as the block lasts."""
    which = hashlib.sha256(f"{archive.absolute()}\0{members}".encode()).hexdigest()[:8]  # other jobs may unpack others
    folder = scratch / f".unpacked-{archive.name}-{which}"
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    folder.mkdir(parents=True)
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as zipped:
                zipped.extractall(folder, [name for name in zipped.namelist() if re.fullmatch(members, name)])
        else:
            with tarfile.open(archive) as tar:
                wanted = (member for member in tar if re.fullmatch(members, member.name))
                tar.extractall(folder, wanted, filter="data")
        yield folder
    finally:
        shutil.rmtree(folder)


def copy_files(sources: Iterable[Path], folder: Path) -> None:
    """Copy files into a new folder, under their own names."""
    folder.mkdir()
    for source in sources:
        shutil.copyfile(source, folder / source.name)


def _find(top: Path, name: str, holding: str) -> Path | None:
    patterns = ["*/" * level + name for level in range(LEVELS)]
    found = (path for pattern in patterns for path in visible(top, pattern) if path.is_dir())
    return next((path for path in found if (path / holding).exists()), None)
