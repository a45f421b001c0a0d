"""Networks by name: where the official checkpoints come from, under which terms, and where they lie on this machine.

`cut3r models` lists, downloads and verifies them. They lie in $CUT3R_HOME, or else in `cut3r` in the user's cache
folder ($XDG_CACHE_HOME, ~/.cache).
"""

import hashlib
import importlib
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from cut3r.files.roof import roof
from cut3r.weights.file_kind import FileKind, identify

logger = logging.getLogger(__name__)

SOURCE = "https://github.com/CUT3R/CUT3R"
LICENCE = "CC BY-NC-SA 4.0 (non-commercial use only, https://creativecommons.org/licenses/by-nc-sa/4.0/)"
DRIVE = "https://drive.google.com/uc?id="
TIMEOUT_S, RETRIES = 60, 5


@dataclass(frozen=True)
class Official:
    """A published checkpoint. `sha256` is None where its authors have not published one."""

    file: str
    drive_id: str
    about: str
    parameters: int
    sha256: str | None = None

    @property
    def size_gb(self) -> float:
        """About: the parameters are stored in float32."""
        return 4e-9 * self.parameters


OFFICIAL = {
    "512-dpt": Official(
        file="cut3r_512_dpt_4_64.pth",
        drive_id="1Asz-ZB3FfpzZYwunhQvNPZEUA8XUNAYD",
        about="512 pixels wide, many shapes, dense head",
        parameters=793_307_858,
    ),
    "224-linear": Official(
        file="cut3r_224_linear_4.pth",
        drive_id="11dAgFkWHpaOHsR6iuitlB_v4NFFBrWjy",
        about="224x224 pixels, linear head: faster, coarser",
        parameters=748_443_655,
    ),
}
BUNDLED = {"tiny": roof() / "assets" / "tiny.safetensors"}
BUNDLED_SHA256 = {"tiny": "37a42960d47805d6e935d0d1582cb2911959e20f9dcf1bd0b09e868cc6b73a73"}
NAMES = (*OFFICIAL, *BUNDLED)


def name_of_file(file: str) -> str | None:
    """Return the name under which the zoo knows an official file; None for other files."""
    return next((name for name, official in OFFICIAL.items() if official.file == file), None)


def cache_folder() -> Path:
    if home := os.environ.get("CUT3R_HOME"):
        return Path(home).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "cut3r"


def find(name: str) -> Path:
    """Return where a network lies on this machine.

    Raises:
        ValueError: The zoo has no such name.
        FileNotFoundError: It is not here; the message says how to get it.
    """
    path = _place(name)
    if path.is_file():
        return path
    if name in BUNDLED:
        raise FileNotFoundError(f"{name!r} comes with cut3r, and {path} is not there: install cut3r again")
    raise FileNotFoundError(f"{name!r} is not at {path}: download it with `cut3r models download {name}`")


def obtain(name: str, *, base_url: str = DRIVE) -> Path:
    """Return where a network lies, after downloading it if it is not here yet. Raises what `find` and `download` do."""
    if name in OFFICIAL and not _place(name).is_file():
        return download(name, base_url=base_url)
    return find(name)


def download(name: str, *, base_url: str = DRIVE) -> Path:
    """Download an official checkpoint into the cache folder, or check the one that is there.

    Progress is shown on the standard error output. An interrupted download is taken up where it stopped. The file gets
    its name only when it is complete, and its SHA-256 is written beside it. Of several processes one downloads and the
    others wait.

    Raises:
        ValueError: The zoo has no such name, or the file is not the right one.
        OSError: The download failed; the message says how to do it by hand.
    """
    target = _place(name)
    if name in BUNDLED:
        return find(name)
    official = OFFICIAL[name]
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")):
        if target.is_file():
            check(name)
            return target
        logger.warning("%s (%s, %.1f GB) is licensed under %s", official.file, SOURCE, official.size_gb, LICENCE)
        arrived = target.with_name(f"{target.name}.unchecked")
        _fetch(f"{base_url}{official.drive_id}", arrived, _by_hand(official, target))
        digest = _accept(arrived, official, target)
        _digest_file(target).write_text(f"{digest}  {target.name}\n")
        os.replace(arrived, target)
    logger.info("%s is at %s, SHA-256 %s", name, target, digest)
    return target


