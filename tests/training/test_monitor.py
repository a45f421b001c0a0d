import logging
import warnings

import pytest
import torch
from accelerate import Accelerator

from cut3r.geometry.poses import invert, transform
from cut3r.model.prediction import Outputs, Prediction
from cut3r.training.losses import ValidationLoss
from cut3r.training.monitor import Monitor, over_views, read_log
from cut3r.training.pictures import BAND, colormap, from_above, picture
from cut3r.training.precision import Precision
from cut3r.training.rollout import Batch, TrainingStep
from cut3r.training.validation import errors, validate
from tests.training.fake_feed import SIZE, random_views, small_network, with_rays

SPEED = {"samples_per_s": 8.0, "waiting": 0.2, "drawing": 0.0, "saving": 0.1}
VALUES = {"loss": 2.0, "lr": 1e-3, "rgb/1": 1.0, "rgb/2": 3.0, **SPEED}


def perfect(views):
    """What a network would say that knows the truth."""
    first_from_world = invert(views[0].world_from_cam)
    return [
        Prediction(
            points_cam=transform(invert(view.world_from_cam), view.points),
            conf_cam=torch.full_like(view.depth, 2.0),
            points_world=transform(first_from_world, view.points),
            conf_world=torch.full_like(view.depth, 2.0),
            rgb=view.image.movedim(1, -1),
            world_from_cam=first_from_world @ view.world_from_cam,
        )
        for view in views
    ]


def test_a_report_is_a_line_in_the_log_and_a_record(tmp_path, caplog):
    monitor = Monitor(tmp_path, speaks=True, step=0, tensorboard=False)
    with caplog.at_level(logging.INFO):
        monitor.train(1, 0.25, VALUES, left=5.2)
    assert "8.0 samples/s, 20 % waiting for data, 10 % saving" in caplog.text
    assert "0:00:05 left" in caplog.text
    (record,) = read_log(tmp_path / "log.jsonl")
    assert record["kind"] == "train"
    assert record["rgb"] == 2.0


def test_the_other_processes_are_silent(tmp_path, caplog):
    monitor = Monitor(tmp_path / "run", speaks=False, step=0)
    with caplog.at_level(logging.INFO):
        monitor.train(1, 0.25, VALUES, left=10.0)
        monitor.validation("held_out", 1, VALUES)
    monitor.close()
    assert not caplog.text
    assert not (tmp_path / "run").exists()


def test_curves_and_pictures_reach_tensorboard(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tensorboard's own dependencies
        monitor = Monitor(tmp_path, speaks=True, step=0)
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    monitor.train(3, 0.25, VALUES, left=10.0)
    monitor.picture("train/0", 3, torch.zeros(8, 8, 3, dtype=torch.uint8))
    monitor.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert {"train/loss", "train/rgb", "train/rgb/2", "train/samples_per_s"} <= set(events.Tags()["scalars"])
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(3, 2.0)]
    assert events.Tags()["images"] == ["train/0"]


def test_a_resumed_run_drops_what_was_told_after_its_state(tmp_path):
    monitor = Monitor(tmp_path, speaks=True, step=0, tensorboard=False)
    for step in (1, 2, 3):
        monitor.train(step, 0.1, VALUES, left=1.0)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"kind": "train", "st')  # killed in the middle of a line
    Monitor(tmp_path, speaks=True, step=2, tensorboard=False)
    assert [line["step"] for line in read_log(tmp_path / "log.jsonl")] == [1, 2]


def test_views_are_averaged_by_name():
    assert over_views({"rgb/1": 1.0, "rgb/2": 2.0, "pose": 5.0}) == {"rgb": 1.5, "pose": 5.0}


def test_errors_of_the_truth_are_zero():
    views = random_views(0)
    found = errors(views, perfect(views))
    assert found["abs_rel"] == pytest.approx(0, abs=1e-5)
    assert found["delta_1.25"] == 1
    assert found["translation_m"] == pytest.approx(0, abs=1e-5)
    assert found["rotation_deg"] == pytest.approx(0, abs=0.1)


def test_errors_measure_without_alignment():
    views = random_views(0)
    far = [Prediction(points_cam=1.5 * p.points_cam, world_from_cam=views[0].world_from_cam) for p in perfect(views)]
    found = errors(views, far)
    assert found["abs_rel"] == pytest.approx(0.5, abs=1e-4)
    assert found["delta_1.25"] == 0
    assert found["translation_m"] > 0.1


def test_validation_averages_over_batches():
    step = TrainingStep(small_network(), Precision.fp32)
    one = validate(step, [random_views(1)], ValidationLoss(), Accelerator(cpu=True))[0]
    two = validate(step, [random_views(2)], ValidationLoss(), Accelerator(cpu=True))[0]
    both, batch, predictions = validate(
        step, [random_views(1), random_views(2)], ValidationLoss(), Accelerator(cpu=True)
    )
    assert both["loss"] == pytest.approx((one["loss"] + two["loss"]) / 2)
    assert both["abs_rel"] == pytest.approx((one["abs_rel"] + two["abs_rel"]) / 2)
    assert len(batch.views) == len(predictions) == 3


def test_a_picture_has_a_column_per_view():
    views = with_rays(random_views(1), 1)
    h, w = SIZE
    drawn = picture(views, perfect(views), sample=1)
    assert drawn.shape == (BAND + 6 * h, 3 * w, 3)
    assert [int(drawn[0, column * w, 0]) for column in range(3)] == [0, 255, 0]


def test_true_and_perfect_depth_look_the_same():
    views = random_views(1)
    h = SIZE[0]
    drawn = picture(views, perfect(views), sample=0)
    true, predicted = (drawn[BAND + row * h : BAND + (row + 1) * h] for row in (2, 3))
    assert torch.equal(true, predicted)


def test_a_long_sequence_is_thinned_out():
    views = random_views(1, views=25, samples=1)
    assert picture(views, perfect(views), sample=0).shape[1] == 9 * SIZE[1]


def test_a_picture_survives_nan():
    batch = Batch.make(random_views(1), torch.device("cpu"))
    predictions = small_network().rollout(batch.inputs, outputs=Outputs.all()).predictions
    spoiled = [
        Prediction(**{n: None if t is None else t.detach() * torch.nan for n, t in vars(p).items()})
        for p in predictions
    ]
    assert picture(batch.views, spoiled, sample=0).dtype == torch.uint8


def test_the_colors_run_from_blue_to_red():
    low, high = colormap(torch.tensor([[1.0, 2.0]]), 1.0, 2.0)[0]
    assert low[2] > low[0]
    assert high[0] > high[2]


def test_from_above_the_highest_point_is_seen():
    ground = torch.tensor([[x, 1.0, z] for x in (0.0, 1.0) for z in (0.0, 1.0)])
    points = torch.cat((ground, torch.tensor([[0.5, 1.0, 0.5], [0.5, -1.0, 0.5]])))
    colors = torch.zeros(6, 3)
    colors[5] = torch.tensor([1.0, 0.0, 0.0])
    seen = from_above(points, colors, (20, 20))
    assert (seen == torch.tensor([1.0, 0.0, 0.0])).all(dim=-1).sum() == 1
