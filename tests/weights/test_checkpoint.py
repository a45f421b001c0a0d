import argparse
import json
import math
import os
from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

from cut3r.model.config import (
    DecoderConfig,
    EncoderConfig,
    HeadKind,
    ModelConfig,
    RayDirection,
    StateConfig,
    StatePositions,
    published_512_dpt,
)
from cut3r.model.encoder import ViewInput
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs
from cut3r.weights import zoo
from cut3r.weights.checkpoint import (
    confidence_threshold,
    config_from_json,
    config_to_json,
    export_official,
    load,
    save,
)
from cut3r.weights.constructor import config_from_constructor
from cut3r.weights.official_names import official_from_ours, ours_from_official
from tests.weights.official_files import CONSTRUCTOR, hollow, short_linear, spec, write


@pytest.fixture
def official(tmp_path):
    return write(tmp_path / "official.pth", short_linear())


def assert_holds(model: Cut3r, entries: dict[str, torch.Tensor]) -> None:
    parameters = model.state_dict()
    assert {ours_from_official(name) for name in entries} == parameters.keys()
    for name, entry in entries.items():
        assert torch.equal(parameters[ours_from_official(name)], entry), name


def test_an_official_file_loads_unchanged_and_ready_for_inference(official):
    model = load(official)
    assert model.config == config_from_constructor(CONSTRUCTOR)
    assert not model.training
    assert_holds(model, short_linear())


def test_a_path_may_be_a_string(official):
    assert_holds(load(str(official), device=torch.device("cpu")), short_linear())


@pytest.mark.parametrize(
    "args",
    [
        OmegaConf.create({"model": CONSTRUCTOR}),
        OmegaConf.create({"model": CONSTRUCTOR, "lr": 1e-4, "resume": None, "resolution": [[512, 384]]}),
        argparse.Namespace(model=CONSTRUCTOR, epochs=3),
        {"model": CONSTRUCTOR.replace(", landscape_only=False", "")},
        {"model": CONSTRUCTOR.replace("landscape_only=False", "landscape_only=True")},
        {"model": CONSTRUCTOR.replace("))", ", patch_embed_cls='ManyAR_PatchEmbed'))")},
    ],
    ids=["omegaconf", "hydra", "namespace", "no landscape_only", "landscape_only", "many aspect ratios"],
)
def test_files_of_every_age_load(tmp_path, args):
    assert_holds(load(write(tmp_path / "weights.pth", short_linear(), args=args)), short_linear())


def test_a_training_file_with_prefixed_names_loads(tmp_path):
    entries = {f"module.{name}": entry for name, entry in short_linear().items()}
    path = write(tmp_path / "checkpoint-last.pth", entries, optimizer={"state": {}}, scaler={}, best_so_far=0.1)
    assert_holds(load(path), short_linear())


def test_a_file_of_old_torch_loads(tmp_path):
    content = {"args": {"model": CONSTRUCTOR}, "model": short_linear()}
    torch.save(content, tmp_path / "weights.pth", _use_new_zipfile_serialization=False)
    assert_holds(load(tmp_path / "weights.pth"), short_linear())


def test_both_names_of_the_dpt_heads_twins_are_accounted_for(tmp_path):
    args = {"model": spec("small-dpt")["model"]}
    model = load(write(tmp_path / "weights.pth", hollow("small-dpt"), args=args))
    assert model.config.head is HeadKind.dpt
    twin = "downstream_head.dpt_rgb.scratch.layer_rn.2.weight"
    entries = hollow("small-dpt") | {twin: torch.ones(256, 384, 3, 3)}
    with pytest.raises(ValueError, match=f"{twin} under two names with different values"):
        load(write(tmp_path / "weights.pth", entries, args=args))


def test_the_file_may_be_overwritten_after_loading(official):
    model = load(official)
    with official.open("r+b") as file:  # in place: what is mapped from the file would change
        file.write(b"\xff" * official.stat().st_size)
    assert_holds(model, short_linear())


