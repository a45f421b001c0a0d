"""What the losses promise their caller: float32, no waiting for the device, missing predictions and settings named."""

from contextlib import nullcontext

import pytest
import torch

from cut3r.training.loss_config import LossConfig, Normalization, PointLoss
from cut3r.training.losses import ReconstructionLoss, ValidationLoss
from tests.training.loss_cases import PREDICTED, change, learning, random_batch, recorded

LOSSES = {
    "plain": ReconstructionLoss(LossConfig()),
    "by_kind": ReconstructionLoss(LossConfig(inner=PointLoss.by_kind)),
    "median": ReconstructionLoss(LossConfig(normalization=Normalization.median)),
    "validation": ValidationLoss(),
}


def test_losses_are_float32_whatever_surrounds_them():
    views, predictions = recorded("mixed")
    expected = LOSSES["plain"](views, predictions).total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(LOSSES["plain"](views, predictions).total, expected)
    coarse = LOSSES["plain"](views, [prediction.to("cpu", torch.bfloat16) for prediction in predictions])
    assert coarse.total.dtype == torch.float32
    torch.testing.assert_close(coarse.total, expected, rtol=0.02, atol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_waits_for_the_device(name, monkeypatch):
    """Meta tensors have no values, so a loss that looked at one on the host, or indexed by a mask, would fail."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it knows no meta device
    views, predictions = random_batch()
    views = [view.to("meta") for view in views]
    predictions = learning([prediction.to("meta") for prediction in predictions])
    result = LOSSES[name](views, predictions)
    result.total.backward()
    assert result.total.device.type == "meta"


@pytest.mark.gpu
@pytest.mark.parametrize("name", LOSSES)
def test_nothing_waits_for_the_gpu(name):
    views, predictions = recorded("mixed")
    expected = LOSSES[name](views, predictions).total
    views, predictions = [view.to("cuda") for view in views], learning([p.to("cuda") for p in predictions])
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = LOSSES[name](views, predictions)
        result.total.backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(result.total.cpu(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss", [LOSSES["plain"], LOSSES["validation"]])
@pytest.mark.parametrize("field", PREDICTED)
def test_a_missing_prediction_is_named(loss, field):
    views, predictions = random_batch()
    with pytest.raises(ValueError, match=f"prediction 0 has no {field}.* to 0"):
        loss(views, change(predictions, **{field: None}))


def test_heads_without_weight_need_not_run():
    views, predictions = random_batch()
    rgb_alone = change(
        predictions, points_cam=None, conf_cam=None, points_world=None, conf_world=None, pose_encoding=None
    )
    config = LossConfig(cam_weight=0.0, world_weight=0.0, pose_weight=0.0)
    assert {name.split("/")[0] for name in ReconstructionLoss(config)(views, rgb_alone).details} == {"rgb"}
    cam_alone = change(predictions, points_world=None, conf_world=None, rgb=None, pose_encoding=None)
    config = LossConfig(world_weight=0.0, pose_weight=0.0, rgb_weight=0.0)
    names = {name.split("/")[0] for name in ReconstructionLoss(config)(views, cam_alone).details}
    assert names == {"points_cam", "weighted_cam", "pixels_cam"}
    names = {name.split("/")[0] for name in ValidationLoss.like(config)(views, cam_alone).details}
    assert names == {"points_cam", "matched_cam", "pixels_cam"}


def test_views_and_predictions_must_belong_together():
    views, predictions = random_batch()
    with pytest.raises(ValueError, match="3 views and 2 predictions"):
        LOSSES["plain"](views, predictions[:2])
    with pytest.raises(ValueError, match="0 views and 0 predictions"):
        LOSSES["plain"]([], [])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": -1.0}, "alpha is -1.0"),
        ({"pose_clip": 0.0}, "pose_clip is 0.0"),
        ({"sky_value": float("nan")}, "sky_value is nan"),
        ({"cam_weight": 0.0, "world_weight": 0.0, "pose_weight": 0.0, "rgb_weight": 0.0}, "nothing would be learned"),
        ({"cam_weight": 0.0, "world_weight": 0.0}, "takes its unit from the points"),
        ({"cam_weight": 0.0, "scale_from_cam": True}, "scale_from_cam needs points_cam"),
        ({"relative": True, "inner": PointLoss.by_kind}, "relative divides by the distance"),
        ({"relative": True, "cam_weight": 0.0}, "needs points_cam as they are"),
        (
            {"cam_weight": 0.0, "world_weight": 0.0, "pose_weight": 0.0, "normalization": Normalization.median},
            "median needs points",
        ),
    ],
)
def test_contradictory_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LossConfig(**settings)


def test_validation_refuses_a_sky_without_a_confidence():
    with pytest.raises(ValueError, match=r"sky_value 2\.0"):
        ValidationLoss(LossConfig())
