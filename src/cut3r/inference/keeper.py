"""What keeps the depth and the pictures of frames for a `Reconstruction`, which itself keeps neither.

An open end: whoever writes folders lives floors above, and is handed in (`cut3r.KeptFrames`, `cut3r.FramesAgain`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from cut3r.geometry.registration import Similarity
from cut3r.inference.result import FrameResult
from cut3r.inference.view import View

if TYPE_CHECKING:
    from cut3r.inference.reconstruction import Reconstruction


@runtime_checkable
class FrameKeeper(Protocol):
    """Is told what a reconstruction takes in, and can make a folder for other programs of it."""

    def add(self, result: FrameResult | View) -> None:
        """Take in a frame."""

    def move(self, chunk: int, world_from_chunk: Similarity) -> None:
        """A chunk stands elsewhere."""

    def save(self, folder: Path, scene: "Reconstruction") -> None:
        """Write the folder, in the place of what was exported there before.

        Raises:
            ValueError: It holds files of others, or there is nothing to write.
        """
