import logging
import struct

import numpy as np
import pytest
from PIL import Image

from cut3r.io.frames import open_frames
from cut3r.io.grey import GreyRange, grey_range, to_8_bits
from cut3r.io.images import UnreadableImageError, read_image

RNG = np.random.default_rng(0)


def save(path, values):
    Image.fromarray(values).save(path)
    return path


def thermal(low=29_000, high=30_020):
    """Hundredths of a kelvin, with a dead and a hot pixel."""
    values = np.linspace(low, high, 40 * 60).reshape(40, 60).astype(np.uint16)
    values[3, 3], values[4, 4] = 0, 65535
    return values


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_thermal_picture_has_contrast_and_its_range_is_said_once(tmp_path, caplog, suffix):
    """Scaled by what 16 bits can hold, its standard deviation was 0.7 levels."""
    path = save(tmp_path / f"thermal{suffix}", thermal())
    assert read_image(path).std() > 30
    read_image(path)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "more than 8 bits: 2900" in caplog.text


def test_a_picture_that_uses_16_bits_is_not_stretched(tmp_path, caplog):
    values = RNG.integers(0, 40_000, (30, 40), dtype=np.uint16)
    rgb = read_image(save(tmp_path / "photo.png", values))
    assert np.array_equal(rgb[..., 0], (values.astype(np.uint32) + 128) // 257)
    assert not caplog.records


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_fewer_bits_in_16_are_scaled_by_their_full_scale(tmp_path, bits):
    values = RNG.integers(0, 2**bits, (30, 40), dtype=np.uint16)
    values[0, :2] = 0, 2**bits - 1
    rgb = read_image(save(tmp_path / "photo.png", values))[..., 0]
    assert np.abs(rgb - values * (255 / (2**bits - 1))).max() <= 0.5


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
@pytest.mark.parametrize(("low", "high"), [(-40, 60), (100_000, 3_000_000), (29_000, 30_000)])
def test_integers_and_floats_of_32_bits_are_scaled_by_their_range(tmp_path, dtype, low, high):
    values = np.linspace(low, high, 1000).reshape(20, 50).astype(dtype)
    rgb = read_image(save(tmp_path / "map.tif", values))
    assert rgb[0, 0, 0] == 0
    assert rgb[-1, -1, 0] == 255
    assert rgb.std() > 60


def test_floats_from_0_to_1_keep_their_meaning(tmp_path):
    values = np.linspace(0, 0.8, 1000, dtype=np.float32).reshape(20, 50)
    rgb = read_image(save(tmp_path / "map.tif", values))
    assert np.abs(rgb[..., 0] - values * 255).max() <= 0.51


def test_what_is_no_number_is_black_and_decides_nothing(tmp_path):
    values = np.linspace(5, 6, 1000, dtype=np.float32).reshape(20, 50)
    values[0, 10:13] = np.nan, np.inf, -np.inf
    rgb = read_image(save(tmp_path / "map.tif", values))
    assert rgb[0, 10:13, 0].tolist() == [0, 255, 0]
    assert rgb.std() > 60


def test_a_map_without_a_number_is_unreadable(tmp_path):
    path = save(tmp_path / "map.tif", np.full((2, 2), np.nan, np.float32))
    with pytest.raises(UnreadableImageError, match=r"map\.tif .*none of its values is a finite number"):
        read_image(path)


def test_a_constant_picture_stays_constant(tmp_path):
    assert read_image(save(tmp_path / "flat.png", np.full((4, 4), 300, np.uint16))).std() == 0


def write_tiff(path, order, bits, sample_format, data):
    """A grey TIFF of 16 x 16 pixels in one strip."""
    tags = {256: 16, 257: 16, 258: bits, 259: 1, 262: 1, 273: 122, 277: 1, 279: len(data), 339: sample_format}
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HIH", 42, 8, len(tags))
    path.write_bytes(head + entries + bytes(4) + data)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_bits_packed_in_a_tiff_are_scaled(tmp_path, order, bits):
    values = np.linspace(0, 2**bits - 1, 256).astype(int)
    data = int("".join(f"{value:0{bits}b}" for value in values), 2).to_bytes(32 * bits, "big")
    rgb = read_image(write_tiff(tmp_path / "scan.tif", order, bits, 1, data))
    assert np.abs(rgb[..., 0].ravel() - values * (255 / (2**bits - 1))).max() <= 1


@pytest.mark.parametrize(("kind", "sample_format"), [("u4", 1), ("i4", 2), ("f4", 3), ("f8", 3), ("i2", 2)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_of_any_number_keeps_the_order_of_its_values(tmp_path, kind, sample_format, order):
    """Unsigned integers above 2^31 were negative ones."""
    values = np.linspace(3, {"u4": 4e9, "i4": 2e9, "i2": 7e3}.get(kind, 1e9), 256).astype(order + kind)
    path = write_tiff(tmp_path / "map.tif", order, 8 * values.itemsize, sample_format, values.tobytes())
    rgb = read_image(path)[..., 0].ravel().astype(int)
    assert np.diff(rgb).min() >= 0
    assert rgb[-1] - rgb[0] > 100


def test_a_tiff_that_only_opencv_knows_is_refused_by_its_declared_size(tmp_path, monkeypatch):
    monkeypatch.setattr("cut3r.io.opening.MAX_PIXELS", 200)
    with pytest.raises(UnreadableImageError, match="decompression bomb"):
        read_image(write_tiff(tmp_path / "map.tif", "<", 64, 3, bytes(2048)))


def test_the_frames_of_a_source_share_one_range_whichever_comes_first(tmp_path):
    """Each by its own, a scene that warms up would flicker instead."""
    for number in range(6):
        save(tmp_path / f"{number}.png", thermal(29_000 + 100 * number, 29_500 + 100 * number))
    means = [frame.rgb.mean() for frame in open_frames(tmp_path)]
    assert np.diff(means).min() > 15
    resumed = [frame.rgb.mean() for frame in open_frames(tmp_path, skip=3)]
    assert resumed == means[3:]


def test_a_range_is_chosen_over_all_pictures():
    pictures = [np.array([[10, 30]]), np.array([[20, 90]], np.uint16)]
    assert grey_range(pictures) == GreyRange(0.0, 255.0)
    assert grey_range([picture + 10_000 for picture in pictures]).high > 10_089


def test_rounding_is_that_of_division_by_257():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = (values.astype(np.uint32) + 128) // 257
    assert np.array_equal(to_8_bits(values, GreyRange(0.0, 65535.0)), expected)
