import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cut3r.model.config import (
    DecoderConfig,
    EncoderConfig,
    HeadKind,
    ModelConfig,
    RayDirection,
    StateConfig,
    StatePositions,
    published_224_linear,
    published_512_dpt,
)
from cut3r.weights.constructor import config_from_constructor, constructor_from_config, parse_constructor
from tests.weights.official_files import spec


def constructor(settings: str) -> str:
    return f"ARCroco3DStereo(ARCroco3DStereoConfig({settings}))"


@pytest.mark.parametrize(("name", "config"), [("512-dpt", published_512_dpt()), ("224-linear", published_224_linear())])
def test_the_published_strings_give_the_published_networks_and_back(name, config):
    assert config_from_constructor(spec(name)["model"]) == config
    assert constructor_from_config(config) == spec(name)["model"]


def test_a_small_network_is_read_with_all_its_sizes():
    assert config_from_constructor(spec("small-linear")["model"]) == ModelConfig(
        head=HeadKind.linear,
        image_size=(224, 224),
        encoder=EncoderConfig(width=128, depth=3, heads=4),
        decoder=DecoderConfig(width=64, depth=4, heads=4, state_heads=16),
        state=StateConfig(tokens=30, memory_slots=8),
    )


def test_missing_settings_have_their_published_values():
    assert config_from_constructor(constructor("")) == published_512_dpt()
    assert config_from_constructor(constructor("head_type='linear'")) == published_224_linear()


@pytest.mark.parametrize(
    ("settings", "field", "value"),
    [
        ("state_pe='1d'", lambda c: c.state.positions, StatePositions.line),
        ("state_pe='none'", lambda c: c.state.positions, StatePositions.none),
        ("local_mem_size=12", lambda c: c.state.memory_slots, 12),
        ("state_dec_num_heads=12", lambda c: c.decoder.state_heads, 12),
        ("ray_enc_depth=3", lambda c: c.encoder.ray_depth, 3),
        ("pos_embed='RoPE50'", lambda c: c.rope_base, 50.0),
        ("img_size=224", lambda c: c.image_size, (224, 224)),
        ("img_size=[384, 512]", lambda c: c.image_size, (384, 512)),
        ("mlp_ratio=2.0", lambda c: c.mlp_ratio, 2),
    ],
)
def test_each_setting_reaches_its_place(settings, field, value):
    assert field(config_from_constructor(constructor(settings))) == value


@pytest.mark.parametrize(
    "settings",
    [
        "landscape_only=True",
        "patch_embed_cls='ManyAR_PatchEmbed'",
        "patch_embed_cls='PatchEmbedDust3R'",
        "freeze='encoder'",
    ],
)
def test_settings_without_effect_on_the_network_are_accepted(settings):
    assert config_from_constructor(constructor(settings)) == published_512_dpt()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("depth_mode=('linear', -inf, inf)", r"depth_mode=\('linear', -inf, inf\), but only \('exp', -inf, inf\)"),
        ("conf_mode=('exp', 0, inf)", "conf_mode"),
        ("pose_mode=('exp', -10, 10)", "pose_mode"),
        ("rgb_head=False", "rgb_head=False, but only True is supported"),
        ("pose_head=False", "pose_head"),
        ("output_mode='pts3d'", "output_mode"),
        ("patch_embed_cls='Other'", "'PatchEmbedDust3R' or 'ManyAR_PatchEmbed' is supported"),
        ("head_type='dpt_gs'", "head_type='dpt_gs', and supported is dpt or linear"),
        ("state_pe='3d'", "state_pe"),
        ("pos_embed='cosine'", "supported is rotary"),
        ("enc_depth=-1", "enc_depth=-1, and expected is a whole number above 0"),
        ("enc_depth=True", "enc_depth"),
        ("dec_depth=inf", "dec_depth"),
        ("img_size=(1, 2, 3)", "img_size"),
        ("enc_num_heads=7", "width 1024 is not a multiple of its 7 heads"),
        ("new_idea=3, other_idea=None", "does not know: new_idea, other_idea"),
    ],
)
def test_a_network_that_is_not_ours_is_refused_with_the_setting_named(settings, message):
    with pytest.raises(ValueError, match=message):
        config_from_constructor(constructor(settings))


def test_literals_of_all_kinds_are_read():
    text = constructor("a=1, b=-2.5, c='x', d=None, e=True, f=(1, (2,), -inf), g=[inf]")
    expected = {"a": 1, "b": -2.5, "c": "x", "d": None, "e": True, "f": (1, (2,), -math.inf), "g": (math.inf,)}
    assert parse_constructor(text) == expected
    assert parse_constructor("ARCroco3DStereo(a=1)") == {"a": 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ARCroco3DStereo",
        "__import__('os').system('touch /tmp/x')",
        "ARCroco3DStereo(__import__('os').system('true'))",
        "AsymmetricCroCo3DStereo(enc_depth=24)",
        "ARCroco3DStereo(OtherConfig(a=1))",
        "ARCroco3DStereo(1)",
        "ARCroco3DStereo(ARCroco3DStereoConfig(1))",
        constructor("a=open('x')"),
        constructor("a=__builtins__"),
        constructor("a=-'x'"),
        constructor("a=[x for x in ()]"),
        constructor("a=2**99999999999"),
        constructor("a=b'x'"),
        constructor("**{'a': 1}"),
        constructor("a=1, a=2"),
        constructor("a=1") + "; import os",
        constructor("a='\0'"),
        "(" * 9_000,
        constructor("a=" + "-" * 9_000 + "1"),
    ],
)
def test_everything_else_is_refused_unevaluated(text):
    with pytest.raises(ValueError, match="cannot read the constructor"):
        parse_constructor(text)


def test_an_endless_string_is_refused_before_it_is_parsed():
    with pytest.raises(ValueError, match="a real one has a few hundred"):
        parse_constructor("(" * 1_000_000)


@given(
    head=st.sampled_from(HeadKind),
    positions=st.sampled_from(StatePositions),
    rows_and_columns=st.tuples(st.integers(1, 99), st.integers(1, 99)),
    base=st.integers(1, 10**7),
    sizes=st.lists(st.integers(1, 9), min_size=7, max_size=7),
)
def test_the_string_of_any_network_gives_it_back(head, positions, rows_and_columns, base, sizes):
    config = ModelConfig(
        head=head,
        image_size=(16 * rows_and_columns[0], 16 * rows_and_columns[1]),
        mlp_ratio=sizes[0],
        rope_base=float(base),
        encoder=EncoderConfig(width=64 * sizes[1], depth=sizes[2], heads=16, ray_depth=sizes[3]),
        decoder=DecoderConfig(width=64 * sizes[4], depth=sizes[5], heads=4, state_heads=8),
        state=StateConfig(tokens=sizes[6], positions=positions, memory_slots=sizes[0]),
    )
    assert config_from_constructor(constructor_from_config(config)) == config


@pytest.mark.parametrize(
    "config",
    [
        replace(published_512_dpt(), dpt_features=64),
        replace(published_512_dpt(), head_blocks=1),
        replace(published_512_dpt(), ray_direction=RayDirection.direction),
        replace(published_512_dpt(), encoder=EncoderConfig(ray_heads=8)),
        replace(published_512_dpt(), state=StateConfig(memory_depth=1)),
    ],
)
def test_what_the_string_cannot_say_is_refused(config):
    with pytest.raises(ValueError, match=r"official files cannot describe this network.*save\(\)"):
        constructor_from_config(config)
