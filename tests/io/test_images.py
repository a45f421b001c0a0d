import contextlib
import os
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import cv2
import numpy as np
import pytest
from PIL import Image

from cut3r.io.images import (
    Resampling,
    UnreadableImageError,
    capture_time_of,
    page_count,
    read_image,
    resize,
    write_image,
)
from tests.io.pictures import STORED, save

SCENE = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
RED, WHITE, BLACK = (255, 0, 0), (255, 255, 255), (0, 0, 0)


@pytest.mark.parametrize("orientation", STORED)
def test_every_exif_orientation_gives_the_upright_scene(tmp_path, orientation):
    path = save(tmp_path / "photo.png", STORED[orientation](SCENE), orientation)
    assert np.array_equal(read_image(path), SCENE)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".webp"])
def test_lossless_formats_keep_every_byte(tmp_path, suffix):
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(SCENE).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    assert np.array_equal(read_image(path), SCENE)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA"])
def test_transparent_pixels_show_the_background(tmp_path, mode):
    rgba = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    rgba.putpixel((1, 0), (255, 0, 0, 255))
    image = rgba.quantize() if mode == "P" else rgba.convert(mode)
    path = save(tmp_path / "photo.tif" if mode == "PA" else tmp_path / "photo.png", image)
    assert tuple(read_image(path)[0, 0]) == WHITE
    assert tuple(read_image(path, background=(0, 9, 0))[0, 0]) == (0, 9, 0)
    opaque = (76, 76, 76) if mode == "LA" else RED
    assert tuple(read_image(path)[0, 1]) == opaque


def test_a_single_transparent_colour_shows_the_background(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (1, 1), RED).save(path, transparency=RED)
    assert tuple(read_image(path)[0, 0]) == WHITE


def test_half_transparent_pixels_are_blended(tmp_path):
    path = save(tmp_path / "photo.png", Image.new("RGBA", (1, 1), (255, 0, 0, 128)))
    assert tuple(read_image(path, background=BLACK)[0, 0]) == (128, 0, 0)


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_parity_shows_the_hidden_colours_of_transparent_pixels(tmp_path, mode):
    image = Image.new("RGBA", (1, 1), (255, 0, 0, 0))
    if mode == "P":
        image = Image.new("P", (1, 1), 0)
        image.putpalette(RED)
        image.info["transparency"] = bytes([0])
    path = save(tmp_path / "photo.png", image)
    assert tuple(read_image(path, parity=True)[0, 0]) == RED
    assert tuple(read_image(path)[0, 0]) == WHITE


def exif_bytes(entries, order="<"):
    """A directory of (tag, type, count, value bytes)."""
    body = b"".join(struct.pack(f"{order}HHI", *entry[:3]) + entry[3].ljust(4, b"\0") for entry in entries)
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, 8)
    return b"Exif\0\0" + head + struct.pack(f"{order}H", len(entries)) + body + b"\0\0\0\0"


TURN = {order: (0x0112, 3, 1, struct.pack(f"{order}H", 6)) for order in "<>"}
ODD_EXIF = {
    "software is a float": exif_bytes([TURN["<"], (0x0131, 11, 1, struct.pack("<f", 1.5))]),
    "resolution is a float, big endian": exif_bytes([(0x011A, 11, 1, b"\1\2\3\4"), TURN[">"]], ">"),
    "a type that does not exist": exif_bytes([(0x010F, 99, 5, b"abcd"), TURN["<"]]),
    "a value outside of the data": exif_bytes([(0x010F, 2, 999, b"\xff\xff\0\0"), TURN["<"]]),
    "cut after the orientation": exif_bytes([TURN["<"]] + [(0x0131, 2, 4, b"abc")] * 9)[:40],
    "the header twice": b"Exif\0\0" + exif_bytes([TURN["<"]]),
}


def with_exif(path, exif):
    Image.fromarray(np.zeros((8, 16, 3), np.uint8)).save(path, **({"exif": exif} if exif else {}))
    return path


@pytest.mark.parametrize("exif", ODD_EXIF.values(), ids=ODD_EXIF)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_no_odd_exif_entry_matters_to_the_orientation(tmp_path, suffix, exif):
    """An entry Software of type float ended in an AttributeError."""
    assert read_image(with_exif(tmp_path / f"photo{suffix}", exif)).shape == (16, 8, 3)


