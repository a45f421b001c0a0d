"""All frames at once by a sparse linear solve: the pose graph, whose errors are distances of points.

Frame k has a similarity (scale, rotation, translation) from its own camera to the world. A pair (i, j) shows points of
j in the camera of i, where they should be as far as the two similarities say. The error is measured there, in the
camera of i: so a small world is no better than a large one.

The sum of distances (not of squares) is minimised by re-weighted Gauss-Newton steps; then once more, without the pairs
and the points that are far off. A step costs the same for each
pair: moments of its points, then a sparse system of seven unknowns per frame. Source: spec/global_alignment.md 6.2.
"""

import logging
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix, csc_matrix
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from scipy.sparse.linalg import splu
from torch import Tensor

from cut3r.alignment.graphs import components, name_groups
from cut3r.alignment.links import Links
from cut3r.alignment.priors import PosePriors, check_sigma
from cut3r.geometry.lie import rotation_from_vector, skew
from cut3r.geometry.registration import Similarity, register

logger = logging.getLogger(__name__)

CLOSE = 1e-3  # of the usual distance of points: an error below counts as its square
DAMPING = (1e-9, 1e6)  # of the diagonal: the least, and where there is no way down
TRIM = 3.0  # a point whose error is so many times its pair's usual one is an outlier
LEVER = 0.5  # of the spread of known cameras: how far before them lie the points that fix their directions


@dataclass
class GraphConfig:
    """How `solve_pose_graph` works."""

    with_scale: bool = True  # each frame has its own scale; otherwise what the network says is metric
    steps: int = 30
    outlier: float = 5.0  # a pair whose error is so many times the usual one is refused; none if 0
    pose_sigma: tuple[float, float] | None = None  # metres, radians: error of known cameras; without, they stay

    def __post_init__(self) -> None:
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
    start = start or along_tree(frames, links, groups, with_scale=config.with_scale)
    start = _towards_known(start, groups, known, with_scale=config.with_scale)
    free = _free(frames, groups, known, with_scale=config.with_scale)
    soft = [k for g in groups for k in g if k in known and _fix_a_scale([known[m] for m in g if m in known])]
    priors = PosePriors.of({k: known[k] for k in soft}, config.pose_sigma)
    free[priors.at, :6] = True
    before = _Problem(links, free).measure(start)[0] if len(links) else 0.0
    solved, kept = start, torch.ones(len(links), dtype=torch.bool)
    if len(links):
        solved = _Problem(links, free, priors.against(residuals(links, start))).descend(start, config.steps)
        kept = _believable(links, solved, config.outlier)
        priors = priors.against(residuals(links.only(kept), solved))
        solved = _Problem(_trimmed(links.only(kept), solved), free, priors).descend(solved, config.steps)
    after = _Problem(links, free).measure(solved)[0] if len(links) else 0.0
    if config.with_scale:
        solved = _usual_scale(solved, groups, known)
        start = _usual_scale(start, groups, known)
    return PoseGraph(solved, residuals(links, solved), kept, before, after, groups, start)


def residuals(links: Links, world_from_frame: Similarity) -> Float[Tensor, "e"]:
    """The median distance of each pair's points from where they should be, metres."""
    return _errors(links, world_from_frame)[1].norm(dim=-1).median(dim=-1).values


def along_tree(frames: int, links: Links, groups: list[list[int]], *, with_scale: bool = True) -> Similarity:
    """Put frames one onto the other, from the first of each group, along the pairs that are near in time and sure."""
    matrices = torch.eye(4).double().repeat(frames, 1, 1)
    if not len(links):
        return Similarity.from_matrix(matrices)
    fit = links.fit()
    if not with_scale:
        fit = register(links.source, links.target, links.weights, with_scale=False)
    step, back = fit.matrix(), fit.inverse().matrix()
    trust = links.weights.mean(dim=1)
    cost = (links.ends.diff(dim=1)[:, 0].abs() / (trust / trust.median()).clamp(1e-3)).numpy()
    best: dict[tuple[int, int], int] = {}
    for place, (i, j) in enumerate(links.pairs()):
        key = (min(i, j), max(i, j))
        if key not in best or cost[place] < cost[best[key]]:
            best[key] = place
    rows, columns = zip(*best, strict=True)
    tree = minimum_spanning_tree(coo_matrix((cost[list(best.values())], (rows, columns)), shape=(frames, frames)))
    for group in groups:
        order, parents = breadth_first_order(tree, group[0], directed=False)
        for k in order[1:].tolist():
            parent = int(parents[k])
            place = best[min(parent, k), max(parent, k)]
            forward = int(links.ends[place, 0]) == parent
            matrices[k] = matrices[parent] @ (step[place] if forward else back[place])
    return Similarity.from_matrix(matrices)


