import math
import time

import pytest
import torch
from accelerate import Accelerator
from torch.utils.flop_counter import FlopCounterMode

from cut3r.model.encoder import ViewInput
from cut3r.model.prediction import Outputs
from cut3r.training.config import RunConfig
from cut3r.training.freeze import Freeze
from cut3r.training.learner import TooManyBadStepsError
from cut3r.training.loss_config import LossConfig
from cut3r.training.losses import ReconstructionLoss, ValidationLoss
from cut3r.training.monitor import read_log
from cut3r.training.optim import OptimConfig, Schedule
from cut3r.training.precision import Precision, recompute_blocks
from cut3r.training.rollout import RolloutConfig
from cut3r.training.trainer import Trainer
from tests.training.fake_feed import FakeFeed, random_views, small_network, some_samples, weights


def make_trainer(folder, feed, *, model=None, optim=None, rollout=None, guidance=None, lessons=None, **run):
    optim = {"lr": 1e-3, "epochs": 1, "warmup_epochs": 0.0, "eps": 1e-2, **(optim or {})}
    options = {"precision": Precision.fp32, "tensorboard": False, "print_every": 1, "validate_epochs": 99, **run}
    return Trainer(
        model or small_network(),
        feed,
        ReconstructionLoss(LossConfig()),
        ValidationLoss(),
        optim=OptimConfig(**optim),
        rollout=rollout or RolloutConfig(),
        run=RunConfig(output_dir=folder, device="cpu", **options),
        accelerator=Accelerator(cpu=True),
        guidance=guidance,
        lessons=lessons,
    )


def learned(folder, feed, **settings):
    trainer = make_trainer(folder, feed, **settings)
    assert trainer.fit()
    return trainer.state.model.state_dict()


class OneBatch(FakeFeed):
    """The same batch again and again."""

    def batches(self, epoch, start):
        for _ in range(start, self._length):
            yield random_views(5, samples=self.samples, views=self.views)


class SplitFeed(FakeFeed):
    """The batches of `FakeFeed`, sample by sample."""

    def length(self, epoch):
        return self._length * self.samples

    def batch_size(self, epoch):
        return 1

    def batches(self, epoch, start):
        assert start == 0
        for views in super().batches(epoch, 0):
            for sample in range(self.samples):
                yield some_samples(views, slice(sample, sample + 1))


def test_it_learns_a_batch_by_heart(tmp_path):
    trainer = make_trainer(tmp_path, OneBatch(length=12, views=1), optim={"lr": 1e-2, "eps": 1e-8})
    trainer.fit()
    losses = [line["loss"] for line in read_log(tmp_path / "log.jsonl")]
    assert losses[-1] < 0.7 * losses[0]


def test_two_accumulated_batches_of_one_are_a_batch_of_two(tmp_path):
    joint = learned(tmp_path / "joint", FakeFeed(length=2))
    split = learned(tmp_path / "split", SplitFeed(length=2), optim={"accumulate": 2})
    for name, value in joint.items():
        torch.testing.assert_close(split[name], value, atol=1e-6, rtol=1e-4)


def test_the_rest_of_an_epoch_makes_a_last_smaller_step(tmp_path):
    trainer = make_trainer(tmp_path, FakeFeed(length=3), optim={"accumulate": 2})
    trainer.fit()
    assert trainer.progress.step == 2


@pytest.mark.parametrize("precision", [Precision.bf16, Precision.fp16])
def test_mixed_precision_learns_nearly_the_same(tmp_path, precision):
    exact = learned(tmp_path / "exact", FakeFeed(length=1))
    mixed = learned(tmp_path / "mixed", FakeFeed(length=1), precision=precision)
    first = small_network().state_dict()
    change = torch.cat([(exact[name] - first[name]).flatten() for name in first])
    difference = torch.cat([(mixed[name] - exact[name]).flatten() for name in first])
    assert change.norm() > 0
    assert difference.norm() < 0.1 * change.norm()


@pytest.mark.parametrize("keep_products", [False, True])
def test_gradient_checkpointing_learns_the_same(tmp_path, keep_products):
    options = {"gradient_checkpointing": True, "keep_products": keep_products}
    plain = learned(tmp_path / "plain", FakeFeed(length=1))
    other = learned(tmp_path / "other", FakeFeed(length=1), **options)
    for name, value in plain.items():
        torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-6)


