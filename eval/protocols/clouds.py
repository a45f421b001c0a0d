"""Point clouds that need open3d: registration by closest points, normals, thinning to a grid."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float64

NEIGHBOURS = 30  # whose plane is the normal's
ICP_DISTANCE_M = 0.1
ICP_ROUNDS, ICP_CHANGE = 30, 1e-6

Points = Float64[np.ndarray, "p 3"]


@dataclass(frozen=True)
class IcpFit:
    """`transformation` brings the source onto the target, rigidly; `fitness` is the share of source points that found a
    partner, `rmse_m` the distance of these pairs."""

    transformation: Float64[np.ndarray, "4 4"]
    fitness: float
    rmse_m: float

    def apply(self, points: Points) -> Points:
        moved: np.ndarray = points @ self.transformation[:3, :3].T + self.transformation[:3, 3]
        return moved


def icp(source: Points, target: Points) -> IcpFit:
    """Register point to point, from where the clouds are; pairs farther apart than 0.1 m do not count.

    Source: Besl and McKay 1992; spec/eval_metrics.md 3.7.
    """
    registration = _open3d().pipelines.registration
    result = registration.registration_icp(
        _cloud(source),
        _cloud(target),
        ICP_DISTANCE_M,
        np.eye(4),
        registration.TransformationEstimationPointToPoint(),
        registration.ICPConvergenceCriteria(
            relative_fitness=ICP_CHANGE, relative_rmse=ICP_CHANGE, max_iteration=ICP_ROUNDS
        ),
    )
    return IcpFit(np.array(result.transformation), float(result.fitness), float(result.inlier_rmse))


def normals(points: Points) -> Points:
    """Unit normal of the plane through each point's 30 nearest neighbours, itself among them; of either sign."""
    cloud = _cloud(points)
    cloud.estimate_normals(_open3d().geometry.KDTreeSearchParamKNN(NEIGHBOURS))
    return np.asarray(cloud.normals).copy()


def voxel_means(points: Points, voxel_m: float) -> Points:
    """Replace the points of each cell of a grid by their mean; the grid begins half a cell before the least point."""
    return np.asarray(_cloud(points).voxel_down_sample(voxel_m).points).copy()


def _cloud(points: Points) -> Any:
    o3d = _open3d()
    return o3d.geometry.PointCloud(o3d.utility.Vector3dVector(np.ascontiguousarray(points)))


@cache
def _open3d() -> Any:
    """Import it when it is needed: that takes seconds, and three protocols of four do without."""
    try:
        import open3d
    except (ImportError, OSError) as error:
        raise ImportError(
            f"open3d cannot be used ({error}): pip install -r requirements-eval.txt, and on Debian or Ubuntu "
            "apt install libusb-1.0-0 libgl1"
        ) from error
    return open3d