@pytest.mark.parametrize(
    "exif",
    [
        exif_bytes([(0x0112, 3, 1, b"\x09\0")]),
        exif_bytes([(0x0112, 3, 1, b"\0\0")]),
        exif_bytes([(0x0112, 2, 4, b"six")]),
        b"Exif\0\0II",
        b"Exif\0\0" + bytes(40),
        b"Exif\0\0II*\0\xff\xff\xff\xff",
    ],
)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_a_broken_orientation_means_upright(tmp_path, suffix, exif):
    assert read_image(with_exif(tmp_path / f"photo{suffix}", exif)).shape == (8, 16, 3)


@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_of_an_avif_with_an_odd_entry(tmp_path, orientation):
    scene = np.zeros((32, 48, 3), np.uint8)
    scene[:16, :24] = 255
    exif = Image.Exif()
    exif[0x0112], exif[0x0131] = orientation, "abc"
    path = tmp_path / "photo.avif"
    Image.fromarray(np.ascontiguousarray(STORED[orientation](scene))).save(path, exif=exif, quality=95)
    data = path.read_bytes()
    software = next(head for order in "<>" if (head := struct.pack(f"{order}HHI", 0x0131, 2, 4)) in data)
    path.write_bytes(data.replace(software, software[:2] + bytes(11 if byte == 2 else byte for byte in software[2:])))
    assert np.abs(read_image(path).astype(int) - scene).mean() < 3


@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_of_a_tiff(tmp_path, orientation):
    path = tmp_path / "photo.tif"
    Image.fromarray(np.ascontiguousarray(STORED[orientation](SCENE))).save(path, tiffinfo={274: orientation})
    assert np.array_equal(read_image(path), SCENE)


def test_a_tiff_with_odd_entries_is_read(tmp_path):
    path = tmp_path / "photo.tif"
    Image.fromarray(SCENE).save(path, tiffinfo={274: 3, 305: "x" * 9})
    data = path.read_bytes()
    entry = data.index(struct.pack("<HHI", 305, 2, 10))
    path.write_bytes(data[: entry + 2] + struct.pack("<H", 11) + data[entry + 4 :])  # floats, far too many
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's
        assert np.array_equal(read_image(path), SCENE[::-1, ::-1])


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


BIG = b"x" * 3_000_000
PNG_TEXTS = {
    "zTXt": png_chunk(b"zTXt", b"workflow\0\0" + zlib.compress(BIG)),
    "iTXt, packed": png_chunk(b"iTXt", b"prompt\0\1\0\0\0" + zlib.compress(BIG)),
    "tEXt, 70 MB": png_chunk(b"tEXt", b"prompt\0" + b"x" * 70_000_000),
    "XMP, packed": png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(BIG)),
    "colour profile": png_chunk(b"iCCP", b"profile\0\0" + zlib.compress(BIG)),
    "a wrong checksum": png_chunk(b"tEXt", b"a\0b")[:-4] + b"oops",
}


@pytest.mark.parametrize("chunk", PNG_TEXTS.values(), ids=PNG_TEXTS)
@pytest.mark.parametrize("place", [b"IDAT", b"IEND"])
def test_texts_of_any_size_in_a_png_do_not_matter(tmp_path, chunk, place):
    """A workflow of 3 MB, packed, was called damage."""
    path = save(tmp_path / "photo.png", STORED[6](SCENE), 6)
    data = path.read_bytes()
    at = data.index(place) - 4
    path.write_bytes(data[:at] + chunk + data[at:])
    assert np.array_equal(read_image(path), SCENE)


@pytest.mark.parametrize("packed", [False, True])
def test_the_orientation_in_xmp_counts(tmp_path, packed):
    xmp = b'<x tiff:Orientation="6"/>'
    text = b"\1\0\0\0" + zlib.compress(xmp) if packed else b"\0\0\0\0" + xmp
    path = save(tmp_path / "photo.png", STORED[6](SCENE))
    Image.fromarray(np.ascontiguousarray(STORED[6](SCENE))).save(path)
    data = path.read_bytes()
    at = data.index(b"IDAT") - 4
    path.write_bytes(data[:at] + png_chunk(b"iTXt", b"XML:com.adobe.xmp\0" + text) + data[at:])
    assert np.array_equal(read_image(path), SCENE)


