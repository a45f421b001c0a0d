"""A run on disk: the truth scores perfectly, finished work is kept, other settings are refused, failures are named."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.geometry.poses import transform
from cut3r.inference.engine import Engine
from cut3r.inference.joints import JointKind
from cut3r.inference.result import PointSource
from cut3r.inference.session import Session
from cut3r.model.prediction import Outputs
from cut3r.rules import rule_of
from eval.build import Subject, combine
from eval.config import EvalConfig, Stage
from eval.protocols.depth import MonoDepth, VideoDepth
from eval.protocols.mv_recon import MultiViewReconstruction, ReconAlignment, ReconOptions
from eval.protocols.relpose import RelativePose
from eval.report.runs import read_run
from eval.run import EvaluationRun, OtherRunError
from eval.sequences import open_set
from eval.systems.base import FramePrediction, Wanted
from eval.systems.ours import Ours, camera_between
from eval.systems.saved import SavedPredictions
from eval.systems.writing import save_predictions
from tests.eval.recordings import Oracle, write_recordings

PROTOCOLS = {
    "monodepth": MonoDepth("rgbd", []),
    "video_depth": VideoDepth("rgbd", []),
    "relpose": RelativePose(),
    "mv_recon": MultiViewReconstruction(ReconOptions(list(ReconAlignment)), size=64),
}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    return write_recordings(tmp_path_factory.mktemp("recordings"))


@pytest.fixture
def make(recordings, tmp_path):
    """Make a run of a protocol with a system that says the truth."""

    def make(name, **changes):
        sequences = open_set(name, "rgbd", recordings)
        system = changes.pop("system", None) or Oracle(open_set("mv_recon", "rgbd", recordings))
        facts = {"dataset": "rgbd", "name": "oracle"}
        return EvaluationRun(tmp_path / "run", PROTOCOLS[name], sequences, system, facts=facts, **changes)

    return make


def completed(run, **options):
    run.begin(**options)
    run.work()
    return run.finish()


@pytest.mark.parametrize("name", ["monodepth", "video_depth"])
def test_true_depth_has_no_error(make, name):
    for group, metrics in completed(make(name))["summary"].items():
        assert metrics["abs_rel"]["headline"] == pytest.approx(0, abs=1e-6), group
        assert metrics["delta_1"]["headline"] == 1
        assert metrics["failed"]["headline"] == 0


def test_a_true_path_has_no_error(make):
    for group, metrics in completed(make("relpose"))["summary"].items():
        assert metrics["ate"]["headline"] == pytest.approx(0, abs=1e-6), group
        assert metrics["rpe_rot"]["headline"] == pytest.approx(0, abs=1e-4)


def test_true_points_are_less_than_a_millimetre_off(make):
    for group, metrics in completed(make("mv_recon"))["summary"].items():
        assert metrics["acc"]["headline"] < 1e-3, group
        assert metrics["comp"]["headline"] < 1e-3
        assert metrics["nc"]["headline"] > 0.99
        assert metrics["f_5cm"]["headline"] == 1


def test_an_error_of_scale_shows_where_it_should(make, recordings):
    def shrink(prediction: FramePrediction) -> FramePrediction:
        return replace(prediction, depth=0.5 * prediction.depth)

    system = Oracle(open_set("mv_recon", "rgbd", recordings), distort=shrink)
    summary = completed(make("video_depth", system=system))["summary"]
    assert summary["metric"]["abs_rel"]["headline"] == pytest.approx(0.5)
    assert summary["scale"]["abs_rel"]["headline"] == pytest.approx(0, abs=1e-6)


def test_each_picture_is_a_stream_of_its_own_for_single_pictures_only(make):
    mono, video = make("monodepth"), make("video_depth")
    assert [list(stream) for stream in mono.protocol.streams(mono.sequences[0])] == [[n] for n in range(6)]
    assert [list(stream) for stream in video.protocol.streams(video.sequences[0])] == [list(range(6))]


def test_a_second_run_predicts_and_scores_nothing_and_says_the_same(make, tmp_path):
    first = completed(make("relpose"))
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "run/scores").glob("*")}
    again = make("relpose")
    assert completed(again) == first
    assert again.system.seen == []
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run/scores").glob("*")} == times


def test_an_interrupted_run_goes_on_with_the_sequences_that_are_missing(make, recordings):
    class Killed(BaseException):
        pass

    def die(prediction):
        if len(dying.seen) == 8:  # in the middle of the second sequence
            raise Killed
        return prediction

    dying = Oracle(open_set("mv_recon", "rgbd", recordings), distort=die)
    run = make("relpose", system=dying)
    run.begin()
    with pytest.raises(Killed):
        run.work()
    again = make("relpose")
    result = completed(again)
    assert {name.split("/")[0] for name in again.system.seen} == {"second"}
    assert result["coverage"]["scored"] == 2
    assert not [path for path in run.folder.rglob("*") if path.name.startswith(".")]  # nothing half done is left


def test_predictions_of_other_settings_are_refused_and_replaced_on_demand(make, recordings):
    completed(make("relpose"))
    other = Oracle(open_set("mv_recon", "rgbd", recordings), name="another system")
    with pytest.raises(OtherRunError, match="oracle there, another system now"):
        make("relpose", system=other).begin()
    completed(make("relpose", system=other), overwrite=True)
    assert len(other.seen) == 12


def test_scores_of_other_settings_are_computed_again_without_the_system(make):
    completed(make("mv_recon"))
    coarse = MultiViewReconstruction(ReconOptions([ReconAlignment.sim3], voxel_m=0.2), size=64)
    again = replace(make("mv_recon"), protocol=coarse)
    result = completed(again)
    assert list(result["summary"]) == ["sim3"]
    assert again.system.seen == []


def test_a_sequence_that_fails_is_named_and_counted_and_tried_again(make, recordings):
    def spoil(prediction):
        if len(spoiled.seen) > 6:
            raise RuntimeError("out of memory")
        return prediction

    spoiled = Oracle(open_set("mv_recon", "rgbd", recordings), distort=spoil)
    result = completed(make("relpose", system=spoiled))
    assert result["coverage"]["failed"] == {"second": "RuntimeError: out of memory"}
    assert (result["coverage"]["expected"], result["coverage"]["scored"]) == (2, 1)
    assert completed(make("relpose"))["coverage"]["failed"] == {}


def test_scoring_may_come_later(make):
    run = make("video_depth")
    run.begin()
    run.work(Stage.predict)
    assert not (run.folder / "scores").exists()
    later = make("video_depth")
    later.work(Stage.score)
    assert later.system.seen == []
    assert later.finish()["coverage"]["scored"] == 2


def test_half_precision_on_disk_changes_the_score_by_less_than_a_thousandth(make):
    summary = completed(make("video_depth", keep="float16"))["summary"]
    assert 0 < summary["metric"]["abs_rel"]["headline"] < 1e-3


def test_each_score_says_how_it_came_about(make):
    run = make("relpose")
    completed(run)
    content = json.loads((run.folder / "scores/first.json").read_text())
    assert content["cost"]["frames"] == 6
    assert content["cost"]["seconds"] > 0
    assert content["cost"]["peak_memory_mb"] > 0
    assert {"commit", "torch", "evo", "cpu", "date"} <= content["environment"].keys()


def test_unknown_cameras_are_left_out_by_default_and_the_sequence_in_parity_mode(make):
    run = make("relpose")
    first = run.sequences[0]
    cameras = first.world_from_cam.copy()
    cameras[2] = -np.inf
    run = replace(run, sequences=[replace(first, world_from_cam=cameras), *run.sequences[1:]])
    run.begin()
    run.work()
    notes = run.scores()["first"].notes
    assert (notes["frames"], notes["unknown_cameras"]) == (6, 1)
    strict = replace(run, protocol=RelativePose(parity=True))
    strict.work()
    result = strict.finish()
    assert result["coverage"]["left_out"] == {"first": "1 of 6 true cameras are not known"}
    assert result["summary"]["sim3"]["ate"]["items"] == 1


def test_one_prediction_per_picture_is_required(tmp_path):
    frames = [FramePrediction(depth=np.ones((2, 2), np.float32))]
    with pytest.raises(ValueError, match="1 predictions for 2 pictures"):
        save_predictions(tmp_path / "seq", ("a", "b"), frames, dtype=np.dtype("float32"))
    with pytest.raises(ValueError, match="more predictions for 1 pictures"):
        save_predictions(tmp_path / "seq", ("a",), 2 * frames, dtype=np.dtype("float32"))
    assert list(tmp_path.iterdir()) == []


def test_predictions_are_found_by_the_names_of_their_pictures(tmp_path):
    frames = [FramePrediction(depth=np.full((2, 2), value, np.float32)) for value in (1, 2)]
    save_predictions(tmp_path / "seq", ("b", "a"), frames, dtype=np.dtype("float16"))
    saved = SavedPredictions(tmp_path / "seq", ("a", "b"))
    assert saved.depth(0).max() == 2
    with pytest.raises(FileNotFoundError, match="2 of 3 frames have a file"):
        SavedPredictions(tmp_path / "seq", ("a", "b", "c")).depth(2)
    with pytest.raises(FileNotFoundError, match=r"cameras\.tum"):
        saved.cameras()


@pytest.mark.parametrize("solve_pose", [False, True])
def test_our_network_gives_what_is_asked_for(tiny_linear, recordings, solve_pose):
    (sequence, _) = open_set("mv_recon", "rgbd", recordings)
    ours = Ours(tiny_linear, solve_pose=solve_pose, passes=2, freeze=True)
    for protocol in PROTOCOLS.values():
        frames = list(ours.predict(lambda p=protocol: (p.frame(sequence, n) for n in range(2)), protocol.wanted))
        assert len(frames) == 2
        assert (frames[1].depth is None) != protocol.wanted.depth
        assert (frames[1].world_from_cam is None) != protocol.wanted.cameras
        assert (frames[1].points_world is None) != protocol.wanted.points
    assert ours.describe()["passes"] == 2


def test_a_rule_decides_the_predictions_and_is_named_with_its_constants(tiny_linear, recordings):
    (sequence, _) = open_set("mv_recon", "rgbd", recordings)
    config = EvalConfig(dataset="rgbd", weights="tiny", update="filt3r:r=0.8")
    assert config.update.startswith("filt3r:p_init=1.5,") and ",r=0.8," in config.update
    cameras = []
    for rule in (rule_of("overwrite"), rule_of(config.update)):
        ours, wanted = Ours(tiny_linear, rule=rule), PROTOCOLS["relpose"].wanted
        cameras.append([each.world_from_cam for each in ours.predict(lambda: frames_of(sequence), wanted)])
    assert ours.describe()["update"] == config.update
    assert Ours(tiny_linear).describe()["update"] == "overwrite"
    assert [np.array_equal(*pair) for pair in zip(*cameras, strict=True)] == [True, True, False]


def test_the_way_a_stream_is_taken_decides_the_predictions(tiny_linear, recordings):
    """Points, depth and cameras leave in one world, whatever the head; what is not the original's way is named."""
    (sequence, _) = open_set("mv_recon", "rgbd", recordings)
    config = EvalConfig(
        dataset="rgbd", weights="tiny", update="filt3r:r=0.8", reset="2", overlap=1, joint=JointKind.sim3,
        keyframes="every:1", loops=True,
    )  # fmt: skip
    assert config.way == "filt3r:r=0.8, reset 2, joint sim3, overlap 1, keyframes every:1, loops"
    assert EvalConfig(dataset="rgbd", weights="tiny").way == ""
    ours = Ours(tiny_linear, resets=config.resets, keyframes=config.chosen_keyframes, loops=True)
    told = ours.describe()
    assert told["loops"] and "every=2" in told["resets"] and "every" in told["keyframes"]
    wanted = PROTOCOLS["mv_recon"].wanted
    session = Session(
        tiny_linear, Outputs(points_world=True), fit=ours._session(wanted).fit, resets=config.resets,
        source=PointSource.world,
    )  # fmt: skip
    results = [session.push(frame) for frame in frames_of(sequence)]
    assert [result.chunk for result in results] == [0, 0, 1]
    for said, result in zip(ours.predict(lambda: frames_of(sequence), wanted), results, strict=True):
        np.testing.assert_allclose(said.points_world, result.points_world.numpy(), atol=1e-4)
    chained = Ours(tiny_linear, resets=config.resets, solve_pose=True)
    cameras = [each.world_from_cam for each in chained.predict(lambda: frames_of(sequence), Wanted(cameras=True))]
    place = results[2].world_from_chunk
    assert place is not None and not np.allclose(cameras[2], place.inverse().place(torch.from_numpy(cameras[2])))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"reset": "9", "revisit": 2}, "decided by results, which the first of several passes has not"),
        ({"keyframes": "motion", "revisit": 2}, "decided by results"),
        ({"reset": "soon"}, "resets are 'soon'; give a number of frames, auto or off"),
        ({"keyframes": "some"}, "keyframes are 'some'; choose all"),
        ({"loops": True}, "there are none without reset=100"),
        ({"ways": ["ttt3r"], "weights": None, "predictions": "."}, "ways are of our network"),
    ],
)
def test_ways_that_make_no_sense_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        EvalConfig(**{"dataset": "rgbd", "weights": "tiny"} | changed)


