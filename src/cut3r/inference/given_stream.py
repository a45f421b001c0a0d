"""Where a stream stands, after what frames bring along has taken the place of what the network says: see `given`."""

import logging
from dataclasses import replace

import torch
from jaxtyping import Float64
from torch import Tensor

from cut3r.geometry.poses import invert
from cut3r.inference.given import ENOUGH, GivenConfig, contradicts_itself, first_camera, follow, rescaled, with_view
from cut3r.inference.known_distance import KnownDistance
from cut3r.inference.result import FrameResult
from cut3r.inference.snapshot import Snapshot, in_its_place, moved
from cut3r.io.frame import Frame

logger = logging.getLogger(__name__)


def with_given(now: Snapshot, result: FrameResult, config: GivenConfig) -> tuple[Snapshot, FrameResult]:
    """Take in a frame as the network says it; gives it with what it brings along."""
    brings = result.frame.world_from_cam is not None or result.frame.depth is not None
    if not (brings or now.given.says_something or isinstance(config.scale_from, KnownDistance)):
        return now, result
    now = in_its_place(now, result)
    given, step, result = follow(config, now.given, result, now.course.places)
    given = with_view(given, result, now.course) if config.condition else given
    now = replace(now, given=given)
    now = now if step is None else moved(now, step)
    return now, replace(result, world_from_chunk=now.world_from_chunk)


def scaled_in_the_end(now: Snapshot, config: GivenConfig) -> Snapshot:
    """Scale the world by what all frames said; warns if that contradicts itself, or a frame never came."""
    if now.chunk in now.course.places.world_from_chunk:
        given, step = rescaled(config, now.given, now.course.places, tolerance=0.0)
        now = replace(now, given=given)
        now = now if step is None else moved(now, step)
    _warn(now, config)
    return now


def given_camera(now: Snapshot, frame: Frame) -> tuple[Float64[Tensor, "4 4"], Float64[Tensor, "3 3"]] | None:
    """Where a frame's camera stands, seen from the first view of the state, and its intrinsics in pixels of the
    original; None for that first view, and where a camera is not known."""
    first = first_camera(now.given, now.chunk, now.course)
    if frame.world_from_cam is None or frame.intrinsics is None or first is None:
        return None
    pose = invert(first) @ torch.as_tensor(frame.world_from_cam).double()
    return pose, torch.as_tensor(frame.intrinsics).double()


def _warn(now: Snapshot, config: GivenConfig) -> None:
    distance, ends, votes = config.scale_from, now.given.ends, now.given.votes
    if votes.seen >= ENOUGH and contradicts_itself(config, now.given):
        logger.warning(
            "the distances between given cameras, over those of the network, contradict each other (half of them "
            "differ by more than a factor of %.1f), so they do not say how large the points are, which keep the "
            "network's metres; depth maps may help (--depth with --scale-from depth)",
            votes.spread(),
        )
    if isinstance(distance, KnownDistance) and None in ends:
        missing = distance.first if ends[0] is None else distance.second
        logger.warning("no frame was called %s, so the known distance gave no scale", missing)
