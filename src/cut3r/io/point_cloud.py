"""The point cloud that all point file formats read and write."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32, UInt8


@dataclass(frozen=True)
class PointCloud:
    """Coloured points in the world frame, metres. `frame` is the number of the frame that a point comes from."""

    points: Float32[np.ndarray, "p 3"]
    colors: UInt8[np.ndarray, "p 3"]  # sRGB
    confidence: Float32[np.ndarray, "p"] | None = None
    frame: Int32[np.ndarray, "p"] | None = None

    def __post_init__(self) -> None:
        for name in ("colors", "confidence", "frame"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.points):
                raise ValueError(f"a cloud of {len(self.points)} points has {len(values)} {name}; give one per point")

    def __len__(self) -> int:
        return len(self.points)
