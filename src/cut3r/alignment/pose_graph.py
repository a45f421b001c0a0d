"""All frames at once by a sparse linear solve: the pose graph, whose errors are distances of points.

Frame k has a similarity (scale, rotation, translation) from its own camera to the world. A pair (i, j) shows points of
j in the camera of i, where they should be as far as the two similarities say. The error is measured there, in the
camera of i: so a small world is no better than a large one.

The sum of distances (not of squares) is minimised; then again without the pairs and the points that are far off.
Source: spec/global_alignment.md 6.2.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Bool, Float
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import minimum_spanning_tree
from torch import Tensor

from cut3r.alignment.averaging import averaged
from cut3r.alignment.gauge import fix_a_scale, free_unknowns, onto_known, towards_known, usual_scale
from cut3r.alignment.graphs import components, name_groups
from cut3r.alignment.links import Links
from cut3r.alignment.normal_equations import CLOSE, Problem, errors
from cut3r.alignment.priors import PosePriors, check_sigma
from cut3r.alignment.start import along_tree
from cut3r.geometry.focal import weighted_median
from cut3r.geometry.registration import Similarity

logger = logging.getLogger(__name__)

LARGEST_SCALE = 1e4  # of a frame
ROUNDS = 3  # of solving without the pairs refused, and asking again which are: some look wrong only beside wrong ones
GUESS = 0.3  # of the weight that the best pairs of frames usually have: pairs with less do not begin
TRIM = 3.0  # a point whose error is so many times its pair's usual one is an outlier


@dataclass
class GraphConfig:
    """How `solve_pose_graph` works."""

    with_scale: bool = True  # each frame has its own scale; otherwise what the network says is metric
    steps: int = 30
    outlier: float = 5.0  # a pair whose error is so many times the usual one is refused; none if 0
    slack: float = CLOSE  # of the usual distance of points: errors below count as squares, and none of them is large
    pose_sigma: tuple[float, float] | None = None  # metres, radians: error of known cameras; without, they stay

    def __post_init__(self) -> None:
        if self.slack <= 0:
            raise ValueError(f"a slack of {self.slack} makes no sense; give a share of the usual distance above 0")
        if self.steps < 1 or self.outlier < 0:
            raise ValueError(
                f"{self.steps} steps and outliers from {self.outlier} times the usual error make no sense; expected "
                "are at least 1 step, and a number above 1, or 0 to refuse no pair"
            )
        if self.pose_sigma is not None:
            check_sigma(self.pose_sigma)


@dataclass(frozen=True)
class PoseGraph:
    """The result. `residuals` are the median errors of the pairs in metres, `kept` says which were believed.

    `groups` of frames are not held together by any pair, so that their places and scales beside each other mean
    nothing; usually there is one. `start` is where frames stood before the first step, in the same frame and unit.
    """

    world_from_frame: Similarity
    residuals: Float[Tensor, "e"]
    kept: Bool[Tensor, "e"]
    loss_before: float
    loss_after: float
    groups: list[list[int]]
    start: Similarity


def solve_pose_graph(
    frames: int,
    links: Links,
    config: GraphConfig | None = None,
    *,
    start: Similarity | None = None,
    known: dict[int, Float[Tensor, "4 4"]] | None = None,
) -> PoseGraph:
    """Find where every frame stands.

    The world is the first frame's camera (of each group), and the scales of a group have the geometric mean 1; with
    known cameras, it is theirs.

    Args:
        start: By default the spanning tree of the pairs.
        known: world_from_cam of some frames by their number, which stay exactly there, but for `pose_sigma`. Of a group
            that has none, the first frame is at the origin. A single known camera says nothing of the scale, and stays.

    Raises:
        ValueError: A known frame that does not exist.
    """
    config, known = config or GraphConfig(), known or {}
    if any(not 0 <= k < frames for k in known):
        raise ValueError(f"cameras of frames {sorted(known)} are known, but there are frames 0 to {frames - 1} only")
    groups = components(frames, links.pairs())
    if len(groups) > 1:
        logger.warning(
            "no pair connects these groups of frames, so each has a world of its own: %s", name_groups(groups)
        )
    fit = (
        links.fit(with_scale=config.with_scale) if len(links) else Similarity.from_matrix(torch.zeros(0, 4, 4).double())
    )
    start = start or along_tree(frames, links, groups, with_scale=config.with_scale, fit=fit)
    start = towards_known(start, groups, known, with_scale=config.with_scale)
    free = free_unknowns(frames, groups, known, with_scale=config.with_scale)
    soft = [k for g in groups for k in g if k in known and fix_a_scale([known[m] for m in g if m in known])]
    priors = PosePriors.of({k: known[k] for k in soft}, config.pose_sigma)
    free[priors.at, :6] = True
    before = Problem(links, free, slack=config.slack).measure(start)[0] if len(links) else 0.0
    solved, kept = start, torch.ones(len(links), dtype=torch.bool)
    if len(links):
        trusted = _sure(links)
        sure = links.only(trusted)
        near = False
        # of pairs that agree exactly, as a stream's do, a tree is right already, while every loop looks wrong
        if config.slack <= CLOSE:
            soft_poses = {k: known[k] for k in soft} if len(priors.at) else {}
            settle = partial(onto_known, groups=groups, known=soft_poses, with_scale=config.with_scale)
            solved, near = _better_start(sure, start, _rows(fit, trusted), free, config, priors, settle)
        if not near:  # near the end, wrong pairs and points are known already, and are not dragged along
            problem = Problem(sure, free, priors.against(residuals(sure, solved)), slack=config.slack)
            solved = problem.descend(solved, config.steps)
        believed = None
        for _ in range(ROUNDS):
            kept = _believable(links, solved, config)
            if believed is not None and torch.equal(kept, believed):
                break
            trimmed = _trimmed(links.only(kept), solved, config.slack)
            priors = priors.against(residuals(links.only(kept), solved))
            solved = Problem(trimmed, free, priors, slack=config.slack).descend(solved, config.steps)
            believed = kept
    solved = _at_hand(solved)
    after = Problem(links, free, slack=config.slack).measure(solved)[0] if len(links) else 0.0
    if config.with_scale:
        solved = usual_scale(solved, groups, known)
        start = usual_scale(start, groups, known)
    return PoseGraph(solved, residuals(links, solved), kept, before, after, groups, start)


def _better_start(
    links: Links,
    start: Similarity,
    fit: Similarity,
    free: Bool[Tensor, "n 7"],
    config: GraphConfig,
    priors: PosePriors,
    settle: Callable[[Similarity], Similarity],
) -> tuple[Similarity, bool]:
    """The average of what pairs and priors say, if that is better than the start; and whether it is."""
    average = averaged(start, links.ends, fit, free, links.distance, priors=priors, settle=settle)
    problem = Problem(links, free, priors.against(residuals(links, average)), slack=config.slack)
    better = problem.measure(average)[0] < problem.measure(start)[0]
    return (average, True) if better else (start, False)


def _rows(fit: Similarity, rows: Bool[Tensor, "e"]) -> Similarity:
    return Similarity(fit.rotation[rows], fit.translation[rows], fit.scale[rows])


def _at_hand(solved: Similarity) -> Similarity:
    """Put frames back to the network's metres whose scale ran away: where known cameras move and predictions say that
    nothing does, all is best explained by a world without end."""
    away = ~((solved.scale > 1 / LARGEST_SCALE) & (solved.scale < LARGEST_SCALE))
    if bool(away.any()):
        logger.warning(
            "known cameras and what the network sees have no scale in common, so %d frames keep the network's metres",
            int(away.sum()),
        )
    return replace(solved, scale=solved.scale.masked_fill(away, 1.0))


def residuals(links: Links, world_from_frame: Similarity) -> Float[Tensor, "e"]:
    """The median distance of each pair's points from where they should be, metres."""
    return errors(links, world_from_frame)[1].norm(dim=-1).median(dim=-1).values


