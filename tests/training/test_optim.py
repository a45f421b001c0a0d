import json
import math

import pytest
import torch

from cut3r.model.config import DecoderConfig, EncoderConfig, HeadKind, ModelConfig, StateConfig
from cut3r.model.network import Cut3r
from cut3r.training.freeze import Freeze, freeze
from cut3r.training.optim import (
    OptimConfig,
    OptimKind,
    Schedule,
    WeightAverage,
    learning_rate,
    make_optimizer,
    parameter_groups,
    set_learning_rate,
)
from cut3r.weights.official_names import official_from_ours
from tests.training.fake_feed import small_network

NEVER_USED = "resConfUnit1"  # of refinenet4: it has no gradient by design, and is no trainable parameter of ours
UNUSED_PER_HEAD = {"n_tensors": {0.05: 2, 0.0: 2}, "n_values": {0.05: 2 * 256 * 256 * 9, 0.0: 2 * 256}}


def golden_network(head: str) -> Cut3r:
    with torch.device("meta"):
        return Cut3r(
            ModelConfig(
                head=HeadKind(head),
                image_size=(32, 32),
                encoder=EncoderConfig(width=64, depth=2, heads=4, ray_heads=4),
                decoder=DecoderConfig(width=48, depth=4, heads=4, state_heads=4),
                state=StateConfig(tokens=16, memory_slots=8),
            )
        )


def test_the_schedule_is_that_of_the_published_recipes(golden):
    for recipe in json.loads((golden / "loss" / "lr_schedule.json").read_text()).values():
        config = OptimConfig(
            lr=recipe["lr"],
            min_lr=recipe["min_lr"],
            epochs=recipe["epochs"],
            warmup_epochs=float(recipe["warmup_epochs"]),
        )
        for epoch, rate, *_ in recipe["rows"]:
            assert math.isclose(learning_rate(float(epoch), config), rate, rel_tol=1e-12, abs_tol=0)


def test_wsd_is_constant_between_warm_up_and_decay():
    config = OptimConfig(lr=1.0, min_lr=0.1, epochs=100, warmup_epochs=10.0, schedule=Schedule.wsd, decay_share=0.2)
    rates = [learning_rate(float(epoch), config) for epoch in (0, 5, 10, 50, 80, 90, 100)]
    assert rates == pytest.approx([0, 0.5, 1, 1, 1, 0.55, 0.1])


@pytest.mark.parametrize("length", [{"steps": 200}, {"samples": 200}, {"minutes": 200.0}])
@pytest.mark.parametrize("schedule", list(Schedule))
def test_a_schedule_of_any_unit_ends_with_the_training(length, schedule):
    config = OptimConfig(lr=1.0, min_lr=0.1, schedule=schedule, warmup=0.1, **length)
    assert learning_rate(10.0, config) == pytest.approx(0.5)
    assert learning_rate(20.0, config) == 1
    assert 0.1 < learning_rate(190.0, config) < 0.35
    assert learning_rate(200.0, config) == learning_rate(201.0, config) == pytest.approx(0.1)


def test_a_group_scales_its_rate(golden):
    (_, recipe), *_ = json.loads((golden / "loss" / "lr_schedule.json").read_text()).items()
    parameters = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr_scale": scale} for scale in (1.0, 0.1)]
    optimizer = torch.optim.SGD(parameters, lr=1.0)
    for _, rate, full, _, tenth in recipe["rows"]:
        set_learning_rate(optimizer, rate)
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates == pytest.approx([full, tenth], rel=1e-12)


def test_the_very_first_step_changes_nothing():
    assert learning_rate(0.0, OptimConfig()) == 0


@pytest.mark.parametrize("head", ["linear", "dpt"])
@pytest.mark.parametrize("frozen", [choice.value for choice in Freeze])
def test_the_groups_are_those_of_the_original(golden, head, frozen):
    model = golden_network(head)
    freeze(model, Freeze(frozen))
    expected = json.loads((golden / "loss" / "param_groups.json").read_text())[f"{head}/{frozen}"]
    ours = {}
    for group in parameter_groups(model, OptimConfig()):
        official = {official_from_ours(name)[0]: p for name, p in zip(group["names"], group["params"], strict=True)}
        ours[group["weight_decay"], any("enc_blocks" in name for name in official)] = official
    assert len(expected) == len(ours) or frozen == "none"
    for group in expected:
        assert group["lr_scale"] == 1.0
        if "params" in group:
            compare_names(group, ours, head)
        else:
            compare_counts(group, ours, head)


def compare_names(group, ours, head):
    names = {name: tuple(shape) for name, shape in group["params"]}
    in_encoder = any("enc_blocks" in name for name in names)
    found = {name: tuple(p.shape) for name, p in ours[group["weight_decay"], in_encoder].items()}
    if head == "dpt":  # recorded are the names of the head alone
        found = {name: shape for name, shape in found.items() if name.startswith("downstream_head")}
        unused = {name for name in names if f"refinenet4.{NEVER_USED}" in name}
        if in_encoder or not names:
            return
        assert len(unused) in (0, 6)
        names = {name: shape for name, shape in names.items() if name not in unused}
    assert found == names


