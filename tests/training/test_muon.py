"""Muon beside PyTorch's, which is the definition."""

import pytest
import torch

from cut3r.training.muon import Muon, orthogonalize

SHAPES = ((8, 8), (24, 8), (8, 8), (8, 24))


def matrices() -> list[torch.nn.Parameter]:
    draw = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=draw)) for shape in SHAPES]


def test_it_steps_as_pytorchs():
    ours, theirs = matrices(), matrices()
    optimizers = (
        Muon(ours, lr=0.01, weight_decay=0.1),
        torch.optim.Muon(theirs, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    )
    begin = [p.detach().clone() for p in ours]
    draw = torch.Generator().manual_seed(1)
    for _ in range(4):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape, generator=draw)
            other.grad = mine.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for mine, other, first in zip(ours, theirs, begin, strict=True):
        assert (mine - other).norm() < 0.03 * (mine - first).norm()  # theirs is in bfloat16


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 16, 48), (2, 48, 16)])
def test_all_directions_become_about_equally_large(shape):
    draw = torch.Generator().manual_seed(0)
    lopsided = torch.randn(shape, generator=draw) * torch.logspace(-1, 0, shape[2])
    sizes = torch.linalg.svdvals(orthogonalize(lopsided))
    assert 0.3 < sizes.min() < sizes.max() < 1.4


def test_what_has_no_gradient_stays():
    parameters = matrices()
    before = [p.detach().clone() for p in parameters]
    parameters[0].grad = torch.ones_like(parameters[0])
    Muon(parameters, lr=0.1).step()
    changed = [not torch.equal(p, old) for p, old in zip(parameters, before, strict=True)]
    assert changed == [True, False, False, False]
