"""SmartPortraits beyond its recording: pairs in time, depth from camera to camera, videos, the official layout."""

import av
import cv2
import numpy as np
import pytest

from cut3r.data.datasets.smartportraits import SmartPortraits
from cut3r.data.layout import read_npz
from cut3r.data.processed import ALL
from datasets_preprocess.runner import run
from datasets_preprocess.smartportraits import CONVERTER, pair
from datasets_preprocess.smartportraits_calibration import PUBLISHED, read_calibration, scatter
from tests.data.datasets.left_out import left_out
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks.smartportraits import write_toolkit
from tests.data.datasets.recorded import unpack

INTRINSICS = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
SIZE = (48, 64)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return unpack("smartportraits", "raw", tmp_path_factory.mktemp("smartportraits"))


def test_frames_get_the_depth_nearest_in_time():
    assert pair([100, 0, 200], [-4, 3, 50, 98, 190, 230]) == {0: 3, 100: 98, 200: 190}
    assert pair([100, 0, 200], [-4, 3, 50, 98, 190, 230], parity=True) == {0: 50, 100: 98, 200: 230}
    times = [1630490000000000000, 1630490000000000002]
    assert pair(times, [1630490000000000001]) == {times[0]: 1630490000000000001}, "not to the precision of float64"


def test_of_two_depth_maps_for_a_picture_the_nearer_in_time_is_taken(raw, tmp_path):
    """The README of the recording: the third of place1/002."""
    report = run(CONVERTER, raw, tmp_path)
    assert report.complete, str(report)
    (recording,) = (raw / "SmartPortraits" / "place1" / "002").iterdir()
    maps = sorted((recording / "_azure_depth_image_raw").glob("*.npy"))
    right = read_calibration(raw).seen_by_phone(np.load(maps[2]))
    found = np.load(tmp_path / f"place1_002_{recording.name}" / "depth" / "1630490000066666666.npy")
    np.testing.assert_array_equal(found, right)


def test_a_pixel_of_depth_lands_where_the_cameras_say():
    """30_smartportraits.md, section 7."""
    depth = np.zeros((576, 640))
    depth[200:205, 300:305] = 2.0
    distortion, shape = PUBLISHED.depth_distortion, (640, 576)
    pinhole, _ = cv2.getOptimalNewCameraMatrix(PUBLISHED.depth, distortion, shape, 1.0, shape)
    maps = cv2.initUndistortRectifyMap(PUBLISHED.depth, distortion, np.eye(3), pinhole, shape, cv2.CV_32FC1)
    y, x = np.nonzero(cv2.remap(depth, *maps, cv2.INTER_NEAREST))
    rays = np.linalg.inv(pinhole) @ np.stack([x, y, np.ones(len(x))])
    points = PUBLISHED.phone_from_depth[:3] @ np.vstack([2 * rays, np.ones(len(x))])
    column, row, _ = np.rint(PUBLISHED.undistorted @ points / points[2]).astype(int)
    expected = np.zeros((1080, 1920), bool)
    for c, r in zip(column, row, strict=True):
        expected[r - 5 : r + 6, c - 5 : c + 6] = True
    found = PUBLISHED.seen_by_phone(depth)
    assert expected.any() and np.array_equal(found > 0, expected)
    assert abs(found[found > 0] - points[2].mean()).max() < 0.01


def test_the_nearer_of_two_points_hides_the_other():
    pixels = np.array([[3.4, 2.0], [2.6, 2.4], [9.0, 9.0], [-0.6, 0.0]])
    z = np.array([1.0, 2.0, 3.0, 4.0])
    for order in ([0, 1, 2, 3], [1, 0, 3, 2]):
        image = scatter(pixels[order], z[order], (5, 6))
        assert image[2, 3] == 1 and image.sum() == 1
    assert scatter(pixels, z, (5, 6), in_order=True)[2, 3] == 2, "the original's"


def test_without_the_toolkit_the_published_numbers_stand_in(tmp_path):
    assert read_calibration(tmp_path) is PUBLISHED
    np.testing.assert_allclose(np.linalg.det(PUBLISHED.phone_from_depth[:3, :3]), 1, atol=1e-6)


def test_a_calibration_that_is_none_is_refused(tmp_path):
    write_toolkit(tmp_path, SIZE, INTRINSICS, np.diag([1.0, 1, -1, 1]))
    with pytest.raises(ValueError, match=r"between\.npy: its pose is no rigid motion"):
        read_calibration(tmp_path)
    np.save(tmp_path / "convert_to_TUM" / "utils" / "phone.npy", np.eye(3))
    with pytest.raises(ValueError, match=r"phone\.npy cannot be read .*expected an object"):
        read_calibration(tmp_path)


