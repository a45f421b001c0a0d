"""Where the original is wrong, `verify` says what is wrong with its folders; or it cannot, and the reason is here."""

import importlib
import re

import pytest

from datasets_preprocess import CONVERTERS
from datasets_preprocess.runner import run
from datasets_preprocess.verify import verify
from tests.data.datasets import raw_walks
from tests.data.datasets.test_law import WALKS

FAULTY = [slug for slug in WALKS if hasattr(importlib.import_module(f"{raw_walks.__name__}.{slug}"), "FAULT")]
TOO_SMALL = {  # faults of a fraction of a pixel, which leave less than the rounding of depth; no half pixel is guessed
    "co3d": "the principal point is 0.2 pixels off",
    "scannetpp": "the principal point is 0.21 to 0.26 pixels off, and depth was rendered with it",
    "unreal4k": "the principal point is 0.09 pixels off",
}
NO_DEPTH = {  # cameras alone have nothing to be compared with
    "cop3d": "the principal point is 0.2 pixels off",
    "mvimgnet": "the principal point is half a pixel off, and pictures are distorted; our reader unscrambles K",
    "realestate10k": "the principal point is half a pixel off",
}
NO_POSES = {  # single pictures have nothing to be compared with
    "eden": "no geometric fault",
    "hoi4d": "no geometric fault",
    "irs": "the principal point is half a pixel off",
    "smartportraits": "depth of another time, and of what is behind",
    "synscapes": "no geometric fault",
    "threedkb": "the principal point is half a pixel off",
    "urbansyn": "the principal point is 0.23 pixels off",
}
NOT_SHOWN = {
    "mapfree": "half a pixel, in stereo depth that is noisier; and COLMAP's two models, which the walk does not have",
    "waymo": "points are where the vehicle was some ms before, in all frames alike; too few are known of each frame",
}
NONE = {"blendedmvs", "megadepth", "mvs_synth", "scannet", "spring", "tartanair", "vkitti2", "wildrgbd"}


def verified(slug, folder):
    """Convert with the original's faults, and read with them unless they survive our reader."""
    walk = importlib.import_module(f"{raw_walks.__name__}.{slug}")
    getattr(walk, "write_faulty", walk.write)(folder / "raw")
    options = getattr(walk, "OPTIONS", None)
    run(CONVERTERS[slug], folder / "raw", folder / "out", parity=True, options=options)
    if hasattr(walk, "theirs"):
        walk.theirs(folder / "out")
    read_as_ours = getattr(walk, "FAULT_SURVIVES", False)
    return verify(slug, folder / "out", converter=CONVERTERS[slug], parity=not read_as_ours, compared=1)


@pytest.mark.parametrize("slug", FAULTY)
def test_the_faults_of_the_original_are_named(slug, tmp_path):
    text = str(verified(slug, tmp_path))
    assert re.search(importlib.import_module(f"{raw_walks.__name__}.{slug}").FAULT, text), text
    assert "made in parity mode, so it may have the known faults of the original" in text


@pytest.mark.parametrize("slug", [*TOO_SMALL, *NO_DEPTH])
def test_faults_that_geometry_does_not_show_are_listed_and_not_guessed(slug, tmp_path):
    found = verified(slug, tmp_path)
    assert found.problems == [] and found.original is not None
    assert "principal point is at pixel centres" in found.original or slug == "scannetpp"


def test_every_dataset_is_accounted_for():
    silent = [*TOO_SMALL, *NO_DEPTH, *NO_POSES, *NOT_SHOWN, *NONE]
    assert sorted([*FAULTY, *silent]) == WALKS


def test_a_folder_of_the_original_is_told_from_ours(tmp_path):
    walk = importlib.import_module(f"{raw_walks.__name__}.urbansyn")
    walk.write(tmp_path / "raw")
    run(CONVERTERS["urbansyn"], tmp_path / "raw", tmp_path / "out")
    assert verify("urbansyn", tmp_path / "out").original is None
    (tmp_path / "out" / "dataset.json").unlink()
    original = verify("urbansyn", tmp_path / "out").original
    assert original is not None and "it has no dataset.json" in original and "pixel centres" in original
