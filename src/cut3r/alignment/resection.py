"""Where does a camera stand, and how far does it zoom, that sees known points of the world at known pixels?"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.geometry.lie import rotation_from_vector, skew
from cut3r.geometry.poses import invert, pose_from_parts, transform

MOST_POINTS = 4000
SOFT = 1.0  # pixels from which an error counts linearly
LARGEST = 50.0  # pixels: no error is larger, also of points behind the camera
ROUNDS = 40
FOCAL_STEP = 0.2  # of the logarithm, at most


def resect(
    points_world: Float[Tensor, "p 3"],
    pixels: Float[Tensor, "p 2"],
    weights: Float[Tensor, "p"],
    principal_point: tuple[float, float],
    *,
    start: Float[Tensor, "4 4"],
    focal: float,
) -> tuple[Float[Tensor, "4 4"], float]:
    """Find (world_from_cam, focal length in pixels) by damped least squares with a robust error.

    It is searched from the start given and from the linear solution of all points, and the better end is taken.

    Args:
        weights: Not negative; any unit.
        start: A camera that stands near, such as that of a neighbour.
        focal: Where the focal length starts.

    Source: Hartley and Zisserman, Multiple View Geometry, 7.1 (linear resection).
    """
    some = torch.linspace(0, len(pixels) - 1, min(len(pixels), MOST_POINTS)).long()
    points, weights = points_world[some].double(), weights[some].double()
    slopes = (pixels[some] - pixels.new_tensor(principal_point)).double()
    problem = _Problem(points, slopes, weights / weights.sum())
    starts = [(invert(start.double()), math.log(focal)), *_linear(problem)]
    ends = [problem.descend(*each) for each in starts]
    cam_from_world, log_focal = min(ends, key=lambda end: problem.cost(*end))
    return invert(cam_from_world).to(start.dtype), math.exp(log_focal)


class _Problem:
    """Errors in pixels, measured from the principal point."""

    def __init__(self, points: Float[Tensor, "p 3"], pixels: Float[Tensor, "p 2"], weights: Float[Tensor, "p"]) -> None:
        self.points, self.pixels, self.weights = points, pixels, weights

    def cost(self, cam_from_world: Float[Tensor, "4 4"], log_focal: float) -> float:
        seen = transform(cam_from_world, self.points)
        length = (math.exp(log_focal) * seen[:, :2] / seen[:, 2:] - self.pixels).norm(dim=-1)
        length = length.where((seen[:, 2] > 0) & length.isfinite(), LARGEST).clamp_max(LARGEST)
        return float((self.weights * length).sum())

    def descend(self, cam_from_world: Float[Tensor, "4 4"], log_focal: float) -> tuple[Tensor, float]:
        cost, damping = self.cost(cam_from_world, log_focal), 1e-3
        for _ in range(ROUNDS):
            matrix, vector = self._normal_equations(cam_from_world, log_focal)
            damped = matrix + damping * torch.diag(matrix.diagonal() + 1e-9)
            step = torch.linalg.solve(damped, -vector)
            trial = _moved(cam_from_world, step), log_focal + float(step[6].clamp(-FOCAL_STEP, FOCAL_STEP))
            if (better := self.cost(*trial)) < cost:
                improved, cost, damping = cost - better, better, damping / 3
                cam_from_world, log_focal = trial
                if improved < 1e-9 * cost:
                    break
            else:
                damping *= 5
        return cam_from_world, log_focal

    def _normal_equations(self, cam_from_world: Float[Tensor, "4 4"], log_focal: float) -> tuple[Tensor, Tensor]:
        """Of a turn, a shift in the camera's frame and the logarithm of the focal length."""
        seen = transform(cam_from_world, self.points)
        x, y, z = seen.unbind(dim=-1)
        focal, inverse, zero = math.exp(log_focal), 1 / z, torch.zeros_like(z)
        predicted = focal * seen[:, :2] * inverse[:, None]
        along = focal * torch.stack((inverse, zero, -x * inverse**2, zero, inverse, -y * inverse**2), dim=-1)
        by_point = along.unflatten(-1, (2, 3))
        jacobian = torch.cat((-by_point @ skew(seen), by_point, predicted[..., None]), dim=-1)  # [p, 2, 7]
        error = predicted - self.pixels
        length = error.norm(dim=-1)
        counts = (z > 0) & (length < LARGEST)
        weight = (self.weights / length.clamp_min(SOFT)).where(counts, 0.0)
        jacobian = jacobian.where(counts[:, None, None], 0.0)
        weighted = jacobian * weight[:, None, None]
        error = error.where(counts[:, None], 0.0)
        return torch.einsum("pij,pik->jk", weighted, jacobian), torch.einsum("pij,pi->j", weighted, error)


def _moved(cam_from_world: Float[Tensor, "4 4"], step: Float[Tensor, "7"]) -> Float[Tensor, "4 4"]:
    return pose_from_parts(rotation_from_vector(step[:3]), step[3:6]) @ cam_from_world


def _linear(problem: _Problem) -> list[tuple[Tensor, float]]:
    """The direct linear solution; none where the points lie in a plane or it stands behind them."""
    middle = (problem.weights[:, None] * problem.points).sum(dim=0)
    unit = (problem.weights[:, None] * (problem.points - middle).abs()).sum().clamp_min(1e-9)
    points = torch.nn.functional.pad((problem.points - middle) / unit, (0, 1), value=1.0)  # [p, 4]
    spread = problem.pixels.abs().mean().clamp_min(1e-9)
    u, v = (problem.pixels / spread).unbind(dim=-1)
    zero = torch.zeros_like(points)
    rows = torch.cat(
        (torch.cat((points, zero, -u[:, None] * points), -1), torch.cat((zero, points, -v[:, None] * points), -1))
    )
    weights = problem.weights.sqrt().repeat(2)[:, None]
    projection = torch.linalg.svd(weights * rows, full_matrices=False).Vh[-1].reshape(3, 4)
    projection = projection / projection[2, :3].norm().clamp_min(1e-12)
    if float((problem.weights * (points @ projection[2])).sum()) < 0:
        projection = -projection
    focal = float(projection[:2, :3].norm(dim=-1).mean() * spread)
    if not math.isfinite(focal) or focal <= 0:
        return []
    scaled = projection * projection.new_tensor((spread / focal, spread / focal, 1.0))[:, None]
    u_, _, vh = torch.linalg.svd(scaled[:, :3])
    rotation = u_ @ vh
    if float(torch.linalg.det(rotation)) < 0:
        return []
    return [(pose_from_parts(rotation, unit * scaled[:, 3] - rotation @ middle), math.log(focal))]