def check(name: str) -> str:
    """Compare a network with the digest that is known or was recorded; return its SHA-256.

    An official file that was put there by hand has no record yet, and gets one.

    Raises:
        FileNotFoundError: It is not here.
        ValueError: It has changed.
    """
    path = find(name)
    if name in BUNDLED:
        if (digest := sha256(path)) != (expected := BUNDLED_SHA256[name]):
            raise ValueError(f"{path} has SHA-256 {digest} and not {expected}: it has changed; install cut3r again")
        return digest
    record = _digest_file(path)
    recorded = record.read_text().split() if record.is_file() else []
    digest = sha256(path)
    expected = OFFICIAL[name].sha256 or (recorded[0] if recorded else digest)
    if digest != expected:
        raise ValueError(
            f"{path} has SHA-256 {digest} and not {expected}: it has changed since its download; delete it and run "
            f"`cut3r models download {name}`"
        )
    record.write_text(f"{digest}  {path.name}\n")
    return digest


def _place(name: str) -> Path:
    if name in BUNDLED:
        return BUNDLED[name]
    if name not in OFFICIAL:
        raise ValueError(f"the zoo has no {name!r}; it has {', '.join(NAMES)}")
    return cache_folder() / OFFICIAL[name].file


def _digest_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _by_hand(official: Official, target: Path) -> str:
    page = f"https://drive.google.com/file/d/{official.drive_id}/view"
    return f"open {page} in a browser and save the file as {target}"


def _fetch(url: str, arrived: Path, by_hand: str) -> None:
    import gdown  # slow to import, and needed here alone

    try:
        gdown.download(url, str(arrived), resume=True, use_cookies=False, timeout=TIMEOUT_S, retries=RETRIES)
    except (gdown.exceptions.DownloadError, OSError) as error:
        reason = " ".join(str(error).split())
        raise OSError(f"the download of {url} failed ({reason}); try again to continue it, or {by_hand}") from error


def _accept(arrived: Path, official: Official, target: Path) -> str:
    """Return the SHA-256 of a download that is what it should be; delete it otherwise."""
    try:
        if identify(arrived) is not FileKind.torch_zip:
            raise ValueError(f"{arrived} is not a checkpoint of torch")
        digest = sha256(arrived)
        if official.sha256 not in (None, digest):
            raise ValueError(f"its SHA-256 is {digest}, and expected is {official.sha256}")
        return digest
    except ValueError as error:
        arrived.unlink()
        raise ValueError(
            f"what was downloaded is not {official.file}, and was deleted: {error}. Instead, "
            f"{_by_hand(official, target)}"
        ) from error


def sha256(path: Path) -> str:
    """Give a file's digest in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def here() -> list[str]:
    """The names of those that are on this machine."""
    return [name for name in NAMES if _place(name).is_file()]


def tell() -> None:
    """Log what there is, where it lies, and under which terms."""
    for name, official in OFFICIAL.items():
        here = _place(name) if _place(name).is_file() else "not downloaded"
        logger.info("%-11s %-23s %.1f GB  %s; %s", name, official.file, official.size_gb, official.about, here)
    for name, path in BUNDLED.items():
        logger.info("%-11s %-23s comes with cut3r; %s", name, path.name, path if path.is_file() else "missing")
    logger.info("The official networks come from %s under %s.", SOURCE, LICENCE)


if __name__ == "__main__":  # python -m cut3r.weights.zoo [NAME], from before there was `cut3r models`
    models = importlib.import_module("cut3r.run.models_command")
    sys.exit(models.main(["download", *sys.argv[1:]] if sys.argv[1:] else ["list"]))
