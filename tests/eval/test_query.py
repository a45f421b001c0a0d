"""Unseen views of a synthetic room: the truth, the truth disturbed by a known amount, a network that knows nothing."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cut3r.inference.session import Session
from cut3r.io.images import read_image
from eval.__main__ import main
from eval.protocols.base import NotScoredError
from eval.protocols.query import Query, in_first
from eval.report.__main__ import main as report
from eval.report.page import make_report
from eval.report.runs import read_run
from eval.run import EvaluationRun, OtherRunError
from eval.sequences import open_set
from eval.systems.base import FramePrediction
from eval.systems.ours import Ours, path_scale
from tests.eval.recordings import write_recordings

FRAMES = 10
HELD = [2, 7]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    (sequence,) = open_set("query", "rgbd", write_recordings(tmp_path_factory.mktemp("rooms"), ("room",), FRAMES))
    return sequence


class Seer:
    """Knows what cameras see, with errors of a known size; remembers what it was shown."""

    def __init__(
        self, sequence, *, picture: float = 0.0, depth: float = 0.0, turn_deg: float = 0.0, shift_m: float = 0.0
    ):
        self.sequence, self.errors = sequence, (picture, depth, turn_deg, shift_m)
        self.shown: list[str] = []

    def describe(self) -> dict[str, Any]:
        return {"system": "seer", "errors": self.errors}

    def predict(self, open_frames, wanted):
        raise AssertionError("not asked for")

    def answer(self, open_frames, first_from_cam, asked) -> Iterator[FramePrediction]:
        picture, depth, turn_deg, shift_m = self.errors
        rng = np.random.default_rng(0)
        for frame, camera in zip(open_frames(), first_from_cam, strict=True):
            self.shown.append(frame.name)
            yield FramePrediction(world_from_cam=camera)
        truths = in_first(self.sequence)
        for view in asked:
            (number,) = (n for n in range(FRAMES) if np.array_equal(truths[n], view.first_from_cam))
            rgb = read_image(self.sequence.images[number]) / 255
            true = self.sequence.read_depth(number)
            camera = view.first_from_cam.copy()
            c, s = math.cos(math.radians(turn_deg)), math.sin(math.radians(turn_deg))
            camera[:3, :3] = camera[:3, :3] @ [[c, -s, 0], [s, c, 0], [0, 0, 1]]
            camera[0, 3] += shift_m
            yield FramePrediction(
                depth=(true * (1 + depth * rng.standard_normal(true.shape))).astype(np.float32),
                world_from_cam=camera,
                rgb=np.clip(255 * (rgb + picture * rng.choice((-1, 1), rgb.shape)), 0, 255).round().astype(np.uint8),
            )


def result_of(room, system, folder, **options) -> dict[str, Any]:
    run = EvaluationRun(folder, Query(), [room], system, dataset="rgbd", **options)
    run.begin()
    run.work()
    result = run.finish()
    assert result["coverage"]["failed"] == {}
    return {group: {name: value["headline"] for name, value in metrics.items()}
            for group, metrics in result["summary"].items()}  # fmt: skip


def test_the_truth_is_perfect_and_held_out_frames_are_never_shown(room, tmp_path):
    seer = Seer(room)
    found = result_of(room, seer, tmp_path)
    assert seer.shown == [path.name for n, path in enumerate(room.images) if n not in HELD]
    for group in ("scale", "metric"):
        assert (found[group]["psnr"], found[group]["ssim"]) == (100, pytest.approx(1))
        assert (found[group]["abs_rel"], found[group]["delta_1"]) == (pytest.approx(0, abs=1e-6), 1)
        assert (found[group]["view_deg"], found[group]["view_m"]) == (pytest.approx(0, abs=1e-6), 0)


@pytest.mark.parametrize("noise", [0.02, 0.05, 0.1])
def test_disturbed_truth_has_the_errors_that_theory_says(room, tmp_path, noise):
    """Colours off by +-e have a PSNR of -20 log10 e (more where they end at black or white), Gaussian depth noise has
    an AbsRel of sqrt(2 / pi) of its size."""
    found = result_of(room, Seer(room, picture=noise, depth=noise, turn_deg=3.0, shift_m=0.2), tmp_path)["scale"]
    assert found["psnr"] == pytest.approx(-20 * math.log10(noise), abs=0.5)
    assert found["ssim"] < 0.999
    assert found["abs_rel"] == pytest.approx(math.sqrt(2 / math.pi) * noise, rel=0.05)
    assert found["view_deg"] == pytest.approx(3)
    assert found["view_m"] == pytest.approx(0.2)


def test_a_network_that_has_learnt_nothing_has_numbers_that_say_so(room, tiny_linear, tmp_path):
    found = result_of(room, Ours(tiny_linear), tmp_path)["scale"]
    assert 0 < found["psnr"] < 25
    assert found["ssim"] < 0.9
    assert np.isfinite([found["view_deg"], found["view_m"]]).all()
    assert found["abs_rel"] > 0.01


def test_a_network_is_asked_and_answers_in_true_metres(room, tiny_linear, monkeypatch):
    """Where its world is twice as large, the camera is asked twice as far, and the answer is halved."""
    asked = [Query().asked(room, in_first(room), 2)]
    queries = []

    def recorded(self, camera, intrinsics, size):
        queries.append((camera.clone(), session_query(self, camera, intrinsics, size)))
        return queries[-1][1]

    session_query = Session.query
    monkeypatch.setattr(Session, "query", recorded)
    monkeypatch.setattr("eval.systems.ours.path_scale", lambda *_: 2.0)

    def frames():
        return (Query().frame(room, number) for number in (0, 1, 3))

    *_, answer = Ours(tiny_linear).answer(frames, in_first(room)[[0, 1, 3]], asked)
    (camera, said), = queries  # fmt: skip
    np.testing.assert_allclose(camera[:3, 3], 2 * asked[0].first_from_cam[:3, 3])
    np.testing.assert_allclose(camera[:3, :3], asked[0].first_from_cam[:3, :3])
    np.testing.assert_allclose(2 * answer.depth, said.depth.numpy())
    np.testing.assert_allclose(2 * answer.world_from_cam[:3, 3], said.prediction.world_from_cam[0, :3, 3])
    assert answer.rgb.shape == (*answer.depth.shape, 3)


def test_the_scale_of_a_world_is_that_of_its_path():
    true = np.random.default_rng(0).normal(size=(6, 3))
    assert path_scale(3 * (true - true[0]), true) == pytest.approx(3)
    assert path_scale(np.zeros((6, 3)), true) == 1
    assert path_scale(true, np.zeros((6, 3))) == 1
    lost = true.copy()
    lost[3] = np.nan
    assert path_scale(0.5 * true, lost) == pytest.approx(0.5)


def test_another_share_of_held_out_frames_is_another_run(room, tmp_path):
    result_of(room, Seer(room), tmp_path)
    with pytest.raises(OtherRunError, match="hold_out: 5 there, 3 now"):
        EvaluationRun(tmp_path, Query(3), [room], Seer(room), dataset="rgbd").begin()


def test_a_system_that_cannot_be_asked_fails_with_a_remedy(room, tmp_path):
    class Mute:
        def describe(self):
            return {"system": "mute"}

        def predict(self, open_frames, wanted):
            return iter(())

    run = EvaluationRun(tmp_path, Query(), [room], Mute(), dataset="rgbd")
    run.begin()
    run.work()
    assert "Mute cannot be asked for unseen views" in run.finish()["coverage"]["failed"]["room"]


def test_what_cannot_be_asked_is_left_out(room, tmp_path):
    with pytest.raises(NotScoredError, match="too few to hold out"):
        Query(40).held_out(room)
    lost = replace(
        room, world_from_cam=room.world_from_cam * np.where(np.arange(FRAMES) == 0, np.nan, 1)[:, None, None]
    )
    with pytest.raises(NotScoredError, match="first camera"):
        in_first(lost)


def test_from_the_command_line_to_a_page(room, tmp_path, capsys):
    root = room.images[0].parent.parent
    words = [
        "query",
        "dataset=rgbd",
        f"root={root}",
        "weights=tiny",
        "size=64",
        "device=cpu",
        f"out={tmp_path / 'run'}",
    ]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "PSNR, dB" in said and "1 of 1 sequences scored" in said and "ms per frame without decoding" in said
    assert report([str(tmp_path / "run"), "--out", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Unseen views" in page and "unseen view" in page


def test_the_report_shows_held_out_views_beside_what_they_show(room, tmp_path):
    result_of(room, Seer(room, picture=0.05, depth=0.1), tmp_path / "run")
    (held,) = (tmp_path / "run/look").glob("*.npz")
    look = np.load(held)
    pictured = {key.removeprefix("view_") for key in look.files if key.startswith("view_")}
    assert pictured and pictured <= {str(number) for number in HELD}
    for number in pictured:
        assert {f"image_{number}", f"true_{number}", f"predicted_{number}"} <= set(look.files)
    html = make_report([read_run(tmp_path / "run")], pictured=1).html
    assert html.count("what it shows") >= len(pictured)
    assert html.count("true depth of frame") == len(pictured)
