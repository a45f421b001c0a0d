"""Small rotations as vectors: axis times angle, radians."""

import torch
from jaxtyping import Float
from torch import Tensor


def skew(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Give the matrix of the cross product: skew(a) @ b = a x b."""
    x, y, z = vectors.unbind(dim=-1)
    zero = torch.zeros_like(x)
    return torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1).unflatten(-1, (3, 3))


def rotation_from_vector(omega: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Give the rotation about an axis by the vector's length: the exponential map, also at zero."""
    return torch.linalg.matrix_exp(skew(omega))
