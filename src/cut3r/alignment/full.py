"""After the pose graph: cameras and depth refined on a grid of pixels, full depth maps merged, and cleaned."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cut3r.alignment.camera_step import Cameras
from cut3r.alignment.cleaning import clean, partners
from cut3r.alignment.dense import DenseConfig, Refined, refine
from cut3r.alignment.dense_scene import first_dense_scene
from cut3r.alignment.merge import merge
from cut3r.alignment.pairs import Predictions
from cut3r.alignment.samples import Grid, Samples
from cut3r.geometry.registration import Similarity

OnProgress = Callable[[str, int, int], None]  # the stage, and how much of it is done


@dataclass(frozen=True)
class Full:
    """Cameras, depth maps (metres along the optical axis; 0 or less where there is none) and their confidences.

    `kept` excludes points without confidence and those that cleaning took, of which there were `cleaned`. `pairs` are
    the rows of the predictions that were used, to which the residuals of `refined` belong.
    """

    cameras: Cameras
    depth: Float[Tensor, "n h w"]
    confidence: Float[Tensor, "n h w"]
    kept: Bool[Tensor, "n h w"]
    cleaned: int
    pairs: Int[Tensor, "k"]
    refined: Refined


def refine_fully(
    predictions: Predictions,
    pairs: Int[Tensor, "k"],
    world_from_frame: Similarity,
    intrinsics: Float[Tensor, "n 3 3"],
    config: DenseConfig | None = None,
    *,
    groups: Sequence[Sequence[int]],
    known_poses: Sequence[int] = (),
    known_focals: Sequence[int] = (),
    on_progress: OnProgress | None = None,
) -> Full:
    """Go on where the pose graph ended.

    A pair that has fewer than three points of weight on the grid is left out.

    Args:
        pairs: The rows of the predictions that are believed.
        world_from_frame: The pose graph's, whose scales are those of what each frame sees alone.
        groups: As in `refine`.
        known_poses: As in `refine`.
        known_focals: As in `refine`.
    """
    config = config or DenseConfig()
    tell = on_progress or (lambda *_: None)
    grid = Grid.about(predictions.size, config.pixels)
    samples = Samples.of(predictions, grid, pairs)
    placeable = samples.with_weight()
    if not bool(placeable.all()):
        pairs = pairs[placeable]
        samples = Samples.of(predictions, grid, pairs)
    refined = refine(
        samples,
        first_dense_scene(samples, world_from_frame, intrinsics),
        config,
        groups=groups,
        known_poses=known_poses,
        known_focals=known_focals,
        on_progress=partial(tell, "refining cameras and depth"),
    )
    del samples  # as much memory as the maps of a hundred frames
    scene, n = refined.scene, predictions.frames
    depth = torch.empty(n, *predictions.size)
    confidence = torch.empty_like(predictions.conf_self)
    merging = merge(predictions, scene.cameras, pairs, scene.world_from_pair, world_from_frame.scale)
    for number, (depth[number], confidence[number]) in enumerate(merging):
        tell("merging depth", number + 1, n)
    kept = clean(
        depth,
        confidence,
        scene.cameras.world_from_cam.float(),
        scene.cameras.intrinsics.float(),
        neighbours=partners(n, predictions.ends[pairs]),
        on_progress=partial(tell, "cleaning"),
    )
    cleaned = int(((confidence > 0) & (kept == 0)).sum())
    return Full(scene.cameras, depth, confidence, kept > 0, cleaned, pairs, refined)
