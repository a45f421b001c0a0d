"""What a network's geometry adds to a bundle adjustment, as Ceres cost functions with their derivatives.

A camera is Ceres' block of seven numbers that pycolmap keeps: cam_from_world as quaternion (x, y, z, w) and
translation. Derivatives are with respect to all seven; Ceres takes from them what lies along rotations.
"""

from collections.abc import Sequence

import numpy as np
import pyceres
import torch
from jaxtyping import Float

from cut3r.geometry.poses import quaternion_from_matrix

NEAREST = 1e-3  # metres: a point nearer than this, or behind a camera, counts as at this distance


class DepthPrior(pyceres.CostFunction):
    """A point (block 0) should be as far in front of a camera (block 1) as predicted: (z / depth - 1) / sigma.

    Not the logarithm of z: a step may take a point behind the camera, and must be able to bring it back.
    """

    def __init__(self, depth: float, sigma: float) -> None:
        super().__init__()
        self._depth, self._sigma = depth, sigma
        self.set_num_residuals(1)
        self.set_parameter_block_sizes([3, 7])

    def Evaluate(self, blocks: Sequence[np.ndarray], residuals: np.ndarray, jacobians: list | None) -> bool:
        # plain numbers: NumPy's overhead on so few of them would be most of an adjustment's time
        (x, y, z), (qx, qy, qz, qw, _, _, tz) = blocks[0].tolist(), blocks[1].tolist()
        unit = 1 / (self._depth * self._sigma)
        dot, cross = qx * x + qy * y + qz * z, qx * y - qy * x
        stretch = qw * qw - qx * qx - qy * qy - qz * qz
        residuals[0] = (stretch * z + 2 * (qz * dot + qw * cross) + tz - self._depth) * unit
        if jacobians is not None:
            twice = 2 * unit
            if jacobians[0] is not None:
                by_z = stretch * unit + twice * qz * qz
                jacobians[0][:] = (twice * (qz * qx - qw * qy), twice * (qz * qy + qw * qx), by_z)
            if jacobians[1] is not None:
                by_x, by_y = twice * (qz * x + qw * y - qx * z), twice * (qz * y - qw * x - qy * z)
                jacobians[1][:] = (by_x, by_y, twice * dot, twice * (qw * z + cross), 0.0, 0.0, unit)
        return True


class PosePrior(pyceres.CostFunction):
    """A camera (block 0) should stand where it is known to: three residuals of its turn, and three of its centre.

    The turn is twice the vector part of the quaternion that is left, which for small turns is the rotation vector.

    Args:
        world_from_cam: The known pose.
        sigma: By how much it may be off: metres, radians.
    """

    def __init__(self, world_from_cam: Float[np.ndarray, "4 4"], sigma: tuple[float, float]) -> None:
        super().__init__()
        self._quaternion = quaternion_of(world_from_cam[:3, :3].T)
        self._centre = world_from_cam[:3, 3].copy()
        self._sigma = sigma
        self.set_num_residuals(6)
        self.set_parameter_block_sizes([7])

    def Evaluate(self, blocks: Sequence[np.ndarray], residuals: np.ndarray, jacobians: list | None) -> bool:
        quaternion, translation = blocks[0][:4], blocks[0][4:]
        back = quaternion * (-1, -1, -1, 1)
        turn_back = rotation_of(back)
        nearer = 1.0 if quaternion @ self._quaternion >= 0 else -1.0  # q and -q are one rotation
        left = (2 * nearer / self._sigma[1]) * _left_over(self._quaternion)
        residuals[:3] = left @ quaternion
        residuals[3:] = (-turn_back @ translation - self._centre) / self._sigma[0]
        if jacobians is not None and jacobians[0] is not None:
            by_pose = np.zeros((6, 7))
            by_pose[:3, :4] = left
            by_pose[3:, :4] = -by_quaternion(back, translation[None])[0] * (-1, -1, -1, 1) / self._sigma[0]
            by_pose[3:, 4:] = -turn_back / self._sigma[0]
            jacobians[0][:] = by_pose.ravel()
        return True


class VirtualTracks(pyceres.CostFunction):
    """Predicted points of one camera (block 0) should be seen by another (block 1) where the alignment says.

    The points ride on the first camera. Residuals are differences of rays (x / z, y / z) over `sigma`.

    Args:
        points: Metres, in the first camera's frame.
        rays: Where the second should see them, at depth 1.
    """

    def __init__(self, points: Float[np.ndarray, "m 3"], rays: Float[np.ndarray, "m 2"], sigma: float) -> None:
        super().__init__()
        self._points, self._rays, self._sigma = points, rays, sigma
        self.set_num_residuals(2 * len(points))
        self.set_parameter_block_sizes([7, 7])

    def Evaluate(self, blocks: Sequence[np.ndarray], residuals: np.ndarray, jacobians: list | None) -> bool:
        first, second = blocks
        back = first[:4] * (-1, -1, -1, 1)
        offset = self._points - first[4:]
        turn_back = rotation_of(back)
        world = offset @ turn_back.T
        turn_second = rotation_of(second[:4])
        local = world @ turn_second.T + second[4:]
        z = np.maximum(local[:, 2], NEAREST)
        residuals[:] = ((local[:, :2] / z[:, None] - self._rays) / self._sigma).ravel()
        if jacobians is None:
            return True
        by_local = np.zeros((len(z), 2, 3))  # derivatives of the residuals by the point in the second camera
        by_local[:, 0, 0] = by_local[:, 1, 1] = 1 / z
        by_local[:, :, 2] = -local[:, :2] / np.square(z)[:, None] * (local[:, 2:] > NEAREST)
        by_local /= self._sigma
        if jacobians[0] is not None:
            by_world = by_local @ turn_second
            turn = by_world @ (by_quaternion(back, offset) * (-1, -1, -1, 1))
            shift = -by_world @ turn_back
            jacobians[0][:] = np.concatenate((turn, shift), axis=2).ravel()
        if jacobians[1] is not None:
            turn = by_local @ by_quaternion(second[:4], world)
            jacobians[1][:] = np.concatenate((turn, by_local), axis=2).ravel()
        return True


def rotation_of(quaternion: Float[np.ndarray, "4"]) -> Float[np.ndarray, "3 3"]:
    """The matrix of a unit quaternion (x, y, z, w)."""
    x, y, z, w = quaternion.tolist()
    return np.array(
        (
            (w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)),
            (2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)),
            (2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z),
        )
    )


def quaternion_of(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "4"]:
    """The unit quaternion (x, y, z, w) of a matrix."""
    return np.roll(quaternion_from_matrix(torch.from_numpy(rotation.copy())).numpy(), -1)


def _left_over(known: Float[np.ndarray, "4"]) -> Float[np.ndarray, "3 4"]:
    """What gives the vector part of known * conjugate(q) when multiplied with q."""
    x, y, z, w = known.tolist()
    return np.array(((-w, z, -y, x), (-z, -w, x, y), (y, -x, -w, z)))


def by_quaternion(quaternion: Float[np.ndarray, "4"], points: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, "m 3 4"]:
    """The derivative of the turned points by the quaternion's four numbers."""
    x, y, z, w = (2 * quaternion).tolist()
    axes = np.array(
        (  # of each component of the point, what the 12 derivatives have of it
            (x, -y, -z, w, y, x, w, z, z, -w, x, -y),
            (y, x, -w, -z, -x, y, -z, w, w, z, y, x),
            (z, w, x, y, -w, z, y, -x, -x, -y, z, w),
        )
    )
    return np.asarray((points @ axes).reshape(-1, 3, 4))
