"""A teacher looks at footage once, and a student learns from what it said."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from cut3r.data.loader import LoaderConfig
from cut3r.data.taught import read_frame, segment_names
from cut3r.inference.preprocess import FitConfig, fit
from cut3r.inference.session import Session
from cut3r.io.frames import open_frames
from cut3r.training.config import RunConfig, TrainConfig
from cut3r.training.data_config import FOOTAGE, DataConfig, TeachingConfig
from cut3r.training.monitor import read_log
from cut3r.training.optim import OptimConfig
from cut3r.training.precision import Precision
from cut3r.training.start import let_teach, prepare
from cut3r.training.teaching import Teaching
from cut3r.weights.checkpoint import load, save
from tests.io.pictures import encode, walk
from tests.training.fake_feed import small_network
from tests.training.test_footage_list import photos

SIZE = (16, 32)


@pytest.fixture
def teacher(tmp_path):
    """A random network whose points lie in front of the camera, of some confidence."""
    model = small_network()
    with torch.no_grad():
        last = model.heads.points_cam.mlp.fc2
        last.weight.mul_(0.1)
        last.bias.view(4, -1).copy_(torch.tensor([[0.0], [0.0], [0.7], [1.0]]).expand(4, last.bias.numel() // 4))
    path = tmp_path / "teacher.safetensors"
    save(model, path)
    return path


@pytest.fixture
def video(tmp_path):
    return encode(tmp_path / "kitchen.mp4", walk(20), fps=10)


def data(folder, *footage, **options):
    """Pairs of 16 x 32 pixels; of a video all its frames, in segments of eight."""
    teaching = TeachingConfig(folder=folder / "taught", fps=None, segment=8, **options.pop("teaching", {}))
    config = DataConfig(
        **{"samples": {FOOTAGE: 8}, "sizes": [list(SIZE)], "num_views": 2, "aug_crop": 0, "color_jitter": False}
        | {"masks": [1.0, 0.0, 0.0], "loader": LoaderConfig(batch_size=4, num_workers=0, fixed_length=True)}
        | {"footage": [str(one) for one in footage], "teaching": teaching}
        | options
    )
    config.validation.size, config.validation.num_views, config.validation.samples = SIZE, 2, {FOOTAGE: 4}
    return config


def learn(config, teacher):
    teaching = Teaching(config, teacher)
    teaching.run("cpu")
    return teaching.taught()


def counted(monkeypatch):
    """The names of the frames that a teacher looks at from now on."""
    seen, stream = [], Session.stream

    def count(session, frames):
        for result in stream(session, frames):
            seen.append(result.frame.name)
            yield result

    monkeypatch.setattr(Session, "stream", count)
    return seen


def test_what_is_kept_is_what_the_teacher_says(tmp_path, teacher, video):
    taught = learn(data(tmp_path, video), teacher)
    assert [len(segment_names(path)) for path in taught.segments] == [8, 8, 4]
    session = Session(load(teacher))
    results = [session.push(frame) for frame in list(open_frames(video))[8:11]]
    for name, result in zip(segment_names(taught.segments[1]), results, strict=False):
        kept = read_frame(taught.segments[1], name)
        assert kept.name == result.frame.name
        np.testing.assert_array_equal(kept.frame.rgb, result.image)
        np.testing.assert_allclose(kept.frame.depth, result.depth.numpy(), rtol=2e-3, atol=1e-3)
        np.testing.assert_allclose(kept.confidence, result.confidence.numpy(), rtol=2e-3)
        np.testing.assert_allclose(kept.frame.world_from_cam, result.world_from_cam.numpy(), atol=1e-5)
        np.testing.assert_allclose(kept.frame.intrinsics, result.intrinsics.numpy(), rtol=1e-4)


def test_the_teacher_looks_once(tmp_path, teacher, video, monkeypatch):
    first = learn(data(tmp_path, video), teacher)
    seen = counted(monkeypatch)
    assert learn(data(tmp_path, video), teacher) == first
    assert not seen


def test_an_interrupted_teacher_goes_on_with_the_next_segment(tmp_path, teacher, video, monkeypatch, caplog):
    whole = learn(data(tmp_path / "whole", video), teacher)
    stream, fed = Session.stream, []

    def interrupted(session, frames):
        for result in stream(session, frames):
            fed.append(result.frame.name)
            if len(fed) == 11:
                raise KeyboardInterrupt
            yield result

    with monkeypatch.context() as patch:
        patch.setattr(Session, "stream", interrupted)
        with pytest.raises(KeyboardInterrupt):
            learn(data(tmp_path, video), teacher)
    assert "interrupted after 10 frames; the same command goes on" in caplog.text
    seen = counted(monkeypatch)
    again = learn(data(tmp_path, video), teacher)
    assert [name[-2:] for name in seen] == [f"{k:02d}" for k in range(8, 20)]
    for one, other in zip(whole.segments, again.segments, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_a_damaged_segment_is_made_again_and_no_other(tmp_path, teacher, video, monkeypatch, caplog):
    taught = learn(data(tmp_path, video), teacher)
    taught.segments[1].write_bytes(taught.segments[1].read_bytes()[:999])
    seen = counted(monkeypatch)
    assert learn(data(tmp_path, video), teacher) == taught
    assert [name[-2:] for name in seen] == [f"{k:02d}" for k in range(8, 16)]
    assert "000001.safetensors is damaged" in caplog.text


def test_another_video_of_the_same_name_another_teacher_and_another_rate_are_looked_at_anew(tmp_path, teacher, video):
    config = data(tmp_path, video)
    kept = [learn(config, teacher).segments[0]]
    kept.append(learn(replace(config, teaching=replace(config.teaching, fps=5.0)), teacher).segments[0])
    os.utime(video, ns=(1, 1))
    kept.append(learn(config, teacher).segments[0])
    save(small_network(state_tokens=6), teacher.with_name("other.safetensors"))
    config.teaching.confidence = 0.0
    kept.append(learn(config, teacher.with_name("other.safetensors")).segments[0])
    assert len({path.parent for path in kept}) == 4
    assert all(path.is_file() for path in kept)


def test_photos_are_looked_at_in_their_order_and_damaged_ones_left_out(tmp_path, teacher, caplog):
    pictures = photos(tmp_path / "photos", 6)
    pictures[2].write_bytes(b"no picture")
    config = data(tmp_path, tmp_path / "photos")
    (segment,) = learn(replace(config, teaching=replace(config.teaching, fps=6.0)), teacher).segments
    assert [name.split()[1] for name in segment_names(segment)] == ["0.png", "1.png", "3.png", "4.png", "5.png"]
    assert "2.png" in caplog.text


def test_of_long_footage_segments_are_spread_evenly(tmp_path, teacher, video, caplog):
    taught = learn(data(tmp_path, video, teaching={"max_frames": 8}), teacher)
    assert [path.stem for path in taught.segments] == ["000000", "000002"]
    assert "the teacher sees 40% of the footage, spread evenly" in caplog.text


def test_processes_share_the_footage(tmp_path, teacher, video, monkeypatch):
    other = encode(tmp_path / "hall.mp4", walk(9)[::-1], fps=10)
    seen = counted(monkeypatch)
    teachings = [Teaching(data(tmp_path, video, other), teacher) for _ in range(2)]
    for rank, teaching in enumerate(teachings):
        teaching.run("cpu", rank=rank, world=2)
    assert len(seen) == 29
    assert teachings[0].taught() == teachings[1].taught()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"samples": {FOOTAGE: 0}, "held_out": 0}, "there are none; set data.samples.footage"),
        ({"teacher": None}, "no poses without a teacher: set run.teacher=FILE"),
        ({"teacher": Path("/nowhere/net.pth")}, "there is no file /nowhere/net.pth"),
        ({"footage": []}, "there is no footage for the teacher; set data.footage"),
        ({"footage": ["/nowhere/a.mp4"]}, "there is no file or folder /nowhere/a.mp4"),
        ({"num_views": 30}, "data.teaching.segment is 8 frames, and a sample needs data.num_views 30"),
    ],
    ids=["no samples", "no teacher", "missing teacher", "no footage", "missing footage", "short segments"],
)
def test_what_is_missing_is_said_in_one_sentence(tmp_path, teacher, video, change, reason):
    change = {"teacher": teacher, "footage": [video], "held_out": 4} | change
    run = RunConfig(output_dir=tmp_path, teacher=change.pop("teacher"))
    footage, held_out = change.pop("footage"), change.pop("held_out")

    def start():
        config = data(tmp_path, *footage, **change)
        config.validation.samples = {FOOTAGE: held_out}
        let_teach(TrainConfig(data=config, run=run), Accelerator(cpu=True))

    with pytest.raises((ValueError, FileNotFoundError), match=reason):
        start()


def test_a_clip_that_is_shorter_than_a_sample_is_refused(tmp_path, teacher):
    clip = encode(tmp_path / "short.mp4", walk(3))
    with pytest.raises(ValueError, match=r"at most 3 consecutive frames .* sample needs data.num_views 5"):
        learn(data(tmp_path, clip, num_views=5), teacher)


def test_a_teacher_that_is_no_network_is_refused(tmp_path, video):
    (tmp_path / "net.pth").write_text("no network")
    with pytest.raises(ValueError, match=r"net\.pth"):
        learn(data(tmp_path, video), tmp_path / "net.pth")


def test_a_teacher_that_is_sure_of_nothing_is_refused(tmp_path, teacher, video):
    with pytest.raises(ValueError, match=r"no pixel .* has the confidence 1000000.0"):
        learn(data(tmp_path, video, teaching={"confidence": 1e6}), teacher)


def test_a_nearly_unusable_picture_is_left_out(tmp_path, teacher):
    from PIL import Image

    pictures = photos(tmp_path / "photos", 4)
    Image.fromarray(np.zeros((2, 600, 3), np.uint8)).save(pictures[1])
    (segment,) = learn(data(tmp_path, tmp_path / "photos"), teacher).segments
    assert len(segment_names(segment)) == 3
    with pytest.raises(ValueError, match="too narrow"):
        fit(np.zeros((2, 600, 3), np.uint8), FitConfig(size=32))


def student(tmp_path, teacher, video, **run):
    options = {"device": "cpu", "precision": Precision.fp32, "tensorboard": False, "print_every": 1}
    options |= {"validate_epochs": 10, "picture_every": 1000, "save_epochs": 100.0}
    return TrainConfig(
        model=small_network().config,
        data=data(tmp_path, video),
        optim=OptimConfig(lr=2e-3, epochs=10, warmup_epochs=0.1),
        run=RunConfig(output_dir=tmp_path / "run", teacher=teacher, seed=3, **options, **run),
    )


def test_a_student_comes_nearer_to_its_teacher(tmp_path, teacher, video):
    assert prepare(student(tmp_path, teacher, video)).fit()
    log = read_log(tmp_path / "run/log.jsonl")
    losses = [line["loss"] for line in log if line["kind"] == "train"]
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])
    judged = [line for line in log if line["kind"] != "train"]
    assert judged, "held-out errors are told"
    assert all("abs_rel" in json.dumps(line) for line in judged)
    assert (tmp_path / "run/checkpoints/final.safetensors").is_file()


def test_the_data_are_the_same_after_a_resume(tmp_path, teacher, video, monkeypatch):
    prepare(student(tmp_path, teacher, video, max_steps=5)).fit()
    seen = counted(monkeypatch)
    trainer = prepare(student(tmp_path, teacher, video))
    assert trainer.fit()
    assert not seen, "the teacher has nothing left to do"
