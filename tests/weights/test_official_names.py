from functools import cache

import pytest
import torch

from cut3r.model.network import Cut3r
from cut3r.weights.constructor import config_from_constructor
from cut3r.weights.official_names import official_from_ours, ours_from_official
from tests.weights.official_files import SPECS, spec

FILES = pytest.mark.parametrize("file", SPECS)


@cache
def our_shapes(file: str) -> dict[str, list[int]]:
    with torch.device("meta"):
        model = Cut3r(config_from_constructor(spec(file)["model"]))
    return {name: list(entry.shape) for name, entry in model.state_dict().items()}


@pytest.mark.parametrize(
    ("file", "entries", "parameters"), [("512-dpt", 1248, 793_307_858), ("224-linear", 1056, 748_443_655)]
)
def test_the_published_files_have_the_published_sizes(file, entries, parameters):
    assert len(spec(file)["keys"]) == entries
    assert sum(torch.Size(shape).numel() for shape in our_shapes(file).values()) == parameters


@FILES
def test_every_official_entry_is_one_of_our_parameters_with_the_same_shape_and_none_is_left_over(file):
    translated = {ours_from_official(name): shape for name, shape in spec(file)["keys"].items()}
    assert translated == our_shapes(file)


@FILES
def test_only_the_dpt_heads_have_second_names_and_they_have_the_shape_of_the_first(file):
    keys = spec(file)["keys"]
    twins = [name for name in keys if ".scratch.layer_rn." in name]
    assert len(twins) == len(keys) - len(our_shapes(file)) == (12 if "dpt" in file else 0)
    for twin in twins:
        first, second = official_from_ours(ours_from_official(twin))
        assert second == twin
        assert keys[first] == keys[second]


@FILES
def test_our_parameters_give_every_official_name_back(file):
    back = [name for ours in our_shapes(file) for name in official_from_ours(ours)]
    assert sorted(back) == sorted(spec(file)["keys"])


@FILES
def test_each_translation_undoes_the_other(file):
    for ours in our_shapes(file):
        assert [ours_from_official(name) for name in official_from_ours(ours)] in ([ours], [ours, ours])


@pytest.mark.parametrize(
    ("official", "ours"),
    [
        ("dec_blocks.11.cross_attn.projk.bias", "decoder.image_blocks.11.cross.k.bias"),
        ("dec_blocks_state.0.norm_y.weight", "decoder.state_blocks.0.norm_partner.weight"),
        (
            "downstream_head.dpt_cross.scratch.refinenet4.resConfUnit2.conv1.bias",
            "heads.points_world.fusions.3.out_unit.conv1.bias",
        ),
        ("downstream_head.final_transform.1.norm2.mlp.1.weight", "heads.modulated.1.norm2.modulation.weight"),
        ("register_tokens.weight", "decoder.initial_tokens"),
    ],
)
def test_some_names_known_by_heart(official, ours):
    """Shapes cannot tell apart the queries from the keys, nor the self points from the world points."""
    assert ours_from_official(official) == ours


@pytest.mark.parametrize(
    "name", ["dec_blocks2.0.norm1.weight", "enc_blocks.x.norm1.weight", "head.weight", "", "mask_token"]
)
def test_names_of_other_networks_have_no_translation(name):
    assert ours_from_official(name) is None


def test_a_parameter_without_an_official_name_is_refused():
    with pytest.raises(ValueError, match=r"'decoder\.extra' has no official name"):
        official_from_ours("decoder.extra")
