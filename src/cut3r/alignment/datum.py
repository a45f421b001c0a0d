"""Where the world of a finished alignment is, and how large: from a known distance, or from known camera centres."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.geometry.registration import ScaleEstimator, Similarity, register_robust
from cut3r.inference.known_distance import KnownDistance
from cut3r.io.frame import Frame

FEWEST_CENTRES = 3
ON_A_LINE = 1e-3  # the second largest spread of camera centres as a share of the largest: less is a line
FAR_OFF = 0.1  # of the spread of the centres: one that is farther from where the scene puts it has no say


def scaled(
    distance: KnownDistance,
    frames: Sequence[Frame],
    world_from_cam: Float[Tensor, "n 4 4"],
    groups: list[list[int]],
) -> Similarity:
    """What makes the world as large as it must be, with the origin where it is.

    Raises:
        ValueError: No such frames; or the scene does not say how far they are from each other.
    """
    i, j = (number_of(name, frames) for name in (distance.first, distance.second))
    ends = f"{distance.first} and {distance.second}"
    if not any(i in group and j in group for group in groups):
        raise ValueError(f"no pairs connect {ends}, so their distance gives no scale")
    found = float((world_from_cam[i] - world_from_cam[j])[:3, 3].norm())
    if not found > 0:
        raise ValueError(f"{ends} are at the same place, so their distance gives no scale")
    return scaled_by(distance.metres / found)


def scaled_by(factor: float) -> Similarity:
    """What makes the world so much larger, with the origin where it is."""
    one = Similarity.identity()
    return Similarity(one.rotation, one.translation, one.scale * factor)


def number_of(name: str, frames: Sequence[Frame]) -> int:
    """The place of a frame by its name, with or without suffix; by its index in the source otherwise.

    Raises:
        ValueError: There is none, or several.
    """
    names = [frame.name for frame in frames]
    for known in (names, [PurePosixPath(other).stem for other in names], [str(frame.index) for frame in frames]):
        if (count := known.count(name)) == 1:
            return known.index(name)
        if count > 1:
            raise ValueError(f"{count} frames are called {name}; give the name with its suffix")
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    raise ValueError(f"no frame of the {len(names)} is called {name}; they are called {shown}")


def onto_centres(
    world_from_cam: Float[Tensor, "n 4 4"], known: dict[int, Float[Tensor, "4 4"]], groups: list[list[int]]
) -> Similarity:
    """The similarity that brings the scene onto known camera centres; what turns the known cameras does not matter.

    Raises:
        ValueError: Too few centres, on one line, or of frames that no pairs connect.
    """
    if not any(set(known) <= set(group) for group in groups):
        raise ValueError("no pairs connect the frames of the known poses, so they give no single scale")
    if len(known) < FEWEST_CENTRES:
        raise ValueError(
            f"{len(known)} known camera centres do not say where the scene is; give {FEWEST_CENTRES} or more, not on "
            "one line, or let the poses themselves count"
        )
    source = world_from_cam[list(known), :3, 3].double()
    target = torch.stack(list(known.values()))[:, :3, 3].double()
    for name, centres in (("known", target), ("found", source)):
        spreads = torch.linalg.svdvals(centres - centres.mean(dim=0))
        if not spreads[1] > ON_A_LINE * spreads[0]:
            raise ValueError(
                f"the {name} camera centres are on one line or at one place, which leaves the scene free to turn about "
                "it; let the poses themselves count, or give a distance"
            )
    spread = float((target - target.mean(dim=0)).norm(dim=-1).mean())
    fit, _ = register_robust(
        source, target, with_scale=True, estimator=ScaleEstimator.symmetric, huber_width=FAR_OFF * spread
    )
    return fit
