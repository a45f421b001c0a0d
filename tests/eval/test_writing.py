"""Predictions while they come: what a killed run leaves, who goes on with it, and parts that become a whole."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest

from cut3r.jobs.workers import open_workers
from cut3r.weights.checkpoint import save
from eval import launch, predicting, share
from eval.__main__ import main
from eval.build import make_run
from eval.config import EvalConfig
from eval.predicting import Predictor, missing_parts, parts_of, predictions_folder
from eval.protocols.depth import MonoDepth, VideoDepth
from eval.sequences import open_set
from eval.systems import writing
from eval.systems.base import FramePrediction
from eval.systems.saved import SavedPredictions, read_record
from eval.systems.writing import PredictionWriter
from tests.conftest import make_tiny
from tests.eval.recordings import Oracle, write_recordings

STEMS = tuple("abcde")
FLOAT32 = np.dtype("float32")


class Killed(BaseException):
    """Unlike an exception it leaves everything as it is, as a kill does."""


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(writing, "KEEP_S", 0.0)


def said(number: int) -> FramePrediction:
    camera = np.eye(4)
    camera[0, 3] = number
    return FramePrediction(depth=np.full((2, 3), number, np.float32), world_from_cam=camera)


def interrupted(folder, count: int, *, pictures: str = "these") -> None:
    """Write some predictions, each with a memory, and be killed."""
    with suppress(Killed), PredictionWriter(folder, STEMS, dtype=FLOAT32, pictures=pictures) as writer:
        writer.restore(lambda path: None)
        for number in range(count):
            writer.add(said(number))
            writer.keep(lambda path, number=number: path.write_text(f"saw {number}"))
        raise Killed


def finished(folder, *, pictures: str = "these", load=None) -> tuple[int, list[str]]:
    """Go on and finish; gives the frames that were done, and what was remembered."""
    remembered: list[str] = []
    with PredictionWriter(folder, STEMS, dtype=FLOAT32, pictures=pictures) as writer:
        done = writer.restore(load or (lambda path: remembered.append(path.read_text())))
        for number in range(done, len(STEMS)):
            writer.add(said(number))
        writer.complete({})
    return done, remembered


def check(folder) -> None:
    saved = SavedPredictions(folder, STEMS)
    assert [saved.depth(number)[0, 0] for number in range(5)] == [0, 1, 2, 3, 4]
    assert saved.cameras()[:, 0, 3].tolist() == [0, 1, 2, 3, 4]
    assert {path.name for path in folder.iterdir()} == {"depth", "cameras.npz", "sequence.json"}
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_killed_run_is_gone_on_with_after_its_last_memory(tmp_path):
    interrupted(tmp_path / "seq", 3)
    assert finished(tmp_path / "seq") == (3, ["saw 2"])
    check(tmp_path / "seq")


def test_of_several_that_were_left_the_most_is_gone_on_with(tmp_path):
    interrupted(tmp_path / "seq", 3)
    (least,) = tmp_path.iterdir()
    hidden = tmp_path / "aside"
    least.rename(hidden)
    interrupted(tmp_path / "seq", 2)
    hidden.rename(least)
    assert finished(tmp_path / "seq")[0] == 3
    check(tmp_path / "seq")


def test_what_is_left_of_other_pictures_is_not_gone_on_with(tmp_path):
    interrupted(tmp_path / "seq", 3, pictures="others")
    assert finished(tmp_path / "seq") == (0, [])
    check(tmp_path / "seq")


def test_a_memory_that_cannot_be_used_costs_the_frames_and_nothing_else(tmp_path, caplog):
    def load(path):
        raise ValueError("a damaged saved session")

    interrupted(tmp_path / "seq", 3)
    assert finished(tmp_path / "seq", load=load)[0] == 0
    assert "cannot be gone on with (a damaged saved session); its frames are predicted anew" in caplog.text
    check(tmp_path / "seq")


def test_a_process_at_work_is_left_alone(tmp_path):
    with PredictionWriter(tmp_path / "seq", STEMS, dtype=FLOAT32, pictures="these") as writer:
        writer.restore(lambda path: None)
        writer.add(said(0))
        writer.keep(lambda path: path.write_text("saw 0"))
        assert finished(tmp_path / "seq")[0] == 0
        for number in range(1, 5):
            writer.add(said(number))
        writer.complete({})
    check(tmp_path / "seq")


def test_an_error_before_the_first_memory_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="broken"), PredictionWriter(tmp_path / "seq", STEMS, dtype=FLOAT32):
        raise ValueError("broken")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [("mv_recon", "revisit=2", "freeze=true"), ("relpose", "update=ttt3r")])
def test_our_network_goes_on_in_the_middle_and_says_the_same_to_the_last_bit(tmp_path, monkeypatch, caplog, words):
    root = write_recordings(tmp_path / "rgbd", names=("room",), frames=7)
    save(make_tiny("linear"), tmp_path / "net.safetensors")
    protocol, *changes = words
    fixed = [protocol, "dataset=rgbd", f"root={root}", f"weights={tmp_path}/net.safetensors", "device=cpu", *changes]

    def predict(out: str) -> dict[str, dict[str, np.ndarray]]:
        assert main([*fixed, f"out={tmp_path}/{out}", "stage=predict"]) == 0
        folder = tmp_path / out / "predictions/room"
        single = {str(path.relative_to(folder)): {"": np.load(path)} for path in folder.glob("*/*.npy")}
        return single | {path.name: dict(np.load(path)) for path in folder.glob("*.npz")}

    expected, keep = predict("whole"), PredictionWriter.keep

    def keep_and_die(writer, save):
        keep(writer, save)
        if writer.count == 4:
            raise Killed

    monkeypatch.setattr(PredictionWriter, "keep", keep_and_die)
    with pytest.raises(Killed):
        predict("killed")
    monkeypatch.setattr(PredictionWriter, "keep", keep)
    with caplog.at_level(logging.INFO):
        found = predict("killed")
    assert "room goes on after 4 of 7 frames" in caplog.text
    assert expected.keys() == found.keys()
    for name, arrays in expected.items():
        for key, array in arrays.items():
            np.testing.assert_array_equal(found[name][key], array, err_msg=name)


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(predicting, "PICTURES", 3)
    (sequence,) = open_set("monodepth", "rgbd", write_recordings(tmp_path / "rgbd", names=("room",), frames=7))
    return sequence


def test_streams_are_cut_into_parts_and_a_video_is_not(pictures):
    assert parts_of(MonoDepth("rgbd", []), pictures) == [range(3), range(3, 6), range(6, 7)]
    assert parts_of(VideoDepth("rgbd", []), pictures) == [range(7)]


def test_parts_become_a_whole_whoever_predicted_them(tmp_path, pictures):
    protocol, oracle = MonoDepth("rgbd", []), Oracle([pictures])
    predictor = Predictor(tmp_path / "run", protocol, oracle, "float32", lambda: None)
    assert len(missing_parts(tmp_path / "run", protocol, [pictures])) == 3
    predictor.predict_part(pictures, range(3, 6))  # by another process
    assert len(oracle.seen) == 3
    predictor.predict(pictures)
    assert len(oracle.seen) == 7 and len(set(oracle.seen)) == 7
    folder = predictions_folder(tmp_path / "run", "room")
    saved = SavedPredictions(folder, pictures.stems)
    for number in range(7):
        np.testing.assert_array_equal(saved.depth(number), pictures.read_depth(number))
    record = read_record(folder)
    assert record is not None and record["frames"] == 7
    assert not list((tmp_path / "run/predictions/.parts").iterdir())
    assert missing_parts(tmp_path / "run", protocol, [pictures]) == []
    predictor.predict(pictures)
    assert len(oracle.seen) == 7


def test_workers_share_the_pictures_of_one_sequence(tmp_path, monkeypatch, pictures):
    save(make_tiny("linear"), tmp_path / "net.safetensors")
    shared: list[range] = []

    def note(order, name, part, work=share.work_on_part):
        shared.append(part)
        return work(order, name, part)

    monkeypatch.setattr(share, "work_on_part", note)
    fixed = {"dataset": "rgbd", "root": tmp_path / "rgbd", "weights": f"{tmp_path}/net.safetensors", "device": "cpu"}
    tables = []
    for workers in (False, True):
        config = EvalConfig(**fixed, out=tmp_path / str(workers))
        with ThreadPoolExecutor(1) as executor, open_workers(1, executor) as pool:
            processes = launch.start(config, pool if workers else None)
            run = make_run("monodepth", config, processes.device)
            assert launch.perform(run, "monodepth", config, processes) == 0
        tables.append(json.loads((tmp_path / str(workers) / "result.json").read_text())["summary"])
    assert shared == [range(3), range(3, 6), range(6, 7)]
    assert tables[0] == tables[1]
