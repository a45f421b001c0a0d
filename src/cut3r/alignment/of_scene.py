"""Align a `Reconstruction`: its cameras, with the points that it has kept of each frame."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from cut3r.alignment.align_config import AlignConfig, Method
from cut3r.alignment.of_stream import align_stream
from cut3r.alignment.streamed import FEWEST, Streamed
from cut3r.geometry.cameras import camera_rays
from cut3r.geometry.poses import invert, transform
from cut3r.geometry.registration import Similarity
from cut3r.inference.cameras import pixel_map_of
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.view import View
from cut3r.io.frames import FrameStream
from cut3r.run.finished import stand_in
from cut3r.run.known import Known

POINTS = 256  # of each frame say where it is
GRID = 8  # where a frame has no points, so many rays each way of its picture take their place


def align_scene(scene: Reconstruction, config: AlignConfig, known: Known) -> Reconstruction:
    """Align a scene by what is known of its cameras; gives a new one.

    It has no pictures, so nobody can look for loops or details; and one point per voxel, so frames that two chunks have
    in common cannot be compared. Cameras that are not finite are left out.

    Raises:
        ValueError: No camera is finite, what is known does not fit, or depth or masks would be needed.
    """
    if config.method is not Method.graph or known.masks is not None:
        raise ValueError(
            "a Reconstruction keeps no depth maps, so its frames can only be moved (align='graph', no masks); give the "
            "results that it was made of, or the folder of the run"
        )
    views = list(_views(scene))
    frames = FrameStream(map(stand_in, views), "the scene", expected=len(views), skipped=[])
    streamed, usual_m = Streamed(), _usual_depth(views)
    for view, frame in zip(views, known.onto(frames, seen=True), strict=True):
        streamed.add(_sampled(view, usual_m), frame, key=str(view.number))
    aligned = align_stream(streamed, config)
    new = Reconstruction(voxel_size=scene.voxel_size, max_points=scene.max_points, confidence=0.0, edges=None)
    for node, view in enumerate(views):
        moved = replace(
            view,
            intrinsics=aligned.taken.intrinsics.get(node, view.intrinsics),
            chunk_from_cam=aligned.world_from_cam[node],
            points=view.points * aligned.scales[node],
            chunk=0,
            world_from_chunk=None,
        )
        new.add(moved)
    new.confidence = scene.confidence
    return new


def _views(scene: Reconstruction) -> Iterator[View]:
    """Each camera that is finite, with the points of its frame as a picture of one row."""
    cameras, cloud, chunks = scene.cameras, scene.cloud(), scene.chunks
    assert cloud.frame is not None and cloud.confidence is not None
    order = np.argsort(cloud.frame, kind="stable")
    bounds = np.searchsorted(cloud.frame[order], np.arange(len(cameras) + 1))
    first = next(iter(chunks), 0)
    for number in np.flatnonzero(cameras.finite).tolist():
        mine = order[bounds[number] : bounds[number + 1]]
        pose, intrinsics = (torch.tensor(each[number]) for each in (cameras.world_from_cam, cameras.intrinsics))
        chunk = int(cameras.chunks[number])
        in_world = chunk != first and not torch.equal(chunks[chunk].matrix(), torch.eye(4).double())
        yield View(
            cameras.names[number],
            number,
            cloud.colors[mine][None],
            intrinsics,
            pixel_map_of(cameras, number),
            pose,
            transform(invert(pose), torch.from_numpy(cloud.points[mine]))[None],
            torch.from_numpy(cloud.confidence[mine])[None],
            torch.ones(1, len(mine), dtype=torch.bool),
            chunk,
            Similarity.identity() if in_world else None,
            index=int(cameras.indices[number]),
            time_s=None if np.isnan(cameras.time_s[number]) else float(cameras.time_s[number]),
        )


def _sampled(view: View, usual_m: float) -> View:
    """The same with as many points as any other; where there are too few, rays of its picture as long as is usual."""
    points, confidence = view.points[0], view.confidence[0]
    if len(points) < FEWEST:
        rays = camera_rays(view.intrinsics, view.pixel_map.image_size)
        h, w = view.pixel_map.image_size
        rows, columns = torch.linspace(0, h - 1, GRID).long(), torch.linspace(0, w - 1, GRID).long()
        points = usual_m * rays[rows][:, columns].reshape(-1, 3)
        confidence = torch.full((len(points),), 2.0)
    chosen = torch.linspace(0, len(points) - 1, POINTS).long()
    return replace(
        view,
        image=np.zeros((1, POINTS, 3), np.uint8),
        points=points[chosen][None],
        confidence=confidence[chosen][None],
        valid=torch.ones(1, POINTS, dtype=torch.bool),
    )


def _usual_depth(views: list[View]) -> float:
    depths = [view.points[..., 2].flatten() for view in views]
    depth = torch.cat(depths) if depths else torch.zeros(0)
    return float(depth[depth > 0].median()) if bool((depth > 0).any()) else 1.0
