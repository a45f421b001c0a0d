import json
import shutil

import numpy as np
import pytest

from cut3r.data.agreement import Seen, agreeing_views
from cut3r.data.datasets.dl3dv import LAYOUT, Dl3dv
from cut3r.io.colmap_dense import read_dense_map, write_dense_map
from datasets_preprocess.dl3dv import CONVERTER, Dl3dvOptions, convert
from datasets_preprocess.geometry import prove
from datasets_preprocess.runner import LeftOut, RawScene, Writer, run
from tests.data.datasets.raw_fixtures import save_image, textured
from tests.data.datasets.raw_walks import dl3dv as walk
from tests.data.datasets.raw_walks import render_walk
from tests.data.datasets.raw_walks.mvimgnet import distorted
from tests.data.datasets.recorded import load_views, unpack

SCENE = f"1K/{'ab' * 32}"


@pytest.fixture
def processed(tmp_path):
    """Section 7 of the dataset's file: what the original's reader gets."""
    folder = tmp_path / SCENE / "dense"
    for number in range(1, 7):
        frame = f"frame_{number:05d}"
        save_image(folder / "rgb" / f"{frame}.png", textured(54, 96, number))
        depth = (2 + np.arange(54 * 96, dtype=np.float32) / 1000).reshape(54, 96)
        depth[20, 20], depth[20, 21] = np.nan, -3
        sky, outlier = np.zeros((2, 54, 96), np.uint8)
        sky[:10], outlier[8:13, 40:45] = 255, 255
        sky[10, 0], sky[10, 1] = 127, 126
        for name, mask in (("sky_mask", sky), ("outlier_mask", outlier)):
            save_image(folder / name / f"{frame}.png", mask)
        for name in ("cam", "depth"):
            (folder / name).mkdir(exist_ok=True)
        np.save(folder / "depth" / f"{frame}.npy", depth)
        pose = np.eye(4)
        pose[0, 3] = 0.1 * number
        np.savez(
            folder / "cam" / f"{frame}.npz", intrinsic=np.array([[80.0, 0, 48], [0, 80, 27], [0, 0, 1]]), pose=pose
        )
    return tmp_path


def read_first(root, **options):
    dataset = Dl3dv(root, num_views=4, sizes=[(30, 40)], **options)
    return dataset.read(dataset.scenes[0], 0)


def test_masks_and_what_is_no_depth(processed):
    for parity in (False, True):
        frame = read_first(processed, parity=parity)
        depth = frame.depth
        assert (depth[:8] == -1).all() and (depth[8:13, 40:45] == 0).all(), "outliers win over the sky"
        assert depth[10, 0] == -1 and depth[10, 1] > 0
        assert depth[20, 20] == 0 and depth[20, 21] == (-3 if parity else 0), "quirk 2"
        assert depth[53, 95] == 0 and depth[52, 0] > 0, "the farthest 2 %"
        assert frame.intrinsics[0, 2] == (48 if parity else 47.5), "quirk 4"
    assert len(Dl3dv(processed, num_views=4, sizes=[(30, 40)])) == 3


def test_depth_of_another_size_is_resized_and_a_nested_folder_is_found(processed):
    # quirk 3
    folder = processed / SCENE / "dense" / "depth"
    np.save(folder / "frame_00001.npy", np.full((27, 48), 2, np.float32))
    (folder / "depth").mkdir()
    (folder / "frame_00002.npy").rename(folder / "depth" / "frame_00002.npy")
    dataset = Dl3dv(processed, num_views=4, sizes=[(30, 40)])
    assert len(dataset.scenes[0].frames) == 6
    assert dataset.read(dataset.scenes[0], 0).depth.shape == (54, 96)
    assert dataset.read(dataset.scenes[0], 1).depth[30, 30] > 2


def test_frames_that_lack_a_file_and_folders_without_pictures_are_left_out_loudly(processed, caplog):
    (processed / SCENE / "dense" / "sky_mask" / "frame_00003.png").unlink()
    (processed / "1K" / "cd").mkdir()
    dataset = Dl3dv(processed, num_views=4, sizes=[(30, 40)])
    assert "frame_00003" not in dataset.scenes[0].frames and len(dataset.scenes[0].frames) == 5
    assert "1 of the 6 frames" in caplog.text and "1K/cd has no pictures" in caplog.text


def test_the_default_intrinsics_are_right(tmp_path):
    run(CONVERTER, unpack("dl3dv", "raw", tmp_path), tmp_path / "out")
    views = load_views("dl3dv")
    for name, right in zip(views["default/cameras"].tolist(), views["default/intrinsics"], strict=True):
        with np.load(tmp_path / "out" / name) as camera:
            np.testing.assert_allclose(camera["intrinsic"], right, rtol=1e-9)


def test_depth_that_other_views_contradict_is_masked(tmp_path):
    (name,) = walk.write(tmp_path / "raw")
    path = tmp_path / "raw" / name / "dense/stereo/depth_maps/frame_00002.png.geometric.bin"
    depth = read_dense_map(path).copy()
    depth[40:60, 60:90] *= 1.5
    write_dense_map(path, depth)
    writer = Writer(tmp_path / "out", LAYOUT)
    frames = convert(tmp_path / "raw", scene_of(tmp_path / "raw"), writer)
    assert len(frames) == 4
    dataset = Dl3dv(tmp_path / "out", num_views=2, sizes=[(30, 40)])
    known = dataset.read(dataset.scenes[0], 1).depth > 0
    assert known[40:60, 60:90].mean() < 0.05 and known[70:110, 20:140].mean() > 0.7


