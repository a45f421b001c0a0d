import hashlib
import json
import logging
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cut3r.inference.preprocess import FitConfig, FitMode, PixelMap, fit, to_tensor
from cut3r.io.images import read_image
from tests.io.pictures import STORED, save

VARIANTS = {
    "demo": {},
    "eval_crop": {},
    "eval_resize": {"mode": FitMode.stretch},
    "demo_square_ok": {"allow_square": True},
}
NAMES = [
    "bmp_64x48.bmp",
    "exact_512x384.png",
    "exif3_401x300.png",
    "exif6_640x480.jpg",
    "grey_500x375.png",
    "landscape_1280x720.jpg",
    "landscape_640x480.png",
    "near_square_513x512.png",
    "odd_333x517.jpg",
    "odd_641x479.png",
    "panorama_1600x400.jpg",
    "portrait_480x640.png",
    "rgba_320x240.png",
    "sliver_800x24.png",
    "small_160x120.png",
    "square_300x300_small.png",
    "square_600x600.jpg",
    "tall_240x960.png",
]


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


@pytest.fixture(scope="module")
def recorded(request):
    folder = request.path.parents[1] / "golden" / "inference"
    with np.load(folder / "image_prep.npz") as pixels:
        yield json.loads((folder / "image_prep.json").read_text()), dict(pixels), folder / "images"


@pytest.mark.parametrize(("name", "variant", "size"), [*product(NAMES, VARIANTS, [512, 224])])
def test_parity_gives_the_originals_bytes(recorded, name, variant, size):
    info, pixels, images = recorded
    key, expected = f"{variant}_{size}", info[name]["results"][f"{variant}_{size}"]
    config = FitConfig(size=size, parity=True, **VARIANTS[variant])
    rgb = read_image(images / name, parity=True)
    if expected.get("empty") or expected.get("error") in {"TypeError", "ValueError"}:
        with pytest.raises(ValueError, match=rf"{name} is .*(too narrow|square)"):
            fit(rgb, config, name=name)
        return
    image, _ = fit(rgb, config, name=name)
    if expected.get("error") == "AssertionError":  # the evaluations' loader knows no .bmp; ours does
        assert image.shape[0] % 16 == 0
        return
    assert list(to_tensor(image).shape) == expected["shape"]
    if name.endswith(".jpg") and decoded_sha256(images / name) != info[name]["decoded_sha256"]:
        recorded_pixels = pixels[f"{name}/{expected.get('same_as', key)}/sub8"].astype(int)
        difference = np.abs(image[4::8, 4::8] - recorded_pixels)
        assert difference.mean() <= 1
        assert difference.max() <= 6
        return
    assert sha256(image) == expected["u8_sha256"]
    assert sha256(to_tensor(image).numpy()) == expected["f32_sha256"]


def decoded_sha256(path):
    with Image.open(path) as image:
        return sha256(np.asarray(image))


def test_the_recorded_files_are_all_tested(recorded):
    assert sorted(recorded[0]) == NAMES


@pytest.mark.parametrize(("build", "size"), [("images_only", 512), ("images_only_224", 224)])
def test_network_images_have_the_shapes_of_the_originals_views(golden, build, size):
    views = json.loads((golden / "inference" / "view_dicts.json").read_text())
    for name, view in zip(views["images"], views["views"][build], strict=True):
        image, pixel_map = fit(read_image(golden / "inference" / "images" / name), FitConfig(size=size))
        assert list(to_tensor(image).shape) == view["img"]["shape"]
        assert [list(pixel_map.image_size)] == view["true_shape"]["value"]


def grey(h, w):
    return np.full((h, w, 3), 100, np.uint8)


@pytest.mark.parametrize(
    ("original", "image_size"),
    [
        ((1080, 1920), (288, 512)),
        ((720, 540), (512, 384)),
        ((479, 641), (368, 512)),
        ((375, 1242), (144, 512)),
        ((600, 600), (384, 512)),
        ((512, 513), (384, 512)),
        ((513, 512), (512, 384)),
    ],
)
def test_default_sizes(original, image_size):
    assert fit(grey(*original), FitConfig())[1].image_size == image_size


