"""The base class of datasets whose pictures have nothing to do with each other, and have no poses."""

from abc import abstractmethod
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32

from cut3r.data.dataset import UnusableSceneError
from cut3r.data.layout import read_npz, read_png8
from cut3r.data.processed import ALL, ProcessedDataset
from cut3r.data.sampling import Choice
from cut3r.data.scene import Scene
from cut3r.data.set_sampling import ByRounds, OriginalDraw, UnrelatedPolicy
from cut3r.data.transforms import finite
from cut3r.data.view import RawFrame
from cut3r.files.listing import visible
from cut3r.io.images import read_image

SKY = 127  # grey level of a mask, from which on it is sky


class SingleViews(ProcessedDataset):
    """Pictures with depth and intrinsics; `world_from_cam` of each is the identity.

    One scene holds them all. Its frames are "<sequence>/<stem>", sequences being folders below the root, or "<stem>" if
    the layout has none. A child fills in `depth`. A picture is listed if all its files are there; parity: if its "rgb"
    is.
    """

    single_view = True
    policy = UnrelatedPolicy()
    parity_policy = UnrelatedPolicy(OriginalDraw.once)

    @abstractmethod
    def depth(self, scene: Scene, position: int) -> Float32[np.ndarray, "h w"]:
        """Read a depth map: finite, sky negative."""

    def list_scenes(self) -> Iterator[Scene]:
        frames = [frame for sequence in self._sequences() for frame in self._frames_of(sequence)]
        yield Scene(ALL, frames, split=self.splits[0] or "")

    def made_from(self) -> list[Path]:
        return [self.root] if self._has_sequences() else [self.layout.path(self.root, "rgb").parent]

    def file(self, kind: str, scene: Scene, position: int | None = None, **fields: Any) -> Path:
        """Give the path of a file of a picture, by the sequence that its name begins with."""
        sequence, _, stem = ("" if position is None else scene.frames[position]).rpartition("/")
        return super().file(kind, Scene(sequence, (stem,)), 0, **fields)

    def read(self, scene: Scene, position: int) -> RawFrame:
        (intrinsics,) = read_npz(self.file("camera", scene, position), "intrinsics")
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position), parity=self.parity),
            depth=self.depth(scene, position),
            intrinsics=self.centred(intrinsics.astype(np.float64)),
            world_from_cam=np.eye(4),
        )

    def _frames(
        self, scene: Scene, choice: Choice, crop: Any, rng: np.random.Generator
    ) -> Iterator[tuple[int, RawFrame]]:
        """Read the chosen pictures. Parity: those of the first whole rounds, where the original goes by rounds."""
        if not isinstance(choice, ByRounds):
            yield from super()._frames(scene, choice, crop, rng)
            return
        reasons: dict[int, str] = {}
        found: list[tuple[int, RawFrame]] = []
        for positions in choice.rounds:
            round_ = []
            for position in positions:
                frame = self._prepare(scene, position, partial(self.read, scene, position), crop, reasons, rng)
                if frame is None:
                    break
                round_.append((position, frame))
            else:
                found += round_
            if len(found) == len(choice.positions):
                yield from found
                return
            if len(scene.frames) - len(reasons) < len(choice.positions):
                raise UnusableSceneError(f"{len(reasons)} of {len(scene.frames)} pictures cannot be used; {reasons}")

    def _has_sequences(self) -> bool:
        return "{scene}" in self.layout.alternatives("rgb")[0]

    def _sequences(self) -> list[str]:
        if not self._has_sequences():
            return [""]
        return [folder.name for folder in visible(self.root, "*") if folder.is_dir()]

    def _frames_of(self, sequence: str) -> list[str]:
        kinds = ["rgb"] if self.parity else list(self.layout.templates)
        stems = set.intersection(*(set(self.layout.frames(self.root, kind, sequence)) for kind in kinds))
        return [f"{sequence}/{stem}" if sequence else stem for stem in sorted(stems)]


def with_sky(
    depth: Float32[np.ndarray, "h w"], sky: Bool[np.ndarray, "h w"], farthest: float
) -> Float32[np.ndarray, "h w"]:
    """Forget the depth (0) beyond `farthest`, and mark the sky (-1), whatever its depth."""
    near = np.where(depth > farthest, np.float32(0), finite(depth))
    return np.where(sky, np.float32(-1), near)


def read_sky(path: Path) -> Bool[np.ndarray, "h w"]:
    """Read which pixels a mask, an 8-bit PNG, marks as sky.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged.
    """
    values = read_png8(path)
    return (values if values.ndim == 2 else values[..., 0]) >= SKY
