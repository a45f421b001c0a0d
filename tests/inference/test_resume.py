"""The resume point: the newest whole state, and one sentence for everything else."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.resume import ResumePoint
from cut3r.inference.session import Session
from cut3r.io.frames import Frame

SETTINGS = {"--every": "1"}


def frame(number: int) -> Frame:
    picture = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    return Frame(picture, number, number / 30, f"{number}.jpg")


class Run:
    """A run of a few frames with a resume point in `folder`."""

    def __init__(self, model, folder, settings=SETTINGS):
        self.session, self.scene = Session(model), Reconstruction(confidence=0.0, voxel_size=0.5)
        self.resume = ResumePoint(folder / "resume.npz", settings)

    def advance(self, count):
        for _ in range(count):
            self.scene.add(self.session.push(frame(self.session.frames_seen)))
            self.resume.save(self.session, self.scene)
        return self


def resumed(model, folder, settings=SETTINGS):
    run = Run(model, folder, settings)
    run.scene = run.resume.load(run.session)
    return run


def test_a_run_goes_on_where_it_stopped(tiny_linear, tmp_path):
    first = Run(tiny_linear, tmp_path).advance(3)
    second = resumed(tiny_linear, tmp_path)
    assert second.session.frames_seen == 3
    assert np.array_equal(second.scene.points, first.scene.points)
    assert second.scene.cameras.names == ("0.jpg", "1.jpg", "2.jpg")


def test_without_a_file_there_is_nothing_to_go_on_from(tiny_linear, tmp_path):
    assert resumed(tiny_linear, tmp_path).scene is None


@pytest.mark.parametrize(
    "damage",
    [lambda content: b"", lambda content: content[: len(content) * 2 // 3], lambda content: bytes(len(content))],
)
def test_a_damaged_newest_state_gives_way_to_the_one_before_with_a_warning(tiny_linear, tmp_path, caplog, damage):
    Run(tiny_linear, tmp_path).advance(3)
    path = tmp_path / "resume.npz"
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        run = resumed(tiny_linear, tmp_path)
    assert run.session.frames_seen == len(run.scene.cameras) == 2
    assert f"{path} (" in caplog.text and "going on from the state before" in caplog.text and "2 frames" in caplog.text


def test_a_damaged_state_never_takes_the_place_of_the_whole_one(tiny_linear, tmp_path):
    Run(tiny_linear, tmp_path).advance(3)
    path = tmp_path / "resume.npz"
    path.write_bytes(b"")
    run = resumed(tiny_linear, tmp_path).advance(1)
    path.write_bytes(b"")
    assert resumed(tiny_linear, tmp_path).session.frames_seen == 2
    run.advance(1)


def test_a_crash_between_the_two_files_loses_nothing(tiny_linear, tmp_path):
    Run(tiny_linear, tmp_path).advance(2)
    (tmp_path / "resume.npz").unlink()
    assert resumed(tiny_linear, tmp_path).session.frames_seen == 1


def test_the_state_of_an_earlier_run_in_the_folder_is_not_kept_as_the_one_before(tiny_linear, tmp_path):
    Run(tiny_linear, tmp_path).advance(3)
    Run(tiny_linear, tmp_path).advance(1)
    (tmp_path / "resume.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"resume\.npz .* cannot be read; start again without --resume"):
        resumed(tiny_linear, tmp_path)


def test_two_damaged_states_are_both_named(tiny_linear, tmp_path):
    Run(tiny_linear, tmp_path).advance(2)
    for name in ("resume.npz", "resume.previous.npz"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match=r"resume\.npz .* and .*resume\.previous\.npz .* cannot be read"):
        resumed(tiny_linear, tmp_path)


def test_other_settings_are_refused_and_not_taken_for_damage(tiny_linear, tmp_path):
    Run(tiny_linear, tmp_path).advance(2)
    with pytest.raises(ValueError, match="--every was 1 and is 2"):
        resumed(tiny_linear, tmp_path, {"--every": "2"})


def altered(path, **arrays):
    with np.load(path) as file:
        content = {name: file[name] for name in file.files}
    content |= {name.replace("__", "/"): array for name, array in arrays.items()}
    np.savez(path, **{name: array for name, array in content.items() if array is not None})


def settings_of(path, **changes):
    with np.load(path) as file:
        settings = json.loads(str(file["scene/settings"]))
    return np.array(json.dumps(settings | changes))


def broken_arrays():
    nan_points = np.zeros((2, 3), np.float32)
    nan_points[1] = np.nan
    points = {
        "scene__points__confidence": np.ones(2, np.float32),
        "scene__points__color": np.zeros((2, 3), np.uint8),
        "scene__points__frame": np.zeros(2, np.int32),
    }
    return [
        ({"scene__settings": None}, "its settings are no JSON"),
        ({"scene__settings": np.array("[]")}, r"its settings are \[\]"),
        ({"scene__settings": np.zeros(3)}, "its settings are no JSON"),
        ({"scene__points__frame": None}, "points/frame is missing"),
        ({"scene__points__point": None}, "points/point is missing"),
        ({"scene__points__frame": np.zeros(99, np.int32)}, "points/frame is int32"),
        ({"scene__points__frame": np.array(3, np.int32)}, "points/frame is int32"),
        ({"scene__points__point": np.zeros((4, 3))}, "points/point is float64"),
        ({"scene__points__point": nan_points, **points}, "not numbers"),
        ({"scene__points__point": np.zeros((2, 3), np.float32), **points}, "not one per voxel"),
        ({"scene__cameras__chunk": None}, "cameras/chunk is missing"),
        ({"scene__cameras__name": np.array(["a"])}, "cameras/name does not hold one name for each of 2 frames"),
        ({"scene__cameras__name": np.zeros(2)}, "cameras/name"),
        ({"scene__cameras__name": None}, "cameras/name"),
    ]


@pytest.mark.parametrize(("arrays", "message"), broken_arrays())
def test_a_scene_that_no_run_saves_is_refused_and_the_session_stays_new(tiny_linear, tmp_path, arrays, message):
    Run(tiny_linear, tmp_path).advance(2)
    altered(tmp_path / "resume.npz", **arrays)
    run = Run(tiny_linear, tmp_path)
    with pytest.raises(ValueError, match=message):
        run.resume.load(run.session)
    assert run.session.frames_seen == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stride": 0}, "its stride is 0"),
        ({"stride": 1.5}, r"its stride is 1\.5"),
        ({"confidence": "x"}, "its confidence is 'x'"),
        ({"confidence": float("nan")}, "its confidence is nan"),
        ({"max_points": 1}, r"it holds [\d,]+ points and says it keeps 1 at most"),
        ({"max_points": 10**40}, "its max_points is"),
        ({"voxel_size": 0}, "its voxel_size is 0"),
        ({"voxel_size": None}, "its voxel_size is None"),
        ({"out_of_range": -1}, "its out_of_range is -1"),
    ],
)
def test_scene_settings_that_no_run_has_are_refused(tiny_linear, tmp_path, changes, message):
    Run(tiny_linear, tmp_path).advance(2)
    path = tmp_path / "resume.npz"
    altered(path, scene__settings=settings_of(path, **changes))
    with pytest.raises(ValueError, match=message):
        resumed(tiny_linear, tmp_path)


@pytest.mark.parametrize("state", [None, 3, {}, {"bit_generator": "PCG64"}, {"bit_generator": "MT19937", "state": {}}])
def test_a_random_generator_in_no_state_is_refused(tiny_linear, state):
    arrays = Reconstruction(voxel_size=None).state_arrays()
    settings = json.loads(str(arrays["settings"])) | {"generator": state}
    with pytest.raises(ValueError, match="its random generator has no such state"):
        Reconstruction.from_state_arrays(arrays | {"settings": np.array(json.dumps(settings))})


@pytest.mark.parametrize(
    "record", [None, np.array("{}"), np.array("3"), np.array("["), np.array('{"settings": {"a": 1}}'), np.zeros(2)]
)
def test_a_record_that_no_run_writes_gives_way_to_the_state_before(tiny_linear, tmp_path, record):
    Run(tiny_linear, tmp_path).advance(2)
    altered(tmp_path / "resume.npz", record=record)
    assert resumed(tiny_linear, tmp_path).session.frames_seen == 1


@pytest.mark.parametrize("array", [None, np.array(["a"]), np.array("a"), np.zeros((2, 0)), np.zeros(0, np.float16)])
def test_a_session_that_is_no_session_is_refused(tiny_linear, tmp_path, array):
    Run(tiny_linear, tmp_path).advance(1)
    altered(tmp_path / "resume.npz", **{"session.tokens": array})
    with pytest.raises(ValueError, match=r"resume\.npz is a damaged saved session"):
        resumed(tiny_linear, tmp_path)


def test_a_state_that_is_not_finite_is_refused(tiny_linear, tmp_path):
    run = Run(tiny_linear, tmp_path).advance(1)
    snapshot = run.session.snapshot()
    broken = replace(snapshot.state, tokens=torch.full_like(snapshot.state.tokens, torch.nan))
    run.session.restore(replace(snapshot, state=broken))
    run.resume.save(run.session, run.scene)
    with pytest.raises(ValueError, match=r"session\.tokens holds numbers that are not finite"):
        resumed(tiny_linear, tmp_path)