def compare_counts(group, ours, head):
    in_encoder = set(group["top_level"]) <= {"enc_blocks", "enc_blocks_ray_map"}
    found = ours[group["weight_decay"], in_encoder]
    missing = 3 if head == "dpt" and "downstream_head" in group["top_level"] else 0
    decay = group["weight_decay"]
    assert len(found) == group["n_tensors"] - missing * UNUSED_PER_HEAD["n_tensors"][decay]
    assert sum(p.numel() for p in found.values()) == group["n_values"] - missing * UNUSED_PER_HEAD["n_values"][decay]
    assert {name.split(".")[0] for name in found} == set(group["top_level"])


def test_tokens_can_be_left_out_of_the_decay():
    groups = parameter_groups(golden_network("linear"), OptimConfig(decay_tokens=False))
    decayed = {name for group in groups if group["weight_decay"] for name in group["names"]}
    tokens = {
        *("encoder.no_image", "encoder.no_rays", "decoder.pose_token"),
        *("decoder.initial_tokens", "memory.slots", "memory.blank"),
    }
    everything = {name for group in groups for name in group["names"]}
    assert tokens <= everything
    assert not tokens & decayed
    assert "decoder.embed.weight" in decayed


def test_partial_fine_tuning_trains_what_matches_and_nothing_frozen():
    model = golden_network("linear")
    freeze(model, Freeze.encoder_and_decoder, ["heads.pose.fc1.*", "*.fc2.*"])
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {n for n, _ in model.named_parameters() if n.startswith("heads.") and ".fc2." in n} | {
        "heads.pose.fc1.weight",
        "heads.pose.fc1.bias",
    }


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(ValueError, match=r"'head\.\*' matches no parameter"):
        freeze(golden_network("linear"), Freeze.none, ["head.*"])


def test_a_pattern_that_matches_only_what_is_frozen_is_refused():
    with pytest.raises(ValueError, match=r"all that 'heads\.\*' matches is frozen by run\.freeze=encoder_and_head"):
        freeze(golden_network("linear"), Freeze.encoder_and_head, ["heads.*", "decoder.*"])


def test_nothing_to_train_is_refused():
    model = golden_network("linear")
    freeze(model, Freeze.none, rest_learns=False)
    with pytest.raises(ValueError, match="no parameter is trainable"):
        make_optimizer(model, OptimConfig())


def test_the_average_follows_the_weights():
    weight = torch.nn.Parameter(torch.zeros(2))
    average = WeightAverage([("w", weight)], decay=0.9)
    weight.data.fill_(1.0)
    average.update([("w", weight)], step=1000)
    torch.testing.assert_close(average.weights["w"], torch.full((2,), 0.1))


def test_the_average_forgets_the_first_weights_soon():
    weight = torch.nn.Parameter(torch.zeros(1))
    average = WeightAverage([("w", weight)], decay=0.9999)
    weight.data.fill_(1.0)
    for step in range(1, 101):
        average.update([("w", weight)], step=step)
    assert float(average.weights["w"]) > 0.99


def test_swapping_the_average_twice_is_nothing():
    weight = torch.nn.Parameter(torch.zeros(2))
    average = WeightAverage([("w", weight)], decay=0.9)
    weight.data.fill_(1.0)
    average.swap([("w", weight)])
    assert weight.tolist() == [0, 0]
    average.swap([("w", weight)])
    assert weight.tolist() == [1, 1]
    assert average.weights["w"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"epochs": 0}, "epochs"),
        ({"warmup_epochs": 200.0}, "warmup_epochs"),
        ({"lr": 1e-7}, "min_lr"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"steps": 5, "minutes": 1.0}, "at most one"),
        ({"samples": 0}, "above 0"),
        ({"decay_share": 0.0}, "decay_share"),
    ],
)
def test_impossible_settings_are_refused(wrong, reason):
    with pytest.raises(ValueError, match=reason):
        OptimConfig(**wrong)


def test_muon_takes_the_matrices_inside_blocks_and_nothing_else():
    model = small_network()
    muon, adamw = make_optimizer(model, OptimConfig(kind=OptimKind.muon)).parts
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    taken = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    rest = {names[id(p)] for group in adamw.param_groups for p in group["params"]}
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert taken | rest == learning
    assert not taken & rest
    assert {"decoder.image_blocks.0.cross.q.weight", "memory.read_blocks.0.mlp.fc1.weight"} <= taken
    assert {"decoder.embed.weight", "heads.pose.fc1.weight", "decoder.initial_tokens"} <= rest
    assert all(group["weight_decay"] == 0.05 for group in muon.param_groups)


def test_a_rate_that_is_set_holds_in_both_optimizers():
    model = small_network()
    optimizer = make_optimizer(model, OptimConfig(kind=OptimKind.muon))
    set_learning_rate(optimizer, 0.25)
    assert {group["lr"] for part in optimizer.parts for group in part.param_groups} == {0.25}
