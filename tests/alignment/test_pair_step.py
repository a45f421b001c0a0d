"""One step of pairs: each fits best, and all together are as large as they were."""

import torch
from torch import Tensor

from cut3r.alignment.pair_step import Moments, step_pairs
from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.registration import Similarity

PAIRS, POINTS = 6, 40


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def similarities(off: float = 0.3) -> Similarity:
    turns = rotation_from_vector(off * normal(PAIRS, 3, seed=1).double())
    return Similarity(turns, normal(PAIRS, 3, seed=2).double(), (0.1 * normal(PAIRS, seed=3).double()).exp())


def moved(place: Similarity, points: Tensor) -> Tensor:
    return place.apply(points.mT.flatten(1, 2).double()).unflatten(1, (2, POINTS)).mT


def moments(points: Tensor, target: Tensor, place: Similarity, pull: Tensor | None = None) -> Moments:
    pull = torch.ones(PAIRS, 2, POINTS) if pull is None else pull
    return Moments.of(points, (target - moved(place, points)).float(), pull, place)


def rows(*some: int) -> Tensor:
    return torch.tensor(some)


ALL = torch.arange(PAIRS)


def test_exact_points_give_the_exact_similarity():
    points, truth = normal(PAIRS, 2, 3, POINTS), similarities()
    pull = torch.rand(PAIRS, 2, POINTS, generator=torch.Generator().manual_seed(4))
    mean = float(truth.scale.log().mean().exp())
    found = step_pairs(
        moments(points, moved(truth, points), similarities(0.1), pull),
        similarities(0.1),
        with_scale=True,
        gauges=[(ALL, mean)],
    )
    torch.testing.assert_close(found.matrix(), truth.matrix(), atol=1e-5, rtol=0)


def test_noise_does_not_shrink_pairs_and_nothing_fits_better_at_that_size():
    """Enlarged together, least-squares scales fit worse: the loss of refinement rose with each sweep."""
    points, truth = normal(PAIRS, 2, 3, POINTS), similarities()
    noise = torch.linspace(0.0, 1.0, PAIRS)[:, None, None, None] * normal(PAIRS, 2, 3, POINTS, seed=5)
    seen, target = points + noise, moved(truth, points)
    mean = float(truth.scale.log().mean().exp())
    found = step_pairs(moments(seen, target, truth), truth, with_scale=True, gauges=[(ALL, mean)])
    plain = step_pairs(moments(seen, target, truth), truth, with_scale=True, gauges=[])
    assert abs(float(found.scale.log().mean().exp()) - mean) < 1e-9
    assert float(plain.scale.log().mean().exp()) < 0.95 * mean

    def squares(fit: Similarity) -> float:
        return float((target - moved(fit, seen)).square().sum())

    larger = mean / plain.scale.log().mean().exp()
    # about the same means, only larger
    source, middle = seen.mean(dim=(1, 3)).double(), target.mean(dim=(1, 3))
    shift = middle - larger * plain.scale[:, None] * (plain.rotation @ source[..., None])[..., 0]
    enlarged = Similarity(plain.rotation, shift, larger * plain.scale)
    assert squares(found) < 0.99 * squares(enlarged)


def test_groups_have_sizes_of_their_own_and_without_scales_all_are_one():
    points, truth = normal(PAIRS, 2, 3, POINTS), similarities()
    seen = points + 0.5 * normal(PAIRS, 2, 3, POINTS, seed=5)
    what = moments(seen, moved(truth, points), truth)
    found = step_pairs(what, truth, with_scale=True, gauges=[(rows(0, 1), 2.0), (rows(2, 3), 3.0)])
    torch.testing.assert_close(found.scale[:2].log().mean().exp(), torch.tensor(2.0).double())
    torch.testing.assert_close(found.scale[2:4].log().mean().exp(), torch.tensor(3.0).double())
    plain = step_pairs(what, truth, with_scale=True, gauges=[])
    assert torch.equal(found.scale[4:], plain.scale[4:])
    assert (step_pairs(what, truth, with_scale=False, gauges=[(ALL, 2.0)]).scale == 1).all()


def test_points_that_coincide_leave_a_pair_where_it_was():
    points, truth = normal(PAIRS, 2, 3, POINTS), similarities()
    points[1] = 1.0
    target = moved(truth, points)
    target[2] = 3.0
    pull = torch.ones(PAIRS, 2, POINTS)
    pull[3] = 0
    before = similarities(0.1)
    found = step_pairs(moments(points, target, before, pull), before, with_scale=True, gauges=[(ALL, 1.0)])
    for k in (1, 2, 3):
        torch.testing.assert_close(found.matrix()[k], before.matrix()[k], atol=1e-12, rtol=0)
    assert found.matrix().isfinite().all()
