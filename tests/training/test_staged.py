"""Stages by the clock: what is learned when, at which rate, and with less memory than thought."""

import pytest
import torch

from cut3r.data.synthetic import synthetic_walk
from cut3r.data.walk_ring import Draw, WalkRing, walk_fields
from cut3r.data.walks import WalkConfig
from cut3r.model.config import DecoderConfig, EncoderConfig, HeadKind, ModelConfig, StateConfig
from cut3r.model.network import Cut3r
from cut3r.training.loss_config import GuidanceConfig, LossConfig
from cut3r.training.optim import learning_rate
from cut3r.training.parallel import start_processes
from cut3r.training.precision import Precision
from cut3r.training.staged import Stage, StagedTraining, by_the_clock, stage_at

POSE = LossConfig(pose_weight=5.0, cam_weight=0.0, world_weight=0.0, rgb_weight=0.0, ground_truth_scale=True)
STAGES = (
    Stage(0.5, Draw(batch=4, views=2, apart=1, halved=True), POSE, guidance=1.0),
    Stage(1.0, Draw(batch=3, views=3, apart=1), LossConfig(), guidance=0.25),
)
NETWORK = ModelConfig(
    head=HeadKind.linear,
    image_size=(32, 48),
    patch_size=8,
    encoder=EncoderConfig(width=16, depth=1, heads=2, ray_depth=1, ray_heads=2),
    decoder=DecoderConfig(width=16, depth=2, heads=2, state_heads=2),
    state=StateConfig(tokens=36, memory_slots=4, memory_depth=1),
    head_blocks=1,
)


@pytest.fixture
def training(monkeypatch) -> StagedTraining:
    config = WalkConfig(size=(32, 48), frames=4)
    ring = WalkRing(config, capacity=1)
    ring.put(walk_fields(synthetic_walk(3, 0, config)))
    torch.manual_seed(0)
    weights = GuidanceConfig(matching=1.0, attention=0.6, flow=2.0)
    training = StagedTraining(
        *(Cut3r(NETWORK), ring, STAGES, weights, start_processes("cpu")),
        precision=Precision.fp32,
        lr=1e-3,
        length_s=100.0,
    )
    monkeypatch.setattr(StagedTraining, "seconds", 20.0)
    return training


def test_stages_follow_the_clock():
    assert [stage_at(STAGES, share) for share in (0.0, 0.49, 0.5, 1.0, 1.1)] == [*STAGES[:1] * 2, *STAGES[1:] * 3]


def test_the_rate_rises_stays_and_falls():
    optim = by_the_clock(1e-3, 400.0, fused=False)
    rates = [learning_rate(seconds / 60, optim) for seconds in (0, 5, 10, 300, 350, 400)]
    assert rates == pytest.approx([0, 5e-4, 1e-3, 1e-3, 5.1e-4, 2e-5])


def test_a_step_changes_the_network_and_its_average(training):
    before = training.model.decoder.pose_token.detach().clone()
    training.learn()
    assert not torch.equal(training.model.decoder.pose_token, before)
    assert not torch.equal(training.average.weights["decoder.pose_token"], before)
    assert training.position() == {"seconds": 20.0, "stage": 1, "step": 1, "samples": 4}


def test_a_stage_brings_its_views_heads_and_guidance(training, monkeypatch):
    training.learn()
    assert not training.step.outputs.points_cam
    monkeypatch.setattr(StagedTraining, "seconds", 60.0)
    training.learn()
    assert (training.position()["stage"], training.position()["samples"]) == (2, 7)
    assert training.step.outputs.points_cam and training.guidance.config.flow == 0.5
    values = training.interval.take(training.accelerator)
    assert {"loss", "pose", "attention", "flow"} <= values.keys()


def test_a_continued_training_begins_in_the_middle(training, monkeypatch):
    training.begin = 0.5
    monkeypatch.setattr(StagedTraining, "seconds", 0.0)
    training.learn()
    assert training.stage is STAGES[1]


def test_a_batch_that_does_not_fit_is_halved(training, monkeypatch, caplog):
    learn, most = StagedTraining._learn, 2

    def little_memory(self: StagedTraining, draw: Draw) -> None:
        if draw.batch > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        learn(self, draw)

    monkeypatch.setattr(StagedTraining, "_learn", little_memory)
    training.learn()
    assert training.state.progress.step == 0
    assert "a batch of 4 does not fit" in caplog.text
    training.learn()
    assert (training.state.progress.step, training.state.progress.samples) == (1, 2)
    most = 1
    with pytest.raises(torch.OutOfMemoryError):
        training.learn()
