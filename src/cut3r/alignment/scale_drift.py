"""How the unit of length changes along a video: what is one metre for the first frames may be less for the last."""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cut3r.alignment.links import Links
from cut3r.geometry.registration import Similarity

FAR = 25  # frames: pairs farther apart say something of the drift


def scale_drift(links: Links, kept: Bool[Tensor, "e"], world_from_frame: Similarity) -> dict[str, Any]:
    """What a report says of it; scales as natural logarithms.

    `log_scale_per_100_frames`: the slope of the frames' scales in the solution against time. `log_scale_range`: the
    largest less the smallest. `loops`: of each pair of frames far apart the scale that its points say, less what one
    gets by walking from neighbour to neighbour (null where neighbours are not paired): the drift that the pair stopped.
    """
    log_scale = world_from_frame.scale.log()
    time = torch.arange(len(log_scale)).double()
    time = (time - time.mean()) / 100
    slope = (time * log_scale).sum() / time.square().sum().clamp_min(1e-12)
    i, j = links.ends.unbind(dim=1)
    far = links.only(kept & (j - i > FAR))
    walked = _walked(links.only(j - i == 1), len(log_scale))
    measured = far.fit().scale.log() if len(far) else torch.zeros(0).double()
    rows = zip(far.pairs(), (measured - walked[far.ends[:, 1]] + walked[far.ends[:, 0]]).tolist(), strict=True)
    return {
        "log_scale_per_100_frames": float(slope),
        "log_scale_range": float(log_scale.max() - log_scale.min()),
        "loops": [
            {"first": first, "second": second, "log_scale": value if math.isfinite(value) else None}
            for (first, second), value in rows
        ],
    }


def _walked(neighbours: Links, frames: int) -> Float[Tensor, "n"]:
    """The logarithm of each frame's scale by the pairs (k, k + 1) alone; nan from where one is missing."""
    steps = torch.full((frames,), torch.nan, dtype=torch.float64)
    steps[0] = 0.0
    if len(neighbours):
        steps[neighbours.ends[:, 1]] = neighbours.fit().scale.log()
    return steps.cumsum(dim=0)
