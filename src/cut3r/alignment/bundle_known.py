"""Poses that are known with some error, as a bundle adjustment takes them: each pulls its camera towards itself."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from cut3r.alignment.gauge import fix_a_scale
from cut3r.alignment.result import Alignment


@dataclass(frozen=True)
class PosePulls:
    """world_from_cam of some frames by number, in the alignment's world, and by how much they may be off.

    `sigma`: metres of that world, radians.
    """

    poses: dict[int, Float[np.ndarray, "4 4"]]
    sigma: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def of(cls, aligned: Alignment, groups: list[list[int]], sigma: tuple[float, float] | None) -> "PosePulls":
        """What is known of these frames; none without sigma, or where a group's poses do not say how large it is:
        these stay, as in the pose graph."""
        if sigma is None:
            return cls({})
        known, scale = aligned.taken.world_from_cam, float(aligned.report.get("world_scaled_by", 1.0))
        poses: dict[int, np.ndarray] = {}
        for group in groups:
            here = {k: known[k] for k in group if k in known}
            if fix_a_scale(list(here.values())):
                poses |= {k: pose.double().numpy().copy() for k, pose in here.items()}
        for pose in poses.values():
            pose[:3, 3] *= scale  # a known distance has made the world larger, and the known poses with it
        return cls(poses, (scale * sigma[0], sigma[1]))
