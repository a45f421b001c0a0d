"""Training samples of one's own recordings, and what is refused before a training begins."""

import numpy as np
import pytest
from PIL import Image

from cut3r.data.datasets import DATASETS
from cut3r.data.datasets.rgbd_folder import RgbdConfig, RgbdFolder
from cut3r.model.config import ModelConfig
from cut3r.training.data_config import DataConfig, PathsConfig
from cut3r.training.feed import DataFeed
from tests.data.datasets.recordings import write_recording


def open_folder(root, **options):
    return RgbdFolder(root, **{"num_views": 2, "sizes": [(32, 48)], **options})


@pytest.mark.parametrize("layout", ["sevenscenes", "matrices", "tum", "kitti"])
def test_a_sample_has_depth_in_metres_and_cameras_as_recorded(tmp_path, layout):
    write_recording(tmp_path / "room", layout, frames=2)
    first, second = open_folder(tmp_path)[0]
    assert (first.label, second.label) == tuple(
        f"RgbdFolder/room/{'frame-' if layout == 'sevenscenes' else ''}00000{number}" for number in range(2)
    )
    assert float(second.depth.median()) == pytest.approx(1.1)
    assert float(second.world_from_cam[0, 3]) == pytest.approx(0.1)
    assert bool(first.metric) and bool(first.valid.all())


def test_splits_are_folders(tmp_path):
    write_recording(tmp_path / "train/a", "kitti", frames=3)
    write_recording(tmp_path / "test/b", "kitti", frames=4)
    scenes = {split: [scene.name for scene in open_folder(tmp_path, split=split).scenes] for split in ("train", "test")}
    assert scenes == {"train": ["a"], "test": ["b"]}
    with pytest.raises(FileNotFoundError, match="no recording in"):
        open_folder(tmp_path)


def test_settings_say_what_the_files_do_not(tmp_path):
    write_recording(tmp_path / "room", "kitti", frames=2)
    (tmp_path / "room/intrinsics.txt").unlink()
    config = RgbdConfig(depth_per_metre=500.0, intrinsics=[50.0, 50.0, 31.5, 23.5])
    assert float(open_folder(tmp_path, config=config)[0][0].depth.median()) == pytest.approx(2.0)


def test_the_feed_hands_the_settings_on(tmp_path):
    write_recording(tmp_path / "room", "kitti", frames=2)
    config = DataConfig(samples={"rgbd_folder": 2}, sizes=[[32, 48]], num_views=2)
    config.loader.batch_size, config.loader.num_workers = 2, 0
    config.rgbd = RgbdConfig(depth_per_metre=500.0)
    feed = DataFeed(config, PathsConfig(folders={"rgbd_folder": tmp_path}), ModelConfig())
    (views,) = feed.batches(0, 0)
    assert DATASETS["rgbd_folder"] is RgbdFolder
    assert sorted(views[0].depth.amax(dim=(1, 2)).tolist()) == pytest.approx([2.0, 2.0])


def without_intrinsics(room):
    (room / "intrinsics.txt").unlink()


def turned_depth(room):
    Image.fromarray(np.ones((64, 48), np.uint16)).save(room / "depth/000000.png")


def picture_of_depth(room):
    Image.new("RGB", (64, 48)).save(room / "depth/000000.png")


def scaled_pose(room):
    np.savetxt(room / "pose/000000.txt", 2 * np.eye(4))


def unknown_poses(room):
    for number in range(2):
        np.savetxt(room / f"pose/{number:06d}.txt", np.full((4, 4), -np.inf))


def other_camera(room):
    (room / "intrinsics.txt").write_text("600 600 320 240")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (without_intrinsics, r"room has no intrinsics\.txt; .*data\.rgbd\.intrinsics"),
        (turned_depth, r"depth/000000\.png has 48x64 pixels for a picture of 64x48.*register it"),
        (picture_of_depth, "expected a 16-bit grey PNG"),
        (scaled_pose, r"000000\.txt is no rotation and translation"),
        (unknown_poses, "has no camera that is finite"),
        (other_camera, r"room: the principal point \(320, 240\)"),
    ],
)
def test_what_is_wrong_with_a_recording_shows_at_once(tmp_path, spoil, reason):
    write_recording(tmp_path / "room", "matrices", frames=2)
    spoil(tmp_path / "room")
    with pytest.raises(ValueError, match=reason):
        open_folder(tmp_path)


def test_a_frame_with_unknown_camera_is_replaced(tmp_path, caplog):
    write_recording(tmp_path / "room", "matrices", frames=3)
    np.savetxt(tmp_path / "room/pose/000000.txt", np.full((4, 4), np.nan))
    names = {view.label for view in open_folder(tmp_path)[0]}
    assert names == {"RgbdFolder/room/000001", "RgbdFolder/room/000002"}
    assert "a neighbour takes its place" in caplog.text


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"depth_per_metre": 0.0}, "depth_per_metre 0"), ({"intrinsics": [1.0, 1.0]}, r"must be \[fx, fy, cx, cy\]")],
)
def test_impossible_settings_are_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        RgbdConfig(**options)
