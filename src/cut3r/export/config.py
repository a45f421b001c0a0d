"""What an exported scene holds."""

from collections.abc import Callable
from dataclasses import dataclass, field

from cut3r.export.tracks import TrackConfig
from cut3r.inference.view import EDGES

PICTURES = ("jpg", "png")
Progress = Callable[[str, int, int], None]  # is told what is done, how much of it, and of how much


@dataclass
class ExportConfig:
    """`frames`: at most so many are exported. `confidence`, `edges`: which pixels count, as for a `Reconstruction`.

    `pictures`: how pictures are written that cannot be copied as they are, such as those of videos.
    `voxel_m`: of a mesh, see `MeshConfig`.
    """

    frames: int = 200
    confidence: float = 1.5
    edges: float | None = EDGES
    pictures: str = "jpg"
    voxel_m: float | None = None
    tracks: TrackConfig = field(default_factory=TrackConfig)

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"at most {self.frames} frames would be none; give 1 or more")
        if self.pictures not in PICTURES:
            raise ValueError(f"pictures are written as {' or '.join(PICTURES)}, not as {self.pictures!r}")