def test_dtype_converts_what_the_network_allows_and_nothing_else(official):
    model, reference = load(official, dtype=torch.bfloat16), load(official).to_dtype(torch.bfloat16)
    assert model.dtype is torch.bfloat16
    assert model.memory.slots.dtype is torch.float32
    for ours, expected in zip(model.state_dict().values(), reference.state_dict().values(), strict=True):
        assert ours.dtype is expected.dtype
        assert torch.equal(ours, expected)


def test_weights_stored_in_half_precision_load_in_float32(tmp_path):
    entries = {name: entry.half() for name, entry in short_linear().items()}
    model = load(write(tmp_path / "weights.pth", entries))
    assert {entry.dtype for entry in model.parameters()} == {torch.float32}


def test_a_loaded_network_computes_what_a_network_built_the_ordinary_way_does(official):
    loaded = load(official)
    built = Cut3r(loaded.config).eval()
    built.load_state_dict(loaded.state_dict())
    view = ViewInput(image=torch.linspace(-1, 1, 3 * 32 * 48).reshape(1, 3, 32, 48))
    with torch.no_grad():
        ours, theirs = (model.rollout([view, view], outputs=Outputs.all()).predictions[1] for model in (loaded, built))
    for field in fields(ours):
        assert torch.equal(getattr(ours, field.name), getattr(theirs, field.name)), field.name


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loading_to_the_gpu_gives_the_same_values_there(official, dtype):
    for there, here in zip(
        load(official, device="cuda", dtype=dtype).parameters(), load(official, dtype=dtype).parameters(), strict=True
    ):
        assert there.is_cuda
        assert torch.equal(there.cpu(), here)


def test_parameters_can_be_trained_after_loading(official):
    assert all(parameter.requires_grad for parameter in load(official).parameters())


def changed(**entries: torch.Tensor | None) -> dict[str, torch.Tensor]:
    changed = short_linear() | {name.replace("__", "."): entry for name, entry in entries.items()}
    return {name: entry for name, entry in changed.items() if entry is not None}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (changed(enc_norm__bias=None), r"1 missing \(enc_norm\.bias\)"),
        (changed(extra__weight=torch.zeros(1)), r"1 unexpected \(extra\.weight\)"),
        (changed(enc_blocks__3__norm1__bias=torch.zeros(128)), r"1 unexpected \(enc_blocks\.3\.norm1\.bias\)"),
        (changed(enc_norm__bias=torch.zeros(4)), r"1 of another shape \(enc_norm\.bias \[4\] instead of \[128\]\)"),
        (
            changed(enc_norm__bias=torch.zeros(128, dtype=torch.int64)),
            r"1 without floating-point numbers \(enc_norm\.bias\)",
        ),
        ({k: v for k, v in short_linear().items() if not k.startswith("dec_bl")}, r"96 missing \(.*; \.\.\.\)"),
    ],
)
def test_loading_is_strict_and_names_what_does_not_fit(tmp_path, entries, message):
    with pytest.raises(ValueError, match=f"does not fit the network that it describes: of 300 parameters {message}"):
        load(write(tmp_path / "weights.pth", entries))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"conv1.weight": torch.zeros(2), "layer1.0.conv1.weight": torch.zeros(2)},
            "no checkpoint of CUT3R: it holds a ResNet",
        ),
        ({"model": {"dec_blocks2.0.norm1.bias": torch.zeros(2)}}, "DUSt3R or MASt3R network .use warm_start"),
        ({"model": short_linear()}, "without the description of the network in args.model"),
        (
            {"model": short_linear(), "args": {"model": "Other()"}},
            r"weights\.pth: cannot read the constructor 'Other\(\)'",
        ),
        (
            {"model": short_linear(), "args": {"model": CONSTRUCTOR.replace("rgb_head=True", "rgb_head=False")}},
            "rgb_head",
        ),
    ],
    ids=["resnet", "dust3r", "no args", "other constructor", "unsupported"],
)
def test_a_foreign_file_is_refused_with_what_it_is(tmp_path, content, message):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "weights.pth")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_refused_by_name(official, tmp_path, value):
    broken = changed(enc_norm__bias=torch.tensor([*[0.0] * 127, value]), dec_norm__bias=torch.full((64,), value))
    message = (
        r"not finite \(NaN or infinite\) in 2 of 300 parameters \(encoder\.image\.norm\.bias, decoder\.norm\.bias\)"
    )
    with pytest.raises(ValueError, match=message):
        load(write(tmp_path / "weights.pth", broken))
    model = load(official)
    with torch.no_grad():
        model.decoder.norm.bias[5] = value
    save(model, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match=r"in 1 of 300 parameters \(decoder\.norm\.bias\)"):
        load(tmp_path / "weights.safetensors")