def test_agreement_needs_the_same_depth_in_the_same_place():
    intrinsics = np.array([[20.0, 0, 15.5], [0, 20, 11.5], [0, 0, 1]])
    wall, moved = np.full((24, 32), 4, np.float32), np.eye(4)
    moved[0, 3] = 1.0  # five pixels
    view = Seen(wall, intrinsics, np.eye(4))
    count = agreeing_views(view, [Seen(wall, intrinsics, moved), Seen(1.2 * wall, intrinsics, np.eye(4))], 0.05)
    assert (count[:, 5:] == 1).all() and not count[:, :5].any()


def scene_of(raw):
    return next(scene for scene in CONVERTER.scenes(raw) if isinstance(scene, RawScene))


def test_scenes_are_left_out_for_a_reason(tmp_path):
    raw = tmp_path / "raw"
    (name,) = walk.write(raw)
    (tmp_path / "list.txt").write_text(name.split("/")[1] + "\n")
    with pytest.raises(LeftOut, match=r"list\.txt lists it"):
        convert(raw, scene_of(raw), Writer(tmp_path, LAYOUT, options=Dl3dvOptions(exclude=tmp_path / "list.txt")))
    for path in (raw / name).rglob("*.geometric.bin"):
        write_dense_map(path, np.zeros((120, 160), np.float32))
    with pytest.raises(LeftOut, match="less than 5%"):
        convert(raw, scene_of(raw), Writer(tmp_path / "out", LAYOUT))


def write_package(raw, frames):
    """Pictures at a quarter of the size that the calibration is for."""
    folder, k = raw / SCENE, frames[0].intrinsics
    content = {"w": 640, "h": 480, "fl_x": 4 * k[0, 0], "fl_y": 4 * k[1, 1], "camera_model": "OPENCV"}
    content |= {"cx": 4 * (k[0, 2] + 0.5), "cy": 4 * (k[1, 2] + 0.5), "k1": 0.1, "k2": 0.0, "p1": 0.0, "p2": 0.0}
    content["frames"] = []
    for number, frame in enumerate(frames, start=1):
        file = f"frame_{number:05d}.png"
        save_image(folder / "images_4" / file, distorted(frame, 0.1))
        matrix = (frame.world_from_cam @ np.diag([1.0, -1, -1, 1])).tolist()  # OpenGL's axes
        content["frames"].append({"file_path": f"images/{file}", "transform_matrix": matrix})
    (folder / "transforms.json").write_text(json.dumps(content))
    return folder


def test_an_official_package_teaches_cameras_only(tmp_path):
    frames = render_walk((120, 160), frames=3)
    folder = write_package(tmp_path / "raw", frames)
    (folder / "images_4" / "frame_00002.png").unlink()
    writer = Writer(tmp_path / "out", LAYOUT)
    assert convert(tmp_path / "raw", scene_of(tmp_path / "raw"), writer) == ["frame_00001", "frame_00003"]
    assert list(writer.left_out) == ["frame_00002"]
    dataset = Dl3dv(tmp_path / "out", num_views=2, sizes=[(30, 40)])
    assert all(view.camera_only and (view.depth == 1).all() for view in dataset[0])
    assert prove(dataset, dataset.scenes).scenes[0].diagnosis is None, "made-up depth proves nothing"
    frame = dataset.read(dataset.scenes[0], 1)
    np.testing.assert_allclose(frame.world_from_cam, frames[2].world_from_cam, atol=1e-6)
    (right,) = render_walk((120, 160), frame.intrinsics, frames=1)
    there = dataset.read(dataset.scenes[0], 0).rgb.astype(int)
    assert np.median(np.abs(there - right.rgb)) <= 6


def test_a_frame_that_cannot_be_used_is_left_out_by_name(tmp_path):
    raw = tmp_path / "raw"
    (name,) = walk.write(raw)
    (raw / name / "dense/stereo/depth_maps/frame_00002.png.geometric.bin").write_bytes(b"160&120&1&")
    (raw / name / "dense/images/frame_00003.png").unlink()
    writer = Writer(tmp_path / "out", LAYOUT)
    assert convert(raw, scene_of(raw), writer) == ["frame_00001", "frame_00004"]
    assert set(writer.left_out) == {"frame_00002", "frame_00003"}
    assert "geometric.bin cannot be read" in writer.left_out["frame_00002"]


def test_published_parts_are_joined(processed, tmp_path):
    raw = tmp_path / "raw"
    for release, parts in (("images", ("rgb", "cam")), ("depths", ("depth", "sky_mask", "outlier_mask"))):
        for part in parts:
            shutil.copytree(processed / SCENE / "dense" / part, raw / release / SCENE / "dense" / part)
    (raw / "depths" / SCENE / "dense" / "depth" / "frame_00006.npy").unlink()
    (raw / "depths" / SCENE / "dense" / "sky_mask" / "frame_00005.png").write_bytes(b"no picture")
    report = run(CONVERTER, raw, tmp_path / "out")
    assert report.complete and (raw / "images" / SCENE).is_dir(), "the source stays"
    frame = read_first(tmp_path / "out")
    assert frame.intrinsics[0, 2] == 47.5
    dataset = Dl3dv(tmp_path / "out", num_views=4, sizes=[(30, 40)])
    assert list(dataset.scenes[0].frames) == [f"frame_{number:05d}" for number in range(1, 5)]