def test_a_nearly_square_picture_is_warned_about_once_per_size(caplog):
    for _ in range(3):
        fit(grey(301, 307), FitConfig())
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "307x301" in caplog.text


def test_a_square_picture_needs_no_warning(caplog):
    fit(grey(300, 300), FitConfig())
    assert not caplog.records


@pytest.mark.parametrize(
    ("option", "image_size"), [({"allow_square": True}, (496, 512)), ({"parity": True}, (496, 512))]
)
def test_nearly_square_pictures_can_be_kept(option, image_size):
    assert fit(grey(512, 513), FitConfig(**option))[1].image_size == image_size


def test_stretching_a_square_picture_works_outside_parity():
    assert fit(grey(600, 600), FitConfig(mode=FitMode.stretch))[1].image_size == (384, 512)


def test_a_square_at_a_size_that_is_no_multiple_of_64_is_still_whole_patches():
    assert fit(grey(600, 600), FitConfig(size=480))[1].image_size == (352, 480)
    with pytest.raises(ValueError, match="480x360"):
        fit(grey(600, 600), FitConfig(size=480, parity=True))


def test_resize_keeps_the_row_that_crop_loses():
    assert fit(grey(479, 641), FitConfig(mode=FitMode.resize))[1].image_size == (384, 512)


def test_padding_repeats_the_border_and_is_outside():
    rgb = np.random.default_rng(0).integers(0, 256, (375, 512, 3), dtype=np.uint8)
    image, pixel_map = fit(rgb, FitConfig(mode=FitMode.pad))
    assert image.shape == (384, 512, 3)
    assert np.array_equal(image[4 : 4 + 375], rgb)
    assert (image[:4] == rgb[0]).all()
    assert (image[4 + 375 :] == rgb[-1]).all()
    inside = pixel_map.inside()
    assert inside[4 : 4 + 375].all()
    assert inside.sum() == 375 * 512


@pytest.mark.parametrize("mode", [FitMode.crop, FitMode.stretch, FitMode.resize])
def test_without_padding_every_pixel_is_inside(mode):
    assert fit(grey(333, 517), FitConfig(mode=mode))[1].inside().all()


@pytest.mark.parametrize("mode", FitMode)
@pytest.mark.parametrize("original", [(480, 640), (640, 480), (100, 100), (100, 3000)])
def test_size_224_always_gives_224_x_224(mode, original):
    image, pixel_map = fit(grey(*original), FitConfig(size=224, mode=mode))
    assert image.shape == (224, 224, 3)
    assert pixel_map.image_size == (224, 224)


@pytest.mark.parametrize("original", [(24, 800), (800, 24), (0, 10), (2, 5000)])
def test_slivers_are_refused_by_name_and_size(original):
    h, w = original
    with pytest.raises(ValueError, match=rf"strip\.png is {w}x{h} pixels, too narrow"):
        fit(grey(h, w), FitConfig(), name="strip.png")


@pytest.mark.parametrize("size", [0, -16, 500])
def test_a_size_of_broken_patches_is_refused(size):
    with pytest.raises(ValueError, match="multiple of 16"):
        FitConfig(size=size)


def test_the_tensor_spans_minus_one_to_one():
    image = np.array([[[0, 51, 255]]], np.uint8)
    torch.testing.assert_close(to_tensor(image), torch.tensor([-1.0, -0.6, 1.0]).view(1, 3, 1, 1))


@pytest.mark.parametrize("size", [512, 224, 128])
def test_every_exif_orientation_gives_the_same_network_image(tmp_path, size):
    scene = np.random.default_rng(2).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    expected, expected_map = fit(scene, FitConfig(size=size))
    for orientation, store in STORED.items():
        rgb = read_image(save(tmp_path / f"{orientation}.png", store(scene), orientation))
        image, pixel_map = fit(rgb, FitConfig(size=size))
        assert np.array_equal(image, expected)
        assert pixel_map == expected_map


