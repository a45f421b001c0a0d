import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cut3r.io.depth import read_depth, write_depth


def random_depth(seed: int = 0, farthest_m: float = 65.5) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, farthest_m, (6, 9)).astype(np.float32)


def test_npy_keeps_every_finite_value_even_negative_ones(tmp_path):
    depth = random_depth()
    depth[0, :2] = 0, -1
    write_depth(tmp_path / "depth.npy", depth)
    np.testing.assert_array_equal(read_depth(tmp_path / "depth.npy"), depth)


def test_npy_writes_zero_where_depth_is_not_finite(tmp_path):
    write_depth(tmp_path / "depth.npy", np.array([[np.nan, np.inf, -np.inf, 2]], np.float32))
    assert read_depth(tmp_path / "depth.npy").tolist() == [[0, 0, 0, 2]]


@given(seed=st.integers(0, 2**31))
def test_png_rounds_to_the_nearest_millimetre(tmp_path_factory, seed):
    path, depth = tmp_path_factory.mktemp("depth") / "depth.png", random_depth(seed)
    write_depth(path, depth)
    np.testing.assert_allclose(read_depth(path), depth, atol=0.50001e-3, rtol=1e-6)


def test_png_holds_16_bit_millimetres_for_other_programs(tmp_path):
    write_depth(tmp_path / "depth.png", np.array([[0.0016, 1.0, 65.535]], np.float32))
    stored = cv2.imread(str(tmp_path / "depth.png"), cv2.IMREAD_UNCHANGED)
    assert (stored.dtype, stored.tolist()) == (np.uint16, [[2, 1000, 65535]])


def test_png_writes_zero_where_there_is_no_depth(tmp_path):
    write_depth(tmp_path / "depth.png", np.array([[0, -2, np.nan, -np.inf, 3]], np.float32))
    assert read_depth(tmp_path / "depth.png").tolist() == [[0, 0, 0, 0, 3]]


def test_png_writes_zero_beyond_its_range_and_counts_it(tmp_path, caplog):
    write_depth(tmp_path / "depth.png", np.array([[65.5354, 65.536, 80, np.inf]], np.float32))
    np.testing.assert_allclose(read_depth(tmp_path / "depth.png"), [[65.535, 0, 0, 0]])
    assert "3 of 4 pixels lie beyond 65.535 m" in caplog.text


def test_a_coloured_picture_of_depth_is_not_depth(tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "picture.png")
    with pytest.raises(ValueError, match="expected a 16-bit grey PNG"):
        read_depth(tmp_path / "picture.png")


def test_an_array_that_is_no_depth_map_is_refused(tmp_path):
    np.save(tmp_path / "points.npy", np.zeros((2, 3, 3)))
    with pytest.raises(ValueError, match=r"float32 of shape h w, not float64 \(2, 3, 3\)"):
        read_depth(tmp_path / "points.npy")


@pytest.mark.parametrize("use", [read_depth, lambda path: write_depth(path, random_depth())])
def test_an_unknown_suffix_lists_the_known_ones(tmp_path, use):
    with pytest.raises(ValueError, match=r"'.exr'; depth maps are .npy \(metres\) or .png"):
        use(tmp_path / "depth.exr")