def test_products_that_are_kept_are_not_computed_again():
    counts = {}
    for keep in (None, False, True):
        model = small_network()
        if keep is not None:
            recompute_blocks(model, keep_products=keep)
        view = ViewInput(image=torch.rand(1, 3, 32, 32))
        with FlopCounterMode(display=False) as counter:
            loss = model.rollout([view], outputs=Outputs.all()).predictions[0].points_world.sum()
            loss.backward()
        counts[keep] = counter.get_total_flops()
    assert counts[True] == counts[None] < counts[False]


def test_what_is_frozen_stays(tmp_path):
    trainer = make_trainer(tmp_path, FakeFeed(length=1), freeze=Freeze.encoder)
    before = weights(trainer.state.model)
    trainer.fit()
    changed = {n.split(".")[0] for n, v in trainer.state.model.state_dict().items() if not torch.equal(v, before[n])}
    assert changed == {"decoder", "memory", "heads"}


def test_a_useless_batch_is_skipped_counted_and_named(tmp_path, caplog):
    feed = FakeFeed(length=4, views=2)
    feed.spoiled.add((0, 1))
    trainer = make_trainer(tmp_path, feed)
    trainer.fit()
    assert (trainer.progress.step, trainer.progress.skipped, trainer.progress.bad_steps) == (3, 1, 0)
    assert all(bool(value.isfinite().all()) for value in trainer.state.model.state_dict().values())
    assert "fake/1/0" in caplog.text
    assert "the loss is nan" in caplog.text


def test_a_useless_batch_spoils_the_step_it_is_accumulated_into(tmp_path):
    feed = FakeFeed(length=4, views=2)
    feed.spoiled.add((0, 0))
    trainer = make_trainer(tmp_path, feed, optim={"accumulate": 2})
    trainer.fit()
    assert (trainer.progress.step, trainer.progress.skipped) == (1, 1)


def test_an_exploding_loss_is_not_learned_from(tmp_path):
    trainer = make_trainer(tmp_path, FakeFeed(length=2, views=2), optim={"max_loss": 0.01})
    before = weights(trainer.state.model)
    trainer.fit()
    assert trainer.progress.skipped == 2
    assert all(torch.equal(value, before[name]) for name, value in trainer.state.model.state_dict().items())


def test_too_many_useless_batches_end_the_training(tmp_path):
    feed = FakeFeed(length=4, views=2)
    feed.spoiled.update((0, number) for number in range(4))
    trainer = make_trainer(tmp_path, feed, optim={"max_bad_steps": 3})
    with pytest.raises(TooManyBadStepsError, match=r"3 steps in a row.*lower optim\.lr"):
        trainer.fit()
    assert trainer.progress.iteration == 3


def test_in_parity_each_graded_chunk_makes_a_step(tmp_path):
    rollout = RolloutConfig(chunked=True, chunk_views=1, graded_chunks=2, step_per_chunk=True, detached_inputs=True)
    trainer = make_trainer(tmp_path, FakeFeed(length=4, views=3), rollout=rollout, optim={"accumulate": 2})
    trainer.fit()
    assert trainer.progress.step == 2 * 2


def test_by_default_an_iteration_makes_one_step_whatever_its_chunks(tmp_path):
    rollout = RolloutConfig(chunked=True, chunk_views=1, graded_chunks=2)
    trainer = make_trainer(tmp_path, FakeFeed(length=2, views=3), rollout=rollout)
    trainer.fit()
    assert trainer.progress.step == 2


def test_time_limit_stops_cleanly_and_the_next_start_goes_on(tmp_path):
    assert not make_trainer(tmp_path, FakeFeed(length=3, views=2), max_minutes=1e-9).fit()
    second = make_trainer(tmp_path, FakeFeed(length=3, views=2))
    assert second.progress.step == 1
    assert second.fit()
    assert second.progress.step == 3


def test_a_signal_stops_after_the_step(tmp_path):
    trainer = make_trainer(tmp_path, FakeFeed(length=3, views=2))
    trainer.stop_requested = True
    assert not trainer.fit()
    assert (trainer.states_folder / "step-00000001.pt").exists()


def test_the_best_weights_are_kept_and_the_average_is_what_is_judged(tmp_path):
    settings = {"optim": {"epochs": 2, "ema_decay": 0.99}, "validate_epochs": 1}
    trainer = make_trainer(tmp_path, FakeFeed(length=1, views=2), **settings)
    before = weights(trainer.state.model)
    trainer.fit()
    assert (trainer.states_folder / "best.safetensors").exists()
    losses = [line["loss"] for line in read_log(tmp_path / "log.jsonl") if line["kind"] == "held_out"]
    assert len(losses) == 2
    assert trainer.progress.best == pytest.approx(min(losses))
    assert not torch.equal(trainer.state.model.state_dict()["heads.pose.fc1.weight"], before["heads.pose.fc1.weight"])


