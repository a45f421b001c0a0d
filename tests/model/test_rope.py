"""The rotary embedding: what it is by definition, and what it is for."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cut3r.model.rope import grid_angles, rope_angles, rotate, rotate_pair, state_angles, state_positions

CPU = torch.device("cpu")


def turned(x, row, column):
    """Rotate one vector at one position."""
    return rotate(x.view(1, 1, 1, -1), rope_angles(torch.tensor([[[row, column]]]), x.numel())).flatten()


def test_each_pair_turns_by_position_times_frequency():
    d, row, column = 16, 3, -1
    x = torch.randn(d, generator=torch.Generator().manual_seed(0))
    expected = torch.empty(d)
    for half, position in ((0, row), (1, column)):
        for j in range(d // 4):
            angle = position * 100 ** (-2 * j / (d // 2))
            u, v = x[half * 8 + j], x[half * 8 + j + 4]
            expected[half * 8 + j] = u * math.cos(angle) - v * math.sin(angle)
            expected[half * 8 + j + 4] = v * math.cos(angle) + u * math.sin(angle)
    torch.testing.assert_close(turned(x, row, column), expected)


@given(
    seed=st.integers(0, 2**31),
    p=st.tuples(st.integers(-1, 60), st.integers(-1, 60)),
    shift=st.tuples(st.integers(-20, 20), st.integers(-20, 20)),
)
def test_a_product_of_query_and_key_depends_only_on_their_offset(seed, p, shift):
    q, k = torch.randn(2, 32, generator=torch.Generator().manual_seed(seed))
    here = turned(q, 0, 0) @ turned(k, *p)
    there = turned(q, *shift) @ turned(k, p[0] + shift[0], p[1] + shift[1])
    torch.testing.assert_close(here, there, atol=1e-4, rtol=1e-4)


@given(seed=st.integers(0, 2**31), row=st.integers(-1, 60), column=st.integers(-1, 60))
def test_turning_keeps_lengths(seed, row, column):
    x = torch.randn(48, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(turned(x, row, column).norm(), x.norm())


def test_half_precision_is_turned_in_float32():
    x = torch.randn(1, 2, 6, 16, generator=torch.Generator().manual_seed(0))
    angles = grid_angles((2, 3), 16, 100.0, CPU)
    turned_half = rotate(x.bfloat16(), angles)
    assert turned_half.dtype is torch.bfloat16
    torch.testing.assert_close(turned_half, rotate(x.bfloat16().float(), angles).bfloat16(), atol=0, rtol=0)


def queries_and_keys(dtype):
    """Of different lengths, at positions of their own."""
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(2, 3, tokens, 8, generator=generator, dtype=dtype) for tokens in (5, 4))
    return q, k, *(rope_angles(torch.randint(-1, 9, (1, x.shape[2], 2), generator=generator), 8) for x in (q, k))


def test_a_pair_is_turned_like_each_alone():
    q, k, q_angles, k_angles = queries_and_keys(torch.float32)
    turned_q, turned_k = rotate_pair(q, k, q_angles, k_angles)
    assert turned_q.equal(rotate(q, q_angles))
    assert turned_k.equal(rotate(k, k_angles))


def test_a_side_without_angles_stays_as_it_is():
    q, k, q_angles, k_angles = queries_and_keys(torch.float32)
    assert rotate_pair(q, k, q_angles, None)[1] is k
    assert rotate_pair(q, k, None, k_angles)[0] is q
    assert rotate_pair(q, k, q_angles, None)[0].equal(rotate(q, q_angles))


def test_the_gradient_is_that_of_the_definition():
    q, k, q_angles, k_angles = queries_and_keys(torch.float64)
    # turning is linear, so a step of 1 is exact but for the rounding to float32
    torch.autograd.gradcheck(
        lambda q, k: rotate_pair(q, k, q_angles, k_angles), (q.requires_grad_(), k.requires_grad_()), eps=1.0, atol=1e-5
    )


def test_tables_are_made_once_and_the_pose_token_comes_first():
    with_pose = grid_angles((2, 3), 16, 100.0, CPU, pose_token=True)
    assert grid_angles((2, 3), 16, 100.0, CPU, pose_token=True) is with_pose
    plain = grid_angles((2, 3), 16, 100.0, CPU)
    torch.testing.assert_close(with_pose[0][:, :, 1:], plain[0])
    torch.testing.assert_close(with_pose[1][0, 0, 0], rope_angles(torch.tensor([[[-1, -1]]]), 16)[1][0, 0, 0])


@pytest.mark.parametrize(("tokens", "columns"), [(768, 28), (30, 6), (16, 4), (12, 4)])
def test_state_tokens_sit_on_a_grid_with_an_even_number_of_columns(tokens, columns):
    positions = state_positions(tokens, "grid")
    assert positions[:, 1].max() == columns - 1
    assert positions[columns].tolist() == [1, 0]


def test_state_tokens_can_sit_on_a_line_or_nowhere():
    assert state_positions(5, "line").tolist() == [[i, i] for i in range(5)]
    assert state_positions(5, "none") is None
    assert state_angles(5, "none", 16, 100.0, CPU) is None


@pytest.mark.gpu
def test_the_gpu_turns_like_the_cpu():
    x = torch.randn(1, 2, 7, 16)
    on_cpu = rotate(x, grid_angles((2, 3), 16, 100.0, CPU, pose_token=True))
    on_gpu = rotate(x.cuda(), grid_angles((2, 3), 16, 100.0, torch.device("cuda"), pose_token=True))
    torch.testing.assert_close(on_gpu.cpu(), on_cpu)
