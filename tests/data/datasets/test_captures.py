"""The law for one's own recordings: a walk, exported as apps and programs do, comes back."""

from types import SimpleNamespace

import numpy as np
import pytest

from cut3r.data.datasets.rgbd_folder import RgbdConfig, RgbdFolder
from cut3r.data.recording import open_recording
from tests.data.datasets import exports
from tests.data.datasets.raw_walks import render_walk
from tests.data.datasets.test_law import check_camera_frame, check_poses

SIZE = (96, 128)
K = np.array([[100.0, 0, 62.0], [0, 100.0, 49.5], [0, 0, 1]])
PHONES = ("colmap_unscaled", "record3d", "record3d_exr", "polycam", "polycam_corrected", "scanner_app")


@pytest.fixture(scope="module")
def walk():
    return render_walk(SIZE, K, frames=3)


def open_folder(folder, **config):
    return RgbdFolder(folder, config=RgbdConfig(**config), num_views=2, sizes=[(32, 48)])


@pytest.mark.parametrize("form", exports.FORMS)
def test_a_walk_comes_back(form, walk, tmp_path):
    exports.FORMS[form](tmp_path / "room", walk)
    dataset = open_folder(tmp_path)
    (scene,) = dataset.scenes
    assert len(scene.frames) == len(walk)
    read = [dataset.read(scene, position) for position in range(len(walk))]
    scale = exports.SCALE if form == "colmap_dense" else 1.0
    # of coarse or resampled depth, a pixel is compared with its neighbours
    rules = SimpleNamespace(DEPTH=0.02 if form in PHONES else 0.004)
    for frame, true in zip(read, walk, strict=True):
        check_camera_frame(frame, true, scale, rules, camera_only=False)
    # coarse depth tells the unit to 1 %, its median error; the walk is a few centimetres long
    check_poses(read, walk, scale, 2e-3 if form == "colmap_unscaled" else 1e-4)
    metric = [bool(view.metric) for view in dataset[0]]
    assert metric == [form != "colmap_dense"] * 2


def test_coarse_depth_lies_where_the_picture_shows_it(walk, tmp_path):
    """An error of a phone's depth pixel, 4 pixels of the picture, would show in the mean."""
    exports.scanner_app(tmp_path / "room", walk)
    dataset = open_folder(tmp_path, least_confidence=0)
    depth = dataset.read(dataset.scenes[0], 0).depth
    edges = np.abs(np.diff(walk[0].depth, axis=1)).max(axis=1) > 0.3
    assert edges.any()
    shifted = {by: np.abs(np.roll(depth, by, axis=1) - walk[0].depth)[:, 8:-8].mean() for by in (-3, 0, 3)}
    assert shifted[0] == min(shifted.values())


@pytest.mark.parametrize("form", ["record3d", "polycam", "scanner_app"])
@pytest.mark.parametrize(("least", "share"), [(0, 1.0), (1, 7 / 8), (2, 1 / 2)])
def test_depth_that_a_phone_is_not_sure_of_is_unknown(form, least, share, walk, tmp_path):
    exports.FORMS[form](tmp_path / "room", walk[:2])
    dataset = open_folder(tmp_path, least_confidence=least)
    known = dataset.read(dataset.scenes[0], 0).depth > 0
    assert known.mean() == pytest.approx(share)
    assert known[:, : round(share * SIZE[1])].all()


@pytest.mark.parametrize(("setting", "metric"), [(True, True), (False, False)])
def test_the_settings_know_better_whether_a_model_is_in_metres(setting, metric, walk, tmp_path):
    exports.colmap_dense(tmp_path / "room", walk[:2])
    assert bool(open_folder(tmp_path, metric=setting)[0][0].metric) is metric


def unit_of(dataset, walk):
    (scene,) = dataset.scenes
    first, last = (dataset.read(scene, position).world_from_cam[:3, 3] for position in (0, 2))
    return np.linalg.norm(last - first) / np.linalg.norm(walk[2].world_from_cam[:3, 3] - walk[0].world_from_cam[:3, 3])


@pytest.mark.parametrize(("metric", "unit"), [(None, 1.0), (True, exports.SCALE), (False, exports.SCALE)])
def test_a_sensor_tells_the_unit_of_a_model_unless_the_settings_do(metric, unit, walk, tmp_path):
    exports.colmap_unscaled(tmp_path / "room", walk)
    assert unit_of(open_folder(tmp_path, metric=metric), walk) == pytest.approx(unit, rel=0.01)


def test_a_model_without_points_is_taken_for_metric_with_a_warning(walk, tmp_path, caplog):
    exports.colmap_unscaled(tmp_path / "room", walk)
    (tmp_path / "room/sparse/0/points3D.txt").unlink()
    assert unit_of(open_folder(tmp_path), walk) == pytest.approx(exports.SCALE, rel=1e-4)
    assert "too few points have depth to tell its unit" in caplog.text