class _Problem:
    """Errors and normal equations of links, with the unknowns that are free."""

    def __init__(self, links: Links, free: Bool[Tensor, "n 7"], priors: PosePriors | None = None) -> None:
        self.links = links
        self._priors = PosePriors.of({}, None) if priors is None else priors
        self._close = CLOSE * float(links.target.norm(dim=-1).median().clamp_min(1e-9))
        self._free = free.flatten().numpy()
        i, j = (7 * links.ends).numpy().T
        inside = np.arange(7)
        blocks = [(i, i), (i, j), (j, i), (j, j)]
        self._rows = np.stack([np.broadcast_to(a[:, None, None] + inside[:, None], (len(a), 7, 7)) for a, _ in blocks])
        self._columns = np.stack([np.broadcast_to(b[:, None, None] + inside, (len(b), 7, 7)) for _, b in blocks])

    def descend(self, place: Similarity, steps: int) -> Similarity:
        """Go down until the loss does not fall any more."""
        loss, weights = self.measure(place)
        damping = 1e-6
        for _ in range(steps):
            matrix, vector = self._normal_equations(place, weights)
            better, improved = loss, place
            while damping < DAMPING[1]:
                improved = _moved(place, self._solve(matrix, vector, damping))
                better, weights_there = self.measure(improved)
                if better < loss:
                    break
                damping = max(damping, 1e-6) * 10
            if not better < loss:
                return place
            done = loss - better < 1e-6 * loss
            place, loss, weights = improved, better, weights_there
            damping = max(damping / 10, DAMPING[0])
            if done:
                break
        return place

    def measure(self, place: Similarity) -> tuple[float, Float[Tensor, "e p"]]:
        """The mean weighted distance and the priors' pull, and the weights of squares that have the same slope."""
        length = _errors(self.links, place)[1].norm(dim=-1)
        weights = self.links.weights
        total = weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
        soft = torch.where(length > self._close, length - self._close / 2, length.square() / (2 * self._close))
        loss = float((weights * soft).sum() / total) + self._priors.loss(place)
        return loss, weights / length.clamp_min(self._close) / total

    def _normal_equations(self, place: Similarity, weights: Float[Tensor, "e p"]) -> tuple[csc_matrix, np.ndarray]:
        """Of small motions (turn, shift, logarithm of the scale) of each frame in its own camera.

        A motion of j is one of the pair's points, too: the `adjoint` translates. So moments of the points, seen in
        the camera of i, are all that is needed of them.
        """
        seen, error = _errors(self.links, place)
        inner = _moments(seen, weights)
        slope = torch.cat(
            (
                (weights[..., None] * torch.linalg.cross(seen, error)).sum(dim=1),
                (weights[..., None] * error).sum(dim=1),
                (weights * (seen * error).sum(dim=-1)).sum(dim=1, keepdim=True),
            ),
            dim=-1,
        )  # [e, 7]
        adjoint = _adjoint(_relative(self.links.ends, place))
        across = -inner @ adjoint
        blocks = torch.stack((inner, across, across.mT, adjoint.mT @ inner @ adjoint))  # [4, e, 7, 7]
        n = len(self._free)
        flat = coo_matrix((blocks.numpy().ravel(), (self._rows.ravel(), self._columns.ravel())), shape=(n, n))
        vector = torch.zeros(n // 7, 7, dtype=slope.dtype)
        vector.index_add_(0, self.links.ends[:, 0], -slope)
        vector.index_add_(0, self.links.ends[:, 1], (adjoint.mT @ slope[..., None])[..., 0])
        flat, vector = self._priors.added(flat.tocsc(), vector, place)
        return flat[:, self._free][self._free], vector.flatten().numpy()[self._free]

    def _solve(self, matrix: csc_matrix, vector: np.ndarray, damping: float) -> Float[Tensor, "n 7"]:
        diagonal = matrix.diagonal()
        damped = matrix + coo_matrix(
            (damping * diagonal + 1e-12 * diagonal.max() + 1e-300, (np.arange(len(diagonal)),) * 2)
        )
        factors = splu(
            damped.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )
        step = np.zeros(len(self._free))
        step[self._free] = factors.solve(-vector)
        return torch.from_numpy(step).reshape(-1, 7)


def _relative(ends: Int[Tensor, "e 2"], place: Similarity) -> Similarity:
    """first_from_second of each pair, as the frames stand."""
    i, j = ends.unbind(dim=1)
    matrices = place.matrix()
    inverse = place.inverse().matrix()
    return Similarity.from_matrix(inverse[i] @ matrices[j])


def _errors(links: Links, place: Similarity) -> tuple[Float[Tensor, "e p 3"], Float[Tensor, "e p 3"]]:
    """The points of j in the camera of i as the frames stand, and how far that is from what the pair says."""
    seen = _relative(links.ends, place).apply(links.source)
    return seen, seen - links.target


def _moments(points: Float[Tensor, "e p 3"], weights: Float[Tensor, "e p"]) -> Float[Tensor, "e 7 7"]:
    """Sum of w B^T B with B = [-[y]x, I, y], how a point moves with a turn, a shift and a scale."""
    weighted = weights[..., None] * points
    total, first, second = weights.sum(dim=1), weighted.sum(dim=1), weighted.mT @ points
    trace = second.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    eye = torch.eye(3, dtype=points.dtype)
    moments = points.new_zeros(len(points), 7, 7)
    moments[:, :3, :3] = trace[:, None, None] * eye - second
    moments[:, :3, 3:6] = skew(first)
    moments[:, 3:6, :3] = skew(first).mT
    moments[:, 3:6, 3:6] = total[:, None, None] * eye
    moments[:, 3:6, 6] = moments[:, 6, 3:6] = first
    moments[:, 6, 6] = trace
    return moments


def _adjoint(a_from_b: Similarity) -> Float[Tensor, "e 7 7"]:
    """The motion in a that does the same as a motion in b."""
    rotation, translation = a_from_b.rotation, a_from_b.translation
    adjoint = rotation.new_zeros(len(rotation), 7, 7)
    adjoint[:, :3, :3] = rotation
    adjoint[:, 3:6, :3] = skew(translation) @ rotation
    adjoint[:, 3:6, 3:6] = a_from_b.scale[:, None, None] * rotation
    adjoint[:, 3:6, 6] = -translation
    adjoint[:, 6, 6] = 1
    return adjoint


def _moved(place: Similarity, step: Float[Tensor, "n 7"]) -> Similarity:
    shift = (place.rotation @ step[:, 3:6, None])[..., 0]
    return Similarity(
        place.rotation @ rotation_from_vector(step[:, :3]),
        place.translation + place.scale[:, None] * shift,
        place.scale * step[:, 6].exp(),
    )


def _free(frames: int, groups: list[list[int]], known: dict[int, Tensor], *, with_scale: bool) -> Bool[Tensor, "n 7"]:
    """Which unknowns may change: not the cameras that are known, and of each group enough that it cannot float."""
    free = torch.ones(frames, 7, dtype=torch.bool)
    free[:, 6] = with_scale
    for k in known:
        free[k, :6] = False
    for group in groups:
        here = [k for k in group if k in known]
        if not here:
            free[group[0]] = False
        elif not _fix_a_scale([known[k] for k in here]):
            free[here[0]] = False
    return free


def _fix_a_scale(cameras: list[Tensor]) -> bool:
    """Whether they stand at different places."""
    return any(float((camera - cameras[0])[:3, 3].norm()) > 0 for camera in cameras[1:])


def _towards_known(
    place: Similarity, groups: list[list[int]], known: dict[int, Tensor], *, with_scale: bool
) -> Similarity:
    """Move each group as a whole to its known cameras, then these to where they are."""
    rotation, translation, scale = place.rotation.clone(), place.translation.clone(), place.scale.clone()
    for group in groups:
        here = [k for k in group if k in known]
        if not here:
            continue
        truth = torch.stack([known[k] for k in here]).double()
        spread = truth[:, :3, 3].std(dim=0).norm() if len(here) > 1 else torch.zeros(())
        sure = with_scale and _fix_a_scale(list(truth))
        # a first fit with short levers says the scale; the second has levers that are equally long in both worlds
        ratio = _spread_ratio(translation[here], truth[:, :3, 3]) if sure else 1.0
        lever = LEVER * float(spread) or 1.0
        fit = register(
            _with_levers(rotation[here], translation[here], lever / ratio),
            _with_levers(truth[:, :3, :3], truth[:, :3, 3], lever),
            with_scale=sure,
        )
        moved = fit.matrix() @ Similarity(rotation[group], translation[group], scale[group]).matrix()
        group_place = Similarity.from_matrix(moved)
        rotation[group], translation[group], scale[group] = (
            group_place.rotation,
            group_place.translation,
            group_place.scale,
        )
        rotation[here], translation[here] = truth[:, :3, :3], truth[:, :3, 3]
    return Similarity(rotation, translation, scale)


def _spread_ratio(ours: Float[Tensor, "k 3"], theirs: Float[Tensor, "k 3"]) -> float:
    own = (ours - ours.mean(dim=0)).norm()
    return float((theirs - theirs.mean(dim=0)).norm() / own) if float(own) > 0 else 1.0


def _with_levers(
    rotation: Float[Tensor, "k 3 3"], translation: Float[Tensor, "k 3"], lever: float
) -> Float[Tensor, "p 3"]:
    """The positions of cameras, and points at some distance along their axes."""
    tips = translation[:, None] + lever * rotation.mT
    return torch.cat((translation[:, None], tips), dim=1).flatten(0, 1)


def _believable(links: Links, place: Similarity, outlier: float) -> Bool[Tensor, "e"]:
    """The pairs with a usual error, and those without which frames would fall apart."""
    if outlier == 0:
        return torch.ones(len(links), dtype=torch.bool)
    error = residuals(links, place)
    floor = CLOSE * links.target.norm(dim=-1).median()
    kept = error <= outlier * torch.maximum(error.median(), floor)
    best: dict[tuple[int, int], int] = {}
    for position, (i, j) in enumerate(links.pairs()):
        key = (min(i, j), max(i, j))
        if key not in best or error[position] < error[best[key]]:
            best[key] = position
    frames = int(links.ends.max()) + 1
    rows, columns = zip(*best, strict=True)
    values = error[list(best.values())].numpy() + 1e-12
    tree = minimum_spanning_tree(coo_matrix((values, (rows, columns)), shape=(frames, frames))).tocoo()
    for i, j in zip(tree.row.tolist(), tree.col.tolist(), strict=True):
        kept[best[i, j]] = True
    return kept


def _trimmed(links: Links, place: Similarity) -> Links:
    """Without the points that are far from where the others of their pair say: their pull never fades to nothing."""
    error = _errors(links, place)[1].norm(dim=-1)
    usual = error.median(dim=1, keepdim=True).values.clamp_min(CLOSE * float(links.target.norm(dim=-1).median()))
    return replace(links, weights=links.weights.where(error <= TRIM * usual, 0.0))


def _usual_scale(place: Similarity, groups: list[list[int]], known: dict[int, Tensor]) -> Similarity:
    """Make 1 the geometric mean of the scales of each group whose scale nothing else says."""
    translation, scale = place.translation.clone(), place.scale.clone()
    for group in groups:
        here = [known[k] for k in group if k in known]
        if here and _fix_a_scale(here):
            continue
        by = 1 / scale[group].log().mean().exp()
        origin = here[0][:3, 3].double() if here else torch.zeros(3).double()
        translation[group] = origin + by * (translation[group] - origin)
        scale[group] = by * scale[group]
    return Similarity(place.rotation, translation, scale)
