import shutil

import numpy as np
import pytest
from PIL import Image

from cut3r.data.datasets.mvimgnet import LAYOUT, MvImgNet
from cut3r.io.known_cameras import Lens
from datasets_preprocess.mvimgnet import CONVERTER, MvImgNetOptions, convert
from datasets_preprocess.runner import LeftOut, Writer, run
from datasets_preprocess.undistort import undistort
from tests.data.datasets.colmap_model import write_model
from tests.data.datasets.raw_fixtures import save_image, textured
from tests.data.datasets.raw_walks import mvimgnet as walk
from tests.data.datasets.raw_walks import render_walk
from tests.data.datasets.recorded import load_views, unpack


def make_object(raw, model="SIMPLE_RADIAL", parameters=(150.0, 54, 96, 0.01)):
    """Section 7 of the dataset's file, without the outer folder."""
    folder, images = raw / "0" / "0000251e", []
    for number in range(1, 5):
        save_image(folder / "images" / f"{number:03d}.jpg", textured(192, 108, number))
        pose = np.eye(4)
        pose[:3, 3] = 0.1 * number, 0.2, 0.3
        images.append((f"{number:03d}.jpg", 1, pose))
    write_model(folder / "sparse" / "0", {1: (model, (192, 108), list(parameters))}, images)


def first_frame(out, **options):
    dataset = MvImgNet(out, num_views=4, sizes=[(30, 40)], **options)
    return dataset.read(dataset.scenes[0], 0)


def test_parity_stores_scrambled_intrinsics_and_either_mode_reads_them(tmp_path):
    make_object(tmp_path / "raw")
    run(CONVERTER, tmp_path / "raw", tmp_path / "out", parity=True)
    with np.load(tmp_path / "out" / "0_0000251e" / "cam" / "001.npz") as camera:
        stored = camera["intrinsics"]
        np.testing.assert_allclose(stored[[0, 1, 0], [0, 1, 2]], [888.88889, 320, 568.88889], rtol=1e-6)
        np.testing.assert_allclose(camera["pose"][:3, 3], [-0.1, -0.2, -0.3])
    assert first_frame(tmp_path / "out", parity=True).intrinsics[:2, 2] == pytest.approx([320, 568.88889])
    assert first_frame(tmp_path / "out").intrinsics[:2, 2] == pytest.approx([319.5, 568.38889])


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("SIMPLE_RADIAL", (150.0, 54, 96, 0.01)),
        ("PINHOLE", (150.0, 150.0, 54, 96)),
        ("SIMPLE_PINHOLE", (150.0, 54, 96)),
        ("OPENCV", (150.0, 150.0, 54, 96, 0.01, 0, 0, 0)),
    ],
)
def test_by_default_any_perspective_camera_is_stored_as_it_is(tmp_path, model, parameters):
    make_object(tmp_path / "raw", model, parameters)
    assert run(CONVERTER, tmp_path / "raw", tmp_path / "out").complete
    frame = first_frame(tmp_path / "out")
    assert frame.size == (1137, 640)
    expected = [[888.888904, 0, 319.5], [0, 888.888904, 568.0], [0, 0, 1]]
    np.testing.assert_allclose(frame.intrinsics, expected, rtol=1e-6)
    dataset = MvImgNet(tmp_path / "out", num_views=4, sizes=[(30, 40)])
    assert all(view.camera_only and (view.depth == 1).all() for view in dataset[0])


def test_the_default_intrinsics_are_right(tmp_path):
    raw = unpack("mvimgnet", "raw", tmp_path)
    run(CONVERTER, raw, tmp_path / "out")
    assert not list(raw.rglob("*.txt")), "nothing is written into the raw folder"
    views, theirs = load_views("mvimgnet"), unpack("mvimgnet", "processed", tmp_path)
    for root, tolerance in ((tmp_path / "out", 1e-6), (theirs, 0.5)):  # `unscramble` says why
        dataset = MvImgNet(root, num_views=4, sizes=[(30, 40)])
        for scene in dataset.scenes:
            intrinsics = dataset.read(scene, 0).intrinsics
            np.testing.assert_allclose(intrinsics, views[f"default/{scene.name}/intrinsics"], atol=tolerance)


@pytest.mark.parametrize("inside", [False, True])
def test_distortion_is_removed(inside):
    (frame,) = render_walk((120, 160), frames=1)
    lens = Lens(frame.intrinsics, frame.size, (0.3,))
    bent = walk.distorted(frame, 0.3)
    straight, intrinsics = undistort(bent, lens, inside=inside)
    (right,) = render_walk((120, 160), intrinsics, frames=1)

    def difference(rgb):
        return np.abs(rgb[20:-20, 20:-20].astype(int) - right.rgb[20:-20, 20:-20]).mean()

    assert difference(straight) < 0.5 * difference(bent)
    assert np.array_equal(intrinsics, frame.intrinsics) != inside


def test_frames_that_cannot_be_used_are_left_out_by_name(tmp_path):
    make_object(tmp_path)
    images = tmp_path / "0" / "0000251e" / "images"
    (images / "001.jpg").write_bytes(b"")
    (images / "002.jpg").unlink()
    save_image(images / "009.jpg", textured(192, 108, 9))
    writer = Writer(tmp_path / "out", LAYOUT)
    (scene,) = CONVERTER.scenes(tmp_path)
    assert convert(tmp_path, scene, writer) == ["003", "004"]
    assert set(writer.left_out) == {"001", "002", "009"}
    assert "the model does not hold 009.jpg" in writer.left_out["009"]


def test_a_fisheye_camera_is_refused(tmp_path):
    make_object(tmp_path, "OPENCV_FISHEYE", (150.0, 150, 54, 96, 0, 0, 0, 0))
    (scene,) = CONVERTER.scenes(tmp_path)
    with pytest.raises(ValueError, match="OPENCV_FISHEYE is no perspective camera"):
        convert(tmp_path, scene, Writer(tmp_path / "out", LAYOUT))


def test_objects_can_be_limited_to_those_with_a_point_cloud(tmp_path):
    make_object(tmp_path / "raw")
    shutil.copytree(tmp_path / "raw" / "0" / "0000251e", tmp_path / "raw" / "0" / "0000251f")
    (tmp_path / "clouds" / "0").mkdir(parents=True)
    (tmp_path / "clouds" / "0" / "0000251f.pcd").touch()
    writer = Writer(tmp_path / "out", LAYOUT, options=MvImgNetOptions(tmp_path / "clouds"))
    first, second = CONVERTER.scenes(tmp_path / "raw")
    with pytest.raises(LeftOut, match=r"there is no .*0000251e\.pcd"):
        convert(tmp_path / "raw", first, writer)
    assert len(convert(tmp_path / "raw", second, writer)) == 4
    with Image.open(tmp_path / "out" / "0_0000251f" / "rgb" / "001.jpg") as image:
        assert image.size == (640, 1137)