def test_depth_that_does_not_lie_on_the_pictures_is_refused(walk, tmp_path):
    exports.colmap_unscaled(tmp_path / "room", walk)
    for path in (tmp_path / "room/depth").iterdir():
        noise = np.random.default_rng(0).uniform(0.3, 6, (SIZE[0] // 4, SIZE[1] // 4))
        exports.millimetres(noise).save(path)
    with pytest.raises(ValueError, match=r"sparse/0: only \d+% of 120 points have the same depth"):
        open_folder(tmp_path)


def test_frames_that_lack_a_file_are_left_out_and_counted(walk, tmp_path, caplog):
    exports.polycam(tmp_path / "room", walk)
    (tmp_path / "room/keyframes/depth/1000333.png").unlink()
    assert open_folder(tmp_path).scenes[0].frames == ("1000000", "1000666")
    assert "1 of 3 pictures left out: 1000333 has no depth map" in caplog.text


def test_poses_in_folders_go_before_an_export(walk, tmp_path):
    """Somebody who has put both there has corrected them."""
    exports.colmap_dense(tmp_path / "room", walk[:2])
    room = tmp_path / "room"
    for i in range(2):
        np.save(exports.make(room / f"depth/{i}.npy"), np.full(SIZE, 2, np.float32))
        np.savetxt(exports.make(room / f"pose/{i}.txt"), np.eye(4))
    np.savetxt(room / "intrinsics.txt", K)
    assert float(open_folder(tmp_path)[0][0].depth.max()) == 2


def test_cameras_whose_pictures_have_the_same_names_are_not_confused(walk, tmp_path):
    room = tmp_path / "room"
    exports.colmap(room, walk)
    model, depths = room / "sparse/0/images.bin", room / "depth"
    model.write_bytes(model.read_bytes().replace(b"cam1/2.png", b"cam1/0.png"))
    (room / "images/cam1/2.png").rename(room / "images/cam1/0.png")
    (depths / "cam1/2.npy").rename(depths / "cam1/0.npy")
    shots = open_recording(room).shots
    assert {name: str(shot.depth.path.relative_to(depths)) for name, shot in shots.items()} == {
        name: f"{name}.npy" for name in ("cam0/0", "cam0/1", "cam1/0")
    }
    (depths / "cam0/0.npy").rename(depths / "0.npy")
    (depths / "cam1/0.npy").unlink()
    with pytest.raises(ValueError, match=r"depth/0\.npy would be the depth of both cam0/0 and cam1/0"):
        open_recording(room)


def fisheye(room):
    replace(room / "transforms.json", '"OPENCV"', '"OPENCV_FISHEYE"')


def without_depth(room):
    (room / "depths").rename(room / "elsewhere")


def absurd(room):
    replace(room / "transforms.json", '"k1": 0', '"k1": 30')


def other_shape(room):
    exports.millimetres(np.ones((96, 96))).save(room / "depths/d0.png")


def zero_scale(room):
    replace(room / "transforms.json", "0.0002", "0")


def scaled(room):
    replace(room / "transforms.json", '"transform_matrix": [[', '"transform_matrix": [[7')


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (fisheye, r"0 frames .*has no lens that can be used: .*OPENCV_FISHEYE is no pinhole camera; undistort"),
        (without_depth, r"0 frames .*frame_00009\.png has no depth map"),
        (absurd, r"its distortion .* leaves no pinhole camera in a picture of 128x96; undistort"),
        (other_shape, r"d0\.png has 96x96 pixels for a picture of 128x96"),
        (zero_scale, "depth_unit_scale_factor is 0; expected metres per unit"),
        (scaled, "its pose is no rotation and translation"),
    ],
)
def test_what_is_wrong_with_an_export_shows_at_once(spoil, reason, walk, tmp_path):
    exports.nerfstudio(tmp_path / "room", walk[:2])
    spoil(tmp_path / "room")
    with pytest.raises(ValueError, match=reason):
        open_folder(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"bvx2rest", "needs the package pyliblzfse|cannot be read"),
        (b"bvx-\x08\0\0\0", "needs the package pyliblzfse|cannot be read"),
        (b"PNG", "does not begin as LZFSE does"),
        (exports.stored(b"\0" * 8), "has 2 numbers for 32x24 pixels"),
    ],
)
def test_depth_of_record3d_that_cannot_be_read_is_named(content, reason, walk, tmp_path):
    exports.record3d(tmp_path / "room", walk[:2])
    (tmp_path / "room/rgbd/0.depth").write_bytes(content)
    with pytest.raises(ValueError, match=rf"0\.depth .*({reason})"):
        open_folder(tmp_path)