@pytest.mark.parametrize("name", ["monodepth", "pose_pairs", "query"])
def test_protocols_without_long_streams_take_no_resets(name):
    config = EvalConfig(dataset="rgbd", weights="tiny", reset="50")
    with pytest.raises(ValueError, match=rf"are for relpose, video_depth, mv_recon; {name} takes no long stream"):
        combine(name, config, [], Subject("tiny", 64))


def frames_of(sequence):
    return (PROTOCOLS["relpose"].frame(sequence, min(number, 1)) for number in range(3))


def test_the_recorded_cameras_between_two_point_maps(golden):
    recorded = {name: torch.from_numpy(array) for name, array in np.load(golden / "eval/pose_procrustes.npz").items()}
    for view, expected in enumerate(recorded["c2w"]):
        maps = (recorded[name][view] for name in ("pts_self", "pts_world", "conf_self", "conf_world"))
        torch.testing.assert_close(camera_between(*maps), expected, rtol=0, atol=1e-5)
    moved = transform(recorded["c2w"][0], recorded["pts_self"][0])
    assert (moved - recorded["pts_world"][0]).norm(dim=-1).median() < 1


@pytest.mark.parametrize(("factor", "expected"), [(2, 0.693147), (0.5, 0.693147), (1, 0), (0, None)])
def test_the_error_of_scale_is_the_same_for_half_and_double_and_none_for_standing_still(
    make, recordings, factor, expected
):
    def stretch(prediction):
        camera = prediction.world_from_cam.copy()
        camera[:3, 3] *= factor
        return replace(prediction, world_from_cam=camera)

    system = Oracle(open_set("mv_recon", "rgbd", recordings), distort=stretch)
    found = completed(make("relpose", system=system))["summary"]["sim3"].get("scale_error")
    assert found is None if expected is None else found["headline"] == pytest.approx(expected, abs=1e-4)


