"""Who knows the paper finds each of its parts by name: grep the network for the field's words."""

import re
from pathlib import Path

import pytest

MODEL = Path(__file__).parents[1] / "src" / "cut3r" / "model"
TERMS = [
    *("state token", "pose token", "ray map", "confidence", "dpt", "rotary", "pose memory", "patch", "encoder"),
    *("decoder", "cross-attention", "self-attention", "world points|points_world", "camera points|points_cam"),
    *("modulat", "update rule", "linear head|LinearHead", "rollout", "query", "reset", "layer norm", "mask"),
]


@pytest.mark.parametrize("term", TERMS)
def test_a_part_of_the_paper_is_found_by_its_name(term):
    words = re.compile(term.replace(" ", r"[\s_-]*"), re.IGNORECASE)
    assert any(words.search(path.read_text()) for path in MODEL.glob("*.py"))


def test_the_network_can_be_read_in_an_evening():
    lines = sum(len(path.read_text().splitlines()) for path in MODEL.glob("*.py"))
    assert lines < 1400, "what reads files or makes it faster has rooms of its own"


@pytest.mark.parametrize("name", ["demo.py", "demo_ga.py"])
def test_a_demo_only_translates_flags(name):
    lines = (MODEL.parents[2] / name).read_text().splitlines()
    assert len(lines) < 150, "what others need for a run, too, belongs into the library"
