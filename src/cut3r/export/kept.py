"""Original pictures of a source that cannot be read again, such as a webcam, on the disk until they are exported."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cut3r.export.formats import suffix_to_copy
from cut3r.files.atomic import atomic_path
from cut3r.inference.result import FrameResult
from cut3r.inference.sink import Sink
from cut3r.io.frame import Frame
from cut3r.io.images import read_image, write_image


class KeptPictures(Sink):
    """A sink that writes the picture and mask of each frame into a folder of its own, which `finish` removes.

    Photos stay where they are, if they show the picture as it is: their files are read again. A frame that does not
    have its original picture any more, as after an alignment, is not kept.

    Args:
        folder: Made with the first frame.
        suffix: .jpg or .png.
    """

    def __init__(self, folder: Path, suffix: str = ".jpg") -> None:
        self.folder = folder
        self.masked = False  # whether a frame had a mask
        self._suffix = suffix
        self._files: dict[tuple[int, str], tuple[Path, Path | None]] = {}

    def begin(self, first: int = 0) -> None:
        """Remove what a run that was killed has left."""
        self.finish()

    def add(self, result: FrameResult) -> None:
        frame = result.frame
        if frame.rgb.shape[:2] != result.pixel_map.original_size:
            return
        picture, mask = frame.source, None
        if picture is None or suffix_to_copy(frame) is None:
            picture = self.folder / f"{result.number:06d}{self._suffix}"
            write_image(picture, frame.rgb)
        if frame.mask is not None:
            mask, self.masked = self.folder / f"{result.number:06d}.mask.png", True
            with atomic_path(mask) as temporary:
                Image.fromarray(np.where(frame.mask, 255, 0).astype(np.uint8)).save(temporary)
        self._files[frame.index, frame.name] = picture, mask

    def frames(self, wanted: Sequence[tuple[int, str]]) -> Iterator[Frame]:
        """Give frames again by their places in the source and their names, as photos with files.

        Raises:
            ValueError: One was not kept: it was not there, or an error came before.
        """
        for index, name in wanted:
            if (index, name) not in self._files:
                raise ValueError(
                    f"the original picture of {name} was not kept; say where it can be read again, as KeptFrames("
                    "source=...) does"
                )
            picture, mask = self._files[index, name]
            known = None if mask is None else read_image(mask)[..., 0] > 0
            yield Frame(read_image(picture), index, None, name, picture, mask=known)

    def finish(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
