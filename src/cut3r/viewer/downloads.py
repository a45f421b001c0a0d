"""Buttons that give people what a run can write: files of the scene, folders for other programs, a screenshot."""

import io
import logging
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import viser
from jaxtyping import UInt8
from PIL import Image

logger = logging.getLogger(__name__)

MOST_BYTES = 500_000_000  # a browser holds a download in memory
WAIT_S = 30.0  # for a page to draw


@dataclass(frozen=True)
class Download:
    """Something that can be had as a file.

    `write` is given a path that ends in `name` and writes a file there, or a folder, which becomes a zip. It may raise
    ValueError, OSError or RuntimeError with one sentence. `at_any_time`: else when the stream has ended.
    """

    name: str
    what: str
    write: Callable[[Path], object]
    at_any_time: bool = True

    @property
    def label(self) -> str:
        return f"{self.name} · {self.what}"


def make(download: Download) -> tuple[str, bytes]:
    """Write it to a temporary folder; gives the name for the person who wants it, and the bytes.

    Raises:
        ValueError: It is larger than a browser takes, or there is nothing to write.
    """
    with tempfile.TemporaryDirectory(prefix="cut3r-") as folder:
        path = Path(folder) / download.name
        download.write(path)
        if not path.exists():
            raise ValueError(f"{download.name} was not written: there is nothing yet that it could hold")
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        size = sum(file.stat().st_size for file in files)
        if size > MOST_BYTES:
            raise ValueError(
                f"{download.name} has {size / 1e6:,.0f} MB, and a page gives at most {MOST_BYTES / 1e6:,.0f} MB; "
                "write it with --save or cut3r export"
            )
        if path.is_file():
            return path.name, path.read_bytes()
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:  # pictures and clouds hardly shrink
            for file in files:
                archive.write(file, Path(download.name) / file.relative_to(path))
        return f"{download.name}.zip", packed.getvalue()


def jpeg(picture: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=92)
    return file.getvalue()


class DownloadDesk:
    """The folder "Download" of one page.

    Args:
        has_ended: Whether the stream has ended.
    """

    def __init__(
        self, client: viser.ClientHandle, downloads: Sequence[Download], has_ended: Callable[[], bool]
    ) -> None:
        self._client, self._has_ended = client, has_ended
        self._downloads = {download.label: download for download in downloads}
        with client.gui.add_folder("Download", expand_by_default=False):
            self._shot = client.gui.add_button("Screenshot", icon=viser.Icon.CAMERA)
            if downloads:
                self._choice = client.gui.add_dropdown("File", list(self._downloads))
                self._button = client.gui.add_button("Download", icon=viser.Icon.DOWNLOAD)
                self._button.on_click(lambda _: self.give(self._downloads[self._choice.value]))
        self._shot.on_click(lambda _: self.shoot())

    def give(self, download: Download) -> None:
        """Send a file to the page's person; whatever goes wrong is said there, and logged."""
        note = self._client.add_notification(
            download.name, "is being written ...", loading=True, with_close_button=False
        )
        try:
            if not (download.at_any_time or self._has_ended()):
                raise ValueError("this is made of all frames; wait until the stream has ended")
            name, content = make(download)
            self._client.send_file_download(name, content, save_immediately=True)
            note.body, note.auto_close_seconds = f"{len(content) / 1e6:.1f} MB", 6.0
        except Exception as error:  # of any kind, and a callback has no caller that could handle it
            logger.exception("%s could not be given to a page", download.name)
            note.title, note.body, note.color = f"{download.name} failed", str(error), "red"
        finally:
            note.loading, note.with_close_button = False, True

    def shoot(self) -> None:
        """Send the picture of the scene that the page shows, without the controls, to its person."""
        camera = self._client.camera
        picture = self._client.get_render(camera.image_height, camera.image_width, timeout=WAIT_S)
        self._client.send_file_download("cut3r.jpg", jpeg(picture[..., :3]), save_immediately=True)