def test_the_learning_rate_is_that_of_the_first_batch_of_a_step(tmp_path):
    optim = {"lr": 1e-3, "min_lr": 0.0, "epochs": 1, "accumulate": 2}
    make_trainer(tmp_path, FakeFeed(length=4, views=2), optim=optim).fit()
    rates = [line["lr"] for line in read_log(tmp_path / "log.jsonl")]
    half = 1e-3 * (1 + math.cos(math.pi / 2)) / 2
    assert rates == pytest.approx([1e-3, 1e-3, half, half])


def test_saving_is_not_waiting_for_data(tmp_path, monkeypatch):
    monkeypatch.setattr("cut3r.training.trainer.write_state", lambda *_, **__: time.sleep(0.5))
    make_trainer(tmp_path, FakeFeed(length=4, views=2), save_epochs=0.25, print_every=2).fit()
    second = read_log(tmp_path / "log.jsonl")[1]  # two batches, and the saves after the first three
    assert second["waiting"] < 0.2
    assert second["saving"] > 0.3


def test_the_log_holds_means_over_the_batches_since_the_last_line(tmp_path):
    logs = []
    for print_every in (1, 3):
        folder = tmp_path / str(print_every)
        make_trainer(folder, FakeFeed(length=6, views=2), print_every=print_every).fit()
        logs.append(read_log(folder / "log.jsonl"))
    single, mean = logs
    for name in ("loss", "pose", "points_cam", "rgb", "gradient"):
        for line, batches in zip(mean, (single[:3], single[3:]), strict=True):
            assert line[name] == pytest.approx(sum(batch[name] for batch in batches) / 3, rel=1e-5)


def test_a_useless_batch_does_not_spoil_the_mean(tmp_path):
    feed = FakeFeed(length=4, views=2)
    feed.spoiled.add((0, 1))
    make_trainer(tmp_path, feed, print_every=4).fit()
    (line,) = read_log(tmp_path / "log.jsonl")
    assert math.isfinite(line["loss"])
    assert line["skipped"] == 1


@pytest.mark.parametrize(("length", "steps"), [({"steps": 3}, 3), ({"samples": 5}, 3), ({"minutes": 1e-9}, 1)])
def test_a_length_that_is_not_in_epochs_ends_the_training_within_one(tmp_path, length, steps):
    trainer = make_trainer(tmp_path, FakeFeed(length=2, views=2), optim={"min_lr": 1e-6, **length})
    assert trainer.fit()
    assert trainer.progress.step == steps
    assert (trainer.states_folder / "final.safetensors").exists()
    held_out = [line["step"] for line in read_log(tmp_path / "log.jsonl") if line["kind"] == "held_out"]
    assert held_out == [steps]


def test_a_training_by_the_clock_counts_the_minutes_of_all_its_starts(tmp_path):
    optim = {"minutes": 60.0}
    assert not make_trainer(tmp_path, FakeFeed(length=3, views=2), optim=optim, max_steps=1).fit()
    second = make_trainer(tmp_path, FakeFeed(length=3, views=2), optim=optim, max_steps=2)
    before = second.progress.seconds
    assert before > 0
    second.fit()
    assert second.progress.seconds > before


def test_a_training_by_the_clock_anneals(tmp_path):
    class OneMinutePerBatch(FakeFeed):
        def batches(self, epoch, start):
            for views in super().batches(epoch, start):
                trainer._before -= 60
                yield views

    optim = {"lr": 1.0, "min_lr": 0.0, "minutes": 4.0, "warmup": 0.0, "schedule": Schedule.wsd, "decay_share": 0.5}
    trainer = make_trainer(tmp_path, OneMinutePerBatch(length=9, views=2), optim={**optim, "max_loss": 1e-9})
    assert trainer.fit()
    rates = [line["lr"] for line in read_log(tmp_path / "log.jsonl") if line["kind"] == "train"]
    assert rates == pytest.approx([1, 1, 1, 0.5], abs=0.1)


def test_batches_that_teach_nothing_that_learns_are_no_error(tmp_path, caplog):
    trainer = make_trainer(tmp_path, FakeFeed(length=4), train_only=["encoder.rays.*"])  # every other batch has rays
    before = weights(trainer.state.model)
    assert trainer.fit()
    assert any(not torch.equal(v, before[n]) for n, v in trainer.state.model.state_dict().items())
    assert caplog.text.count("depends on nothing that learns") == 1
