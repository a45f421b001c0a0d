"""Points drawn from pairs."""

import pytest
import torch

from cut3r.alignment.links import links_of
from cut3r.alignment.pairs import LEAST, Predictions, compact


def predictions(conf: float = 5.0) -> Predictions:
    """Three frames before a wall; the pair sees each point a metre further away."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(3, 8, 12, 3, generator=generator) + 1
    ends = torch.tensor(((0, 1), (1, 2)))
    sure = torch.full((3, 8, 12), conf).half()
    return Predictions(
        torch.zeros(3, 8, 12, 3, dtype=torch.uint8), points.half(), sure, ends, (points[1:] + 1).half(), sure[:2]
    )


def test_a_link_is_the_same_pixel_twice():
    links, without = links_of(predictions(), points=16)
    assert not without and links.source.shape == (2, 16, 3)
    torch.testing.assert_close(links.target, links.source + 1, atol=2e-3, rtol=0)


def test_the_same_seed_draws_the_same_points():
    first, again, other = (links_of(predictions(), points=16, seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first.source, again.source) and not torch.equal(first.source, other.source)


def test_a_network_that_is_never_sure_weighs_all_points_alike():
    links, without = links_of(predictions(conf=1.0), points=16)
    assert not without and (links.weights == LEAST).all()


def test_excluded_pixels_are_not_drawn_while_there_are_others():
    mask = torch.zeros(3, 8, 12, dtype=torch.bool)
    mask[:, :4] = True
    links, _ = links_of(predictions().without(mask), points=16)
    assert (links.weights > 0).all()


def test_a_pair_without_points_is_named():
    mask = torch.zeros(3, 8, 12, dtype=torch.bool)
    mask[2] = True
    links, without = links_of(predictions().without(mask), points=16)
    assert links.pairs() == [(0, 1)] and without == [(1, 2)]


def test_points_that_are_not_finite_have_no_confidence():
    points, conf = torch.ones(2, 4, 4, 3), torch.full((2, 4, 4), 2.0)
    points[0, 0, 0, 0], points[0, 1, 1, 2], conf[1, 0, 0] = torch.nan, 1e6, torch.inf
    kept, sure = compact(points, conf)
    assert kept.isfinite().all()
    assert sure[0, 0, 0] == sure[0, 1, 1] == 0, "half precision ends at 65,504 m"
    assert sure[1, 0, 0] == pytest.approx(65504)
