"""A training that is interrupted ends with the same weights, bit for bit, as one that is not."""

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch.utils._python_dispatch import TorchDispatchMode

from cut3r.model.config import DecoderConfig, EncoderConfig, HeadKind, ModelConfig, StateConfig
from cut3r.model.network import Cut3r
from cut3r.training.checkpoint import Progress, latest_state, random_state, set_random_state, write_state, write_weights
from cut3r.training.config import RunConfig
from cut3r.training.freeze import Freeze
from cut3r.training.guidance import Guidance
from cut3r.training.learner import TooManyBadStepsError
from cut3r.training.loss_config import GuidanceConfig, LossConfig
from cut3r.training.losses import ReconstructionLoss, ValidationLoss
from cut3r.training.monitor import read_log
from cut3r.training.optim import OptimConfig, OptimKind
from cut3r.training.precision import Precision
from cut3r.training.rollout import RolloutConfig, Window
from cut3r.training.trainer import Trainer
from cut3r.weights.checkpoint import load
from tests.training.fake_feed import FakeFeed, small_network

ROOT = Path(__file__).parents[2]


def make_trainer(folder, *, model=None, feed=None, optim=None, guidance=None, **run):
    """Two epochs of four batches, saved after each, with everything that must be remembered."""
    optim = {"lr": 1e-3, "epochs": 2, "warmup_epochs": 1.0, "ema_decay": 0.9, **(optim or {})}
    options = {"save_epochs": 0.25, "keep_last": 2, "print_every": 1, "tensorboard": False, **run}
    model = small_network() if model is None else model
    return Trainer(
        model,
        FakeFeed(views=2) if feed is None else feed,
        ReconstructionLoss(LossConfig()),
        ValidationLoss(),
        optim=OptimConfig(**optim),
        rollout=RolloutConfig(chunked=True, chunk_views=1, graded_chunks=1, window=Window.random),
        run=RunConfig(output_dir=folder, device="cpu", precision=Precision.fp32, **options),
        accelerator=Accelerator(cpu=True),
        guidance=None if guidance is None else Guidance(model, guidance),
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    trainer = make_trainer(tmp_path_factory.mktemp("uninterrupted"))
    assert trainer.fit()
    return trainer


def assert_same_end(trainer, uninterrupted):
    found, expected = trainer.state.model.state_dict(), uninterrupted.state.model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    average, expected_average = trainer.state.average.weights, uninterrupted.state.average.weights
    assert all(torch.equal(average[name], expected_average[name]) for name in expected_average)


@pytest.mark.parametrize("steps", [2, 4, 7])
def test_a_training_that_is_stopped_goes_on_as_if_nothing_had_happened(tmp_path, uninterrupted, steps):
    assert not make_trainer(tmp_path, max_steps=steps).fit()
    second = make_trainer(tmp_path)
    assert second.progress.step == steps
    assert second.fit()
    assert_same_end(second, uninterrupted)


GUIDED = {"guidance": GuidanceConfig(1.0, 0.6, 2.0), "optim": {"kind": OptimKind.muon}}


@pytest.fixture(scope="module")
def uninterrupted_muon(tmp_path_factory):
    trainer = make_trainer(tmp_path_factory.mktemp("muon"), **GUIDED)
    assert trainer.fit()
    return trainer


def test_a_guided_training_with_muon_goes_on_as_if_nothing_had_happened(tmp_path, uninterrupted_muon):
    assert not make_trainer(tmp_path, **GUIDED, max_steps=3).fit()
    second = make_trainer(tmp_path, **GUIDED)
    assert second.fit()
    assert_same_end(second, uninterrupted_muon)
    found, expected = second.state.guidance.state_dict(), uninterrupted_muon.state.guidance.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_guidance_is_in_no_file_of_weights(uninterrupted_muon):
    network = load(uninterrupted_muon.states_folder / "final.safetensors")
    assert network.state_dict().keys() == uninterrupted_muon.state.model.state_dict().keys()


def test_guidance_can_be_switched_on_and_off_in_between(tmp_path):
    assert not make_trainer(tmp_path, max_steps=2).fit()
    assert not make_trainer(tmp_path, guidance=GUIDED["guidance"], max_steps=4).fit()
    third = make_trainer(tmp_path)
    assert third.progress.step == 4
    assert third.fit()


def test_another_optimizer_is_refused(tmp_path):
    assert not make_trainer(tmp_path, max_steps=1).fit()
    with pytest.raises(ValueError, match=r"was trained with optim\.kind=adamw; set it as it was"):
        make_trainer(tmp_path, optim={"kind": OptimKind.muon})


class PausingFeed(FakeFeed):
    """Waits for the end in the middle of the first epoch."""

    def batches(self, epoch, start):
        for number, views in enumerate(super().batches(epoch, start), start):
            if (epoch, number) == (0, 3):
                time.sleep(600)
            yield views


def test_a_training_that_is_killed_goes_on_as_if_nothing_had_happened(tmp_path, uninterrupted):
    code = (
        "import sys, torch; from pathlib import Path; torch.set_num_threads(1); "
        "from tests.training.test_checkpoint import PausingFeed, make_trainer; "
        "make_trainer(Path(sys.argv[1]), feed=PausingFeed(views=2)).fit()"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environment, cwd=ROOT)
    state = tmp_path / "checkpoints" / "step-00000003.pt"
    for _ in range(2000):
        if state.exists() or child.poll() is not None:
            break
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    (tmp_path / "checkpoints" / ".step-00000004.tmp.pt").write_bytes(b"half a file")
    second = make_trainer(tmp_path)
    assert (second.progress.epoch, second.progress.iteration) == (0, 3)
    assert second.fit()
    assert_same_end(second, uninterrupted)
    assert [line["step"] for line in read_log(tmp_path / "log.jsonl") if line["kind"] == "train"] == list(range(1, 9))


class InterruptedValidation(FakeFeed):
    """Ctrl-C while the held-out set is read."""

    def held_out(self):
        raise KeyboardInterrupt


def test_an_epoch_is_saved_before_it_is_validated(tmp_path, uninterrupted):
    with pytest.raises(KeyboardInterrupt):
        make_trainer(tmp_path, feed=InterruptedValidation(views=2), save_epochs=1.0).fit()
    second = make_trainer(tmp_path, save_epochs=1.0)
    assert second.progress.step == 4
    assert second.fit()
    assert_same_end(second, uninterrupted)
    validated = [line["step"] for line in read_log(tmp_path / "log.jsonl") if line["kind"] == "held_out"]
    assert validated == [4, 8]  # also the one that was interrupted


def test_a_validation_that_is_repeated_is_logged_once(tmp_path):
    """The state of the first epoch's end is from before its validation if that found nothing better."""
    make_trainer(tmp_path, save_epochs=1.0, max_steps=4).fit()
    trainer = make_trainer(tmp_path, save_epochs=1.0)
    trainer.progress.best = 0.0
    state = tmp_path / "checkpoints" / "step-00000004.pt"
    trainer.feed.spoiled.update((1, number) for number in range(4))
    trainer.optim.max_bad_steps = 4
    with pytest.raises(TooManyBadStepsError):
        trainer.fit()
    assert state.exists()
    make_trainer(tmp_path, save_epochs=1.0).fit()
    validated = [line["step"] for line in read_log(tmp_path / "log.jsonl") if line["kind"] == "held_out"]
    assert validated == [4, 8]


def test_only_the_last_states_are_kept(uninterrupted):
    names = sorted(path.name for path in uninterrupted.states_folder.iterdir())
    assert names == ["best.safetensors", "final.safetensors", "step-00000007.pt", "step-00000008.pt"]


def test_the_final_weights_are_the_average_and_load_as_a_network(uninterrupted):
    model = load(uninterrupted.states_folder / "final.safetensors")
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, uninterrupted.state.average.weights[name])