def test_damaged_files_are_left_out_by_name(tmp_path):
    raw = unpack("smartportraits", "raw", tmp_path)
    (recording,) = (raw / "SmartPortraits" / "place1" / "001").iterdir()
    (recording / "smartphone_video_frames" / "1630490000000000000.png").write_bytes(b"nothing")
    sorted((recording / "_azure_depth_image_raw").glob("*.npy"))[2].write_bytes(b"nothing")
    save_image(recording / "smartphone_video_frames" / "1630490000033333333.png", np.zeros((5, 5, 3), np.uint8))
    reasons = left_out(CONVERTER, raw, tmp_path / "out", f"place1_001_{recording.name}")
    assert set(reasons) == {f"1630490000{part}" for part in ("000000000", "033333333", "066666666")}
    assert "expected (90, 160), as calibrated" in reasons["1630490000033333333"]


def make_video(raw, *, count=5, times=5):
    """A recording as published: frame i is grey 40 * i, and every second one has depth of 1 + i metres."""
    write_toolkit(raw, SIZE, INTRINSICS, np.eye(4))
    folder = raw / "SmartPortraits" / "hall" / "noon"
    for part in ("_azure_depth_image_raw", "smartphone_video_frames"):
        (folder / part).mkdir(parents=True)
    with av.open(str(folder / "smartphone_video_frames" / "noon.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = SIZE[1], SIZE[0], "yuv420p"
        for number in range(count):
            grey = np.full((*SIZE, 3), 40 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
    lines = [str(1000 + 100 * number) for number in range(times)]
    (folder / "smartphone_video_frames" / "noon_aligned_timestamps.csv").write_text("\n".join(lines) + "\n")
    for number in (1, 3):
        np.save(folder / "_azure_depth_image_raw" / f"{1000 + 100 * number + 7}.npy", np.full(SIZE, 1.0 + number))
    return folder


def test_videos_are_decoded(tmp_path):
    make_video(tmp_path / "raw")
    report = run(CONVERTER, tmp_path / "raw", tmp_path / "out")
    assert report.complete, str(report)
    dataset = SmartPortraits(tmp_path / "out", num_views=2, sizes=[(30, 40)], split=ALL)
    (scene,) = dataset.scenes
    assert list(scene.frames) == ["hall_noon/1100", "hall_noon/1300"]
    for position, number in enumerate((1, 3)):
        frame = dataset.read(scene, position)
        assert (frame.depth == 1 + number).all() and abs(frame.rgb.mean() - 40 * number) < 4
        assert read_npz(dataset.file("camera", scene, position), "intrinsics")[0].tolist() == INTRINSICS.tolist()


@pytest.mark.parametrize("spoil", ["fewer times", "no times", "later before"])
def test_times_that_are_not_those_of_the_video_are_refused(tmp_path, spoil):
    folder = make_video(tmp_path / "raw", times=4 if spoil == "fewer times" else 5)
    path = folder / "smartphone_video_frames" / "noon_aligned_timestamps.csv"
    if spoil == "no times":
        path.unlink()
    if spoil == "later before":
        path.write_text("1000\n1200\n1100\n1300\n1400\n")
    (failed,) = run(CONVERTER, tmp_path / "raw", tmp_path / "out").failures
    reasons = {"fewer times": "5 frames and 4 times", "no times": "1 videos and 0 files", "later before": "line 3"}
    assert reasons[spoil] in failed.reason


def test_what_the_official_toolkit_has_converted_is_read(tmp_path):
    raw, folder = tmp_path / "raw", tmp_path / "raw" / "007"
    write_toolkit(raw, SIZE, INTRINSICS, np.eye(4))
    for time in (100, 200):
        save_image(folder / "rgb" / f"{time}.png", np.full((*SIZE, 3), time, np.uint8))
    for time in (101, 201, 203):
        save_image(folder / "depth" / f"{time}.png", np.full(SIZE, 50 * time, np.uint16))
    lines = ["100 rgb/100.png 101 depth/101.png", "200 rgb/200.png 203 depth/203.png"]
    lines += ["200 rgb/200.png 201 depth/201.png"]
    (folder / "association.txt").write_text("\n".join(lines) + "\n")
    report = run(CONVERTER, raw, tmp_path / "out")
    assert report.complete, str(report)
    dataset = SmartPortraits(tmp_path / "out", num_views=2, sizes=[(30, 40)])
    depths = [dataset.read(dataset.scenes[0], position).depth for position in (0, 1)]
    np.testing.assert_allclose([depth.mean() for depth in depths], [1.01, 2.01], rtol=1e-6)
    (folder / "association.txt").write_text("100 rgb/100.png\n")
    (failed,) = run(CONVERTER, raw, tmp_path / "other").failures
    assert r"association.txt, line 1" in failed.reason
