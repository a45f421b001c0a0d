"""Distances between clouds agree with the recorded ones."""

import numpy as np
import pytest
import torch

from cut3r.metrics.points import f_score, middle, one_way


@pytest.mark.parametrize("case", ["equal", "noise", "partial"])
def test_recorded_distances(golden, case):
    recorded = {name: torch.from_numpy(array) for name, array in np.load(golden / f"eval/recon_nn_{case}.npz").items()}
    predicted = recorded["rec_points"], recorded["rec_normals"]
    true = recorded["gt_points"], recorded["gt_normals"]
    accuracy, completion = one_way(*predicted, *true), one_way(*true, *predicted)
    for found, expected in ((accuracy, recorded["accuracy"]), (completion, recorded["completion"])):
        numbers = [found.distance.mean(), middle(found.distance), found.normal.mean(), middle(found.normal)]
        torch.testing.assert_close(torch.tensor(numbers, dtype=torch.float64), expected, rtol=0, atol=1e-12)
    assert completion.within(0.05) == pytest.approx(float(recorded["completion_ratio_5cm"]), abs=1e-7)


@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_the_median_is_the_ordinary_one(count):
    values = torch.rand(count, dtype=torch.float64, generator=torch.Generator().manual_seed(count))
    assert middle(values) == pytest.approx(float(np.median(values.numpy())), abs=1e-15)


def test_the_f_score_is_one_for_equal_clouds_and_zero_for_distant_ones():
    points = torch.rand(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    normals = torch.nn.functional.normalize(points, dim=-1)
    same = one_way(points, normals, points, normals)
    far = one_way(points, normals, points + 10, normals)
    assert f_score(same, same, 0.05) == 1
    assert f_score(far, far, 0.05) == 0


def test_an_empty_cloud_is_refused():
    some, none = torch.rand(5, 3), torch.rand(0, 3)
    with pytest.raises(ValueError, match="no points"):
        one_way(none, none, some, some)