def test_weights_too_large_for_the_type_they_are_loaded_in_are_refused(tmp_path):
    path = write(tmp_path / "weights.pth", changed(decoder_embed__bias=torch.full((64,), 1e6)))
    load(path)
    with pytest.raises(ValueError, match=r"not finite .*decoder\.embed\.bias"):
        load(path, dtype=torch.float16)


def test_a_checkpoint_saved_after_compiling_loads(tmp_path):
    entries = {f"module._orig_mod.{name}": entry for name, entry in short_linear().items()}
    assert_holds(load(write(tmp_path / "weights.pth", entries)), short_linear())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_that_lost_their_metadata_are_called_that(official, tmp_path, suffix):
    path, entries = tmp_path / f"weights{suffix}", load(official).state_dict()
    save_file(entries, path) if suffix == ".safetensors" else torch.save(entries, path)
    with pytest.raises(ValueError, match=r"holds the weights of a CUT3R network, but not the description .*metadata"):
        load(path)


@pytest.mark.parametrize("depth", [250, 20_000, 10**9])
def test_a_description_of_a_network_without_end_is_refused_before_it_is_built(tmp_path, monkeypatch, depth):
    monkeypatch.setattr("cut3r.weights.checkpoint.Cut3r", None)
    args = {"model": CONSTRUCTOR.replace("enc_depth=1", f"enc_depth={depth}")}
    with pytest.raises(ValueError, match=r"transformer blocks, and the file only 300 entries|depth is"):
        load(write(tmp_path / "weights.pth", short_linear(), args=args))


def test_entries_that_claim_more_numbers_than_the_file_has_bytes_are_refused(tmp_path):
    """One value repeated with stride 0 needs four bytes in the file, and gigabytes in the network."""
    wide = CONSTRUCTOR.replace("state_size=30", "state_size=50000").replace("enc_embed_dim=128", "enc_embed_dim=4096")
    with torch.device("meta"):
        places = Cut3r(config_from_constructor(wide)).state_dict()
    entries = {
        name: torch.zeros(1).expand(place.shape) for ours, place in places.items() for name in official_from_ours(ours)
    }
    with pytest.raises(ValueError, match=r"claims \d+,\d+,\d+ parameters and has [\d,]+ bytes, less than one for each"):
        load(write(tmp_path / "weights.pth", entries, args={"model": wide}))


def test_entries_without_numbers_are_refused(tmp_path):
    entries = changed(enc_norm__bias=torch.zeros(128, device="meta"))
    with pytest.raises(ValueError, match=r"1 without floating-point numbers \(enc_norm\.bias\)"):
        load(write(tmp_path / "weights.pth", entries))


def test_written_files_follow_the_umask(official, tmp_path):
    save(load(official), tmp_path / "weights.safetensors")
    (tmp_path / "plain").touch()
    assert (tmp_path / "weights.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_header_tells_the_confidence_that_suits_the_network(official, tmp_path):
    path, model = tmp_path / "weights.safetensors", load(official)
    save(model, path, confidence=2.0)
    assert confidence_threshold(path) == 2.0
    assert_holds(load(path), short_linear())
    save(model, path)
    assert confidence_threshold(path) is None
    assert confidence_threshold(official) is None
    assert confidence_threshold("512-dpt") is None  # without a download
    assert confidence_threshold("tiny") == confidence_threshold(zoo.BUNDLED["tiny"]) == 1.0


@pytest.mark.parametrize("told", ["-1", "nan", "inf", "x", ""])
def test_a_confidence_that_is_none_is_refused(official, tmp_path, told):
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"format": "cut3r", "confidence": told})
    with pytest.raises(ValueError, match="expected is a number from 0"):
        confidence_threshold(path)
    with pytest.raises(ValueError, match="confidence is nan; expected is a number from 0"):
        save(load(official), path, confidence=math.nan)


