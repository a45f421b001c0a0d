import numpy as np
import pytest
from PIL import Image

from cut3r.data.datasets.unreal4k import LAYOUT, UnrealStereo4K
from cut3r.data.made import CENTRE, CORNER, Made, write_made
from datasets_preprocess.runner import RawScene, Writer, run
from datasets_preprocess.unreal4k import CONVERTER, convert, depth_of
from tests.data.datasets.raw_fixtures import save_image, textured

EXAMPLE = "0.469532 0.882916 0 -2.29543 -0.168801 0.089768 -0.981554 -0.117832 0.866629 -0.460871 -0.191186 5.537117"
RIGHT = EXAMPLE.replace("-2.29543", "-2.49543")  # 0.2 m further along x
GOLDEN_POSE = [
    [0.882915, 0.089768, -0.460871, 4.589142],
    [0.469532, -0.168801, 0.866629, -3.740740],
    [0, -0.981554, -0.191186, 0.942961],
]


def make_stereo(raw, *, frames=6):
    """Section 7 of the dataset's file."""
    folder = raw / "00001"
    for side, extrinsics in enumerate((EXAMPLE, RIGHT)):
        for kind in ("Disp", "Extrinsics"):
            (folder / f"{kind}{side}").mkdir(parents=True)
        for number in range(frames):
            alpha = np.full((60, 100, 1), 7, np.uint8)
            rgba = np.concatenate((textured(60, 100, number), alpha), axis=-1)
            save_image(folder / f"Image{side}" / f"{number:05d}.png", rgba)
            disparity = np.full((60, 100), 2.0)
            disparity[0, 0], disparity[-1, -1] = 0, 0.001
            disparity[30, 50:52] = np.nan, -1
            np.save(folder / f"Disp{side}" / f"{number:05d}.npy", disparity)
            (folder / f"Extrinsics{side}" / f"{number:05d}.txt").write_text(f"50 0 50 0 50 30 0 0 1\n{extrinsics}\n")


@pytest.fixture(scope="module", params=[False, True], ids=["default", "parity"])
def processed(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("unreal4k")
    make_stereo(root / "raw")
    assert run(CONVERTER, root / "raw", root / "out", parity=request.param).complete
    return root / "out", request.param


def test_the_converter_gives_depth_in_metres_and_the_recorded_cameras(processed):
    out, parity = processed
    depth = np.load(out / "00001" / "0" / "00000_depth.npy")
    assert depth.dtype == np.float32 and depth.shape == (384, 640), "quirk 1"
    assert np.isinf(depth[0, 0]) and depth[-1, -1] == pytest.approx(10000) and depth[100, 100] == pytest.approx(5)
    with np.load(out / "00001" / "1" / "00000.npz") as camera:
        shift = 0 if parity else 0.5 * 6.4  # quirk 7
        np.testing.assert_allclose(camera["intrinsics"][:2, 2], [322.7 - shift, 194.7 - shift], rtol=1e-5)
        np.testing.assert_allclose(camera["intrinsics"][0, 0], 320, rtol=1e-5)
        rows = [-3.646833, 4.765725, 0.942961]
        np.testing.assert_allclose(
            camera["cam2world"][:3, 3], rows if parity else [rows[1], rows[0], rows[2]], atol=2e-6
        )
        assert np.linalg.det(camera["cam2world"]) == pytest.approx(-1 if parity else 1, abs=1e-5), "quirk 2"
    with Image.open(out / "00001" / "0" / "00000_rgb.png") as image:
        assert image.mode == "RGB"


def test_the_reader_gives_a_right_handed_world_whatever_is_stored(processed):
    out, _ = processed
    for as_original in (False, True):
        dataset = UnrealStereo4K(out, num_views=4, sizes=[(30, 40)], parity=as_original)
        assert len(dataset) == 2 * 3 * 10
        frame = dataset.read(dataset.scenes[0], 0)
        np.testing.assert_allclose(frame.world_from_cam[:3], GOLDEN_POSE, atol=2e-6)
        assert frame.depth[0, 0] == frame.depth[-1, -1] == -1
        near = frame.depth[200, 300:340]
        assert np.isfinite(near).all() and (near >= 0).all(), "quirk 3"


def test_the_right_principal_point_is_read_of_what_either_converter_wrote(processed):
    out, parity = processed
    write_made(out, Made("unreal4k", 1, CORNER if parity else CENTRE, parity))
    dataset = UnrealStereo4K(out, num_views=4, sizes=[(30, 40)])
    cx = dataset.read(dataset.scenes[0], 0).intrinsics[0, 2]
    shift = 0.5 * 384 / 2160 if parity else 0.5 * 6.4  # as if the pictures had been of their published size
    assert cx == pytest.approx(322.7 - shift, abs=1e-4)


def test_frames_that_cannot_be_used_are_left_out_by_name(tmp_path):
    make_stereo(tmp_path, frames=4)
    folder = tmp_path / "00001"
    (folder / "Disp0" / "00000.npy").unlink()
    (folder / "Extrinsics1" / "00001.txt").write_text("50 0 50 0 50 30 0 0 1\n" + EXAMPLE)
    (folder / "Extrinsics0" / "00002.txt").write_text("50 0 50 0 50 30 0 0 1\n1 2 3\n")
    writer = Writer(tmp_path / "out", LAYOUT)
    assert convert(tmp_path, RawScene("00001/0"), writer) == ["00003"]
    assert "Disp0/00000.npy" in writer.left_out["00000"]
    assert "camera 1 is" in writer.left_out["00001"]
    assert "expected 9 and 12 numbers" in writer.left_out["00002"]


def test_no_disparity_is_infinitely_far():
    assert depth_of(np.array([[2.0, 0.0]]), 0.2, 50.0).tolist() == [[5.0, np.inf]]
