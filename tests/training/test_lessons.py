"""A curriculum of the loss: what each epoch teaches."""

from functools import partial

import pytest

from cut3r.training.config import TrainConfig, build
from cut3r.training.guidance import Guidance
from cut3r.training.loss_config import GuidanceConfig, LossConfig, LossStage
from cut3r.training.start import lesson
from tests.training.fake_feed import FakeFeed, small_network
from tests.training.test_trainer import make_trainer

GUIDED = GuidanceConfig(matching=1.0, attention=0.6, flow=2.0)
NO_POINTS = {"cam_weight": 0.0, "world_weight": 0.0, "rgb_weight": 0.0, "relative": False}
STAGED = LossConfig(
    ground_truth_scale=True,
    relative=True,
    curriculum=[LossStage(1, guidance=GUIDED, **NO_POINTS), LossStage(3, guidance=GuidanceConfig(flow=3.0))],
)


def test_a_stage_changes_what_it_names_until_its_epoch():
    stages = [STAGED.stages()[STAGED.stage_number(epoch)] for epoch in range(4)]
    assert [stage.cam_weight for stage in stages] == [0, 1, 1, 1]
    assert [stage.guidance.flow for stage in stages] == [2, 3, 3, 0]
    assert [stage.relative for stage in stages] == [False, True, True, True]
    assert not any(stage.curriculum for stage in stages)


def test_an_epoch_runs_the_heads_that_its_loss_needs():
    assert [lesson(STAGED, epoch).outputs.points_cam for epoch in range(4)] == [False, True, True, True]


def test_guidance_is_built_for_all_that_some_stage_guides():
    assert STAGED.widest_guidance() == GuidanceConfig(matching=1.0, attention=0.6, flow=3.0)
    assert not LossConfig().widest_guidance().is_on


def test_a_training_changes_its_lesson_with_the_epoch(tmp_path):
    heard = []

    def teach(epoch):
        heard.append(epoch)
        return lesson(STAGED, epoch)

    trainer = guided_trainer(tmp_path, teach, epochs=2)
    assert trainer.fit() and heard == [0, 0, 1]
    assert trainer.learner.loss.config.cam_weight == 1 and trainer.step.outputs.points_cam
    assert trainer.state.guidance.config == GuidanceConfig(flow=3.0)


def test_a_resumed_training_goes_on_with_the_lesson_of_its_epoch(tmp_path):
    assert not guided_trainer(tmp_path, partial(lesson, STAGED), epochs=2, max_steps=3).fit()
    again = guided_trainer(tmp_path, partial(lesson, STAGED), epochs=2)
    assert again.fit() and again.learner.loss.config.cam_weight == 1


def guided_trainer(folder, lessons, *, epochs, **run):
    model = small_network()
    guidance = Guidance(model, STAGED.widest_guidance())
    feed = FakeFeed(length=2)
    return make_trainer(folder, feed, model=model, guidance=guidance, lessons=lessons, optim={"epochs": epochs}, **run)


def test_stages_are_read_from_plain_containers():
    stage = {"until": 2, "cam_weight": None, "guidance": {"matching": 1.0, "attention": 0.0, "flow": 0.0}}
    assert build(LossStage, stage, whole=TrainConfig) == LossStage(2, guidance=GuidanceConfig(matching=1.0))
    assert build(LossStage, {"until": 2, "guidance": None}).guidance is None


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: LossStage(0), "until 0 .* must be at least 1"),
        (lambda: LossConfig(curriculum=[LossStage(2), LossStage(2)]), r"until \[2, 2\] must rise"),
        (lambda: LossConfig(curriculum=[LossStage(2, cam_weight=-1.0)]), "cam_weight is -1"),
        (lambda: LossConfig(relative=True, curriculum=[LossStage(2, cam_weight=0.0)]), "relative"),
    ],
)
def test_impossible_stages_are_refused(make, reason):
    with pytest.raises(ValueError, match=reason):
        make()