sides = st.integers(60, 700)
fits = st.builds(
    lambda h, w, size, mode, square: (grey(h, w), FitConfig(size, mode, square)),
    sides, sides, st.sampled_from([512, 224, 128]), st.sampled_from(FitMode), st.booleans(),
)  # fmt: skip


@given(fits)
def test_sides_are_whole_patches_and_the_map_tells_both_sizes(case):
    rgb, config = case
    image, pixel_map = fit(rgb, config)
    assert image.shape[0] % 16 == image.shape[1] % 16 == 0
    assert max(image.shape) <= config.size
    assert pixel_map.image_size == image.shape[:2]
    assert pixel_map.original_size == rgb.shape[:2]


@given(fits, st.floats(-50, 800), st.floats(-50, 800))
def test_pixels_survive_the_round_trip(case, u, v):
    pixel_map = fit(*case)[1]
    pixel = torch.tensor([u, v], dtype=torch.float64)
    torch.testing.assert_close(pixel_map.pixels_to_original(pixel_map.pixels_to_image(pixel)), pixel)


@given(fits, st.floats(50, 2000), st.floats(50, 2000))
def test_intrinsics_survive_the_round_trip(case, fx, fy):
    pixel_map = fit(*case)[1]
    intrinsics = torch.tensor([[fx, 0, 311.0], [0, fy, 207.0], [0, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(pixel_map.intrinsics_to_original(pixel_map.intrinsics_to_image(intrinsics)), intrinsics)


@given(fits, st.floats(-1, 1), st.floats(-1, 1))
def test_projecting_with_mapped_intrinsics_is_mapping_the_projection(case, x, y):
    pixel_map = fit(*case)[1]
    intrinsics = torch.tensor([[500, 0, 311.0], [0, 400, 207.0], [0, 0, 1]], dtype=torch.float64)
    ray = torch.tensor([x, y, 1], dtype=torch.float64)
    mapped = pixel_map.pixels_to_image((intrinsics @ ray)[:2])
    torch.testing.assert_close((pixel_map.intrinsics_to_image(intrinsics) @ ray)[:2], mapped)


@pytest.mark.parametrize("mode", FitMode)
def test_the_map_finds_a_mark_in_the_network_image(mode):
    """A white disc's centre of mass, in both images: the map is about content, not only about numbers."""
    rows, columns = np.mgrid[:430, :610]
    disc = np.hypot(rows - 170.25, columns - 401.75) < 40
    image, pixel_map = fit((disc[..., None] * np.uint8([255, 255, 255])).astype(np.uint8), FitConfig(mode=mode))
    weight = torch.from_numpy(image[..., 0]).double()
    grids = torch.meshgrid(*map(torch.arange, weight.shape), indexing="ij")
    v, u = ((weight * grid).sum() / weight.sum() for grid in grids)
    expected = torch.tensor([columns[disc].mean(), rows[disc].mean()])
    torch.testing.assert_close(pixel_map.pixels_to_original(torch.stack((u, v))), expected, atol=0.05, rtol=0)


def test_the_map_follows_the_specification():
    pixel_map = PixelMap((480, 640), (368, 512), (0.8, 0.8), (0.0, 8.0))
    mapped = pixel_map.pixels_to_image(torch.tensor([100.0, 50.0]))
    torch.testing.assert_close(mapped, torch.tensor([100.5 * 0.8 - 0.5, 50.5 * 0.8 - 0.5 - 8]))


@pytest.mark.footage
@pytest.mark.parametrize(
    ("folder", "image_size"), [("outdoor_1920x1080", (288, 512)), ("portrait_540x720", (512, 384))]
)
def test_real_photos_fill_a_trained_size(footage, folder, image_size):
    for path in sorted((footage / folder).iterdir())[:3]:
        assert fit(read_image(path), FitConfig())[1].image_size == image_size
