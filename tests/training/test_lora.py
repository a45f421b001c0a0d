"""LoRA begins as nothing, learns alone, is interrupted without a trace, and ends as ordinary weights."""

import pytest
import torch
from accelerate import Accelerator

from cut3r.model.prediction import Outputs
from cut3r.training.config import RunConfig
from cut3r.training.freeze import Freeze
from cut3r.training.guidance import Guidance
from cut3r.training.lora import LoraConfig, add_factors, merge_factors
from cut3r.training.loss_config import GuidanceConfig, LossConfig
from cut3r.training.losses import ReconstructionLoss, ValidationLoss
from cut3r.training.optim import OptimConfig, OptimKind
from cut3r.training.precision import Precision
from cut3r.training.rollout import Batch, RolloutConfig
from cut3r.training.trainer import Trainer
from cut3r.weights.checkpoint import load
from tests.training.fake_feed import FakeFeed, random_views, small_network

LORA = LoraConfig(rank=2, alpha=8.0)


def make_trainer(folder, *, feed=None, optim=None, guidance=None, **run):
    """Two epochs of two batches."""
    model = small_network()
    optim = {"lr": 1e-2, "epochs": 2, "warmup_epochs": 0.0, **(optim or {})}
    options = {"lora": LORA, "precision": Precision.fp32, "save_epochs": 0.5, "tensorboard": False, **run}
    return Trainer(
        model,
        FakeFeed(length=2, views=2) if feed is None else feed,
        ReconstructionLoss(LossConfig()),
        ValidationLoss(),
        optim=OptimConfig(**optim),
        rollout=RolloutConfig(),
        run=RunConfig(output_dir=folder, device="cpu", **options),
        accelerator=Accelerator(cpu=True),
        guidance=None if guidance is None else Guidance(model, guidance),
    )


@torch.no_grad()
def outputs(model):
    inputs = Batch.make(random_views(3, views=2), torch.device("cpu")).inputs
    predictions = model.rollout(inputs, outputs=Outputs.all()).predictions
    return torch.cat([p.points_world.flatten() for p in predictions] + [p.pose_encoding.flatten() for p in predictions])


def learning(trainer):
    return {name for name, value in trainer.state.model.named_parameters() if value.requires_grad}


def random_factors(model):
    for name, parameter in model.named_parameters():
        if name.endswith("lora.up.weight"):
            torch.nn.init.normal_(parameter, std=0.3)


def test_it_begins_as_the_network_that_it_corrects():
    corrected = small_network()
    add_factors(corrected, LORA)
    assert torch.equal(outputs(corrected), outputs(small_network()))


def test_merged_matrices_do_what_the_factors_did():
    corrected, plain = small_network(), small_network()
    add_factors(corrected, LORA)
    random_factors(corrected)
    plain.load_state_dict(merge_factors(corrected.state_dict(), LORA))
    assert float((outputs(corrected) - outputs(small_network())).abs().max()) > 0.01
    torch.testing.assert_close(outputs(plain), outputs(corrected), atol=1e-5, rtol=1e-5)


def test_the_change_of_a_matrix_has_the_rank_of_the_factors():
    corrected = small_network()
    add_factors(corrected, LORA)
    random_factors(corrected)
    name, first = "decoder.state_blocks.1.cross.q.weight", small_network().state_dict()
    change = merge_factors(corrected.state_dict(), LORA)[name] - first[name]
    assert int(torch.linalg.matrix_rank(change, rtol=1e-4)) == 2


def test_by_default_the_attention_of_the_decoder_is_corrected():
    corrected = small_network()
    add_factors(corrected, LORA)
    found = {name.removesuffix(".lora.up.weight") for name in corrected.state_dict() if "lora.up" in name}
    layers = ("attn.qkv", "attn.proj", "cross.q", "cross.k", "cross.v", "cross.proj")
    assert found == {
        f"decoder.{kind}_blocks.{number}.{layer}"
        for kind in ("image", "state")
        for number in range(4)
        for layer in layers
    }


def test_only_the_factors_learn_and_only_they_have_moments(tmp_path):
    trainer = make_trainer(tmp_path)
    before = {name: entry.clone() for name, entry in trainer.state.model.state_dict().items()}
    trainer.fit()
    changed = {n for n, entry in trainer.state.model.state_dict().items() if not torch.equal(entry, before[n])}
    assert changed == learning(trainer) == {name for name in before if ".lora." in name}
    kept = [value for state in trainer.state.optimizer.state.values() for value in state.values() if value.ndim]
    assert sum(value.numel() for value in kept) == 2 * sum(before[name].numel() for name in changed)


def test_what_train_only_names_learns_beside_the_factors(tmp_path):
    trainer = make_trainer(tmp_path, train_only=["heads.pose.*"], freeze=Freeze.encoder)
    others = {name.rsplit(".", 2)[0] for name in learning(trainer) if ".lora." not in name}
    assert others == {"heads.pose"}
    assert any(".lora." in name for name in learning(trainer))