def test_a_malicious_file_is_refused(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'marker'}",)

    path = write(tmp_path / "weights.pth", short_linear(), best_so_far=Attack())
    with pytest.raises(ValueError, match=r"is refused: on loading it asks to run or build posix\.system"):
        load(path)
    assert not (tmp_path / "marker").exists()


def test_our_own_format_gives_the_same_network_back(official, tmp_path):
    model = load(official)
    save(model, tmp_path / "new folder" / "weights.safetensors")
    again = load(tmp_path / "new folder" / "weights.safetensors")
    assert again.config == model.config
    assert_holds(again, short_linear())


def test_our_own_format_can_be_stored_in_half_the_size(official, tmp_path):
    model = load(official)
    save(model, tmp_path / "whole.safetensors")
    save(model, tmp_path / "half.safetensors", dtype=torch.float16)
    whole, half = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("whole", "half"))
    assert half < 0.6 * whole
    for name, entry in load(tmp_path / "half.safetensors").state_dict().items():
        assert torch.equal(entry, model.state_dict()[name].half().float()), name


def test_our_own_format_keeps_what_official_files_cannot_say(tmp_path):
    config = replace(config_from_constructor(CONSTRUCTOR), ray_direction=RayDirection.direction, head_blocks=1)
    model = Cut3r(config)
    save(model, tmp_path / "weights.safetensors")
    assert load(tmp_path / "weights.safetensors").config == config
    with pytest.raises(ValueError, match="official files cannot describe"):
        export_official(model, tmp_path / "weights.pth")


def test_our_own_format_is_as_strict(official, tmp_path):
    path = tmp_path / "weights.safetensors"
    header = {"format": "cut3r", "version": "1", "config": config_to_json(load(official).config)}
    save_file({"decoder.norm.bias": torch.zeros(64), "other": torch.zeros(1)}, path, metadata=header)
    with pytest.raises(ValueError, match=r"of 300 parameters 299 missing .*1 unexpected \(other\)"):
        load(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (None, "no checkpoint of CUT3R: it holds another network"),
        ({"format": "pt"}, "no checkpoint of CUT3R"),
        ({"format": "cut3r", "version": "2", "config": "{}"}, "has version '2' of our format, and this code reads '1'"),
        ({"format": "cut3r", "version": "1"}, "configuration in the file cannot be read"),
        ({"format": "cut3r", "version": "1", "config": "[]"}, "configuration in the file cannot be read"),
    ],
)
def test_a_safetensors_file_of_another_project_or_version_is_refused(tmp_path, header, message):
    save_file({"embed.weight": torch.zeros(2)}, tmp_path / "weights.safetensors", metadata=header)
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "weights.safetensors")


