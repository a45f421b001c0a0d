"""A pose graph's second start: rotations, then scales, then places of all frames by linear solves over all pairs.

A spanning tree leaves the errors of a thousand steps in one frame after the other, and Gauss-Newton steps from there
neither go straight nor end soon. Averaging knows all pairs at once; its systems have one unknown per frame, so it takes
a hundredth of the time of one such step. Each pair counts as its closed-form similarity; those that disagree with the
others count less from round to round (absolute instead of squared errors).

Sources: Govindu 2001 (averaging of relative motions), Chatterjee and Govindu 2013 (the same with weights that fade).
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from scipy.sparse import coo_matrix, csc_matrix, diags
from scipy.sparse.linalg import splu
from torch import Tensor

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
) -> Similarity:
    """Move frames from where they are to where all pairs, on average, put them.

    Args:
        free: Which unknowns (turn, shift, logarithm of the scale) of each frame may change.
        distance: Of points, as a rule, metres: how far a turn and a scale move them.
    """
    near = ends.diff(dim=1)[:, 0].abs() <= NEAR
    for some, plain, rounds in ((near, PLAIN, PLAIN + FADING), (torch.ones_like(near), 0, ROUNDS)):
        if not bool(some.any()):
            continue
        pairs, said = ends[some], Similarity(*(getattr(first_from_second, name)[some] for name in PARTS))
        incidence = _incidence(len(free), pairs)
        for number in range(rounds):
            weights = np.ones(len(pairs)) if number < plain else _fading(place, pairs, said, distance)
            place = _round(place, pairs, said, free, incidence, weights)
    return place


def _round(
    place: Similarity,
    ends: Int[Tensor, "e 2"],
    first_from_second: Similarity,
    free: Bool[Tensor, "n 7"],
    incidence: csc_matrix,
    weights: Float64[np.ndarray, "e"],
) -> Similarity:
    i, j = ends.unbind(dim=1)
    rotation, translation, scale = place.rotation, place.translation, place.scale
    turn = vector_from_rotation(rotation[i] @ first_from_second.rotation @ rotation[j].mT)  # in the world
    rotation = rotation_from_vector(_solved(incidence, turn, weights, free[:, 0])) @ rotation
    growth = (first_from_second.scale * scale[i] / scale[j]).log()[:, None]
    scale = scale * _solved(incidence, growth, weights, free[:, 6])[:, 0].exp()
    step = scale[i, None] * (rotation[i] @ first_from_second.translation[..., None])[..., 0]
    missing = step - (translation[j] - translation[i])
    in_its_unit = weights / scale[i].square().numpy()  # an error counts in the metres of the first camera
    return Similarity(rotation, translation + _solved(incidence, missing, in_its_unit, free[:, 3]), scale)


def _fading(
    place: Similarity, ends: Int[Tensor, "e 2"], first_from_second: Similarity, distance: float
) -> Float64[np.ndarray, "e"]:
    """Weights of squares that have the slope of absolute errors, those below the usual one aside."""
    i, j = ends.unbind(dim=1)
    said = first_from_second.inverse().matrix() @ place.inverse().matrix()[i] @ place.matrix()[j]
    off = Similarity.from_matrix(said)
    turn, growth = vector_from_rotation(off.rotation).norm(dim=-1), off.scale.log().abs()
    error = off.translation.norm(dim=-1) + distance * (turn + growth)
    return (1 / error.clamp_min(float(error.median()) + 1e-12)).numpy()


def _solved(
    incidence: csc_matrix, wanted: Float[Tensor, "e k"], weights: Float64[np.ndarray, "e"], free: Bool[Tensor, "n"]
) -> Float[Tensor, "n k"]:
    """The changes x of the frames with the least weighted squares of x_second - x_first - wanted."""
    change = np.zeros((len(free), wanted.shape[1]))
    may = free.numpy()
    if may.any():
        kept = incidence[:, may]
        matrix = (kept.T @ diags(weights) @ kept).tocsc()
        matrix = matrix + diags(ANCHORED * matrix.diagonal() + 1e-300)
        factors = splu(
            matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )
        change[may] = factors.solve(np.asarray(kept.T @ (weights[:, None] * wanted.numpy())))
    return torch.from_numpy(change)


def _incidence(frames: int, ends: Int[Tensor, "e 2"]) -> csc_matrix:
    rows, (i, j) = np.arange(len(ends)), ends.numpy().T
    ones = np.ones(len(ends))
    return coo_matrix(
        (np.concatenate((ones, -ones)), (np.concatenate((rows, rows)), np.concatenate((j, i)))),
        shape=(len(ends), frames),
    ).tocsc()
