import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cut3r.io.depth import HALVES, read_depth, write_depth
from cut3r.io.exr import exr_channels, read_exr, write_exr
from cut3r.io.pfm import write_pfm

FLOATS = [".npy", ".npz", ".exr", ".pfm"]


def random_depth(seed: int = 0, farthest_m: float = 65.5) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, farthest_m, (6, 9)).astype(np.float32)


@pytest.mark.parametrize("suffix", FLOATS)
def test_floats_keep_every_finite_value_even_negative_ones(tmp_path, suffix):
    depth = random_depth()
    depth[0, :2] = 0, -1
    depth[1, :3] = 1e-30, 70_000, -1e30
    write_depth(tmp_path / f"depth{suffix}", depth)
    np.testing.assert_array_equal(read_depth(tmp_path / f"depth{suffix}"), depth)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("suffix", FLOATS)
def test_floats_write_zero_where_depth_is_not_finite(tmp_path, suffix, half):
    path = tmp_path / f"depth{suffix}"
    write_depth(path, np.array([[np.nan, np.inf, -np.inf, 2, -1]], np.float32), half=half and suffix in HALVES)
    assert read_depth(path).tolist() == [[0, 0, 0, 2, -1]]


@given(seed=st.integers(0, 2**31), suffix=st.sampled_from(HALVES), farthest_m=st.sampled_from([1.0, 65.0, 65504.0]))
def test_halves_are_within_a_2048th(tmp_path_factory, seed, suffix, farthest_m):
    path, depth = tmp_path_factory.mktemp("depth") / f"depth{suffix}", random_depth(seed, farthest_m)
    write_depth(path, depth, half=True)
    read = read_depth(path)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, depth, rtol=1 / 2048, atol=3e-8)


@pytest.mark.parametrize("suffix", HALVES)
def test_halves_write_zero_beyond_their_range_and_count_it(tmp_path, caplog, suffix):
    path = tmp_path / f"depth{suffix}"
    write_depth(path, np.array([[65504, 65505, 1e9, -1e9, np.inf]], np.float32), half=True)
    assert read_depth(path).tolist() == [[65504, 0, 0, 0, 0]]
    assert "3 of 5 pixels lie beyond 65504 m" in caplog.text


@pytest.mark.parametrize("suffix", [".npy", ".pfm", ".png"])
def test_halves_are_refused_elsewhere(tmp_path, suffix):
    with pytest.raises(ValueError, match=rf"float16 goes into .npz and .exr, not into {suffix}"):
        write_depth(tmp_path / f"depth{suffix}", random_depth(), half=True)


def test_compressed_depth_is_one_array_that_numpy_opens(tmp_path):
    depth = np.round(random_depth(), 1)
    for half, dtype in ((False, np.float32), (True, np.float16)):
        write_depth(tmp_path / "depth.npz", depth, half=half)
        with np.load(tmp_path / "depth.npz") as archive:
            assert list(archive) == ["depth"]
            assert archive["depth"].dtype == dtype
    flat = np.full((100, 100), 3, np.float32)
    write_depth(tmp_path / "flat.npz", flat)
    assert (tmp_path / "flat.npz").stat().st_size < flat.nbytes / 10


def test_exr_has_one_channel_of_floats(tmp_path):
    write_depth(tmp_path / "depth.exr", random_depth())
    assert exr_channels(tmp_path / "depth.exr") == ("Y",)
    np.testing.assert_array_equal(read_exr(tmp_path / "depth.exr"), random_depth())


def test_the_depth_channel_is_the_only_one_or_z_y_r(tmp_path):
    path, values = tmp_path / "depth.exr", np.stack([random_depth(seed) for seed in range(4)], axis=-1)
    for names, depth in (("VZRA", 1), ("AYRB", 1), ("ABGR", 3)):
        write_exr(path, values, channels=tuple(names))
        np.testing.assert_array_equal(read_depth(path), values[..., depth])
    write_exr(path, values[..., :1], channels=("Depth",))
    np.testing.assert_array_equal(read_depth(path), values[..., 0])
    write_exr(path, values[..., :2], channels=("A", "V"))
    with pytest.raises(ValueError, match=r"has the channels A, V; expected one, or one of Z, Y and R"):
        read_depth(path)


def test_pfm_of_three_channels_is_no_depth(tmp_path):
    write_pfm(tmp_path / "normals.pfm", np.zeros((2, 3, 3), np.float32))
    with pytest.raises(ValueError, match=r"float32 of shape h w, not float32 \(2, 3, 3\)"):
        read_depth(tmp_path / "normals.pfm")


def test_an_archive_without_depth_says_what_it_holds(tmp_path):
    np.savez(tmp_path / "camera.npz", intrinsics=np.eye(3), pose=np.eye(4))
    with pytest.raises(ValueError, match=r"camera\.npz cannot be read \(it holds intrinsics, pose; expected the array"):
        read_depth(tmp_path / "camera.npz")


@pytest.mark.parametrize("suffix", [*FLOATS, ".png"])
def test_a_file_that_is_cut_off_is_refused_by_name(tmp_path, suffix):
    path = tmp_path / f"depth{suffix}"
    write_depth(path, random_depth())
    data = path.read_bytes()
    for length in (0, 7, len(data) // 2, len(data) - 30):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=rf"depth\{suffix} cannot be read"):
            read_depth(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_depth(path)


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
    with pytest.raises(ValueError, match=r"'.tiff'; depth maps are .npy, .npz, .exr, .pfm \(metres\) or .png"):
        use(tmp_path / "depth.tiff")
