"""Point clouds and pointmaps: thinning, depth edges, normals, nearest neighbours."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import normalize


def voxel_thin(points: Float[Tensor, "p 3"], confidence: Float[Tensor, "p"], voxel_size: float) -> Int[Tensor, "kept"]:
    """Choose the most confident point of every occupied voxel; of equals, the first.

    Args:
        points: Finite, metres.
        voxel_size: Metres. Voxel edges lie at its multiples, so thinning a thinned cloud changes nothing.

    Returns:
        Indices of the chosen points, ascending.

    Raises:
        ValueError: The voxel size is not positive.
    """
    if not voxel_size > 0:
        raise ValueError(f"voxel_size is {voxel_size} m; give a positive edge length, or do not thin")
    voxel = _voxel_numbers(points, voxel_size)
    best_first = confidence.argsort(descending=True, stable=True)
    by_voxel = best_first[voxel[best_first].argsort(stable=True)]  # voxel by voxel, inside each the best first
    numbers = voxel[by_voxel]
    starts = torch.ones_like(numbers, dtype=torch.bool)
    starts[1:] = numbers[1:] != numbers[:-1]
    return by_voxel[starts].sort().values


def _voxel_numbers(points: Float[Tensor, "p 3"], voxel_size: float) -> Int[Tensor, "p"]:
    """Number the occupied voxels. Ranks instead of coordinates, so that a stray point far away cannot overflow."""
    cells = torch.floor(points / voxel_size)
    numbers = torch.zeros_like(cells[:, 0], dtype=torch.int64)
    for axis in range(3):
        rank = cells[:, axis].unique(return_inverse=True)[1]
        numbers = (numbers * len(points) + rank).unique(return_inverse=True)[1]  # both below p: fits while p < 3e9
    return numbers


def depth_edges(depth: Float[Tensor, "*batch h w"], threshold: float = 0.05) -> Bool[Tensor, "*batch h w"]:
    """Mark both pixels of each neighbouring pair whose depths differ by more than `threshold` of the smaller one.

    These hold the "flying pixels" between a near and a far surface, and no surface connects them. A pixel without depth
    (<= 0, or not finite) forms no pair.
    """
    edges = torch.zeros_like(depth, dtype=torch.bool)
    for axis in (-2, -1):
        length = depth.shape[axis] - 1
        before, after = depth.narrow(axis, 0, length), depth.narrow(axis, 1, length)
        smaller = torch.minimum(before, after)
        jump = ((after - before).abs() > threshold * smaller) & (smaller > 0) & torch.maximum(before, after).isfinite()
        edges.narrow(axis, 0, length).logical_or_(jump)
        edges.narrow(axis, 1, length).logical_or_(jump)
    return edges


def normals_from_points(points: Float[Tensor, "*batch h w 3"]) -> Float[Tensor, "*batch h w 3"]:
    """Give the unit surface normal at every pixel of a pointmap, in the frame of the points, facing the camera.

    Central differences, one-sided at the border. Zero where the neighbours do not span a plane.
    """
    right = _difference(points, axis=-2)
    down = _difference(points, axis=-3)
    return normalize(torch.linalg.cross(down, right), dim=-1)


def _difference(points: Float[Tensor, "*batch h w 3"], axis: int) -> Float[Tensor, "*batch h w 3"]:
    """Subtract the neighbour before from the neighbour after; a border pixel is its own missing neighbour."""
    index = torch.arange(points.shape[axis], device=points.device)
    after = points.index_select(axis, (index + 1).clamp_max(len(index) - 1))
    before = points.index_select(axis, (index - 1).clamp_min(0))
    return after - before


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