def test_factors_of_frozen_parts_learn(tmp_path):
    trainer = make_trainer(tmp_path, freeze=Freeze.encoder_and_decoder)
    assert learning(trainer) == {name for name in trainer.state.model.state_dict() if ".lora." in name}


@pytest.mark.parametrize("average", [None, 0.5])
def test_the_exported_file_is_an_ordinary_one_with_what_was_learned(tmp_path, average):
    trainer = make_trainer(tmp_path, optim={"ema_decay": average}, train_only=["heads.*"])
    assert trainer.fit()
    exported = load(trainer.states_folder / "final.safetensors")
    if average is not None:
        trainer.state.average.swap(trainer.state.parameters())
    assert exported.state_dict().keys() == small_network().state_dict().keys()
    torch.testing.assert_close(outputs(exported), outputs(trainer.state.model), atol=1e-5, rtol=1e-5)
    assert float((outputs(exported) - outputs(small_network())).abs().max()) > 1e-3


@pytest.mark.parametrize("optim", [{"ema_decay": 0.9}, {"kind": OptimKind.muon}], ids=["average", "muon"])
def test_a_training_that_is_stopped_goes_on_as_if_nothing_had_happened(tmp_path, optim):
    whole = make_trainer(tmp_path / "whole", optim=optim)
    assert whole.fit()
    assert not make_trainer(tmp_path / "parts", optim=optim, max_steps=1).fit()
    parts = make_trainer(tmp_path / "parts", optim=optim)
    assert parts.progress.step == 1
    assert parts.fit()
    found, expected = parts.state.model.state_dict(), whole.state.model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("lora", [LoraConfig(), LoraConfig(rank=3, alpha=8.0), LoraConfig(rank=2)])
def test_a_state_with_other_factors_is_refused(tmp_path, lora):
    make_trainer(tmp_path, max_steps=1).fit()
    with pytest.raises(ValueError, match=r"trained with LoRA of rank 2, alpha 8 .* set run\.lora as it was"):
        make_trainer(tmp_path, lora=lora)


def test_a_state_without_factors_is_refused(tmp_path):
    make_trainer(tmp_path, lora=LoraConfig(), max_steps=1).fit()
    with pytest.raises(ValueError, match=r"trained with no LoRA, and now there is LoRA of rank 2"):
        make_trainer(tmp_path)


@pytest.mark.parametrize("options", [{"gradient_checkpointing": True}, {"precision": Precision.bf16}])
def test_it_learns_nearly_the_same_recomputed_and_in_mixed_precision(tmp_path, options):
    feed = FakeFeed(length=1, views=2)
    optim = {"epochs": 1, "eps": 1e-2}
    exact = make_trainer(tmp_path / "exact", feed=feed, optim=optim)
    other = make_trainer(tmp_path / "other", feed=feed, optim=optim, **options)
    first = {name: entry.clone() for name, entry in exact.state.model.state_dict().items()}
    for name, entry in other.state.model.state_dict().items():
        entry.copy_(first[name])  # the factors begin at random
    exact.fit(), other.fit()
    learned = exact.state.model.state_dict()
    change = torch.cat([(learned[name] - first[name]).flatten() for name in first])
    difference = torch.cat([(other.state.model.state_dict()[n] - learned[n]).flatten() for n in first])
    assert change.norm() > 0
    assert difference.norm() < 0.1 * change.norm()


def test_attention_guides_what_the_factors_have_made_of_queries(tmp_path):
    model = small_network()
    guidance = Guidance(model, GuidanceConfig(0.0, 1.0, 0.0))
    add_factors(model, LORA)
    batch = Batch.make(random_views(3, views=2), torch.device("cpu"))
    losses = []
    for _ in range(2):
        with guidance.recording():
            model.rollout(batch.inputs, outputs=Outputs.all())
        losses.append(float(guidance(batch.views, batch.first, begins=True)[0].detach()))
        random_factors(model)
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    ("lora", "reason"),
    [
        (LoraConfig(rank=2, targets=["decodr.*"]), r"'decodr\.\*' matches no matrix of a linear layer"),
        (LoraConfig(rank=2, targets=["*.norm1.weight"]), "matches no matrix of a linear layer"),
        (LoraConfig(rank=16), r"rank 16 is no saving for decoder\.image_blocks\.0\.attn\.qkv\.weight of \(48, 16\)"),
    ],
)
def test_what_cannot_be_corrected_is_refused(lora, reason):
    with pytest.raises(ValueError, match=reason):
        add_factors(small_network(), lora)


@pytest.mark.parametrize(("options", "reason"), [({"rank": -1}, "rank is -1"), ({"alpha": 0.0}, "alpha is 0")])
def test_impossible_settings_are_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        LoraConfig(**options)
