"""The original's optimiser: Adam over everything at once. Quadratic in frames, so for a few dozen of them.

Parity: the rate falls in a straight line and Adam moves a number by about its rate at most, so that nothing moves far:
a focal length by 7.5 %, for example (quirk Q41). A start that is far off stays off.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.alignment.objective import WORLD_SCALE, Objective, Scene, Unknowns
from cut3r.alignment.pairs import Pairs
from cut3r.alignment.tree import first_scene
from cut3r.geometry.poses import invert
from cut3r.geometry.registration import Similarity

MOST_FRAMES = 60  # a pair of 512x384 pixels takes 45 MB (spec/global_alignment.md 5.1)


@dataclass
class OriginalConfig:
    """How `align_original` goes down."""

    steps: int = 300
    first_rate: float = 0.01
    last_rate: float = 1e-6
    metric: bool = True  # metres, and the first camera at the origin. Parity: half of it, and anywhere (quirk Q29)

    def __post_init__(self) -> None:
        if self.steps < 0 or not 0 < self.last_rate <= self.first_rate:
            raise ValueError(
                f"{self.steps} steps with rates from {self.first_rate} to {self.last_rate} are no descent; expected "
                "are 0 steps or more, and positive rates that do not rise"
            )


@dataclass(frozen=True)
class Aligned:
    """A scene, that before the first step, and the loss before each step and after the last one."""

    scene: Scene
    start: Scene
    losses: list[float] = field(default_factory=list)


def align_original(
    pairs: Pairs,
    config: OriginalConfig | None = None,
    *,
    start: Scene | Unknowns | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Aligned:
    """Bring pairs into one world as the original does.

    Args:
        start: By default the spanning tree's.
        on_progress: Called with the steps done and all of them.

    Raises:
        ValueError: Pairs do not hold all frames together.
    """
    config = config or OriginalConfig()
    start = first_scene(pairs) if start is None else start
    unknowns = (start if isinstance(start, Unknowns) else Unknowns.of(start)).leaves()
    objective, losses = Objective(pairs), []
    adam = torch.optim.Adam(unknowns.tensors(), lr=config.first_rate, betas=(0.9, 0.9))
    for step in range(config.steps):
        for group in adam.param_groups:
            group["lr"] = config.first_rate + (config.last_rate - config.first_rate) * step / config.steps
        adam.zero_grad()
        loss = objective(unknowns.scene())
        loss.backward()
        adam.step()
        losses.append(float(loss.detach()))
        if on_progress is not None:
            on_progress(step + 1, config.steps)
    with torch.no_grad():
        scene, first = unknowns.scene(), start.scene() if isinstance(start, Unknowns) else start
        losses.append(float(objective(scene)))
        if config.metric:
            scene, first = _metric(scene), _metric(first)
        return Aligned(scene, first, losses)


def largest_confidence(pairs: Pairs) -> Float[Tensor, "n h w"]:
    """The largest confidence that any pair has for each pixel: that of the scene's points."""
    h, w = pairs.size
    largest = torch.zeros(pairs.frames, h, w)
    for side, conf in ((0, pairs.conf_first), (1, pairs.conf_second)):
        index = pairs.ends[:, side, None, None].expand_as(conf)
        largest = largest.scatter_reduce(0, index, conf, reduce="amax")
    return largest


def _metric(scene: Scene) -> Scene:
    """Undo the world's scale, and put its origin into the first camera."""
    first_from_world = invert(scene.world_from_cam[0])
    rotation, translation = first_from_world[:3, :3], first_from_world[:3, 3]
    return scene.moved(Similarity(rotation, translation / WORLD_SCALE, torch.tensor(1 / WORLD_SCALE)))
