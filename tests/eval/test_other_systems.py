"""What other systems hand in as they are used to: 0 for no depth, points of any size, files only to be scored."""

import numpy as np
import pytest

from eval.build import make_protocol
from eval.config import EvalConfig, Stage
from eval.launch import frames_left
from eval.protocols.depth import MonoDepth, VideoDepth
from eval.protocols.depth_frames import nearest
from eval.protocols.mv_recon import MultiViewReconstruction, ReconAlignment, ReconOptions, require_shape
from eval.run import EvaluationRun
from eval.sequences import open_set
from eval.systems.saved import SavedPredictions
from eval.systems.writing import save_predictions
from tests.eval.recordings import Oracle, write_recordings


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return write_recordings(tmp_path_factory.mktemp("set"), names=("room",), frames=6)


def predicted(protocol, sequence, folder, change=lambda prediction: prediction):
    """Write what the truth says, changed."""
    frames = [protocol.frame(sequence, number) for number in range(len(sequence))]
    said = Oracle([sequence], distort=change).predict(lambda: frames, protocol.wanted)
    save_predictions(folder / sequence.name, sequence.stems, said, dtype=np.dtype("float32"))
    return SavedPredictions(folder / sequence.name, sequence.stems)


def without_left(prediction):
    depth = prediction.depth.copy()
    depth[:, : depth.shape[1] // 4] = 0
    return type(prediction)(depth=depth)


@pytest.mark.parametrize("kind", [MonoDepth, VideoDepth])
def test_depth_0_is_no_depth_and_counts_as_failed(room, tmp_path, kind):
    (sequence,) = open_set(kind.name, "rgbd", room)
    protocol = kind("rgbd", [])
    score, _ = protocol.score(sequence, predicted(protocol, sequence, tmp_path, without_left))
    metrics = score.groups["metric"][0].metrics
    assert metrics["failed"] == pytest.approx(0.25, abs=0.03)
    assert metrics["delta_1"] == pytest.approx(0.75, abs=0.03)
    assert metrics["abs_rel"] == pytest.approx(0, abs=1e-6)
    parity = kind("rgbd", [], parity=True)
    scored = parity.score(sequence, SavedPredictions(tmp_path / "room", sequence.stems))[0]
    assert next(iter(scored.groups.values()))[0].metrics["abs_rel"] > 0.2  # as the published scripts do


@pytest.mark.parametrize(("size", "factor"), [((96, 128), 2), ((24, 32), 0.5)])
def test_points_of_another_size_are_resampled_and_it_is_said(room, tmp_path, size, factor):
    (sequence,) = open_set("mv_recon", "rgbd", room)
    protocol = MultiViewReconstruction(ReconOptions([ReconAlignment.sim3]), size=64)

    def resized(prediction):
        points = nearest(prediction.points_world, size)
        return type(prediction)(points_world=points, conf_world=np.ones(size, np.float32))

    score, _ = protocol.score(sequence, predicted(protocol, sequence, tmp_path, resized))
    assert score.notes["resampled_from"] == list(size)
    error = score.groups["sim3"][0].metrics["acc"]
    assert error < 1e-4 if factor > 1 else 1e-4 < error < 0.1
    same, _ = protocol.score(sequence, predicted(protocol, sequence, tmp_path))
    assert "resampled_from" not in same.notes


def test_points_of_another_shape_are_refused():
    require_shape((392, 518), (384, 512), "room")  # multiples of 14
    corners = nearest(np.arange(392 * 518).reshape(392, 518).astype(float), (384, 512))
    assert corners[0, 0] == 0 and corners[-1, -1] == 392 * 518 - 1
    with pytest.raises(
        ValueError, match=r"are \(512, 512\) and the truth \(384, 512\) \(h, w\), which is another shape"
    ):
        require_shape((512, 512), (384, 512), "room")


@pytest.mark.parametrize("protocol", ["monodepth", "video_depth", "relpose", "mv_recon"])
def test_scoring_finished_predictions_shows_progress(room, tmp_path, protocol):
    sequences = open_set(protocol, "rgbd", room)
    made = make_protocol(protocol, EvalConfig(dataset="rgbd", weights="tiny"), 64, 6)
    saved = predicted(made, sequences[0], tmp_path / "predictions")
    ticks = []
    run = EvaluationRun(
        tmp_path / "run", made, sequences, find=lambda sequence: saved, tick=lambda: ticks.append(1), dataset="rgbd"
    )
    assert frames_left(run, Stage.all) == 6
    run.begin()
    run.work()
    assert len(ticks) == 6
    assert run.finish()["coverage"]["scored"] == 1
    assert frames_left(run, Stage.score) == 0
    run.work()
    assert len(ticks) == 6


def test_many_views_are_compared_on_a_grid_that_is_said(caplog):
    def grid(views, **settings):
        config = EvalConfig(dataset="sevenscenes_s2_400", weights="tiny", **settings)
        return make_protocol("mv_recon", config, 512, views).settings()["voxel_m"]

    assert grid(10) == 0
    assert grid(400) == 0.01
    assert "400 views are 79 million points, up to 16 GB and 1.1 CPU hours" in caplog.text
    assert grid(400, voxel_m=0.0) == 0
    assert grid(400, parity=True) == 0
