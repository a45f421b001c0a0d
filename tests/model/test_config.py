"""A configuration from a file that nobody vouches for: each wrong number is named before anything is built."""

import json
import re
import subprocess
import sys

import pytest

from cut3r.model.config import DecoderConfig, EncoderConfig, ModelConfig, StateConfig, published_512_dpt
from cut3r.weights.checkpoint import config_from_json, config_to_json
from cut3r.weights.constructor import config_from_constructor

NO_COUNTS = [0, -1, 10**9, 10**400]
NO_NUMBERS = [2.5, None, "16", True, float("nan"), float("inf"), [], {}]
COUNTS = [
    *(("encoder", name) for name in ("width", "depth", "heads", "ray_depth", "ray_heads")),
    *(("decoder", name) for name in ("width", "depth", "heads", "state_heads")),
    *(("state", name) for name in ("tokens", "memory_slots", "memory_depth")),
    *((None, name) for name in ("patch_size", "mlp_ratio", "dpt_features", "head_blocks")),
]
OTHERS = [
    ("rope_base", 0.5, "rope_base is 0.5; expected is a number from 1 to 1e12"),
    ("rope_base", float("nan"), "rope_base is nan"),
    ("rope_base", float("inf"), "rope_base is inf"),
    ("image_size", [512], "image_size"),
    ("image_size", [0, 0], "image_size is"),
    ("image_size", [512, -512], "image_size is"),
    ("image_size", [512, 500], "image_size (512, 500) is not a multiple of patch_size 16"),
    ("dpt_stages", [1, 2, 3, 0], "dpt_stages is (1, 2, 3, 0); expected is 4 whole numbers from 1 to"),
    ("dpt_features", 1, "dpt_features is 1, and the dpt head needs 2"),
    ("head", "x", "'x' is not a valid HeadKind"),
    ("encoder", None, "cannot be read"),
    ("encoder", [], "cannot be read"),
    ("state", 3, "cannot be read"),
]
# In the tests, beartype refuses these before the classes see them.
WRONG_TYPES = [
    *((part, name, value, f"{name} is ") for part, name in COUNTS for value in NO_NUMBERS),
    (None, "rope_base", "x", "rope_base is 'x'; expected is a number"),
    (None, "rope_base", True, "rope_base is True; expected is a number"),
    (None, "image_size", ["a", "b"], "image_size is ('a', 'b'); expected is 2 whole numbers"),
    (None, "image_size", "ab", "image_size is ('a', 'b')"),
    (None, "image_size", [512], "image_size is (512,)"),
    (None, "dpt_stages", [1, 2], "dpt_stages is (1, 2); expected is 4 whole numbers"),
]


def changed(part: str | None, name: str, value: object) -> str:
    settings = json.loads(config_to_json(published_512_dpt()))
    (settings if part is None else settings[part])[name] = value
    return json.dumps(settings)


@pytest.mark.parametrize(("part", "name"), COUNTS)
def test_what_is_no_count_is_refused_by_name(part, name):
    for value in NO_COUNTS:
        with pytest.raises(ValueError, match=rf"{name} is .*; expected is a whole number from 1 to"):
            config_from_json(changed(part, name, value))


@pytest.mark.parametrize(("name", "value", "message"), OTHERS)
def test_what_does_not_describe_a_network_is_refused(name, value, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        config_from_json(changed(None, name, value))


def test_values_of_a_wrong_type_are_refused_by_name_without_the_checks_of_the_tests():
    cases = [(changed(part, name, value), message) for part, name, value, message in WRONG_TYPES]
    code = """
import json, sys
from cut3r.weights.checkpoint import config_from_json
for text, message in json.load(sys.stdin):
    try:
        config_from_json(text)
    except ValueError as error:
        assert message in str(error), (message, str(error))
    else:
        raise AssertionError(text)
"""
    subprocess.run([sys.executable, "-c", code], input=json.dumps(cases), text=True, check=True)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 50_000, "NaN", "null", '"', "{}", "9" * 5000])
def test_text_that_is_no_configuration_is_refused_in_one_line(text):
    with pytest.raises(ValueError, match="the configuration in the file cannot be read") as error:
        config_from_json(text)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


@pytest.mark.parametrize("value", ["10**9", "10_000_000_000", "0x" + "f" * 15_000, "1e300", "1e400", "-1", "'16'"])
def test_a_constructor_with_a_hostile_number_is_refused_in_one_line(value):
    with pytest.raises(ValueError, match=r"depth|plain value") as error:
        config_from_constructor(f"ARCroco3DStereo(ARCroco3DStereoConfig(enc_depth={value}))")
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_the_message_about_unknown_settings_stays_short():
    settings = ", ".join(f"{'x' * 90}{i}=1" for i in range(100))
    with pytest.raises(ValueError, match="does not know") as error:
        config_from_constructor(f"ARCroco3DStereo(ARCroco3DStereoConfig({settings}))")
    assert len(str(error.value)) < 500


def test_blocks_are_counted_over_all_parts():
    config = ModelConfig(
        encoder=EncoderConfig(depth=3, ray_depth=2),
        decoder=DecoderConfig(depth=5),
        state=StateConfig(memory_depth=7),
        head_blocks=11,
    )
    assert config.blocks == 3 + 2 + 2 * 5 + 2 * 7 + 11
