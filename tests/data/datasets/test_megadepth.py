"""MegaDepth beyond its recording: the right values of the default, and our own sets."""

import numpy as np
import pytest

from cut3r.data.datasets.megadepth import MegaDepth, metric_map
from cut3r.io.colmap import ColmapCamera
from cut3r.io.hdf5 import read_hdf5
from datasets_preprocess.megadepth import CONVERTER, SETS, undistorted_intrinsics
from datasets_preprocess.runner import read_records, run
from tests.data.datasets.recorded import load_views, unpack


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("megadepth")


@pytest.fixture(scope="module")
def converted(folder):
    raw = unpack("megadepth", "raw", folder)
    report = run(CONVERTER, raw, folder / "out")
    assert report.complete, str(report)
    return folder / "out"


def test_ordinal_maps_are_no_depth(folder):
    raw, views = unpack("megadepth", "raw", folder), load_views("megadepth")
    files = zip(views["default/depth_files"], views["default/positive_pixels"], strict=True)
    for name, positive in files:
        depth = read_hdf5(raw / str(name), "depth").astype(np.float32)
        assert (metric_map(depth) > 0).sum() == positive, name


def test_photos_without_depth_are_left_out_by_name(converted):
    record = next(record for record in read_records(converted) if record.scene == "0001/0")
    assert record.done and "0001_3_o.jpg" not in record.frames, "it is 2.0 everywhere"
    assert len(record.frames) == 4


def test_published_sets_lose_what_cannot_be_used(converted):
    dataset = MegaDepth(converted, num_views=3, sizes=[(30, 40)], split="all")
    for scene in dataset.scenes:
        assert len(set(scene.frames)) == len(scene.frames)
        assert not any(frame.endswith(("_3_o.jpg", "_5_o.jpg")) for frame in scene.frames)
    for index in range(len(dataset)):
        views = dataset[index]
        assert all(view.valid.any() and not view.sky.any() for view in views)
        assert len({view.label for view in views}) == 3


def test_splits_are_by_scene(converted):
    names = {
        split: {scene.name for scene in MegaDepth(converted, num_views=3, sizes=[(30, 40)], split=split).scenes}
        for split in ("train", "val", "all")
    }
    assert names["val"] == {"0015/0"} and names["all"] == names["train"] | names["val"]


def test_without_the_published_sets_we_make_our_own(tmp_path):
    raw = unpack("megadepth", "raw", tmp_path)
    (raw / SETS).unlink()
    model = raw / "0015" / "sparse" / "manhattan" / "0" / "images.txt"
    lines = model.read_text().splitlines()
    everywhere = " ".join(f"1.5 2.5 {point}" for point in range(20))
    model.write_text("\n".join(everywhere if line.startswith("10.5") else line for line in lines) + "\n")
    report = run(CONVERTER, raw, tmp_path / "out")
    assert report.complete, str(report)
    dataset = MegaDepth(tmp_path / "out", num_views=3, sizes=[(30, 40)], split="all")
    assert {scene.name for scene in dataset.scenes} == {"0015/0"}, "the photos of the others share three points"
    assert set(dataset.scenes[0].frames) == {f"0015_{i}_o.{'JPG' if i == 2 else 'jpg'}" for i in (0, 1, 2, 4)}


def test_a_photo_without_depth_map_is_named(tmp_path):
    raw = unpack("megadepth", "raw", tmp_path)
    (raw / "0001" / "dense1" / "depths" / "0001_1_o.h5").unlink()
    run(CONVERTER, raw, tmp_path / "out")
    record = next(record for record in read_records(tmp_path / "out") if record.scene == "0001/1")
    assert record.frames == ("0001_0_o.jpg", "0001_2_o.JPG")


def test_the_undistorted_camera_is_the_recorded_one():
    parameters = {"f": 900.0, "cx": 500.0, "cy": 400.0, "k": -0.1}
    camera = ColmapCamera("SIMPLE_RADIAL", (800, 1000), parameters)
    found = undistorted_intrinsics(camera, (780, 980))
    np.testing.assert_allclose(found, [[860.573752, 0, 489.5], [0, 860.573752, 389.5], [0, 0, 1]], atol=2e-3)
    with pytest.raises(ValueError, match="camera model OPENCV; expected SIMPLE_RADIAL"):
        undistorted_intrinsics(ColmapCamera("OPENCV", (8, 8), {}), (8, 8))
