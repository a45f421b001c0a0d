"""Frames in, one consistent scene out: predictions of many short streams, brought into one world."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from cut3r.alignment.align_config import ROOM_FOR_LOOPS, AlignConfig, Graph, Loops, Method, OnProgress
from cut3r.alignment.by_full import by_full
from cut3r.alignment.by_graph import by_graph
from cut3r.alignment.by_original import by_original, check_original
from cut3r.alignment.datum import onto_centres, scaled, scaled_by
from cut3r.alignment.given_depth import metres_per_unit
from cut3r.alignment.graphs import Star, pairs_of
from cut3r.alignment.loops import Loop, LoopConfig, after_solving, close_loops, loops_report
from cut3r.alignment.pairs import Predictions
from cut3r.alignment.predict import predict, predict_more
from cut3r.alignment.result import Alignment
from cut3r.alignment.saved import load_alignment, save_alignment
from cut3r.alignment.store import PredictionStore, remove_predictions
from cut3r.alignment.taken import Taken
from cut3r.alignment.tokens import FrameTokens
from cut3r.geometry.registration import Similarity
from cut3r.inference.snapshot import fingerprint
from cut3r.model.network import Cut3r

__all__ = ["AlignConfig", "Alignment", "Graph", "Loops", "Method", "OnProgress", "align"]

logger = logging.getLogger(__name__)

LOOKING = "looking for loops"  # the stage
PREDICTIONS, RESULT, BUNDLED = "predictions", "aligned.npz", "bundled.npz"  # in the folder of an alignment


def align(
    model: Cut3r,
    taken: Taken,
    config: AlignConfig | None = None,
    *,
    folder: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Alignment:
    """Predict pairs of frames and bring them into one world: the first frame's camera, or that of known cameras.

    What is known of a frame stays as it is: its intrinsics, and its pose, unless the configuration says that it may be
    off.

    Args:
        folder: Where predictions lie instead of in memory, and from where an interrupted alignment of the same frames
            goes on: with the frames that are not predicted yet, from the loops that were found, or from the result.

    Raises:
        ValueError: `original` with more frames than fit, or with known cameras; centres or a distance that give no
            scale.
        DiskFullError: The folder's disk has no room for the predictions.
    """
    config = config or AlignConfig()
    original = config.method is Method.original and len(taken) > 1
    if original:
        check_original(taken, config.poses_that_count(taken))
    key = "" if folder is None else _key_of_predictions(model, taken)
    result = None if folder is None else folder / RESULT
    if result is not None and (earlier := load_alignment(result, taken, _key_of_result(key, taken, config))):
        return earlier
    predictions, loops = _predicted(model, taken, config, folder, key, on_progress)
    done = by_original if original else by_full if config.method is Method.full else by_graph
    aligned = in_its_world(done(taken, predictions, config, on_progress), config)
    if loops is not None:
        aligned.report["loops"] = loops_report(after_solving(loops, aligned.report["pairs"]))
    if result is not None:
        save_alignment(result, aligned, _key_of_result(key, taken, config))
    return aligned


def remove_work(folder: Path) -> None:
    """Remove what `align` keeps in a folder for going on; the folder, too, unless something else is in it."""
    remove_predictions(folder / PREDICTIONS)
    for name in (RESULT, BUNDLED):
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _predicted(
    model: Cut3r, taken: Taken, config: AlignConfig, folder: Path | None, key: str, on_progress: OnProgress | None
) -> tuple[Predictions, list[Loop] | None]:
    """What the network says of pairs, and the loops if they are looked for. Tokens of all frames are held only here."""
    n, seeks = len(taken), config.method is not Method.original and config.looks_for_loops(len(taken))
    stars, tokens = config.stars(n), FrameTokens(model, taken.images)
    store = PredictionStore(
        n,
        pairs_of(stars),
        (taken.images.shape[1], taken.images.shape[2]),
        room=int(ROOM_FOR_LOOPS * n) if config.looks_for_loops(n) else 0,
        folder=None if folder is None else folder / PREDICTIONS,
        key=key,
    )
    tell = partial(on_progress, "predicting pairs") if on_progress else None
    predictions = predict(
        model,
        taken.images,
        stars,
        tokens=tokens,
        excluded=~taken.counts,
        store=store,
        depth=taken.depth,
        on_progress=tell,
    )
    if not seeks:
        return predictions, None
    return _close_loops(model, taken, predictions, tokens, config, store, on_progress)


def _close_loops(
    model: Cut3r,
    taken: Taken,
    predictions: Predictions,
    tokens: FrameTokens,
    config: AlignConfig,
    store: PredictionStore,
    on_progress: OnProgress | None,
) -> tuple[Predictions, list[Loop]]:
    limits = LoopConfig()
    key = f"{config.width} {limits!r}"
    if (earlier := store.found_later(key)) is not None:
        logger.info("loops are looked for already")
        return store.predictions(taken.images), [Loop.reported(said) for said in earlier]
    tell = partial(on_progress, LOOKING) if on_progress else None

    def look(stars: Sequence[Star]) -> Predictions:
        excluded = ~taken.counts
        return predict_more(model, predictions, stars, tokens, excluded=excluded, depth=taken.depth, on_progress=tell)

    predictions, loops = close_loops(predictions, tokens.pooled(), look, limits, width=config.width)
    if len(predictions.ends) == len(store.ends):  # all of them had room there
        store.keep_later(key, [loop.report() for loop in loops])
    return predictions, loops


def in_its_world(aligned: Alignment, config: AlignConfig) -> Alignment:
    """Move the finished scene to where known centres, a known distance or known depth put it."""
    if aligned.taken.depth and (config.centres_only or config.distance is not None):
        raise ValueError("known depth is in metres and gives the scale, so a distance or centres of poses have no say")
    groups = aligned.report.get("groups", [list(range(len(aligned.taken)))])
    if config.centres_only:
        world = onto_centres(aligned.world_from_cam, aligned.taken.world_from_cam, groups)
    elif config.distance is not None:
        world = scaled(config.distance, aligned.taken.frames, aligned.world_from_cam, groups)
    elif aligned.taken.depth and not config.poses_that_count(aligned.taken):
        depths = {number: aligned.points_said(number)[..., 2] for number in aligned.taken.depth}
        world = scaled_by(metres_per_unit(aligned.taken.depth, depths))
    else:
        return aligned
    before = Similarity.from_matrix(world.matrix().double() @ aligned.before.matrix().double())
    return replace(
        aligned,
        world_from_cam=world.place(aligned.world_from_cam),
        scales=aligned.scales * world.scale.float(),
        depth=None if aligned.depth is None else aligned.depth * float(world.scale),
        before=replace(before, scale=aligned.before.scale),
        report=aligned.report | {"world_scaled_by": float(world.scale)},
    )


def _key_of_predictions(model: Cut3r, taken: Taken) -> str:
    """Everything that decides what is predicted, beside the pairs."""
    digest = hashlib.sha256(f"{fingerprint(model)} {model.dtype}{sorted(taken.depth) or ''}".encode())
    for tensor in (taken.images, taken.counts, *(taken.depth[number] for number in sorted(taken.depth))):
        digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()


def _key_of_result(predictions: str, taken: Taken, config: AlignConfig) -> str:
    cameras = (taken.intrinsics, taken.world_from_cam)
    known = [sorted((number, value.tolist()) for number, value in some.items()) for some in cameras]
    return hashlib.sha256(f"{predictions} {config!r} {known}".encode()).hexdigest()
