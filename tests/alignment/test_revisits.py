"""Candidates for loops, on planted tokens: a video that comes back is recognised where it does."""

import math

import pytest
import torch

from cut3r.alignment.revisits import Revisit, RevisitConfig, _thinned, revisits, whitened


def planted_tokens(places: torch.Tensor, noise: float = 0.05) -> torch.Tensor:
    """Smooth functions of the place [n 2], with noise, and much that all frames share."""
    generator = torch.Generator().manual_seed(0)
    waves = torch.randn(2, 96, generator=generator, dtype=torch.float64)
    phases = 2 * math.pi * torch.rand(96, generator=generator, dtype=torch.float64)
    shared = 20 * torch.randn(96, generator=generator, dtype=torch.float64)
    return shared + (places @ waves + phases).sin() + noise * torch.randn(len(places), 96, generator=generator).double()


def two_laps(n: int) -> torch.Tensor:
    angle = torch.arange(n).double() * 4 * math.pi / n
    return 4 * torch.stack((angle.cos(), angle.sin()), dim=-1)


def there_only(n: int) -> torch.Tensor:
    return torch.stack((torch.arange(n).double() / 8, torch.zeros(n).double()), dim=-1)


def test_the_second_lap_is_recognised():
    found = revisits(planted_tokens(two_laps(200)))
    assert len(found) >= 4
    best = found[:4]
    assert all(abs(each.second - each.first - 100) <= 3 for each in best)
    assert all(each.similarity > 0.9 for each in best)
    assert [each.similarity for each in found] == sorted((each.similarity for each in found), reverse=True)


def test_only_what_is_new_is_compared_and_old_pairs_take_no_place():
    """Frames 5 and 105 show one place, and so, less clearly, does 205: another candidate in the same ten frames."""
    tokens = torch.randn(210, 96, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tokens[105] = tokens[5]
    tokens[205] = tokens[5] + 0.3 * tokens[205]
    again = {(5, 205), (105, 205)}
    config = RevisitConfig(per_block=1)
    assert (5, 105) in (ends := {(each.first, each.second) for each in revisits(tokens, config)}) and not again & ends
    new = {(each.first, each.second) for each in revisits(tokens, config, since=200)}
    assert again & new and all(first < second and second >= 200 for first, second in new)


def test_a_walk_that_never_comes_back_has_only_doubtful_candidates():
    similar = [each.similarity for each in revisits(planted_tokens(there_only(200)))]
    assert max(similar, default=0) < 0.8, "the second lap has above 0.9"


def test_candidates_are_apart_in_time_and_from_each_other():
    found = revisits(planted_tokens(two_laps(400)))
    assert all(each.second - each.first > 25 for each in found)
    for k, a in enumerate(found):
        for b in found[:k]:
            assert abs(a.first - b.first) >= 25 or abs(a.second - b.second) >= 25


def test_a_better_candidate_silences_those_near_it_at_both_ends():
    ranked = [Revisit(10, 200, 0.9), Revisit(34, 176, 0.8), Revisit(35, 200, 0.7), Revisit(10, 225, 0.6)]
    assert _thinned(ranked, RevisitConfig(per_block=9)) == [ranked[0], ranked[2], ranked[3]]


def test_ten_frames_have_few_candidates():
    ranked = [Revisit(3, 100 + 30 * k, 1 - k / 100) for k in range(9)]
    assert _thinned(ranked, RevisitConfig(per_block=2)) == ranked[:2]


def test_pairs_that_exist_are_no_candidates():
    tokens = planted_tokens(two_laps(200))
    best = revisits(tokens)[0]
    again = revisits(tokens, paired=[(best.second, best.first)])
    assert (best.first, best.second) not in {(each.first, each.second) for each in again}


def test_what_all_frames_share_says_nothing():
    tokens = planted_tokens(two_laps(200))
    torch.testing.assert_close(whitened(tokens).std(dim=0, correction=0), torch.ones(25).double())
    torch.testing.assert_close(whitened(tokens + 100), whitened(tokens), atol=1e-6, rtol=1e-6)


def test_few_frames_have_none():
    assert revisits(planted_tokens(there_only(20))) == []


def test_settings_below_one_are_refused():
    with pytest.raises(ValueError, match="below 1"):
        RevisitConfig(apart=0)
