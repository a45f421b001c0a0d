"""Focal lengths that are none are replaced."""

import torch

from cut3r.alignment.focals import plausible, usual


def test_what_no_lens_has_becomes_nan():
    focals = plausible(torch.tensor((-30.0, 40.0, 0.5, 1e6, torch.nan)), (48, 64))
    assert focals.isnan().tolist() == [True, False, True, True, True]


def test_the_usual_one_is_the_median_of_the_known():
    assert usual(torch.tensor((torch.nan, 30.0, 50.0, 40.0)), (48, 64)) == 40.0
    assert usual(torch.full((2,), torch.nan), (48, 64)) == 0.866 * 64