@pytest.mark.parametrize("written", [".png", ".jpg", ".webp", ".tif", ".bmp", ".gif", ".ppm", ".jp2", ".avif", ".qoi"])
@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo", "photo.heic"])
def test_what_a_file_holds_counts_and_not_its_suffix(tmp_path, written, name):
    scene = np.full((16, 24, 3), (200, 90, 30), np.uint8)
    Image.fromarray(scene).save(tmp_path / f"written{written}")
    path = (tmp_path / f"written{written}").rename(tmp_path / name)
    assert np.abs(read_image(path).astype(int) - scene).max() <= 8


def test_a_tga_is_known_by_its_suffix(tmp_path):
    Image.fromarray(SCENE).save(tmp_path / "photo.tga")
    assert np.array_equal(read_image(tmp_path / "photo.tga"), SCENE)


def test_a_heic_named_jpg_is_read_or_says_what_to_install(tmp_path, monkeypatch):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(path, format="HEIF")
    assert np.abs(read_image(path).astype(int) - 90).max() <= 3
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnreadableImageError, match=r"photo\.jpg is a HEIC picture .*pip install pillow-heif"):
        read_image(path)


NO_PICTURES = {
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n": "a Git LFS pointer; run 'git lfs pull'",
    b"/annex/objects/SHA256E-s9--00.jpg\n": "a git-annex pointer; run 'git annex get'",
    b"<!DOCTYPE html>\n<html></html>": "a web page \\(HTML\\); download",
    b"\xef\xbb\xbf\n  <html lang='en'>": "a web page",
    b'<?xml version="1.0"?>\n<Error><Code>NoSuchKey</Code></Error>': "an XML text; download",
    b'{"error": 404}': "a JSON text; download",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>": "an SVG drawing; convert",
    b"\0\0\0\x18ftypisom\0\0\2\0isomiso2": "a video \\(MP4\\); name it",
    b"PK\3\4....": "a ZIP archive; unpack",
    b"%PDF-1.7": "a PDF document; convert",
    b"\0\5\x16\7\0\2\0\0Mac OS X": "what macOS keeps beside a file",
    b"\xff\x0a\0\0": "a JPEG XL picture; convert",
    bytes(2_000_000): "zeros only",
    "Zugriff verweigert für".encode(): "a text that begins with 'Zugriff",
}


@pytest.mark.parametrize(("content", "words"), NO_PICTURES.items(), ids=NO_PICTURES.values())
def test_what_is_no_picture_is_called_what_it_is(tmp_path, content, words):
    (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(UnreadableImageError, match=rf"photo\.jpg is not a picture but {words}"):
        read_image(tmp_path / "photo.jpg")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "photo.jpg")
    with pytest.raises(UnreadableImageError, match=r"photo\.jpg is a pipe"):
        read_image(tmp_path / "photo.jpg")
    assert page_count(tmp_path / "photo.jpg") == 1


def test_a_link_to_nothing_says_where_it_points(tmp_path):
    (tmp_path / "photo.jpg").symlink_to("gone.jpg")
    with pytest.raises(FileNotFoundError, match=r"photo\.jpg: it is a link to gone\.jpg, which does not exist"):
        read_image(tmp_path / "photo.jpg")


def animation(path, count=3, **options):
    frames = [Image.new("RGB", (8, 6), (60 * number, 0, 0)) for number in range(count)]
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    return path


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif", ".avif"])
def test_frames_and_pages_are_counted_and_the_first_is_used_with_a_warning(tmp_path, caplog, suffix):
    path = animation(tmp_path / f"moves{suffix}")
    assert page_count(path) == 3
    assert read_image(path).max() <= 4
    read_image(path)
    assert caplog.text.count("has 3 frames or pages, of which only the first is used") == 1
    assert page_count(animation(tmp_path / f"still{suffix}", 1)) == 1