def test_what_is_no_number_is_null_in_files_and_spoils_the_median(make, recordings):
    def spoil(prediction):
        return (
            replace(prediction, depth=np.full_like(prediction.depth, np.nan)) if len(system.seen) == 2 else prediction
        )

    system = Oracle(open_set("mv_recon", "rgbd", recordings), distort=spoil)
    run = replace(make("monodepth", system=system), protocol=MonoDepth("rgbd", [], parity=True), parity=True)
    run.begin()
    run.work()
    result = run.finish()
    for path in (run.folder / "result.json", run.folder / "scores/first.json"):
        json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"there is a {word}"))
    assert np.isnan(result["summary"]["median"]["abs_rel"]["median"])
    assert np.isnan(read_run(run.folder).headline("median")["abs_rel"])


def test_all_streams_share_one_engine(tiny_linear, recordings, monkeypatch):
    """A picture of its own is a stream of its own, and an engine records anew on a GPU."""
    made = []
    monkeypatch.setattr("eval.systems.ours.Engine", lambda *args, **options: made.append(1) or Engine(*args, **options))
    (sequence, _) = open_set("monodepth", "rgbd", recordings)
    ours, protocol = Ours(tiny_linear), PROTOCOLS["monodepth"]
    for stream in protocol.streams(sequence)[:2]:
        list(ours.predict(lambda stream=stream: (protocol.frame(sequence, n) for n in stream), protocol.wanted))
    assert made == [1]
