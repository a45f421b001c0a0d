"""The gate of a training from nothing: what it compares with, and that it sees what the network does."""

import numpy as np
import pytest
import torch

from cut3r.data.synthetic import synthetic_walk
from cut3r.data.view import View
from cut3r.data.walk_ring import Draw, WalkRing, walk_fields
from cut3r.data.walks import WalkConfig
from cut3r.geometry.poses import encoding_from_pose, invert
from cut3r.model.config import DecoderConfig, EncoderConfig, HeadKind, ModelConfig, StateConfig
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs, Prediction
from cut3r.training.gate import attention_by_position, gate_scores, motion_r2
from cut3r.training.guidance import Guidance
from cut3r.training.loss_config import GuidanceConfig

NETWORK = ModelConfig(
    head=HeadKind.linear,
    image_size=(24, 32),
    patch_size=8,
    encoder=EncoderConfig(width=16, depth=1, heads=2, ray_depth=1, ray_heads=2),
    decoder=DecoderConfig(width=16, depth=2, heads=2, state_heads=2),
    state=StateConfig(tokens=16, memory_slots=4, memory_depth=1),
    head_blocks=1,
)


@pytest.fixture(scope="module")
def pairs() -> list[View]:
    config = WalkConfig(size=(24, 32), frames=4)
    ring = WalkRing(config, capacity=3)
    for index in range(3):
        ring.put(walk_fields(synthetic_walk(3, index, config)))
    return [view.to("cpu") for view in ring.draw(np.random.default_rng(0), Draw(batch=12, views=2, apart=2))]


def true_motion(pairs: list[View]) -> torch.Tensor:
    return encoding_from_pose(invert(pairs[0].world_from_cam) @ pairs[1].world_from_cam)


def test_the_truth_scores_one_and_no_motion_zero(pairs):
    assert motion_r2(Prediction(pose_encoding=true_motion(pairs)), pairs) == {"yaw": 1, "tx": 1, "tz": 1}
    still = torch.tensor([0.0, 0, 0, 1, 0, 0, 0]).expand(12, 7)
    assert motion_r2(Prediction(pose_encoding=still), pairs) == pytest.approx({"yaw": 0, "tx": 0, "tz": 0}, abs=1e-6)


def test_the_scores_of_a_new_network(pairs):
    torch.manual_seed(0)
    model = Cut3r(NETWORK)
    judge = Guidance(model, GuidanceConfig(matching=1.0, attention=1.0, flow=1.0))
    scores = gate_scores(model, judge, pairs, Outputs())
    motion = ["yaw", "tx", "tz"]
    assert list(scores) == ["attention", *motion, "abs_rel", *(f"other_{name}" for name in motion)]
    assert all(np.isfinite(value) for value in scores.values())
    assert scores["attention"] > attention_by_position(pairs, NETWORK) > 0
    assert "abs_rel" not in gate_scores(model, judge, pairs)