def test_a_finished_training_does_nothing_more(uninterrupted):
    folder = uninterrupted.run.output_dir
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    again = make_trainer(folder)
    assert again.fit()
    assert again.progress.step == 8
    assert_same_end(again, uninterrupted)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_finished_training_without_final_weights_writes_them(tmp_path, uninterrupted):
    shutil.copytree(uninterrupted.run.output_dir, tmp_path / "run")
    final = tmp_path / "run" / "checkpoints" / "final.safetensors"
    final.unlink()
    assert make_trainer(tmp_path / "run").fit()
    assert final.exists()


@pytest.mark.parametrize(("samples", "length", "iteration"), [(1, 8, 6), (3, 2, 2), (6, 1, 1)])
def test_a_training_goes_on_from_its_sample_with_batches_of_another_size(tmp_path, samples, length, iteration):
    make_trainer(tmp_path, max_steps=3).fit()  # 3 batches of 2
    second = make_trainer(tmp_path, feed=FakeFeed(views=2, samples=samples, length=length))
    assert (second.progress.iteration, second.progress.epoch_samples) == (iteration, 6)


def test_samples_of_a_step_that_is_not_complete_are_seen_again():
    progress = Progress(iteration=7, processes=1, batch_size=4, epoch_samples=28)
    progress.place(batch_size=2, processes=2, accumulate=2)
    assert (progress.iteration, progress.epoch_samples, progress.batch_size, progress.processes) == (6, 24, 2, 2)


