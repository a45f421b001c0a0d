"""A pose graph's second start: rotations, then scales, then places of all frames by linear solves over all pairs.

A spanning tree leaves the errors of a thousand steps in one frame after the other, and Gauss-Newton steps from there
neither go straight nor end soon. Averaging knows all pairs at once; its systems have one unknown per frame, so it takes
a hundredth of the time of one such step. Each pair counts as its closed-form similarity; those that disagree with the
others count less from round to round (absolute instead of squared errors). Poses that are known with an error pull from
when near pairs are done, as hard as in the pose graph.

Sources: Govindu 2001 (averaging of relative motions), Chatterjee and Govindu 2013 (the same with weights that fade).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from scipy.sparse import coo_matrix, csc_matrix, diags
from scipy.sparse.linalg import splu
from torch import Tensor

from cut3r.alignment.priors import PER_PAIR, PosePriors
from cut3r.geometry.lie import rotation_from_vector, vector_from_rotation
from cut3r.geometry.registration import Similarity

NEAR = 8  # frames: pairs so near in time come first, as over a long walk rotations go astray by more than half a turn
PLAIN, FADING = 6, 2  # rounds over near pairs: squared, then absolute errors
ROUNDS = 10  # over all pairs; a loop that disagrees counts little from the first one on
PARTS = ("rotation", "translation", "scale")
ANCHORED = 1e-9  # of the diagonal: what no pair says stays as it is


def averaged(
    place: Similarity,
    ends: Int[Tensor, "e 2"],
    first_from_second: Similarity,
    free: Bool[Tensor, "n 7"],
    distance: float,
    *,
    priors: PosePriors | None = None,
    settle: Callable[[Similarity], Similarity] | None = None,
) -> Similarity:
    """Move frames from where they are to where all pairs, on average, put them.

    Args:
        free: Which unknowns (turn, shift, logarithm of the scale) of each frame may change.
        distance: Of points, as a rule, metres: how far a turn and a scale move them.
        priors: Known poses, which pull on frames in the rounds over all pairs; how hard is found here.
        settle: Moves what near pairs have put together to where the world is.
    """
    priors = PosePriors.of({}, None) if priors is None else priors
    near = ends.diff(dim=1)[:, 0].abs() <= NEAR
    for some, plain, rounds in ((near, PLAIN, PLAIN + FADING), (torch.ones_like(near), 0, ROUNDS)):
        far = some is not near
        if far and settle is not None:
            place = settle(place)
        if not bool(some.any()):
            continue
        pairs, said = ends[some], Similarity(*(getattr(first_from_second, name)[some] for name in PARTS))
        incidence = _incidence(len(free), pairs)
        for number in range(rounds):
            error = _errors(place, pairs, said, distance)
            usual = float(error.median()) + 1e-12
            # weights of squares that have the slope of absolute errors, those below the usual one aside
            weights = np.ones(len(pairs)) if number < plain else (1 / error.clamp_min(usual)).numpy()
            pulls = _Pulls.of(priors, place, usual, distance) if far and len(priors.at) else None
            place = _round(place, pairs, said, free, incidence, weights, pulls)
    return place


@dataclass(frozen=True)
class _Pulls:
    """What known poses ask of the frames `at`: changes in the world (radians, metres), and the weights of squares."""

    at: Int[np.ndarray, "k"]
    turn: Float64[np.ndarray, "k 3"]
    turn_weights: Float64[np.ndarray, "k"]
    shift: Float64[np.ndarray, "k 3"]
    shift_weights: Float64[np.ndarray, "k"]

    @classmethod
    def of(cls, priors: PosePriors, place: Similarity, usual: float, distance: float) -> "_Pulls":
        """Beside pairs whose squares have the weight 1 / error; a turn of theirs counts as `distance` times as much."""
        turn, shift, share = (part.numpy() for part in priors.missing(place))
        weight = share * usual / PER_PAIR
        sigma_t, sigma_r = priors.sigma
        return cls(priors.at.numpy(), turn, weight / (sigma_r * distance) ** 2, shift, weight / sigma_t**2)


def _round(
    place: Similarity,
    ends: Int[Tensor, "e 2"],
    first_from_second: Similarity,
    free: Bool[Tensor, "n 7"],
    incidence: csc_matrix,
    weights: Float64[np.ndarray, "e"],
    pulls: _Pulls | None,
) -> Similarity:
    i, j = ends.unbind(dim=1)
    rotation, translation, scale = place.rotation, place.translation, place.scale
    turn = vector_from_rotation(rotation[i] @ first_from_second.rotation @ rotation[j].mT)  # in the world
    known = None if pulls is None else (pulls.at, pulls.turn, pulls.turn_weights)
    rotation = rotation_from_vector(_solved(incidence, turn, weights, free[:, 0], known)) @ rotation
    growth = (first_from_second.scale * scale[i] / scale[j]).log()[:, None]
    scale = scale * _solved(incidence, growth, weights, free[:, 6])[:, 0].exp()
    step = scale[i, None] * (rotation[i] @ first_from_second.translation[..., None])[..., 0]
    missing = step - (translation[j] - translation[i])
    in_its_unit = weights / scale[i].square().numpy()  # an error counts in the metres of the first camera
    known = None if pulls is None else (pulls.at, pulls.shift, pulls.shift_weights)
    return Similarity(rotation, translation + _solved(incidence, missing, in_its_unit, free[:, 3], known), scale)


def _errors(
    place: Similarity, ends: Int[Tensor, "e 2"], first_from_second: Similarity, distance: float
) -> Float[Tensor, "e"]:
    """How far each pair's points are off, as frames stand; metres."""
    i, j = ends.unbind(dim=1)
    said = first_from_second.inverse().matrix() @ place.inverse().matrix()[i] @ place.matrix()[j]
    off = Similarity.from_matrix(said)
    turn, growth = vector_from_rotation(off.rotation).norm(dim=-1), off.scale.log().abs()
    return off.translation.norm(dim=-1) + distance * (turn + growth)


def _solved(
    incidence: csc_matrix,
    wanted: Float[Tensor, "e k"],
    weights: Float64[np.ndarray, "e"],
    free: Bool[Tensor, "n"],
    known: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
) -> Float[Tensor, "n k"]:
    """The changes x of the frames with the least weighted squares of x_second - x_first - wanted.

    Args:
        known: Frames, the changes that they want by themselves, and the weights of these.
    """
    change = np.zeros((len(free), wanted.shape[1]))
    may = free.numpy()
    if may.any():
        kept = incidence[:, may]
        matrix = (kept.T @ diags(weights) @ kept).tocsc()
        matrix = matrix + diags(ANCHORED * matrix.diagonal() + 1e-300)
        right = np.asarray(kept.T @ (weights[:, None] * wanted.numpy()))
        if known is not None:
            pull, pulled = np.zeros(len(free)), np.zeros_like(change)
            pull[known[0]], pulled[known[0]] = known[2], known[2][:, None] * known[1]
            matrix, right = matrix + diags(pull[may]), right + pulled[may]
        factors = splu(
            matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )
        change[may] = factors.solve(right)
    return torch.from_numpy(change)


def _incidence(frames: int, ends: Int[Tensor, "e 2"]) -> csc_matrix:
    rows, (i, j) = np.arange(len(ends)), ends.numpy().T
    ones = np.ones(len(ends))
    return coo_matrix(
        (np.concatenate((ones, -ones)), (np.concatenate((rows, rows)), np.concatenate((j, i)))),
        shape=(len(ends), frames),
    ).tocsc()