def _believable(links: Links, place: Similarity, config: GraphConfig) -> Bool[Tensor, "e"]:
    """The pairs with a usual error, and those without which frames would fall apart."""
    if config.outlier == 0:
        return torch.ones(len(links), dtype=torch.bool)
    error = residuals(links, place)
    floor = config.slack * links.target.norm(dim=-1).median()
    usual = weighted_median(error, links.weights.mean(dim=1))  # most pairs of a complete graph may be mere guesses
    kept = error <= config.outlier * torch.maximum(usual, floor)
    return _held_together(kept, links, error)


def _sure(links: Links) -> Bool[Tensor, "e"]:
    """The pairs that the network does not merely guess, and those without which frames would fall apart.

    In a complete graph most pairs may show nothing in common. Each pulls little, but together they make one heap of all
    frames, which no later refusal of pairs undoes.
    """
    trust = links.weights.mean(dim=1)
    best = torch.zeros(int(links.ends.max()) + 1, dtype=trust.dtype)
    for side in links.ends.unbind(dim=1):
        best = best.scatter_reduce(0, side, trust, reduce="amax")
    return _held_together(trust >= GUESS * best[best > 0].median(), links, 1 / trust)


def _held_together(kept: Bool[Tensor, "e"], links: Links, cost: Float[Tensor, "e"]) -> Bool[Tensor, "e"]:
    """And the pairs of the cheapest spanning tree."""
    best: dict[tuple[int, int], int] = {}
    for position, (i, j) in enumerate(links.pairs()):
        key = (min(i, j), max(i, j))
        if key not in best or cost[position] < cost[best[key]]:
            best[key] = position
    frames = int(links.ends.max()) + 1
    rows, columns = zip(*best, strict=True)
    values = cost[list(best.values())].numpy() + 1e-12
    tree = minimum_spanning_tree(coo_matrix((values, (rows, columns)), shape=(frames, frames))).tocoo()
    kept = kept.clone()
    for i, j in zip(tree.row.tolist(), tree.col.tolist(), strict=True):
        kept[best[i, j]] = True
    return kept


def _trimmed(links: Links, place: Similarity, slack: float) -> Links:
    """Without the points that are far from where the others of their pair say: their pull never fades to nothing."""
    error = errors(links, place)[1].norm(dim=-1)
    usual = error.median(dim=1, keepdim=True).values.clamp_min(slack * float(links.target.norm(dim=-1).median()))
    return replace(links, weights=links.weights.where(error <= TRIM * usual, 0.0))