def test_states_of_earlier_versions_are_placed_by_their_processes():
    progress = Progress(iteration=6, processes=2)
    progress.place(batch_size=4, processes=1, accumulate=1)
    assert progress.iteration == 12


def test_the_official_export_gives_the_same_weights(tmp_path):
    decoder = DecoderConfig(width=16, depth=4, heads=2, state_heads=2)
    encoder = EncoderConfig(width=64, depth=1, heads=2)
    model = Cut3r(ModelConfig(head=HeadKind.linear, encoder=encoder, decoder=decoder, state=StateConfig(tokens=4)))
    feed, optim = FakeFeed(length=1, views=2), {"epochs": 1, "warmup_epochs": 0.0}
    trainer = make_trainer(tmp_path, model=model, feed=feed, export_official=True, optim=optim)
    assert trainer.fit()
    ours, official = (load(trainer.states_folder / name) for name in ("final.safetensors", "final.pth"))
    assert all(torch.equal(entry, official.state_dict()[name]) for name, entry in ours.state_dict().items())


def test_another_network_is_refused(tmp_path, uninterrupted):
    with pytest.raises(ValueError, match=r"training of another network \(state: .*'tokens': 4.*'tokens': 8"):
        make_trainer(tmp_path, model=small_network(state_tokens=8), resume=latest_state(uninterrupted.states_folder))


def test_other_frozen_parts_are_refused(tmp_path, uninterrupted):
    with pytest.raises(ValueError, match=r"run\.freeze"):
        make_trainer(tmp_path, freeze=Freeze.encoder, resume=latest_state(uninterrupted.states_folder))


def test_a_file_of_weights_is_no_state(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"model": {}}, path)
    with pytest.raises(ValueError, match=r"use run\.pretrained"):
        make_trainer(tmp_path / "run", resume=path)


def test_a_missing_state_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no training state"):
        make_trainer(tmp_path, resume=tmp_path / "step-00000001.pt")


@pytest.fixture
def two_states(tmp_path, uninterrupted):
    """A run with the states of steps 7 and 8."""
    shutil.copytree(uninterrupted.run.output_dir, tmp_path / "run")
    return sorted((tmp_path / "run" / "checkpoints").glob("step-*.pt"))


def cut(share):
    return lambda content: content[: int(share * len(content))]


def make_hole(content):
    middle = len(content) // 2
    return content[:middle] + bytes(2000) + content[middle + 2000 :]


