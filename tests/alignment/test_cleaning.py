"""What is in the way goes: as recorded, and by votes."""

import pytest
import torch

from cut3r.alignment.cleaning import CleaningConfig, clean, partners
from cut3r.geometry.cameras import pinhole
from tests.alignment.golden_cases import CASES, Case


@pytest.mark.parametrize("name", CASES)
def test_parity_takes_away_what_the_original_takes_away(golden, name):
    case = Case(golden, name)
    scene, conf = case.final().scene(), case["final/im_conf_before_clean"]
    after = clean(scene.depth, conf, scene.world_from_cam, scene.intrinsics, CleaningConfig.as_original())
    different = ((after == 0) != case["final/im_conf_zeroed_by_clean"]).float().mean()
    assert float(different) <= 0.002
    assert torch.equal(after[after > 0], conf[after > 0])


def test_by_default_much_less_goes(golden):
    case = Case(golden, "C")
    scene, conf = case.final().scene(), case["final/im_conf_before_clean"]
    after = clean(scene.depth, conf, scene.world_from_cam, scene.intrinsics)
    assert 0 < int((after == 0).sum()) < case.said["zeroed"] / 2


def wall(frames: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cameras at the same place before a wall at 2 m, the first of them with a point in the air, unsure."""
    depth, conf = torch.full((frames, 8, 8), 2.0), torch.full((frames, 8, 8), 5.0)
    depth[0, 4, 4], conf[0, 4, 4] = 1.0, 2.0
    return depth, conf, torch.eye(4).repeat(frames, 1, 1), pinhole((8, 8), torch.full((frames,), 8.0))


@pytest.mark.parametrize(("frames", "gone"), [(2, 0), (3, 1)])
def test_two_votes_are_needed(frames, gone):
    after = clean(*wall(frames))
    assert int((after == 0).sum()) == gone
    assert frames == 2 or after[0, 4, 4] == 0


def test_a_sure_point_stays():
    depth, conf, world_from_cam, intrinsics = wall(4)
    conf[0, 4, 4] = 9.0
    assert (clean(depth, conf, world_from_cam, intrinsics) > 0).all()


def test_only_neighbours_are_asked():
    assert (clean(*wall(4), neighbours=torch.full((4, 1), -1)) > 0).all()


def test_partners_are_the_frames_that_share_a_pair():
    ends = torch.tensor(((0, 1), (1, 0), (1, 2), (3, 1)))
    assert partners(5, ends).tolist() == [[1, -1, -1], [0, 2, 3], [1, -1, -1], [1, -1, -1], [-1, -1, -1]]
    assert partners(2, ends[:0]).tolist() == [[-1], [-1]]


def test_cleaning_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="at least one vote"):
        CleaningConfig(votes=0)
