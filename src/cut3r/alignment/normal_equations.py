"""Errors of a pose graph, their slope, and the way down: Gauss-Newton steps with a sparse factor.

A step costs the same for each pair: moments of its points, then a sparse system of seven unknowns per frame. Source:
spec/global_alignment.md 6.2.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix, csc_matrix
from scipy.sparse.linalg import splu
from torch import Tensor

from cut3r.alignment.links import Links
from cut3r.alignment.priors import PosePriors
from cut3r.geometry.lie import rotation_from_vector, skew
from cut3r.geometry.registration import Similarity

CLOSE = 1e-3  # of the usual distance of points: an error below counts as its square, unless more is asked for
DAMPING = (1e-9, 1e6)  # of the diagonal: the least, and where there is no way down


class Problem:
    """Errors and normal equations of links, with the unknowns that are free.

    Args:
        slack: Of the usual distance of points: an error below counts as its square.
    """

    def __init__(
        self, links: Links, free: Bool[Tensor, "n 7"], priors: PosePriors | None = None, *, slack: float = CLOSE
    ) -> None:
        self.links = links
        self._priors = PosePriors.of({}, None) if priors is None else priors
        self._close = slack * float(links.target.norm(dim=-1).median().clamp_min(1e-9))
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
                improved = moved(place, self._solve(matrix, vector, damping))
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
        length = errors(self.links, place)[1].norm(dim=-1)
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
        seen, error = errors(self.links, place)
        inner = _moments(seen, weights)
        slope = _pull(seen, error, weights)
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


def errors(links: Links, place: Similarity) -> tuple[Float[Tensor, "e p 3"], Float[Tensor, "e p 3"]]:
    """The points of j in the camera of i as the frames stand, and how far that is from what the pair says."""
    relative = _relative(links.ends, place)
    turned = relative.scale[:, None, None] * relative.rotation.mT
    seen = torch.baddbmm(relative.translation[:, None], links.source, turned)  # 4 times as fast as `apply` here
    return seen, seen - links.target


def _moments(points: Float[Tensor, "e p 3"], weights: Float[Tensor, "e p"]) -> Float[Tensor, "e 7 7"]:
    """Sum of w B^T B with B = [-[y]x, I, y], how a point moves with a turn, a shift and a scale."""
    total, first = weights.sum(dim=1), (weights[:, None] @ points)[:, 0]
    second = (weights[..., None] * points).mT @ points
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


def _pull(
    points: Float[Tensor, "e p 3"], error: Float[Tensor, "e p 3"], weights: Float[Tensor, "e p"]
) -> Float[Tensor, "e 7"]:
    """Sum of w B^T r: torque, force and what stretches."""
    force = (weights[:, None] @ error)[:, 0]
    product = (weights[..., None] * points).mT @ error  # [e, 3, 3]: sum of w y r^T
    torque = (product - product.mT)[:, (1, 2, 0), (2, 0, 1)]  # y x r
    return torch.cat((torque, force, product.diagonal(dim1=-2, dim2=-1).sum(dim=-1, keepdim=True)), dim=-1)


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


def moved(place: Similarity, step: Float[Tensor, "n 7"]) -> Similarity:
    shift = (place.rotation @ step[:, 3:6, None])[..., 0]
    return Similarity(
        place.rotation @ rotation_from_vector(step[:, :3]),
        place.translation + place.scale[:, None] * shift,
        place.scale * step[:, 6].exp(),
    )