DAMAGES = {
    **{f"cut to {share}": cut(share) for share in (0, 0.001, 0.3, 2 / 3, 0.999)},
    "zeros": lambda content: bytes(len(content)),
    "a hole of zeros": make_hole,
    "a web page": lambda content: b"<html>",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_state_is_named_and_the_one_before_it_is_taken(two_states, caplog, uninterrupted, damage):
    two_states[1].write_bytes(damage(two_states[1].read_bytes()))
    with caplog.at_level(logging.WARNING):
        trainer = make_trainer(two_states[0].parents[1])
    assert trainer.progress.step == 7
    assert f"{two_states[1]} cannot be read as a state of a training" in caplog.text
    assert trainer.fit()
    assert_same_end(trainer, uninterrupted)


def test_if_no_state_is_whole_one_sentence_says_so(two_states):
    for path in two_states:
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(
        ValueError, match=r"step-00000008\.pt cannot be read .*; no other state in .* is whole"
    ) as refused:
        make_trainer(two_states[0].parents[1])
    assert "\n" not in str(refused.value)


def test_a_damaged_state_does_not_push_out_a_whole_one(two_states):
    two_states[1].write_bytes(b"")
    trainer = make_trainer(two_states[0].parents[1], keep_last=1)
    trainer._save()
    assert two_states[0].is_file()


def test_a_damaged_state_that_is_named_is_refused(tmp_path, two_states):
    two_states[1].write_bytes(two_states[1].read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"step-00000008\.pt cannot be read"):
        make_trainer(tmp_path / "other", resume=two_states[1])


class BytesOnTheHost(TorchDispatchMode):
    """Counts what copies of tensors take."""

    copied = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func in (torch.ops.aten.clone.default, torch.ops.aten._to_copy.default):
            self.copied += result.nbytes
        return result


class SecondProcess(Accelerator):
    """Says that it is not the first, and has nobody to wait for."""

    is_main_process = False


@pytest.mark.parametrize("write", [write_state, write_weights])
def test_processes_that_write_nothing_copy_nothing(tmp_path, uninterrupted, write):
    with BytesOnTheHost() as memory:
        options = {"keep": 2} if write is write_state else {}
        write(uninterrupted.state, tmp_path / "folder.safetensors", SecondProcess(cpu=True), **options)
    assert memory.copied == 0
    assert not any(tmp_path.iterdir())


def test_a_state_is_mapped_and_not_read_into_memory(tmp_path, uninterrupted, monkeypatch):
    def maps_while_loaded(*arguments, **options):
        content = load_state(*arguments, **options)
        mapped.append(str(state) in Path("/proc/self/maps").read_text())
        return content

    mapped, load_state, state = [], torch.load, latest_state(uninterrupted.states_folder)
    monkeypatch.setattr(torch, "load", maps_while_loaded)
    trainer = make_trainer(tmp_path, resume=state)
    assert mapped == [True]
    state_of_optimizer = trainer.state.optimizer.state
    assert all(entry.is_contiguous() for places in state_of_optimizer.values() for entry in places.values())
    assert str(state) not in Path("/proc/self/maps").read_text()  # nothing of the training lives in the file


def test_all_random_generators_are_remembered():
    def draw():
        return random.random(), float(np.random.random()), float(torch.rand(()))

    before = random_state()
    first = draw()
    assert draw() != first
    set_random_state(before)
    assert draw() == first


def test_the_average_of_parts_that_learn_from_now_on_begins_with_their_weights(tmp_path):
    first = make_trainer(tmp_path, freeze=Freeze.encoder, train_only=["heads.*"], max_steps=3)
    first.state.model.decoder.pose_token.data.fill_(0.5)  # not what a new network begins with
    first.fit()
    second = make_trainer(tmp_path, freeze=Freeze.encoder)
    assert bool((second.state.average.weights["decoder.pose_token"] == 0.5).all())
