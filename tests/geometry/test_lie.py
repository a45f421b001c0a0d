"""Rotations as vectors."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from cut3r.geometry.lie import rotation_from_vector, skew, vector_from_rotation
from cut3r.geometry.poses import rotation_angle


@given(seed=st.integers(0, 2**31), angle=st.floats(0.0, math.pi))
def test_a_vector_turns_about_itself_by_its_length(seed, angle):
    axis = torch.nn.functional.normalize(
        torch.randn(3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)), dim=-1
    )
    rotation = rotation_from_vector(angle * axis)
    torch.testing.assert_close(rotation @ axis, axis)
    torch.testing.assert_close(
        rotation_angle(torch.eye(3, dtype=torch.float64), rotation), torch.tensor(angle).double()
    )


def test_skew_is_the_cross_product():
    a, b = torch.randn(2, 5, 3, dtype=torch.float64)
    torch.testing.assert_close((skew(a) @ b[..., None])[..., 0], torch.linalg.cross(a, b))


@given(seed=st.integers(0, 2**31), angle=st.floats(0.0, 3.14))
def test_the_vector_of_a_rotation_gives_it_back(seed, angle):
    axis = torch.nn.functional.normalize(
        torch.randn(3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)), dim=-1
    )
    torch.testing.assert_close(vector_from_rotation(rotation_from_vector(angle * axis)), angle * axis)
