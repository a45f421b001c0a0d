"""OpenEXR pictures: our reader and writer against the OpenEXR library, and against its recorded files without it."""

import importlib
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cut3r.io.exr import exr_channels, read_exr, write_exr
from cut3r.io.exr_header import Compression

WRITTEN = [Compression.none, Compression.zips, Compression.zip]
RECORDED = {  # name: channels in the order of the formula, dtype, size; see tests/golden/exr
    "none_float": ("Y", np.float32, (7, 5)),
    "zips_half": ("RGBA", np.float16, (9, 3)),
    "zip_float": ("ZG", np.float32, (35, 6)),
    "rle_uint": ("K", np.uint32, (5, 40)),
    "piz_half": ("Z", np.float16, (4, 6)),
}


def formula(channels: str, dtype: type, size: tuple[int, int]) -> np.ndarray:
    values = np.arange(size[0] * size[1] * len(channels)) ** 2 % 1009
    return (values // 40 if dtype is np.uint32 else values / 8).astype(dtype).reshape(*size, len(channels))


def smooth(size: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Values that compress a little, as depth does."""
    return np.cumsum(np.random.default_rng(seed).normal(size=size), axis=1).round(2).astype(np.float32)


def library():
    return pytest.importorskip("OpenEXR", reason="SKIPPED LOUDLY: no OpenEXR (pip install cut3r[preprocess])")


def write_with_library(path, planes: dict[str, np.ndarray], compression: str, corner=(0, 0), **header) -> None:
    openexr = library()
    h, w = next(iter(planes.values())).shape
    (x, y), last = corner, np.array([corner[0] + w - 1, corner[1] + h - 1], np.int32)
    header = {"compression": getattr(openexr, f"{compression}_COMPRESSION"), "type": openexr.scanlineimage, **header}
    header |= {"dataWindow": (np.array([x, y], np.int32), last)}
    openexr.File(header, {name: np.ascontiguousarray(plane) for name, plane in planes.items()}).write(str(path))


def read_with_library(path) -> dict[str, np.ndarray]:
    channels = library().File(str(path), separate_channels=True).channels()
    return {name: channel.pixels for name, channel in channels.items()}


@pytest.mark.parametrize("name", [name for name in RECORDED if name != "piz_half"])
def test_files_of_the_library_are_read_without_it(golden, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    channels, dtype, size = RECORDED[name]
    np.testing.assert_array_equal(
        read_exr(golden / "exr" / f"{name}.exr", tuple(channels)), formula(channels, dtype, size).astype(np.float32)
    )


@pytest.mark.parametrize("compression", ["NO", "RLE", "ZIPS", "ZIP", "PIZ"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint32])
@pytest.mark.parametrize(("size", "corner"), [((1, 1), (0, 0)), ((33, 17), (5, -3)), ((16, 20), (-40, 7))])
def test_reads_what_the_library_writes(tmp_path, compression, dtype, size, corner):
    planes = {"Z": np.abs(smooth(size)).astype(dtype), "A": np.full(size, 3, dtype)}
    write_with_library(tmp_path / "a.exr", planes, compression, corner)
    for name, plane in planes.items():
        np.testing.assert_array_equal(read_exr(tmp_path / "a.exr", name), plane.astype(np.float32))


def test_lines_from_bottom_to_top_are_put_right(tmp_path):
    values = smooth((40, 5))
    write_with_library(tmp_path / "a.exr", {"Y": values}, "ZIP", lineOrder=library().DECREASING_Y)
    np.testing.assert_array_equal(read_exr(tmp_path / "a.exr"), values)


@pytest.mark.parametrize("compression", WRITTEN)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint32])
@pytest.mark.parametrize("size", [(1, 1), (33, 17), (16, 20), (50, 1)])
def test_the_library_reads_what_we_write(tmp_path, compression, dtype, size):
    values = np.abs(smooth(size)).astype(dtype)
    write_exr(tmp_path / "a.exr", values, compression=compression)
    read = read_with_library(tmp_path / "a.exr")["Y"]
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, values)


def test_the_library_finds_each_channel_under_its_name(tmp_path):
    values = smooth((6, 7, 3))
    write_exr(tmp_path / "a.exr", values, channels=("Z", "layer.with.a.name.of.more.than.31.letters", "B"))
    read = read_with_library(tmp_path / "a.exr")
    for k, name in enumerate(("Z", "layer.with.a.name.of.more.than.31.letters", "B")):
        np.testing.assert_array_equal(read[name], values[..., k])


@given(
    seed=st.integers(0, 2**31),
    size=st.tuples(st.integers(1, 40), st.integers(1, 30)),
    channels=st.sampled_from([None, 1, 2, 3, 4]),
    compression=st.sampled_from(WRITTEN),
)
def test_reading_undoes_writing(tmp_path_factory, seed, size, channels, compression):
    path = tmp_path_factory.mktemp("exr") / "a.exr"
    values = smooth(size if channels is None else (*size, channels), seed)
    names = None if channels is None else [f"c{k}" for k in range(channels)]
    write_exr(path, values, channels=names, compression=compression)
    np.testing.assert_array_equal(read_exr(path, names), values)


def test_values_that_are_no_numbers_stay(tmp_path):
    values = np.array([[np.nan, np.inf, -np.inf, -1.0, -0.0]], np.float32)
    write_exr(tmp_path / "a.exr", values)
    np.testing.assert_array_equal(read_exr(tmp_path / "a.exr"), values)


def test_without_names_channels_come_sorted_and_one_alone_has_no_axis(tmp_path):
    write_exr(tmp_path / "rgb.exr", smooth((4, 5, 3)))
    assert exr_channels(tmp_path / "rgb.exr") == ("B", "G", "R")
    np.testing.assert_array_equal(read_exr(tmp_path / "rgb.exr"), smooth((4, 5, 3))[..., ::-1])
    write_exr(tmp_path / "one.exr", smooth((4, 5)))
    assert exr_channels(tmp_path / "one.exr") == ("Y",)
    assert read_exr(tmp_path / "one.exr").shape == (4, 5)
    assert read_exr(tmp_path / "one.exr", ("Y",)).shape == (4, 5, 1)


def test_a_channel_that_is_not_there_lists_those_that_are(tmp_path):
    write_exr(tmp_path / "rgb.exr", smooth((4, 5, 3)))
    with pytest.raises(ValueError, match=r"rgb\.exr .*lacks the channels Depth; it has B, G, R"):
        read_exr(tmp_path / "rgb.exr", "Depth")


@pytest.mark.parametrize("compression", WRITTEN)
def test_a_file_that_is_cut_off_anywhere_is_refused_by_name(tmp_path, compression):
    write_exr(tmp_path / "whole.exr", smooth((20, 8)), compression=compression)
    data = (tmp_path / "whole.exr").read_bytes()
    for length in range(len(data)):
        (tmp_path / "part.exr").write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"part\.exr cannot be read"):
            read_exr(tmp_path / "part.exr")


@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_a_damaged_byte_gives_a_picture_or_the_name_of_the_file(tmp_path, value, monkeypatch):
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    path = tmp_path / "a.exr"
    write_exr(path, smooth((20, 3)))
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
        try:
            said = str(read_exr(path).dtype)
        except ValueError as error:
            said = str(error)
        assert said == "float32" or "a.exr" in said


def test_a_header_that_claims_more_than_the_file_can_hold_is_refused(tmp_path):
    write_exr(tmp_path / "a.exr", smooth((20, 8)))
    data = (tmp_path / "a.exr").read_bytes()
    small, huge = (np.array([0, 0, w - 1, h - 1], "<i4").tobytes() for h, w in ((20, 8), (1 << 20, 1 << 20)))
    (tmp_path / "a.exr").write_bytes(data.replace(small, huge))
    with pytest.raises(ValueError, match=r"a\.exr cannot be read .*cannot hold the 1048576x1048576 pixels"):
        read_exr(tmp_path / "a.exr")


def test_another_format_is_refused_by_name(tmp_path):
    (tmp_path / "a.exr").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ValueError, match=r"a\.exr cannot be read .*no OpenEXR file"):
        read_exr(tmp_path / "a.exr")
    with pytest.raises(FileNotFoundError):
        read_exr(tmp_path / "absent.exr")


def test_without_the_library_a_file_that_needs_it_says_what_to_install(golden, monkeypatch):
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    for use in (read_exr, exr_channels):
        with pytest.raises(ValueError, match=r'piz_half.exr: its compression is PIZ, .*pip install "cut3r\[preproce'):
            use(golden / "exr" / "piz_half.exr")


def test_the_library_reads_other_compressions(golden):
    library()
    path = golden / "exr" / "piz_half.exr"
    assert exr_channels(path) == ("Z",)
    np.testing.assert_array_equal(read_exr(path, "Z"), formula("Z", np.float16, (4, 6))[..., 0])


def test_the_library_reads_tiles_and_parts(tmp_path):
    openexr, values = library(), smooth((21, 34))
    header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.tiledimage, "tiles": openexr.TileDescription()}
    openexr.File(header, {"Z": values}).write(str(tmp_path / "tiles.exr"))
    np.testing.assert_array_equal(read_exr(tmp_path / "tiles.exr", "Z"), values)
    header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
    parts = [openexr.Part(header | {"name": name}, {name: values + k}, name) for k, name in enumerate(("Z", "V"))]
    openexr.File(parts).write(str(tmp_path / "parts.exr"))
    assert exr_channels(tmp_path / "parts.exr") == ("V", "Z")
    np.testing.assert_array_equal(read_exr(tmp_path / "parts.exr", ("V", "Z")), np.stack((values + 1, values), -1))


def test_deep_pixels_are_refused(tmp_path):
    openexr = library()
    deep = np.empty((2, 3), object)
    deep[:] = [[np.arange(k + 1, dtype=np.float32) for k in range(3)]] * 2
    header = {"compression": openexr.ZIPS_COMPRESSION, "type": openexr.deepscanline}
    openexr.File(header, {"Z": deep}).write(str(tmp_path / "a.exr"))
    with pytest.raises(ValueError, match=r"a\.exr holds several values per pixel"):
        read_exr(tmp_path / "a.exr")


@pytest.mark.parametrize("part", [0.3, 0.9])
def test_the_library_names_a_file_that_is_cut_off(tmp_path, part):
    openexr = library()
    header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
    parts = [openexr.Part(header | {"name": name}, {name: smooth((21, 34))}, name) for name in ("Z", "V")]
    openexr.File(parts).write(str(tmp_path / "a.exr"))
    data = (tmp_path / "a.exr").read_bytes()
    (tmp_path / "a.exr").write_bytes(data[: int(part * len(data))])
    with pytest.raises(ValueError, match=r"a\.exr cannot be read"):
        read_exr(tmp_path / "a.exr")


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.zeros((4, 5, 2), np.float32), {}, "h w c and c names"),
        (np.zeros((4, 5, 2), np.float32), {"channels": ("A", "A")}, "h w c and c names"),
        (np.zeros((0, 5), np.float32), {}, "h w c and c names"),
        (np.zeros((4, 5)), {}, "float64 has no place in OpenEXR"),
        (np.zeros((4, 5), np.float32), {"compression": Compression.rle}, "RLE is only read"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, values, options, message):
    with pytest.raises(ValueError, match=message):
        write_exr(tmp_path / "a.exr", values, **options)
    assert not list(tmp_path.iterdir())


def test_reading_plain_files_does_not_import_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    importlib.import_module("cut3r.io.exr")
    write_exr(tmp_path / "a.exr", smooth((4, 5)))
    np.testing.assert_array_equal(read_exr(tmp_path / "a.exr"), smooth((4, 5)))
