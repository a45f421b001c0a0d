"""Point clouds and depth maps: depth edges, nearest neighbours."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

STRAIGHT = 0.2  # change of slope on a plane: 0 but for noise; across a blurred edge it is 0.3 or more somewhere


def depth_edges(depth: Float[Tensor, "*batch h w"], threshold: float) -> Bool[Tensor, "*batch h w"]:
    """Mark both pixels of each neighbouring pair whose depths differ by more than `threshold` of the smaller one.

    These hold the "flying pixels" between a near and a far surface, and no surface connects them. Planes are no edges,
    however steep: where inverse depth, which is linear in the pixels of a plane, goes on as it does between the two,
    nothing is marked. A pixel without depth (<= 0, or not finite) forms no pair.
    """
    inverse = depth.where((depth > 0) & (depth < torch.inf), torch.nan).reciprocal()  # comparisons with nan are false
    edges = torch.zeros_like(depth, dtype=torch.bool)
    for axis in (-2, -1):
        length = depth.shape[axis] - 1
        farther = torch.minimum(inverse.narrow(axis, 0, length), inverse.narrow(axis, 1, length))
        slope = inverse.diff(dim=axis).abs_()
        jump = (slope > threshold * farther) & ~_goes_on(inverse, slope, axis)
        edges.narrow(axis, 0, length).logical_or_(jump)
        edges.narrow(axis, 1, length).logical_or_(jump)
    return edges


def _goes_on(inverse: Float[Tensor, "*batch h w"], slope: Float[Tensor, "*batch h2 w2"], axis: int) -> Tensor:
    """Whether inverse depth is straight from the pixel before each pair to the one after; at the border, as far as
    it is known."""
    bend = inverse.diff(n=2, dim=axis).abs_()
    last = bend.shape[axis] - 1
    if last < 0:
        return torch.zeros_like(slope, dtype=torch.bool)
    before = torch.cat((bend.narrow(axis, 0, 1), bend), dim=axis)
    after = torch.cat((bend, bend.narrow(axis, last, 1)), dim=axis)
    return torch.maximum(before, after) <= STRAIGHT * slope


def nearest_neighbors(
    queries: Float[Tensor, "p 3"], reference: Float[Tensor, "m 3"]
) -> tuple[Float[Tensor, "p"], Int[Tensor, "p"]]:
    """Find each query's closest reference point by a k-d tree on the host; all points must be finite.

    Returns:
        Distances (metres) and indices into the reference, on the queries' device.

    Raises:
        ValueError: The reference is empty.
    """
    if len(reference) == 0:
        raise ValueError("the reference cloud holds no points, so nothing is nearest; check it before the search")
    tree = cKDTree(_to_numpy(reference))
    distances, indices = tree.query(_to_numpy(queries), workers=-1)
    return torch.from_numpy(distances).to(queries), torch.from_numpy(indices).to(queries.device)


def _to_numpy(points: Float[Tensor, "p 3"]) -> np.ndarray:
    return points.detach().cpu().double().numpy()
