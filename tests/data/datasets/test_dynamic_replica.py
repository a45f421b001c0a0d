import gzip
import json

import numpy as np
import pytest

from cut3r.data.datasets.dynamic_replica import DynamicReplica
from datasets_preprocess.dynamic_replica import CONVERTER, DynamicReplicaOptions
from datasets_preprocess.runner import run
from tests.data.datasets.one_scene import convert_scene
from tests.data.datasets.raw_walks import dynamic_replica as raw_walk
from tests.data.datasets.recorded import unpack


@pytest.fixture
def raw(tmp_path):
    raw_walk.write(tmp_path / "raw")
    return tmp_path / "raw"


def test_only_what_is_read_is_written_with_centred_cameras_and_finite_depth(tmp_path):
    raw, theirs = unpack("dynamic_replica", "raw", tmp_path), unpack("dynamic_replica", "processed", tmp_path)
    out = tmp_path / "out"
    assert run(CONVERTER, raw, out).complete
    scene = out / "train" / "aaa-3_obj"
    assert [path.name for path in scene.iterdir()] == ["left"]
    assert sorted(path.name for path in (scene / "left").iterdir()) == ["cam", "depth", "rgb"]
    for path in (scene / "left" / "cam").iterdir():
        with np.load(path) as ours, np.load(theirs / path.relative_to(out)) as original:
            shift = original["intrinsics"] - ours["intrinsics"]
            np.testing.assert_allclose(shift, [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]], atol=1e-5)
            np.testing.assert_allclose(ours["pose"], original["pose"], atol=1e-6)
    depth = np.load(scene / "left" / "depth" / "0.03333333333333333.npy")
    assert (depth == 0).sum() == 4, "one was infinite, three no number"
    original = DynamicReplica(theirs, split="train", num_views=2, sizes=[(30, 40)])
    ours = DynamicReplica(out, split="train", num_views=2, sizes=[(30, 40)])
    for pair in zip(original.scenes, ours.scenes, strict=True):
        first, second = (dataset.read(scene, 0) for dataset, scene in zip((original, ours), pair, strict=True))
        np.testing.assert_allclose(first.intrinsics, second.intrinsics, atol=1e-5, err_msg="data of the original")


def test_the_right_camera_and_flow_are_options(tmp_path):
    raw = unpack("dynamic_replica", "raw", tmp_path)
    options = DynamicReplicaOptions(right=True, flow=True)
    convert_scene(CONVERTER, raw, tmp_path / "out", "train/aaa-3_obj", options=options)
    scene = tmp_path / "out" / "train" / "aaa-3_obj"
    assert len(list((scene / "right" / "rgb").iterdir())) == 8
    assert [len(list((scene / "left" / kind).iterdir())) for kind in ("flow_forward", "flow_backward")] == [3, 3]


def test_frames_are_in_the_order_of_time_not_of_their_names(tmp_path):
    folder = tmp_path / "train" / "aaa" / "left" / "rgb"
    folder.mkdir(parents=True)
    for time in (10.0, 0.5, 9.966666666666667, 1e-05):
        (folder / f"{time}.png").touch()
    scene = DynamicReplica(tmp_path, split="train", num_views=2, sizes=[(30, 40)]).scenes[0]
    assert list(scene.frames) == ["1e-05", "0.5", "9.966666666666667", "10.0"]


@pytest.mark.parametrize(
    "kind", ["images/aaa-3_obj_source_left-0001.png", "depths/aaa-3_obj_source_left_0001.geometric.png"]
)
@pytest.mark.parametrize("damage", ["missing", "broken"])
def test_a_frame_without_its_files_is_left_out_by_name(raw, tmp_path, kind, damage):
    path = raw / "aaa-3_obj_source_left" / kind.format("aaa-3_obj_source_left")
    path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:60])
    frames, left_out = convert_scene(CONVERTER, raw, tmp_path / "out", "train/aaa-3_obj")
    assert len(frames) == 3
    assert list(left_out) == [f"left/{1 / 30}"] and path.name in left_out[f"left/{1 / 30}"]


def test_a_format_of_intrinsics_that_nobody_knows_is_named(raw, tmp_path):
    path = raw / "frame_annotations_train.jgz"
    with gzip.open(path, "rt") as file:
        records = json.load(file)
    records[2]["viewpoint"]["intrinsics_format"] = "pixels"
    raw_walk.write_records(path, records)
    frames, left_out = convert_scene(CONVERTER, raw, tmp_path / "out", "train/aaa-3_obj")
    assert len(frames) == 3 and "intrinsics_format 'pixels'" in left_out[f"left/{2 / 30}"]


def test_a_split_with_damaged_annotations_does_not_stop_the_others(raw, tmp_path):
    (raw / "valid").mkdir()
    (raw / "valid" / "frame_annotations_valid.jgz").write_bytes(b"broken")
    (raw / "test").mkdir()
    report = run(CONVERTER, raw, tmp_path / "out")
    assert report.converted == 1
    assert [part.name for part in report.unlisted] == ["valid", "test"]
    assert "frame_annotations_valid.jgz" in report.unlisted[0].reason
