import sys
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image

from cut3r.io.images import Resampling, UnreadableImageError, read_image, resize, write_image
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


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    path = save(tmp_path / "photo.png", SCENE)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(UnreadableImageError, match="decompression bomb"):
        read_image(path)


def test_a_float_map_is_not_taken_for_a_picture(tmp_path):
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "depth.tif")
    with pytest.raises(UnreadableImageError, match="float map"):
        read_image(tmp_path / "depth.tif")


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
