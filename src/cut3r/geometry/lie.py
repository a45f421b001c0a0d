"""Small rotations as vectors: axis times angle, radians."""

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.geometry.poses import quaternion_from_matrix


def skew(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Give the matrix of the cross product: skew(a) @ b = a x b."""
    x, y, z = vectors.unbind(dim=-1)
    zero = torch.zeros_like(x)
    return torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1).unflatten(-1, (3, 3))


def rotation_from_vector(omega: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Give the rotation about an axis by the vector's length: the exponential map, also at zero."""
    return torch.linalg.matrix_exp(skew(omega))


def vector_from_rotation(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Undo `rotation_from_vector` for angles up to pi; accurate for every angle."""
    w, xyz = quaternion_from_matrix(rotation).split((1, 3), dim=-1)
    sine = xyz.norm(dim=-1, keepdim=True)
    tiny = sine < torch.finfo(sine.dtype).tiny ** 0.5
    return xyz * torch.where(tiny, 2.0, 2 * torch.atan2(sine, w) / sine.where(~tiny, 1.0))