def test_reduced_copies_in_a_tiff_are_no_pages(tmp_path, caplog):
    path = tmp_path / "pyramid.tif"
    full, small = Image.fromarray(SCENE), Image.fromarray(SCENE[::2, ::2])
    small.encoderinfo = {"tiffinfo": {254: 1}}
    full.save(path, save_all=True, append_images=[small])
    assert page_count(path) == 1
    assert np.array_equal(read_image(path), SCENE)
    assert not caplog.records


def test_the_further_pictures_of_a_jpeg_are_no_frames(tmp_path):  # gain maps, previews, the other eye
    path = animation(tmp_path / "phone.jpg", 2, format="MPO")
    assert page_count(path) == 1
    assert read_image(path).shape == (6, 8, 3)


def test_16_bit_grey_is_scaled_and_in_parity_clipped(tmp_path):
    values = np.array([[0, 100, 257, 30000, 65535]], dtype=np.uint16)
    path = save(tmp_path / "photo.png", Image.fromarray(values))
    assert read_image(path)[0, :, 0].tolist() == [0, 0, 1, 117, 255]
    assert read_image(path, parity=True)[0, :, 0].tolist() == [0, 100, 255, 255, 255]


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colour_is_within_one_level(tmp_path, channels):
    values = np.random.default_rng(1).integers(0, 65536, (6, 5, channels), dtype=np.uint16)
    values[..., 3:] = 65535
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), values)
    error = read_image(path).astype(int) - values[..., 2::-1] / 257
    assert np.abs(error).max() <= 1


def test_one_bit_grey_and_cmyk_pictures_become_rgb(tmp_path):
    bits = save(tmp_path / "bits.png", Image.new("1", (2, 1), 1))
    grey = save(tmp_path / "grey.png", Image.new("L", (2, 1), 77))
    cmyk = save(tmp_path / "cmyk.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0)))
    assert tuple(read_image(bits)[0, 0]) == WHITE
    assert tuple(read_image(grey)[0, 0]) == (77, 77, 77)
    assert np.abs(read_image(cmyk)[0, 0].astype(int) - RED).max() <= 2


def test_a_heic_photo_is_read_upright_once(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    scene = np.zeros((64, 96, 3), np.uint8)
    scene[:32, :48] = 255  # top left
    photo = Image.fromarray(np.ascontiguousarray(STORED[6](scene)))
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.info["exif"] = exif.tobytes()  # from here the plugin writes EXIF and HEIF's own rotation, as phones do
    path = tmp_path / "photo.heic"
    photo.save(path, quality=100)
    rgb = read_image(path)
    assert rgb.shape == scene.shape
    assert np.abs(rgb.astype(int) - scene).mean() < 3


def test_heic_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "photo.heic").write_bytes(b"ftyp")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnreadableImageError, match="pip install pillow-heif"):
        read_image(tmp_path / "photo.heic")


