import pytest
import torch

from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import matrix_from_quaternion, quaternion_from_matrix
from cut3r.geometry.squad import continuous, exponential, logarithm, slerp, squad

VECTORS = [(0, 0, 0), (0.1, 0.2, 0), (0.3, 0.1, -0.2), (0.5, 0.5, 0.1), (0.2, 0.9, 0.4)]
TIMES = torch.tensor([0.0, 0.1, 0.2, 0.35, 0.4], dtype=torch.float64)
QUATERNIONS = quaternion_from_matrix(rotation_from_vector(torch.tensor(VECTORS, dtype=torch.float64)))


def test_squad_gives_the_golden_rotations():
    at = torch.tensor([0.05, 0.1, 0.15, 0.3, 0.38], dtype=torch.float64)
    golden = [
        (0.997983, 0.021826, 0.059281, 0.006251),
        (0.993757, 0.049896, 0.099792, 0),
        (0.990869, 0.098644, 0.07289, -0.055995),
        (0.956554, 0.253742, 0.139596, -0.033651),
        (0.911013, 0.165606, 0.354089, 0.131341),
    ]
    torch.testing.assert_close(squad(TIMES, QUATERNIONS, at), torch.tensor(golden).double(), atol=2e-6, rtol=0)


def test_squad_goes_through_its_samples():
    torch.testing.assert_close(squad(TIMES, QUATERNIONS, TIMES), QUATERNIONS)
    torch.testing.assert_close(squad(TIMES[:1], QUATERNIONS[:1], TIMES[:1]), QUATERNIONS[:1])
    middle = squad(TIMES[:2], QUATERNIONS[:2], TIMES[:2].mean(dim=0, keepdim=True))
    torch.testing.assert_close(middle, slerp(QUATERNIONS[:1], QUATERNIONS[1:2], torch.full((1, 1), 0.5).double()))


def test_times_outside_and_out_of_order_are_refused():
    with pytest.raises(ValueError, match=r"from 0\.450 to 0\.450 leave the samples, 0\.000 to 0\.400"):
        squad(TIMES, QUATERNIONS, torch.tensor([0.45]).double())
    with pytest.raises(ValueError, match="not in order of time"):
        squad(TIMES.flip(0), QUATERNIONS, TIMES[:1])


def test_signs_follow_the_predecessor():
    signs = torch.tensor([1, -1, -1, 1, -1]).double().unsqueeze(-1)
    torch.testing.assert_close(continuous(QUATERNIONS * signs), QUATERNIONS)


def test_the_exponential_undoes_the_logarithm():
    both = torch.cat((QUATERNIONS, -QUATERNIONS[1:]))
    torch.testing.assert_close(exponential(logarithm(both)), both)


def test_slerp_takes_the_short_way():
    a, b = QUATERNIONS[:1], -QUATERNIONS[3:4]
    whole = slerp(a, b, torch.ones(1, 1).double())
    torch.testing.assert_close(matrix_from_quaternion(whole), matrix_from_quaternion(b))
    assert (slerp(a, b, torch.full((1, 1), 0.5).double()) * a).sum() > 0.9
