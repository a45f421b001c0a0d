"""Which depth of a processed scene is our own: it is kept over an interruption, and goes when it is out of date."""

import hashlib
import json
import shutil
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from cut3r.data.layout import read_npz, write_json
from cut3r.data.stereo import grey_view
from cut3r.geometry.plane_sweep import Grey
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image
from datasets_preprocess.writer import Writer

SCRATCH = ".stereo"  # below OUT
MADE = "computed.json"  # of a scene, in it: which depth is ours, and what it was made from


class ComputedDepth:
    """The files of one scene, and what of its depth we have computed, which is known by its content."""

    def __init__(self, folder: str, frames: list[str], writer: Writer, how: str = "") -> None:
        self.folder, self.frames, self.writer, self.how = folder, frames, writer, how
        self.scratch = writer.out / SCRATCH / folder

    def path(self, kind: str, frame: str) -> Path:
        return self.writer.path(kind, self.folder, frame)

    @cached_property
    def key(self) -> str:
        """Name what depth depends on: the way it is computed, cameras, and the sizes of pictures' files."""
        digest = hashlib.sha256(self.how.encode())
        for frame in self.frames:
            digest.update(f"{frame} {self.path('rgb', frame).stat().st_size}".encode())
            for array in self.camera(frame):
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def camera(self, frame: str) -> list[np.ndarray]:
        return read_npz(self.path("camera", frame), "intrinsic", "pose")

    def view(self, number: int) -> Grey:
        frame = self.frames[number]
        return grey_view(read_image(self.path("rgb", frame)), *self.camera(frame))

    def forget_outdated(self) -> None:
        """Remove depth of ours that was made otherwise."""
        made = self._made()
        if made and made["key"] != self.key:
            for frame in self.ours():
                self.path("depth", frame).unlink(missing_ok=True)
            shutil.rmtree(self.scratch)

    def ours(self) -> set[str]:
        """Name the frames whose depth is ours: computed, and not replaced since."""
        made = self._made()
        digests = {} if made is None else made["frames"]
        present = {frame: path for frame in digests if (path := self.path("depth", frame)).is_file()}
        return {frame for frame, path in present.items() if _digest(read_depth(path)) == digests[frame]}

    def keep(self, frame: str, depth: Float32[np.ndarray, "h w"]) -> None:
        """Write depth; that it is ours is on the disk first."""
        made = self._made() or {"key": self.key, "how": self.how, "frames": {}}
        write_json(self.scratch / MADE, {**made, "frames": {**made["frames"], frame: _digest(depth)}})
        self.writer.depth("depth", self.folder, frame, depth)

    def finish(self) -> None:
        """Remove what an interrupted run would have needed."""
        for path in self.scratch.glob("*"):
            if path.is_dir():
                shutil.rmtree(path)

    def _made(self) -> dict | None:
        path = self.scratch / MADE
        return dict(json.loads(path.read_text())) if path.is_file() else None


def _digest(depth: Float32[np.ndarray, "h w"]) -> str:
    return hashlib.sha256(np.ascontiguousarray(depth).tobytes()).hexdigest()[:16]
