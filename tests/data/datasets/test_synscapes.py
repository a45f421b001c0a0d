"""Synscapes beyond its recording: the order of numbers, the sky, what is left out."""

import numpy as np
import pytest

from cut3r.data.datasets.synscapes import Synscapes
from datasets_preprocess.runner import run
from datasets_preprocess.synscapes import CONVERTER, SynscapesOptions
from tests.data.datasets.left_out import left_out
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.recorded import unpack


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return unpack("synscapes", "raw", tmp_path_factory.mktemp("synscapes"))


def test_pictures_come_in_the_order_of_their_numbers(raw, tmp_path):
    report = run(CONVERTER, raw, tmp_path)
    assert report.complete, str(report)
    dataset = Synscapes(tmp_path, num_views=4, sizes=[(24, 40)])
    assert list(dataset.scenes[0].frames) == ["1", "2", "4", "10", "11", "100"]
    for position in range(6):
        depth = dataset.read(dataset.scenes[0], position).depth
        assert (depth < 0).any() and depth.max() == 200 and np.isfinite(depth).all()


def test_what_is_missing_or_damaged_is_named(tmp_path):
    raw = unpack("synscapes", "raw", tmp_path)
    (raw / "img" / "depth" / "1.exr").unlink()
    (raw / "img" / "rgb" / "2.png").write_bytes(b"nothing")
    (raw / "img" / "rgb" / "4.png").unlink()
    save_image(raw / "img" / "class" / "10.png", np.zeros((5, 5), np.uint8))
    (raw / "meta" / "11.json").write_text("[]")
    reasons = left_out(CONVERTER, raw, tmp_path / "out")
    assert set(reasons) == {"1", "2", "3", "4", "10", "11"}
    assert "fx is missing" in reasons["3"] and "camera.intrinsic is missing" in reasons["11"]
    assert "expected one size" in reasons["10"]
    assert not (tmp_path / "out" / "rgb" / "10.png").exists(), "a frame is written as a whole"


def test_the_class_of_sky_is_an_option(raw, tmp_path):
    left_out(CONVERTER, raw, tmp_path, options=SynscapesOptions(sky_id=7))
    left_out(CONVERTER, raw, tmp_path / "usual")
    masks = [Synscapes.layout.path(root, "sky", frame="1").read_bytes() for root in (tmp_path, tmp_path / "usual")]
    assert masks[0] != masks[1]
