"""The resume point: the newest whole state, and one sentence for everything else."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.session import Session
from cut3r.io.frames import Frame
from cut3r.run.resume import ResumePoint

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


def test_settings_of_a_file_are_shown_on_one_short_line(tiny_linear, tmp_path):
    Run(tiny_linear, tmp_path, {"--every": "a\n" * 5000, "lines\n\n": "1"}).advance(2)
    with pytest.raises(ValueError, match="other settings") as refused:
        resumed(tiny_linear, tmp_path)
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 1000


def altered(path, **arrays):
    with np.load(path) as file:
        content = {name: file[name] for name in file.files}
    content |= {name.replace("__", "/"): array for name, array in arrays.items()}
    np.savez(path, **{name: array for name, array in content.items() if array is not None})


@pytest.mark.parametrize(
    "arrays",
    [
        {"scene__settings": None},
        {"scene__points__point": np.full((2, 3), np.nan, np.float32)},
        {"scene__cameras__name": np.array(["a"])},
    ],
)
def test_a_scene_that_no_run_saves_is_refused_and_the_session_stays_new(tiny_linear, tmp_path, arrays):
    Run(tiny_linear, tmp_path).advance(2)
    altered(tmp_path / "resume.npz", **arrays)
    run = Run(tiny_linear, tmp_path)
    with pytest.raises(
        ValueError, match=r"resume\.npz cannot be used \(the saved reconstruction .* start again without"
    ):
        run.resume.load(run.session)
    assert run.session.frames_seen == 0


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
