"""Refine cameras and depth together: what the original's optimiser minimises, by steps in closed form.

A sweep (`dense_sweep`) gives every pair the similarity that brings it closest to the world's points (`pair_step`), then
every pixel the weighted mean of all that pairs say of it, then every camera the step that brings its rays closest to
these means (`camera_step`). Weights make distances of squares. Linear in pairs. It mends what is wrong locally; a walk
that bends as a whole is the pose graph's affair, with whose result it begins. Source: spec/global_alignment.md 6.3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from cut3r.alignment.camera_step import Held
from cut3r.alignment.dense_scene import DenseScene, mask_of
from cut3r.alignment.dense_sweep import Sweeps
from cut3r.alignment.samples import PIXELS, Samples

ENOUGH = 1e-3  # of the loss: a sweep that lowers it by less is the last; more of them bend the walk again


@dataclass
class DenseConfig:
    """How cameras and depth are refined."""

    sweeps: int = 15  # at most
    pixels: int = PIXELS  # of each frame that take part, about
    with_scale: bool = True  # pairs have scales of their own; otherwise what the network says is metric
    shared_focal: bool = False
    world_scale: float = 1.0  # geometric mean of the pairs' scales. Parity: 0.5
    chunk: int = 32  # pairs at a time

    def __post_init__(self) -> None:
        if self.sweeps < 0 or self.pixels < 1 or self.chunk < 1 or not self.world_scale > 0:
            raise ValueError(
                f"{self.sweeps} sweeps over {self.pixels} pixels and chunks of {self.chunk} pairs, in a world of scale "
                f"{self.world_scale}, make no sense; expected are 0 sweeps or more, and positive numbers otherwise"
            )


@dataclass(frozen=True)
class Refined:
    """The result; `losses` before each sweep and after the last, `residuals` the median distance per pair, metres.

    The scene is the one with the least loss, which is nearly always the last.
    """

    scene: DenseScene
    losses: list[float]
    residuals: Float[Tensor, "e"]


def refine(
    samples: Samples,
    start: DenseScene,
    config: DenseConfig | None = None,
    *,
    groups: Sequence[Sequence[int]] | None = None,
    known_poses: Sequence[int] = (),
    known_focals: Sequence[int] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> Refined:
    """Find the cameras and depths whose points are closest to what the pairs say.

    Args:
        groups: Frames that pairs hold together; all by default. Each has a scale of its own, and its first camera at
            the origin, unless cameras of it are known.
        known_poses: Frames whose cameras stay where `start` has them.
        known_focals: Frames whose intrinsics stay so.
        on_progress: Called with the sweeps done and all of them.
    """
    config = config or DenseConfig()
    groups = groups or [list(range(samples.frames))]
    held = Held(mask_of(samples.frames, known_poses), mask_of(samples.frames, known_focals), config.shared_focal)
    run = Sweeps(
        samples,
        held,
        groups,
        start,
        with_scale=config.with_scale,
        world_scale=config.world_scale,
        chunk=config.chunk,
    )
    scene = best = run.at_scale(start)
    losses: list[float] = []
    for sweep in range(config.sweeps):
        swept, loss = run.sweep(scene)
        best = scene if loss <= min(losses, default=loss) else best
        arrived = bool(losses) and loss > (1 - ENOUGH) * losses[-1]
        losses.append(loss)
        scene = swept
        if on_progress is not None:
            on_progress(config.sweeps if arrived else sweep + 1, config.sweeps)
        if arrived:
            break
    loss, residuals = run.measure(scene)
    if loss > min(losses, default=loss):
        scene = best
        loss, residuals = run.measure(scene)
    return Refined(run.at_origin(scene), [*losses, loss], residuals)
