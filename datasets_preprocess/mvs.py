"""Depth where a download has none: COLMAP's stereo, or our own sweep, from pictures and cameras that are converted."""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from cut3r.data.layout import write_json
from cut3r.data.pilot_points import pilot_points
from cut3r.data.stereo import stereo_depth
from cut3r.data.stereo_views import Sparse, choose_helpers
from cut3r.io.colmap import model_file, read_images
from cut3r.io.colmap_dense import read_dense_map
from cut3r.io.colmap_points import read_points3d
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image
from cut3r.io.sky import find_sky
from datasets_preprocess.colmap_stereo import colmap_depth_maps
from datasets_preprocess.computed_depth import SCRATCH, ComputedDepth
from datasets_preprocess.depth_options import DepthOptions, Sky
from datasets_preprocess.writer import Writer

logger = logging.getLogger(__name__)

SKIES = "sky.json"  # which masks are ours
TELL_S = 300  # seconds between lines about the progress of a scene
LEAST_KNOWN = 0.05  # the share of a picture's pixels below which its depth is not worth having


@dataclass(frozen=True)
class Model:
    """A sparse model of COLMAP, and where its images lie.

    Attributes:
        names: Of its images, by frame.
    """

    folder: Path
    photos: Path
    names: Mapping[str, str]

    @property
    def has_points(self) -> bool:
        points = model_file(self.folder, "points3D")
        return points is not None and len(read_points3d(points).ids) > 0


def fill_depth(folder: str, frames: Sequence[str], writer: Writer, options: DepthOptions, model: Model | None) -> int:
    """Compute the depth of frames that have none, and write it; say how many have got some.

    Pictures and cameras are those that are written. An interrupted run goes on where it was; depth that was computed
    otherwise, or from other pictures or cameras, is computed again.

    Args:
        folder: The scene of the layout.
    """
    work = ComputedDepth(folder, list(frames), writer, options.stereo)
    work.forget_outdated()
    missing = [frame for frame in frames if not work.path("depth", frame).is_file()]
    if not (options.computes and missing) or len(frames) < 2:
        return 0
    logger.info("%s: computing the depth of %d of %d pictures (%s)", folder, len(missing), len(frames), options.stereo)
    has_points = model is not None and model.has_points
    if options.by_colmap and not has_points:
        logger.warning("%s has no model with points, which COLMAP's stereo needs, so it is swept", folder)
    maps = _by_colmap if options.by_colmap and has_points else _by_sweep
    filled, start, told = 0, time.monotonic(), time.monotonic()
    for count, (frame, depth) in enumerate(maps(work, missing, model), start=1):
        if (depth > 0).mean() >= LEAST_KNOWN:
            work.keep(frame, depth)
            filled += 1
        if time.monotonic() - told > TELL_S:
            told = time.monotonic()
            logger.info("%s: %d of %d, %.1f s each", folder, count, len(missing), (told - start) / count)
    work.finish()
    return filled


def fill_sky(folder: str, frames: Sequence[str], writer: Writer, options: DepthOptions) -> None:
    """Write masks of the sky for frames that have none, if that is wanted; those of an earlier run go."""
    listed = writer.out / SCRATCH / folder / SKIES
    for frame in json.loads(listed.read_text()) if listed.is_file() else []:
        writer.path("sky", folder, frame).unlink(missing_ok=True)
    listed.unlink(missing_ok=True)
    if options.sky is Sky.off:
        return
    missing = [frame for frame in frames if not writer.path("sky", folder, frame).is_file()]
    write_json(listed, missing)
    for frame in missing:
        path = writer.path("depth", folder, frame)
        mask = find_sky(read_image(writer.path("rgb", folder, frame)), read_depth(path) if path.is_file() else None)
        writer.image("sky", folder, frame, np.repeat(np.where(mask, 255, 0).astype(np.uint8)[..., None], 3, axis=-1))


def _by_colmap(work: ComputedDepth, missing: list[str], model: Model | None) -> Iterator[tuple[str, np.ndarray]]:
    assert model is not None
    workspace = work.scratch / f"colmap-{work.key}"
    names = {frame: model.names[frame] for frame in missing if frame in model.names}
    maps = colmap_depth_maps(model.photos, model.folder, list(model.names.values()), workspace)
    for frame, name in names.items():
        if name in maps:
            depth = read_dense_map(maps[name])
            yield frame, np.where(np.isfinite(depth), np.maximum(depth, 0), 0).astype(np.float32)


def _by_sweep(work: ComputedDepth, missing: list[str], model: Model | None) -> Iterator[tuple[str, np.ndarray]]:
    poses = np.stack([work.camera(frame)[1].astype(np.float64) for frame in work.frames])
    if model is not None and model.has_points:
        helpers = choose_helpers(*_points_of(model, work.frames, poses))
    else:
        helpers = choose_helpers(poses, pilot_points(work.view, poses))
    own = {*missing, *work.ours()}  # what is ours has lost what was not confirmed, and would confirm less
    known = {
        number: partial(read_depth, path)
        for number, frame in enumerate(work.frames)
        if frame not in own and (path := work.path("depth", frame)).is_file()
    }
    wanted = [work.frames.index(frame) for frame in missing]
    for number, depth in stereo_depth(work.view, helpers, wanted, work.scratch / f"sweep-{work.key}", known):
        yield work.frames[number], depth


def _points_of(model: Model, frames: Sequence[str], poses: np.ndarray) -> tuple[np.ndarray, Sparse]:
    """The model's own poses of the frames, because its world may be another one, and its points with who sees them."""
    points_file, images_file = model_file(model.folder, "points3D"), model_file(model.folder, "images")
    assert points_file is not None and images_file is not None
    points = read_points3d(points_file)
    images = {image.name: image for image in read_images(images_file)}
    owners = np.repeat(np.arange(len(points.ids)), np.diff(points.starts))
    order = np.argsort(points.images, kind="stable")
    viewers, owners, poses = points.images[order], owners[order], poses.copy()
    seen = []
    for place, frame in enumerate(frames):
        image = images.get(model.names.get(frame, ""))
        if image is None:
            seen.append(np.empty(0, np.int64))
            continue
        poses[place] = image.world_from_cam
        low, high = np.searchsorted(viewers, (image.identity, image.identity + 1))
        seen.append(np.unique(owners[low:high]))
    return poses, Sparse(points.world, seen)
