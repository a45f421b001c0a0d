"""The point cloud that all point file formats read and write."""

import logging
import os
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32, UInt8

logger = logging.getLogger(__name__)


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


def without_non_finite(cloud: PointCloud, path: str | os.PathLike[str]) -> PointCloud:
    """Drop the points whose position or confidence is not finite, which few readers understand.

    Args:
        path: Of the file to be written, for the warning that counts them.
    """
    finite = np.isfinite(cloud.points).all(axis=1)
    if cloud.confidence is not None:
        finite &= np.isfinite(cloud.confidence)
    if finite.all():
        return cloud
    logger.warning("%d of %d points are not finite and were left out of %s", (~finite).sum(), len(finite), path)
    return PointCloud(
        cloud.points[finite],
        cloud.colors[finite],
        None if cloud.confidence is None else cloud.confidence[finite],
        None if cloud.frame is None else cloud.frame[finite],
    )