def test_our_own_format_has_its_own_suffix(official, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        save(load(official), tmp_path / "weights.pth")


def test_an_export_has_the_official_layout_names_and_numbers(official, tmp_path):
    export_official(load(official), tmp_path / "exported.pth")
    content = torch.load(tmp_path / "exported.pth", weights_only=False)  # as the original does; the file is ours
    assert content.keys() == {"args", "model", "epoch"}
    assert content["args"].model == CONSTRUCTOR
    entries = short_linear()
    assert content["model"].keys() == entries.keys()
    assert all(torch.equal(content["model"][name], entry) for name, entry in entries.items())
    assert_holds(load(tmp_path / "exported.pth"), entries)


def test_an_export_gives_the_twins_both_names(tmp_path):
    with torch.device("meta"):
        model = Cut3r(config_from_constructor(spec("small-dpt")["model"]))
    places = {name: torch.zeros(1).expand(entry.shape) for name, entry in model.state_dict().items()}
    model.load_state_dict(places, assign=True)
    export_official(model, tmp_path / "exported.pth")
    exported = torch.load(tmp_path / "exported.pth", weights_only=False)["model"]
    assert {name: list(entry.shape) for name, entry in exported.items()} == spec("small-dpt")["keys"]
    first, second = official_from_ours("heads.rgb.to_features.1.weight")
    assert exported[first].data_ptr() == exported[second].data_ptr()


def test_a_network_in_bfloat16_is_exported_in_float32_and_saved_as_it_is(official, tmp_path):
    model = load(official, dtype=torch.bfloat16)
    export_official(model, tmp_path / "exported.pth")
    exported = torch.load(tmp_path / "exported.pth", weights_only=False)["model"]
    assert {entry.dtype for entry in exported.values()} == {torch.float32}
    save(model, tmp_path / "saved.safetensors")
    saved = load_file(tmp_path / "saved.safetensors")
    assert {name: entry.dtype for name, entry in saved.items()} == {n: e.dtype for n, e in model.state_dict().items()}


@pytest.mark.parametrize(
    "write_it", [lambda m, p: save(m, p), lambda m, p: export_official(m, p)], ids=["own", "official"]
)
def test_a_failed_write_leaves_the_older_file_and_no_debris(official, tmp_path, monkeypatch, write_it):
    path = tmp_path / "folder" / "weights.safetensors"
    path.parent.mkdir()
    path.write_text("older")

    def full_disk(content, target, **_):
        target.write_text("half")
        raise OSError("no space left on device")

    monkeypatch.setattr("cut3r.weights.checkpoint.save_file", full_disk)
    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_it(Cut3r(config_from_constructor(CONSTRUCTOR)), path)
    assert path.read_text() == "older"
    assert os.listdir(path.parent) == ["weights.safetensors"]


@given(
    head=st.sampled_from(HeadKind),
    positions=st.sampled_from(StatePositions),
    rays=st.sampled_from(RayDirection),
    numbers=st.lists(st.integers(1, 99), min_size=6, max_size=6),
)
def test_the_configuration_survives_json(head, positions, rays, numbers):
    config = ModelConfig(
        head=head,
        image_size=(16 * numbers[0], 16 * numbers[1]),
        encoder=EncoderConfig(depth=numbers[2]),
        decoder=DecoderConfig(depth=numbers[3]),
        state=StateConfig(numbers[4], positions, numbers[5]),
        dpt_stages=(1, 2, 3, numbers[0]),
        ray_direction=rays,
    )
    assert config_from_json(config_to_json(config)) == config


def test_a_configuration_with_unknown_settings_is_refused():
    settings = json.loads(config_to_json(published_512_dpt()))
    with pytest.raises(ValueError, match="later version"):
        config_from_json(json.dumps(settings | {"new_idea": 1}))
    with pytest.raises(ValueError, match="later version"):
        config_from_json(json.dumps(settings | {"encoder": {"new_idea": 1}}))


def test_a_missing_file_is_told_and_the_zoo_s_names_given(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no file .*typo\.pth, and no network of that name.*512-dpt, 224-linear, tiny"
    ):
        load(tmp_path / "typo.pth")


@pytest.mark.parametrize("path", ["cut3r_512_dpt_4_64.pth", "src/cut3r_512_dpt_4_64.pth"])
def test_a_missing_official_file_is_told_with_the_way_to_get_it(path):
    with pytest.raises(FileNotFoundError, match=r"cut3r models download 512-dpt.*or give '512-dpt'"):
        load(path)


def test_a_folder_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="is a folder"):
        load(tmp_path)


def test_a_name_of_the_zoo_loads_what_lies_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CUT3R_HOME", str(tmp_path))
    write(tmp_path / zoo.OFFICIAL["224-linear"].file, short_linear())
    assert_holds(load("224-linear"), short_linear())
