"""Loops during a run: at the end of each chunk, is this a place that an earlier chunk has seen?

Candidates are alike in their tokens. Each is looked at by a short extra stream: some frames around one end, then some
around the other, and the same the other way around. Its points are fitted to both chunks; that gives the way from one
to the other. What does not fit is refused; what fits becomes an edge of a pose graph over chunks, beside the joints,
whose robust solve refuses what all others contradict. Source: spec/long_sequences.md 7.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from cut3r.alignment.links import POINTS, Links
from cut3r.alignment.loops import LoopConfig, disagreement
from cut3r.alignment.pose_graph import GraphConfig, solve_pose_graph
from cut3r.alignment.revisits import Revisit, revisits
from cut3r.alignment.streamed import SLACK
from cut3r.geometry.registration import Similarity
from cut3r.inference.joints import Joint, JointKind, Sight, join
from cut3r.inference.places import SPACING, Anchor, ClosedLoop, Look, Places

logger = logging.getLogger(__name__)

AROUND = 2  # anchors on each side of an end that are looked at with it
APART = 2  # chunks: neighbours have a joint already
PER_CHUNK = 3  # candidates that are looked at
WORSE, LEAST = 2.0, 0.04  # a fit may leave so much of the joints' median residual, and at least this share of the depth
AGREE, CLOSE = 0.25, 0.10  # so many of the points must be as near as this share of the depth
MOVED = 1e-9  # a chunk that moves less has not moved


@dataclass(frozen=True)
class StreamLoops:
    """A `LoopCloser`: see the module."""

    config: LoopConfig = field(default_factory=LoopConfig)

    def close(self, places: Places, joints: Sequence[Joint], look: Look) -> Places:
        found = [self._measured(places.anchors, each, joints, look) for each in self._candidates(places)]
        newest = places.anchors[-1].number + 1 if places.anchors else 0
        places = replace(places, loops=(*places.loops, *found), searched=newest)
        if all(loop.refused for loop in found):
            return places
        return _solved(places, joints)

    def _candidates(self, places: Places) -> list[Revisit]:
        """Pairs of anchors, by their place in the list, of which the later one is new."""
        anchors = places.anchors
        since = sum(anchor.number < places.searched for anchor in anchors)
        if len(anchors) < 2 * AROUND or since == len(anchors):
            return []
        config = replace(self.config.revisits, apart=max(1, self.config.revisits.apart // SPACING))
        found = revisits(torch.stack([anchor.said for anchor in anchors]), config, since=since)
        new = [each for each in found if anchors[each.second].chunk - anchors[each.first].chunk >= APART]
        return new[:PER_CHUNK]

    def _measured(self, anchors: Sequence[Anchor], each: Revisit, joints: Sequence[Joint], look: Look) -> ClosedLoop:
        first, second = _around(anchors, each.first), _around(anchors, each.second)
        there, worst, reason = _way(first, second, look(first + second), joints)
        back, other, reason_back = _way(second, first, look(second + first), joints)
        if not (reason := reason or reason_back):
            cycle = Similarity.from_matrix(there.matrix() @ back.matrix())
            reason = disagreement(cycle, _depth(first), self.config)
        ends = (anchors[each.first], anchors[each.second])
        chunks = (ends[0].chunk, ends[1].chunk)
        worst = max(worst, other)
        loop = ClosedLoop(ends[0].number, ends[1].number, chunks, each.similarity, there, worst, reason)
        said = f"refused: {reason}" if reason else f"a loop, points {100 * loop.residual_m:.1f} cm off"
        logger.info("frames %d and %d may show the same place: %s", loop.first, loop.second, said)
        return loop


def _around(anchors: Sequence[Anchor], at: int) -> list[Anchor]:
    """An anchor with those of its chunk on both sides, as far as each is a neighbour of the next."""
    first = last = at
    while first > max(0, at - AROUND) and _are_near(anchors[first - 1], anchors[first]):
        first -= 1
    while last < min(len(anchors) - 1, at + AROUND) and _are_near(anchors[last], anchors[last + 1]):
        last += 1
    return list(anchors[first : last + 1])


def _are_near(before: Anchor, after: Anchor) -> bool:
    return before.chunk == after.chunk and after.order - before.order == 1


def _way(
    first: Sequence[Anchor], second: Sequence[Anchor], seen: Sequence[Sight], joints: Sequence[Joint]
) -> tuple[Similarity, float, str]:
    """The chunk of `first` from that of `second`, the larger residual in metres, and why not to believe it."""
    fits, worst = [], 0.0
    for group, sights in ((first, seen[: len(first)]), (second, seen[len(first) :])):
        known = [anchor.sight for anchor in group]
        fit, residual, depth = join(known, sights, JointKind.auto)
        fits.append(fit)
        usual = torch.tensor([joint.residual_m for joint in joints]).nanmedian() if joints else torch.tensor(math.nan)
        limit = max(LEAST * depth if not math.isnan(depth) else 0.0, WORSE * float(usual.nan_to_num()))
        worst = max(worst, residual)
        if not residual <= limit:
            return (
                fits[0],
                residual,
                f"its points are {100 * residual:.1f} cm off, where joints leave {100 * limit:.1f}",
            )
        if (agree := _agreement(known, sights, fit, CLOSE * depth)) < AGREE:
            return fits[0], residual, f"only {100 * agree:.0f} % of the points agree"
    return Similarity.from_matrix(fits[0].matrix() @ fits[1].inverse().matrix()), worst, ""


def _agreement(known: Sequence[Sight], seen: Sequence[Sight], fit: Similarity, close: float) -> float:
    """The share of points that are where the fit says."""
    old, new = (torch.cat([sight.points for sight in sights]).double() for sights in (known, seen))
    counts = torch.cat([sight.confidence for sight in known]) > 0
    near = (fit.apply(new) - old).norm(dim=-1) < close
    return float(near[counts].double().mean()) if bool(counts.any()) else 0.0


def _depth(anchors: Sequence[Anchor]) -> float:
    distances = [(a.sight.points - a.sight.chunk_from_cam[:3, 3]).norm(dim=-1)[a.sight.confidence > 0] for a in anchors]
    return float(torch.cat(distances).median().clamp_min(1e-9))


def _solved(places: Places, joints: Sequence[Joint]) -> Places:
    """Put all chunks where joints and loops say, and refuse the loops that the others contradict."""
    numbers = sorted(places.world_from_chunk)
    at = {number: k for k, number in enumerate(numbers)}
    before = torch.stack([places.world_from_chunk[number].matrix() for number in numbers])
    tied = [joint for joint in joints if joint.frames and {joint.chunk - 1, joint.chunk} <= at.keys()]
    open_loops = [loop for loop in places.loops if not loop.refused]
    edges = [(at[joint.chunk - 1], at[joint.chunk], joint.place) for joint in tied]
    edges += [(at[loop.chunks[0]], at[loop.chunks[1]], loop.place) for loop in open_loops]
    graph = solve_pose_graph(
        len(numbers),
        _links(edges, [_points_of(places, number) for number in numbers]),
        GraphConfig(slack=SLACK),
        start=Similarity.from_matrix(before),
    )
    solved = graph.world_from_frame.matrix()
    for group in graph.groups:  # the first chunk of each stays where it is, with its unit of length
        solved[group] = before[group[0]] @ torch.linalg.inv(solved[group[0]]) @ solved[group]
    kept = graph.kept[len(tied) :].tolist()
    errors = graph.residuals[len(tied) :].tolist()
    said = iter(zip(kept, errors, strict=True))
    loops = tuple(loop if loop.refused else _judged(loop, *next(said)) for loop in places.loops)
    if [loop.refused for loop in loops] != [loop.refused for loop in places.loops]:
        return (
            _solved(replace(places, loops=loops), joints)
            if any(not loop.refused for loop in loops)
            else replace(places, loops=loops)
        )
    placed = {number: Similarity.from_matrix(solved[k]) for number, k in at.items()}
    moved = {n: place for n, place in placed.items() if float((solved[at[n]] - before[at[n]]).abs().max()) > MOVED}
    logger.info("%d loops put %d of %d chunks elsewhere", len(open_loops), len(moved), len(numbers))
    return replace(places, loops=loops, world_from_chunk=placed, changed=places.changed | moved)


def _judged(loop: ClosedLoop, kept: bool, error: float) -> ClosedLoop:
    if kept:
        return loop
    return replace(loop, refused=f"all other chunks say otherwise: its points are {error:.2g} m off")


def _links(edges: Sequence[tuple[int, int, Similarity]], points: Sequence[Tensor]) -> Links:
    """Joints and loops as points of the second chunk, in its frame and in that of the first."""
    source = torch.stack([points[second] for _, second, _ in edges])
    target = torch.stack([place.apply(some) for (*_, place), some in zip(edges, source, strict=True)])
    ends = torch.tensor([(first, second) for first, second, _ in edges])
    return Links(ends, source, target, torch.ones(source.shape[:2], dtype=torch.float64))


def _points_of(places: Places, chunk: int) -> Tensor:
    """Points that a chunk has seen, in its frame; around its origin where no anchor is left of it."""
    seen = [anchor.sight.points[anchor.sight.confidence > 0] for anchor in places.anchors if anchor.chunk == chunk]
    points = torch.cat(seen).double() if seen else torch.zeros(0, 3).double()
    generator = torch.Generator().manual_seed(chunk)
    if len(points) < POINTS:
        return torch.randn(POINTS, 3, generator=generator, dtype=torch.float64)
    return points[torch.randperm(len(points), generator=generator)[:POINTS]]