def test_an_empty_file_is_called_empty(tmp_path):
    (tmp_path / "photo.png").touch()
    with pytest.raises(UnreadableImageError, match=r"photo\.png is empty"):
        read_image(tmp_path / "photo.png")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"photo\.png"):
        read_image(tmp_path / "photo.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
@pytest.mark.parametrize("keep", [0.03, 0.3, 0.6])
def test_a_truncated_file_is_named(tmp_path, suffix, keep):
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks about the damage; ours is the error
        with pytest.raises(UnreadableImageError, match=path.name):
            read_image(path)


def test_a_file_that_is_no_picture_is_named(tmp_path):
    (tmp_path / "photo.jpg").write_text("not a picture")
    with pytest.raises(UnreadableImageError, match=r"photo\.jpg is not a picture"):
        read_image(tmp_path / "photo.jpg")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
def test_a_decompression_bomb_is_refused_by_its_declared_size(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr("cut3r.io.opening.MAX_PIXELS", 30)
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(SCENE).save(path)
    with pytest.raises(UnreadableImageError, match=r"decompression bomb; shrink it"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_a_large_photo_is_decoded_reduced_and_this_is_said_once(tmp_path, monkeypatch, caplog, suffix):
    """108 megapixels printed a warning of Pillow, 200 were refused as a bomb."""
    monkeypatch.setattr("cut3r.io.images.FULL_SIZE_PIXELS", 1000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    scene = np.kron(np.array([[30, 220], [120, 60]], np.uint8), np.ones((31, 48), np.uint8))
    path = tmp_path / f"photo{suffix}"
    tags = {"tiffinfo": {274: 6}} if suffix == ".tif" else {"exif": exif_bytes([TURN["<"]])}
    Image.fromarray(np.stack([scene] * 3, -1)).save(path, **tags)
    rgb = read_image(path)
    assert rgb.shape == (24, 16, 3)
    assert [int(rgb[y, x, 0]) // 10 for y, x in ((3, 3), (3, -3), (-3, 3), (-3, -3))] == [12, 3, 6, 22]
    read_image(path)
    assert caplog.text.count("is decoded at 1/4 of its width") == caplog.text.count("(16x24)") == 1
    assert Image.MAX_IMAGE_PIXELS == 1000
    assert read_image(path, parity=True).shape == (96, 62, 3)


def test_threads_leave_pillows_limit_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12345)
    path = save(tmp_path / "photo.png", SCENE)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read_image, [path] * 64))
    assert Image.MAX_IMAGE_PIXELS == 12345


def test_a_written_png_reads_back_the_same(tmp_path):
    write_image(tmp_path / "new" / "photo.png", SCENE)
    assert np.array_equal(read_image(tmp_path / "new" / "photo.png"), SCENE)


def test_a_written_jpeg_is_a_jpeg(tmp_path):
    write_image(tmp_path / "photo.jpg", np.full((16, 16, 3), 90, np.uint8))
    with Image.open(tmp_path / "photo.jpg") as image:
        assert image.format == "JPEG"
    assert np.abs(read_image(tmp_path / "photo.jpg").astype(int) - 90).max() <= 1
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_an_unknown_suffix_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"use \.png"):
        write_image(tmp_path / "photo.gif", SCENE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("resampling", Resampling)
def test_resize_gives_pillows_bytes(resampling):
    expected = Image.fromarray(SCENE).resize((3, 4), Image.Resampling[resampling.name.upper()])
    assert np.array_equal(resize(SCENE, (4, 3), resampling), np.asarray(expected))


def test_resize_to_the_same_size_changes_nothing():
    assert np.array_equal(resize(SCENE, (5, 7)), SCENE)


def test_pictures_are_writable_arrays(tmp_path):  # views of buffers that Pillow owns would not be
    rgb = read_image(save(tmp_path / "photo.png", SCENE))
    rgb[0, 0] = 0
    assert rgb.flags.c_contiguous


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".gif", ".bmp", ".ppm", ".jp2", ".avif", ".tga"])
def test_damaged_bytes_are_read_or_refused_in_one_sentence(tmp_path, suffix):
    rng = np.random.default_rng(3)
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(SCENE.repeat(6, 0).repeat(6, 1)).save(path)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(40):
        data = whole.copy()
        data[rng.integers(0, min(len(data), 400), 3)] = rng.choice([0, 1, 127, 255], 3)
        path.write_bytes(data[: rng.integers(20, len(data) + 1)].tobytes())
        with warnings.catch_warnings(), contextlib.suppress(UnreadableImageError):
            warnings.simplefilter("ignore")  # Pillow's remarks about the damage; ours is the error
            assert read_image(path).ndim == 3


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_the_time_of_a_photo_is_read_with_its_zone_and_fraction(tmp_path, suffix):
    exif, path = Image.Exif(), tmp_path / f"photo.{suffix}"
    exif[0x8769] = {0x9003: "2026:11:29 12:00:00", 0x9011: "+02:00", 0x9291: "250"}
    Image.new("RGB", (16, 16)).save(path, exif=exif)
    assert capture_time_of(path) == datetime(2026, 11, 29, 10, tzinfo=timezone.utc).timestamp() + 0.25


@pytest.mark.parametrize("said", [{}, {0x9003: "0000:00:00 00:00:00"}, {0x9003: "yesterday"}, {0x9003: b"\xff" * 20}])
def test_a_photo_without_a_time_has_none(tmp_path, said):
    exif = Image.Exif()
    exif[0x8769] = said
    exif[0x0112] = 6
    Image.new("RGB", (16, 8)).save(tmp_path / "photo.jpg", exif=exif)
    assert capture_time_of(tmp_path / "photo.jpg") is None
    assert read_image(tmp_path / "photo.jpg").shape == (16, 8, 3), "what else EXIF says counts"
