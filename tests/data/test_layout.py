import numpy as np
import pytest
from PIL import Image

from cut3r.data.datasets import PROCESSED
from cut3r.data.layout import Layout, read_npz, read_png8, read_png16, write_npz, write_png16

LAYOUT = Layout({"rgb": "{scene}/{frame}_rgb.png", "list": "all_{split}.json"})


def test_a_template_is_filled_in(tmp_path):
    assert LAYOUT.path(tmp_path, "rgb", "a/b", "07") == tmp_path / "a" / "b" / "07_rgb.png"
    assert LAYOUT.path(tmp_path, "list", split="test") == tmp_path / "all_test.json"


def test_frames_are_found_sorted_and_files_in_the_making_are_not_frames(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("10_rgb.png", "02_rgb.png", ".03.0123456789ab_rgb.png", "04_depth.npy"):
        (tmp_path / "a" / name).touch()
    assert LAYOUT.frames(tmp_path, "rgb", "a") == ("02", "10")


@pytest.mark.parametrize("name", sorted(PROCESSED))
def test_templates_of_one_dataset_name_different_files(name):
    layout = PROCESSED[name].layout
    written = [layout.alternatives(kind)[0] for kind in layout.templates]
    assert len(set(written)) == len(written)


def test_the_first_of_several_templates_is_written_and_any_is_read(tmp_path):
    layout = Layout({"depth": ("{scene}/{frame}.npz", "{scene}/{frame}.exr"), "rgb": "{camera}/{frame}.jpg"})
    assert layout.path(tmp_path, "depth", "a", "1") == tmp_path / "a" / "1.npz"
    assert layout.find(tmp_path, "depth", "a", "1") == tmp_path / "a" / "1.npz", "none is there"
    (tmp_path / "a").mkdir()
    for name in ("1.exr", "2.npz", "2.exr"):
        (tmp_path / "a" / name).touch()
    assert layout.find(tmp_path, "depth", "a", "1") == tmp_path / "a" / "1.exr"
    assert layout.find(tmp_path, "depth", "a", "2") == tmp_path / "a" / "2.npz"
    assert layout.frames(tmp_path, "depth", "a") == ("1", "2")
    assert layout.path(tmp_path, "rgb", frame="7", camera="left") == tmp_path / "left" / "7.jpg"
    assert layout.frames(tmp_path, "depth", "absent") == ()


def test_sixteen_bits_come_back(tmp_path):
    values = np.arange(0, 65536, 13, dtype=np.uint16)[:5000].reshape(100, 50)
    write_png16(tmp_path / "depth.png", values)
    assert (read_png16(tmp_path / "depth.png") == values).all()


def test_a_picture_of_eight_bits_is_no_depth_map(tmp_path):
    Image.fromarray(np.zeros((2, 2), dtype=np.uint8)).save(tmp_path / "depth.png")
    with pytest.raises(ValueError, match="expected a 16-bit grey PNG"):
        read_png16(tmp_path / "depth.png")


def test_eight_bits_come_back_with_all_channels(tmp_path):
    for shape in ((5, 4), (5, 4, 3), (5, 4, 4)):
        values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(values).save(tmp_path / "mask.png")
        assert np.array_equal(read_png8(tmp_path / "mask.png"), values)
    write_png16(tmp_path / "mask.png", np.zeros((2, 2), np.uint16))
    with pytest.raises(ValueError, match="holds uint16; expected an 8-bit PNG"):
        read_png8(tmp_path / "mask.png")


def test_arrays_come_back_and_pickled_ones_are_refused(tmp_path):
    write_npz(tmp_path / "a.npz", numbers=np.arange(3), code=np.array({"a": 1}, dtype=object))
    assert read_npz(tmp_path / "a.npz", "numbers")[0].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="allow_pickle"):
        read_npz(tmp_path / "a.npz", "code")
