"""Rigid transforms and quaternions.

A transform is named for what it maps: `a_from_b` takes coordinates in frame b to coordinates in frame a. Frames follow
OpenCV (x right, y down, z forward), lengths are metres, angles radians, quaternions (w, x, y, z). A pose *encoding* is
the network's seven numbers: translation, then a unit quaternion with w >= 0.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize, pad

SHORTEST_QUATERNION = 1e-6  # unit quaternions of files are rounded, but never to this


def transform(
    a_from_b: Float[Tensor, "*batch 4 4"], points_b: Float[Tensor, "*points 3"]
) -> Float[Tensor, "*points 3"]:
    """Move points from frame b to frame a.

    The leading axes of the points are those of the transforms; the others are free: (4, 4) moves (h, w, 3), (b, 4, 4)
    moves (b, h, w, 3).
    """
    return _sums_of_products(a_from_b, points_b, a_from_b[..., :3, 3])


def rotate(a_from_b: Float[Tensor, "*batch 4 4"], vectors_b: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points 3"]:
    """Turn directions from frame b to frame a: `transform` without the translation."""
    return _sums_of_products(a_from_b, vectors_b, None)


def _sums_of_products(
    a_from_b: Float[Tensor, "*batch 4 4"], vectors: Float[Tensor, "*points 3"], offset: Float[Tensor, "*batch 3"] | None
) -> Float[Tensor, "*points 3"]:
    # No matrix product: full precision under autocast and TF32. Each coordinate of all vectors lies in a plane
    # of its own, which a CPU adds up several times faster than rows of three.
    x, y, z = vectors.movedim(-1, 0).contiguous()
    rows = []
    for i in range(3):
        a, b, c = spread(a_from_b[..., i, :3], vectors).unbind(dim=-1)
        row = x * a + y * b + z * c
        rows.append(row if offset is None else row + spread(offset[..., i : i + 1], vectors)[..., 0])
    return torch.stack(rows).movedim(0, -1).contiguous()


def spread(vectors: Float[Tensor, "*batch d"], points: Float[Tensor, "*points c"]) -> Float[Tensor, "*spread d"]:
    """Give one vector per batch element the axes to broadcast over that element's points.

    Raises:
        ValueError: The points have fewer leading axes than the vectors.
    """
    missing = points.ndim - vectors.ndim
    if missing < 0:
        raise ValueError(
            f"points of shape {tuple(points.shape)} lack the batch axes {tuple(vectors.shape[:-1])}; expand them first"
        )
    return vectors.reshape(*vectors.shape[:-1], *[1] * missing, vectors.shape[-1])


def invert(a_from_b: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 4 4"]:
    """Give b_from_a. Only for rigid transforms: the rotation is transposed."""
    rotation, translation = a_from_b[..., :3, :3], a_from_b[..., :3, 3]
    return pose_from_parts(rotation.mT, -(rotation * translation.unsqueeze(-1)).sum(dim=-2))


def pose_from_parts(
    rotation: Float[Tensor, "*batch 3 3"], translation: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch 4 4"]:
    """Assemble a homogeneous matrix."""
    pose = pad(torch.cat((rotation, translation.unsqueeze(-1)), dim=-1), (0, 0, 0, 1))
    pose[..., 3, 3] = 1
    return pose


def is_rigid(a_from_b: Float[Tensor, "*batch 4 4"], *, tolerance: float = 1e-3) -> Bool[Tensor, "*batch"]:
    """Say which matrices are a rotation and a translation: finite, orthonormal, no reflection, last row 0 0 0 1.

    Args:
        tolerance: On the entries of R R^T and of the last row. Files round their numbers; a matrix of zeros, with which
            some recorders mark lost tracking, is far from it.
    """
    rotation, last_row = a_from_b[..., :3, :3], a_from_b[..., 3, :]
    skewed = (rotation @ rotation.mT - torch.eye(3).to(rotation)).abs().amax(dim=(-2, -1))
    padded = (last_row - last_row.new_tensor((0, 0, 0, 1))).abs().amax(dim=-1)
    mirrored = (torch.linalg.cross(rotation[..., 0], rotation[..., 1]) * rotation[..., 2]).sum(dim=-1) <= 0
    finite = a_from_b.isfinite().flatten(-2).all(dim=-1)
    return finite & (skewed <= tolerance) & (padded <= tolerance) & ~mirrored


def nearest_rotation(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Give the rotation that differs least from a matrix, in the sum of squares.

    Source: Umeyama 1991, lemma.
    """
    u, _, vh = torch.linalg.svd(matrix)
    sign = torch.ones_like(matrix[..., 0])
    sign[..., 2] = torch.linalg.det(u @ vh)
    return (u * sign.unsqueeze(-2)) @ vh


def is_rotation(quaternion: Float[Tensor, "*batch 4"]) -> Bool[Tensor, "*batch"]:
    """Say which quaternions are a rotation: finite, and long enough to have a direction (0 0 0 0 has none)."""
    length = quaternion.norm(dim=-1)
    return length.isfinite() & (length > SHORTEST_QUATERNION)


def rotation_angle(a: Float[Tensor, "*batch 3 3"], b: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    """Measure the angle between two rotations, from 0 to pi; accurate at both ends, where the arc cosine is not."""
    difference = a.mT @ b
    skew = difference - difference.mT
    sine = torch.stack((skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]), dim=-1).norm(dim=-1) / 2
    cosine = (difference.diagonal(dim1=-2, dim2=-1).sum(dim=-1) - 1) / 2
    return torch.atan2(sine, cosine)


