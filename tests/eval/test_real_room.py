"""The protocols on a real recording: whoever says the truth has no errors, whatever sensor and camera did to it."""

import pytest

from eval.protocols.depth import VideoDepth
from eval.protocols.mv_recon import MultiViewReconstruction, ReconAlignment, ReconOptions
from eval.protocols.relpose import RelativePose
from eval.run import EvaluationRun
from eval.sequences import open_set
from tests.eval.recordings import Oracle

pytestmark = [pytest.mark.footage, pytest.mark.slow]
EVERY = 16  # frames: five of them are left
SIZE = 256


@pytest.fixture
def summary(footage, tmp_path):
    """Score the truth by a protocol; give the averages by group."""

    def summary(protocol):
        sequences = [sequence.every(EVERY) for sequence in open_set(protocol.name, "rgbd", footage / "rgbd_room")]
        views = [sequence.every(EVERY) for sequence in open_set("mv_recon", "rgbd", footage / "rgbd_room")]
        facts = {"dataset": "rgbd", "name": "oracle"}
        run = EvaluationRun(tmp_path / "run", protocol, sequences, Oracle(views, size=SIZE), facts=facts)
        run.begin()
        run.work()
        return run.finish()["summary"]

    return summary


def test_true_depth_has_no_error(summary):
    groups = summary(VideoDepth("rgbd", []))
    assert groups
    for name, group in groups.items():
        assert group["abs_rel"]["headline"] == pytest.approx(0, abs=1e-6), name
        assert group["delta_1"]["headline"] == 1


def test_a_true_path_has_no_error(summary):
    groups = summary(RelativePose())
    assert groups
    for name, group in groups.items():
        assert group["ate"]["headline"] < 1e-4, name  # metres: the recorded rotations are orthonormal to 1e-5
        assert group["rpe_rot"]["headline"] < 1e-3


def test_true_points_are_less_than_a_millimetre_off(summary):
    groups = summary(MultiViewReconstruction(ReconOptions(list(ReconAlignment)), size=SIZE))
    assert groups
    for name, group in groups.items():
        assert group["acc"]["headline"] < 1e-3, name
        assert group["comp"]["headline"] < 1e-3
        assert group["nc"]["headline"] > 0.99
