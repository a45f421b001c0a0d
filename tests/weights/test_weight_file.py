import re

import pytest
import torch
from safetensors.torch import save_file

from cut3r.weights.weight_file import describe, read_weight_file
from tests.weights.official_files import CONSTRUCTOR, short_linear, write


def test_both_formats_give_the_same_entries(tmp_path):
    entries = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1, dtype=torch.bfloat16)}
    torch.save({"model": entries}, tmp_path / "weights.pth")
    save_file(entries, tmp_path / "weights.safetensors", metadata={"format": "pt"})
    for file in (read_weight_file(tmp_path / "weights.pth"), read_weight_file(tmp_path / "weights.safetensors")):
        assert file.entries.keys() == entries.keys()
        assert all(torch.equal(file.entries[name], entries[name]) for name in entries)
        assert file.constructor is None
    assert file.metadata == {"format": "pt"}


def test_an_official_file_gives_its_constructor_and_names_without_the_prefix_of_parallel_training(tmp_path):
    entries = {f"module.{name}": entry for name, entry in short_linear().items()}
    file = read_weight_file(write(tmp_path / "weights.pth", entries))
    assert file.constructor == CONSTRUCTOR
    assert file.entries.keys() == short_linear().keys()


@pytest.mark.parametrize(
    "wrapped",
    [
        "_orig_mod.{0}.{1}",
        "module._orig_mod.{0}.{1}",
        "_orig_mod.module.{0}.{1}",
        "module.module.{0}.{1}",
        "{0}._orig_mod.{1}",
        "module.{0}._orig_mod.{1}",
        "_fsdp_wrapped_module.{0}._checkpoint_wrapped_module.{1}",
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_wrappers_put_into_names_is_dropped_wherever_it_stands(tmp_path, wrapped, suffix):
    path, entries = tmp_path / f"weights{suffix}", {wrapped.format("enc_norm", "bias"): torch.zeros(2)}
    torch.save(entries, path) if suffix == ".pth" else save_file(entries, path)
    assert list(read_weight_file(path).entries) == ["enc_norm.bias"]


def test_two_entries_that_differ_only_in_wrappers_are_refused(tmp_path):
    torch.save({"enc_norm.bias": torch.zeros(2), "module.enc_norm.bias": torch.ones(2)}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"holds enc_norm\.bias twice"):
        read_weight_file(tmp_path / "weights.pth")


def test_a_bare_state_dict_is_read(tmp_path):
    torch.save({"conv1.weight": torch.zeros(2)}, tmp_path / "resnet.pth")
    assert list(read_weight_file(tmp_path / "resnet.pth").entries) == ["conv1.weight"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {"a": torch.zeros(1)}, "epoch": 1}, "holds a dict with the keys state_dict, epoch, no weights"),
        ({"model": {}, "args": None}, "no weights under 'model'"),
        ([torch.zeros(1)], "holds a list"),
        (torch.zeros(1), "holds a Tensor"),
        (
            {"model": {"a": torch.zeros(1), "b": 3, 4: torch.zeros(1)}},
            "entries among its weights that are no tensors: b, 4",
        ),
    ],
)
def test_other_content_of_torch_save_is_refused_with_what_it_is(tmp_path, content, message):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=message):
        read_weight_file(tmp_path / "weights.pth")


@pytest.mark.parametrize("keep", [9, 60, 400])
def test_a_truncated_safetensors_file_is_refused(tmp_path, keep):
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="truncated or damaged safetensors"):
        read_weight_file(path)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["pose_retriever.mem", "dec_blocks.0.norm1.bias"], "a CUT3R network"),
        (["dec_blocks.0.norm1.bias", "dec_blocks2.0.norm1.bias"], "DUSt3R or MASt3R"),
        (["enc_blocks.0.norm1.bias", "decoder_embed.weight", "prediction_head.weight"], "CroCo"),
        (["conv1.weight", "layer1.0.conv1.weight", "fc.bias"], "ResNet"),
        (["a", "b", "c", "d"], r"another network \(4 entries: a, b, c, \.\.\.\)"),
    ],
)
def test_networks_are_known_by_their_names(names, kind):
    assert re.search(kind, describe(dict.fromkeys(names, torch.zeros(1))))