def standardize(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Normalise to unit length and w >= 0. At w = 0 both signs mean the same rotation and either may come out."""
    unit = normalize(quaternion, dim=-1)
    return torch.where(unit[..., :1] < 0, -unit, unit)


def conjugate(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Give the quaternion of the inverse rotation (of a unit quaternion)."""
    return torch.cat((quaternion[..., :1], -quaternion[..., 1:]), dim=-1)


def multiply(a: Float[Tensor, "*batch 4"], b: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Give the Hamilton product: the rotation b, then the rotation a."""
    a_real, a_imaginary, b_real, b_imaginary = a[..., :1], a[..., 1:], b[..., :1], b[..., 1:]
    real = a_real * b_real - (a_imaginary * b_imaginary).sum(dim=-1, keepdim=True)
    imaginary = a_real * b_imaginary + b_real * a_imaginary + torch.linalg.cross(a_imaginary, b_imaginary)
    return torch.cat((real, imaginary), dim=-1)


def rotate_by_quaternion(
    quaternion: Float[Tensor, "*batch 4"], vectors: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch 3"]:
    """Turn one vector per unit quaternion."""
    return multiply(multiply(quaternion, pad(vectors, (1, 0))), conjugate(quaternion))[..., 1:]


def matrix_from_quaternion(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Give the rotation matrix of a quaternion of any length; the zero quaternion gives the identity."""
    w, x, y, z = quaternion.unbind(dim=-1)
    k = 2 / quaternion.square().sum(dim=-1).clamp_min(torch.finfo(quaternion.dtype).tiny)
    entries = (
        *(1 - k * (y * y + z * z), k * (x * y - w * z), k * (x * z + w * y)),
        *(k * (x * y + w * z), 1 - k * (x * x + z * z), k * (y * z - w * x)),
        *(k * (x * z - w * y), k * (y * z + w * x), 1 - k * (x * x + y * y)),
    )
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def quaternion_from_matrix(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Give the unit quaternion with w >= 0 of a rotation matrix, accurate for every angle."""
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = rotation.flatten(-2).unbind(dim=-1)
    # Row k is 4 q_k q. The diagonal sums to 4, so the row with the largest diagonal entry (>= 1) is safe to normalise.
    rows = (
        *(1 + m00 + m11 + m22, m21 - m12, m02 - m20, m10 - m01),
        *(m21 - m12, 1 + m00 - m11 - m22, m10 + m01, m02 + m20),
        *(m02 - m20, m10 + m01, 1 - m00 + m11 - m22, m12 + m21),
        *(m10 - m01, m20 + m02, m21 + m12, 1 - m00 - m11 + m22),
    )
    table = torch.stack(rows, dim=-1).unflatten(-1, (4, 4))
    largest = table.diagonal(dim1=-2, dim2=-1).argmax(dim=-1)
    row = table.take_along_dim(largest[..., None, None], dim=-2).squeeze(-2)
    return standardize(row)


def pose_from_encoding(encoding: Float[Tensor, "*batch 7"]) -> Float[Tensor, "*batch 4 4"]:
    """Give the matrix of a pose encoding; the quaternion may have any length."""
    return pose_from_parts(matrix_from_quaternion(encoding[..., 3:]), encoding[..., :3])


def encoding_from_pose(pose: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 7"]:
    """Give the pose encoding of a rigid matrix."""
    return torch.cat((pose[..., :3, 3], quaternion_from_matrix(pose[..., :3, :3])), dim=-1)


def relative_encoding(
    world_from_a: Float[Tensor, "*batch 7"], world_from_b: Float[Tensor, "*batch 7"]
) -> Float[Tensor, "*batch 7"]:
    """Give the encoding of a_from_b, pose b seen from pose a, of unit quaternions; w of the result may be negative."""
    a_from_world = conjugate(world_from_a[..., 3:])
    translation = rotate_by_quaternion(a_from_world, world_from_b[..., :3] - world_from_a[..., :3])
    return torch.cat((translation, multiply(a_from_world, world_from_b[..., 3:])), dim=-1)


def decode_pose(raw: Float[Tensor, "*batch 7"]) -> Float[Tensor, "*batch 7"]:
    """Map the pose head's raw output to a pose encoding.

    The raw translation r becomes r expm1(|r|) / |r|: fine steps near the origin, kilometres within reach.
    """
    length = raw[..., :3].norm(dim=-1, keepdim=True)
    translation = raw[..., :3] * torch.expm1(length) / length.clamp_min(1e-8)
    return torch.cat((translation, standardize(raw[..., 3:])), dim=-1)


def encode_pose(encoding: Float[Tensor, "*batch 7"], *, parity: bool = False) -> Float[Tensor, "*batch 7"]:
    """Undo `decode_pose`, up to the length and sign of the raw quaternion.

    Args:
        parity: The original multiplies the translation by |t| / expm1(|t|), which is not the inverse (quirk Q20).
    """
    translation = encoding[..., :3]
    length = translation.norm(dim=-1, keepdim=True)
    if parity:
        raw = translation * length / torch.expm1(length).clamp_min(1e-8)
    else:
        raw = translation * torch.log1p(length) / length.clamp_min(1e-8)
    return torch.cat((raw, standardize(encoding[..., 3:])), dim=-1)
