"""Depth of a picture from others whose cameras are known: a plane sweep from coarse to fine.

At the coarsest size each pixel tries inverse depths at steps of a pixel of motion. At finer sizes it tries what its
neighbours have found, and small steps around that; the windows that are compared follow the surface found so far, so
that slanted surfaces fit as well as upright ones. Pictures are compared by the zero-mean normalised cross-correlation
of windows, which brightness and contrast do not change; of the other pictures the better half counts, because
something may stand in the way of the rest.

Sources: Collins 1996 (plane sweep); Kang, Szeliski, Chai 2001 (the better half); Goesele 2006 (NCC of many views).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, max_pool2d, pad

from cut3r.geometry.cameras import camera_rays, resize_intrinsics
from cut3r.geometry.points import depth_edges
from cut3r.geometry.poses import invert, rotate

EDGE = 0.05  # relative difference of depth between two pixels that no surface connects
BEYOND = 1e12  # a depth that stands for infinity
RADIUS = 3  # of the windows, in pixels of each size
FLAT = 2 / 255  # grey levels of contrast below which a window says little: noise
COARSEST = 96  # pixels of the shorter side of the smallest pictures, at least
PLANES = (24, 384)  # fewest and most of the first sweep
NEIGHBOURS = (6, 2)  # pixels: how far away what others have found is looked up
STEPS = (-2, -1, 0, 1, 2)  # pixels of motion around what is known, of the next coarser size halved
FINEST = (-0.5, 0.0, 0.5)  # the last look, for the parabola
NEXT_PLANE, OTHER_PLANE = 0.05, 0.5  # of a score: what it costs that neighbours are on the next plane, or on another
UNEVEN = 0.05  # of a score per pixel of motion: what it costs to differ from the neighbourhood
FAR_OFF = 4.0  # pixels of motion from where on it makes no difference any more: an edge
LOST = 0.0  # score of a pixel outside of another picture: nothing speaks for it


@dataclass(frozen=True)
class Grey:
    """A grey picture in [0, 1] and its camera."""

    image: Float[Tensor, "h w"]
    intrinsics: Float[Tensor, "3 3"]
    world_from_cam: Float[Tensor, "4 4"]

    def reduced(self, factor: int) -> "Grey":
        """Give the picture at a fraction of its size; pixels beyond a multiple of `factor` are cut off."""
        if factor == 1:
            return self
        h, w = (side // factor * factor for side in self.image.shape)
        small = self.image[:h, :w].unflatten(1, (-1, factor)).unflatten(0, (-1, factor)).mean(dim=(1, 3))
        return Grey(small, resize_intrinsics(self.intrinsics, (1 / factor, 1 / factor)), self.world_from_cam)


def sweep(view: Grey, others: list[Grey], nearest: float, farthest: float) -> tuple[Tensor, Tensor]:
    """Find the depth of each pixel, right or wrong, and how well the pictures agree there.

    Args:
        others: One or more, of any size; on the device of the view, which is where the work is done.
        nearest: The smallest depth that is looked for, in the unit of the poses.
        farthest: The largest one; may be infinite.

    Returns:
        Depth, and the mean correlation (at most 1) of the better half of the others; both h w.
    """
    if not others or not 0 < nearest < farthest:
        raise ValueError(
            f"a sweep needs other pictures ({len(others)}) and a range of depths from above 0 (from {nearest} to "
            f"{farthest})"
        )
    lowest, highest = 1 / farthest, 1 / nearest
    coarsest, *finer = _factors(view.image.shape)
    match = _Match.of(view.reduced(coarsest), [other.reduced(coarsest) for other in others])
    inverse, step = _first(match, lowest, highest)
    inverse = _finer(match, inverse, step / 2, (lowest, highest))
    for factor in finer:
        step /= 2  # still a pixel of motion
        match = _Match.of(view.reduced(factor), [other.reduced(factor) for other in others])
        inverse = _finer(match, _enlarged(inverse, match.view.shape), step, (lowest, highest))
    inverse, score = _last(match, inverse, step)
    return inverse.reciprocal(), score


def steady(
    depth: Float[Tensor, "h w"], score: Float[Tensor, "h w"], least: float, radius: int = RADIUS
) -> Float[Tensor, "h w"]:
    """Keep what a sweep has found with this score or a better one, and not at the edge of something near: windows that
    reach over such an edge find the nearer depth on both sides. The rest becomes 0."""
    edges = depth_edges(median(depth), EDGE)[None, None].to(depth)
    at_edges = max_pool2d(edges, 2 * radius + 1, stride=1, padding=radius)[0, 0] > 0
    return torch.where((score >= least) & ~at_edges & depth.isfinite() & (depth < BEYOND), depth, 0.0)


def _factors(size: tuple[int, ...]) -> Iterator[int]:
    """Divisors of the picture's sides, the largest first, 1 last."""
    yield from reversed([factor for factor in (2**k for k in range(16)) if min(size) // factor >= COARSEST] or [1])


@dataclass(frozen=True)
class _Match:
    """A picture and others at one size: for each of these the pixel of inverse depth q is `far + q * near`, before the
    division by its third coordinate."""

    view: Float[Tensor, "h w"]
    mean: Float[Tensor, "h w"]
    deviation: Float[Tensor, "h w"]
    images: list[Float[Tensor, "h1 w1"]]
    far: list[Float[Tensor, "3 h w"]]
    near: list[Float[Tensor, "3 1 1"]]

    @classmethod
    def of(cls, view: Grey, others: list[Grey]) -> "_Match":
        size = (view.image.shape[0], view.image.shape[1])
        rays = camera_rays(view.intrinsics.double(), size)
        far, near = [], []
        for other in others:
            other_from_view = invert(other.world_from_cam.double()) @ view.world_from_cam.double()
            k = other.intrinsics.double()
            far.append((rotate(other_from_view, rays) @ k.mT).permute(2, 0, 1).float().contiguous())
            near.append((k @ other_from_view[:3, 3]).view(3, 1, 1).float())
        mean = box(view.image)
        variance = box(view.image.square()) - mean.square()
        return cls(view.image, mean, _deviation(variance), [other.image for other in others], far, near)

    def pixels(self, other: int, inverse: Float[Tensor, "*h w"]) -> tuple[Tensor, Tensor, Tensor]:
        x, y, z = self.far[other] + inverse * self.near[other]
        return x / z, y / z, z

    def score(self, inverse: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
        """Mean correlation of the better half of the others at these inverse depths."""
        scores = torch.stack([self._correlation(other, inverse) for other in range(len(self.images))])
        return scores.topk((len(scores) + 1) // 2, dim=0, sorted=False).values.mean(dim=0)

    def _correlation(self, other: int, inverse: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
        image = self.images[other]
        h, w = image.shape
        x, y, z = self.pixels(other, inverse)
        inside = (z > 0) & (x > -0.5) & (x < w - 0.5) & (y > -0.5) & (y < h - 0.5)
        places = torch.stack((x * (2 / w) + (1 / w - 1), y * (2 / h) + (1 / h - 1)), dim=-1)
        seen = grid_sample(image[None, None], places[None], align_corners=False, padding_mode="border")[0, 0]
        mean = box(seen)
        common = box(seen * self.view) - mean * self.mean
        deviation = _deviation(box(seen.square()) - mean.square())
        return (common / (self.deviation * deviation)).where(inside, LOST)


def box(image: Float[Tensor, "h w"], radius: int = RADIUS) -> Float[Tensor, "h w"]:
    """Mean over windows; beyond the border the picture goes on as it ends."""
    h, w = image.shape
    side = 2 * radius + 1
    wide = pad(image[None, None], (radius,) * 4, mode="replicate")[0, 0]
    rows = wide[:, :w].clone()
    for shift in range(1, side):  # sums of shifted copies: a tenth of the time of a pooling on a CPU
        rows += wide[:, shift : shift + w]
    sums = rows[:h].clone()
    for shift in range(1, side):
        sums += rows[shift : shift + h]
    return sums / side**2


def _deviation(variance: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    return (variance.clamp_min(0) + FLAT**2).sqrt()


def _first(match: _Match, lowest: float, highest: float) -> tuple[Tensor, float]:
    """Sweep all planes: the best inverse depth of each pixel, and the step between planes."""
    count = int(min(max(_motion(match, lowest, highest) + 1, PLANES[0]), PLANES[1]))
    step = (highest - lowest) / (count - 1)
    planes = (torch.full_like(match.view, lowest + k * step) for k in range(count))
    volume = torch.stack([match.score(plane) for plane in planes])  # [count, h, w]
    chosen = smoothest(volume).clamp(1, count - 2)[None]
    before, here, after = (volume.gather(0, chosen + k)[0] for k in (-1, 0, 1))
    return lowest + step * (chosen[0] + _vertex(before, here, after)), step


def _vertex(before: Tensor, here: Tensor, after: Tensor) -> Tensor:
    """Where the parabola through three scores has its vertex, in steps from the middle one."""
    bend = before - 2 * here + after
    return torch.where(bend < 0, 0.5 * (before - after) / bend.clamp_max(-1e-6), 0.0).clamp(-1, 1)


def smoothest(volume: Float[Tensor, "p h w"]) -> Int[Tensor, "h w"]:
    """Choose a plane per pixel so that scores are high and neighbours rarely on different planes.

    Along each of four directions the best sum of scores, less what changes of plane cost, follows from one pixel to the
    next; the planes with the largest sum over the directions are taken. Source: Hirschmueller 2005 (SGM).
    """
    total = torch.zeros_like(volume)
    for axis in (1, 2):
        for flip in (False, True):
            lines = volume.movedim(axis, 0)
            lines = lines.flip(0) if flip else lines  # [n, p, m]
            sums = torch.empty_like(lines)
            sums[0] = lines[0]
            for n in range(1, len(lines)):
                before = sums[n - 1]
                best = before.amax(dim=0)
                near = pad(before.T[None], (1, 1), value=-torch.inf)[0].T
                near = torch.maximum(near[:-2], near[2:]) - NEXT_PLANE
                sums[n] = lines[n] + torch.maximum(torch.maximum(before, near), best - OTHER_PLANE) - best
            total += (sums.flip(0) if flip else sums).movedim(0, axis)
    return total.argmax(dim=0)


def _motion(match: _Match, lowest: float, highest: float) -> float:
    """How many pixels the picture moves between two inverse depths, in the one of the others in which it moves most."""
    longest = 0.0
    for other in range(len(match.images)):
        ends = [torch.stack(match.pixels(other, torch.full_like(match.view, q))) for q in (lowest, highest)]
        seen = (ends[0][2] > 0) & (ends[1][2] > 0)
        if seen.any():
            longest = max(longest, float((ends[1] - ends[0])[:2].norm(dim=0)[seen].median()))
    return longest


def _best(match: _Match, around: Tensor, tries: Iterable[Tensor], step: float) -> Tensor:
    """The try of each pixel with the highest score, less what it costs to differ from what is around it."""
    inverse, score = around, torch.full_like(match.view, -torch.inf)
    for each in tries:
        found = match.score(each) - UNEVEN * ((each - around).abs() / step).clamp_max(FAR_OFF)
        better = found > score
        inverse, score = torch.where(better, each, inverse), torch.where(better, found, score)
    return inverse


def _enlarged(inverse: Tensor, size: tuple[int, ...]) -> Tensor:
    h, w = inverse.shape
    big = interpolate(inverse[None, None], scale_factor=2, mode="bilinear", align_corners=False)[0, 0]
    missing = (0, size[1] - 2 * w, 0, size[0] - 2 * h)  # a last odd row or column
    return pad(big[None, None], missing, mode="replicate")[0, 0]


def _finer(match: _Match, inverse: Tensor, step: float, bounds: tuple[float, float]) -> Tensor:
    """What neighbours have found, then small steps around that."""
    inverse = _best(match, median(inverse), _of_neighbours(inverse), step)
    around = median(inverse)
    return _best(match, around, ((inverse + k * step).clamp(*bounds) for k in STEPS), step)


def _of_neighbours(inverse: Tensor) -> Iterator[Tensor]:
    """The map itself, smoothed, and moved to each side."""
    yield inverse
    yield median(inverse)
    h, w = inverse.shape
    for far in NEIGHBOURS:
        wide = pad(inverse[None, None], (far,) * 4, mode="replicate")[0, 0]
        for y, x in ((0, far), (2 * far, far), (far, 0), (far, 2 * far)):
            yield wide[y : y + h, x : x + w]


def median(values: Float[Tensor, "h w"], radius: int = 2) -> Float[Tensor, "h w"]:
    """The median of windows."""
    h, w = values.shape
    side = 2 * radius + 1
    wide = pad(values[None, None], (radius,) * 4, mode="replicate")[0, 0]
    return torch.stack([wide[y : y + h, x : x + w] for y in range(side) for x in range(side)]).median(dim=0).values


def _last(match: _Match, inverse: Tensor, step: float) -> tuple[Tensor, Tensor]:
    """The vertex of the parabola through the scores of three steps."""
    around = median(inverse)
    inverse = _best(match, around, (inverse, around), step)
    before, here, after = (match.score(inverse + k * step) for k in FINEST)
    shift = FINEST[2] * step * _vertex(before, here, after)
    return (inverse + shift).clamp_min(1 / BEYOND), torch.maximum(here, torch.maximum(before, after))
