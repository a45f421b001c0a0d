"""Smooth interpolation of rotations: spherical and quadrangle interpolation of quaternions (slerp, squad).

Quaternions are (w, x, y, z) and of unit length. Source: Shoemake, "Quaternion calculus and fast animation", 1987, with
the control points of samples that are not equally far apart.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.geometry.poses import conjugate, multiply


def logarithm(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3"]:
    """Give half of the rotation vector of a unit quaternion; up to pi long, because q and -q are different here."""
    w, xyz = quaternion.split((1, 3), dim=-1)
    sine = xyz.norm(dim=-1, keepdim=True)
    tiny = sine < torch.finfo(sine.dtype).tiny ** 0.5
    return xyz * torch.where(tiny, 1.0, torch.atan2(sine, w) / sine.where(~tiny, 1.0))


def exponential(half: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 4"]:
    """Undo `logarithm`."""
    angle = half.norm(dim=-1, keepdim=True)
    return torch.cat((angle.cos(), half * torch.sinc(angle / torch.pi)), dim=-1)


def continuous(quaternions: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """Choose the signs so that each quaternion lies in the half of its predecessor."""
    turns = (quaternions[1:] * quaternions[:-1]).sum(dim=-1) < 0
    odd = torch.cat((turns.new_zeros(1), turns)).cumsum(dim=0) % 2 == 1
    return torch.where(odd[: len(quaternions), None], -quaternions, quaternions)


def slerp(
    a: Float[Tensor, "*batch 4"], b: Float[Tensor, "*batch 4"], share: Float[Tensor, "*batch 1"]
) -> Float[Tensor, "*batch 4"]:
    """Go a share of the short way from a to b."""
    near = torch.where((a * b).sum(dim=-1, keepdim=True) < 0, -b, b)
    return multiply(exponential(share * logarithm(multiply(near, conjugate(a)))), a)


def squad(times: Float[Tensor, "n"], quaternions: Float[Tensor, "n 4"], at: Float[Tensor, "m"]) -> Float[Tensor, "m 4"]:
    """Interpolate rotations between samples whose times increase; through the samples, with a continuous speed.

    Raises:
        ValueError: A time outside of the samples, or samples that are not in order of time.
    """
    if len(times) == 0 or (times.diff() <= 0).any():
        raise ValueError(f"the {len(times)} samples are not in order of time; sort them, and keep one of each time")
    if len(at) and (at.min() < times[0] or at.max() > times[-1]):
        raise ValueError(
            f"times from {at.min():.3f} to {at.max():.3f} leave the samples, {times[0]:.3f} to {times[-1]:.3f}"
        )
    if len(times) == 1:
        return quaternions.expand(len(at), 4)
    before, after = _controls(times, quaternions)
    i = torch.searchsorted(times, at, right=True).sub(1).clamp(0, len(times) - 2)
    share = ((at - times[i]) / (times[i + 1] - times[i])).unsqueeze(-1)
    outer = slerp(quaternions[i], quaternions[i + 1], share)
    return slerp(outer, slerp(before[i], after[i], share), 2 * share * (1 - share))


def _controls(
    times: Float[Tensor, "n"], quaternions: Float[Tensor, "n 4"]
) -> tuple[Float[Tensor, "n_minus_1 4"], Float[Tensor, "n_minus_1 4"]]:
    """Give the control points near the beginning and near the end of each interval; none at the ends of the path."""
    steps = times.diff().unsqueeze(-1)  # [n-1, 1]
    turns = logarithm(multiply(conjugate(quaternions[:-1]), quaternions[1:]))  # [n-1, 3]
    first = multiply(quaternions[1:-1], exponential((turns[:-1] * steps[1:] / steps[:-1] - turns[1:]) / 4))
    second = multiply(quaternions[1:-1], exponential((turns[:-1] - turns[1:] * steps[:-1] / steps[1:]) / 4))
    return torch.cat((quaternions[:1], first)), torch.cat((second, quaternions[-1:]))
