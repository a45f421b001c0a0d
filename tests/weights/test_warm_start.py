import argparse
import logging

import pytest
import torch

from cut3r.model.network import Cut3r
from cut3r.weights.checkpoint import save
from cut3r.weights.constructor import config_from_constructor
from cut3r.weights.official_names import official_from_ours
from cut3r.weights.warm_start import warm_start
from tests.weights.official_files import CONSTRUCTOR, hollow, short_linear, spec, write


def small_model(seed: int = 1) -> Cut3r:
    torch.manual_seed(seed)
    return Cut3r(config_from_constructor(CONSTRUCTOR))


def dust3r_entries() -> dict[str, torch.Tensor]:
    """The parts that the two networks share, a second decoder, and DUSt3R's own heads."""
    shared = ("patch_embed.", "enc_blocks.", "enc_norm.", "decoder_embed.", "dec_blocks.", "dec_norm.")
    entries = {name: entry for name, entry in short_linear().items() if name.startswith(shared)}
    entries |= {
        name.replace("dec_blocks.", "dec_blocks2."): -entry for name, entry in entries.items() if "dec_b" in name
    }
    return entries | {"mask_token": torch.zeros(1, 1, 64), "downstream_head1.proj.weight": torch.zeros(1024, 64)}


@pytest.fixture
def dust3r(tmp_path):
    return write(tmp_path / "dust3r.pth", dust3r_entries(), args=argparse.Namespace(model="AsymmetricCroCo3DStereo()"))


def test_a_dust3r_file_gives_its_encoder_and_its_first_decoder_to_both_streams(dust3r):
    model = small_model()
    report = warm_start(model, dust3r)
    entries = short_linear()
    for ours, parameter in model.named_parameters():
        official = official_from_ours(ours)[0]
        if ours in report.loaded:
            assert torch.equal(parameter, entries[official.replace("dec_blocks_state.", "dec_blocks.")])
    for part in ("encoder.image.patch", "encoder.image.blocks", "encoder.image.norm", "decoder.embed", "decoder.norm"):
        names = [name for name in model.state_dict() if name.startswith(f"{part}.")]
        assert set(names) <= set(report.loaded)
    for block in ("decoder.image_blocks.1", "decoder.state_blocks.1"):
        assert f"{block}.cross.q.weight" in report.loaded


def test_the_rest_keeps_its_initial_values_and_the_report_accounts_for_everything(dust3r):
    model, untouched = small_model(), small_model()
    report = warm_start(model, dust3r)
    for name in report.initial:
        assert torch.equal(model.state_dict()[name], untouched.state_dict()[name])
    assert sorted([*report.loaded, *report.initial]) == sorted(model.state_dict())
    assert {"memory.slots", "heads.pose.fc1.weight", "decoder.embed_state.weight", "encoder.rays.patch.bias"} <= {
        *report.initial
    }
    assert (
        report.skipped["dec_blocks2.0.norm1.bias"] == "second decoder: the state stream starts as a copy of the first"
    )
    assert report.skipped["mask_token"] == "no such part in this network"


def test_the_message_lists_what_was_skipped_in_groups(dust3r, caplog):
    with caplog.at_level(logging.WARNING):
        warm_start(small_model(), dust3r)
    assert "dec_blocks2.#.norm1.bias (2)" in caplog.text
    assert "mask_token" in caplog.text


def test_entries_of_another_shape_are_skipped_with_both_shapes(tmp_path):
    entries = short_linear() | {"register_tokens.weight": torch.zeros(20, 128)}
    report = warm_start(small_model(), write(tmp_path / "weights.pth", entries))
    assert report.skipped == {"register_tokens.weight": "shape [20, 128] instead of [30, 128]"}
    assert report.initial == ["decoder.initial_tokens"]


def test_a_file_with_a_state_stream_keeps_its_own(tmp_path):
    entries = short_linear()
    model = small_model()
    assert warm_start(model, write(tmp_path / "weights.pth", entries)).initial == []
    own = entries["dec_blocks_state.0.norm1.bias"]
    assert torch.equal(model.decoder.state_blocks[0].norm1.bias, own)
    assert not torch.equal(own, entries["dec_blocks.0.norm1.bias"])


def test_a_linear_network_gives_a_dpt_network_everything_but_the_pixel_heads(tmp_path):
    with torch.device("meta"):
        model = Cut3r(config_from_constructor(spec("small-dpt")["model"]))
    places = {name: torch.empty(1).expand(entry.shape) for name, entry in model.state_dict().items()}
    model.load_state_dict({name: torch.zeros_like(entry) for name, entry in places.items()}, assign=True)
    report = warm_start(model, write(tmp_path / "weights.pth", hollow("small-linear")))
    assert {name.split(".")[1] for name in report.initial} == {"points_cam", "points_world", "rgb"}
    assert {name.split(".")[1] for name in report.skipped} == {"proj", "cross_proj", "rgb_proj"}


def test_our_own_format_is_read_too(tmp_path):
    source, model = small_model(seed=2), small_model()
    save(source, tmp_path / "weights.safetensors")
    assert warm_start(model, tmp_path / "weights.safetensors").skipped == {}
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), source.parameters(), strict=True))


def test_a_file_of_which_nothing_fits_is_refused(tmp_path):
    torch.save({"conv1.weight": torch.zeros(2), "layer1.0.conv1.weight": torch.zeros(2)}, tmp_path / "resnet.pth")
    with pytest.raises(ValueError, match=r"nothing of .*resnet\.pth fits this network: the file holds a ResNet"):
        warm_start(small_model(), tmp_path / "resnet.pth")


def test_weights_that_are_not_finite_are_refused_before_any_is_copied(tmp_path):
    entries = short_linear() | {"enc_norm.bias": torch.full((128,), torch.nan)}
    model, untouched = small_model(), small_model()
    with pytest.raises(ValueError, match=r"not finite .*encoder\.image\.norm\.bias"):
        warm_start(model, write(tmp_path / "weights.pth", entries))
    assert all(
        torch.equal(ours, theirs) for ours, theirs in zip(model.parameters(), untouched.parameters(), strict=True)
    )
