import json
import shutil

import numpy as np
import pytest

from cut3r.data.datasets.cop3d import Cop3d
from cut3r.io.images import read_image
from datasets_preprocess.cop3d import CONVERTER, Cop3dOptions
from datasets_preprocess.runner import run
from tests.data.datasets.recorded import load_views, unpack


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return unpack("cop3d", "raw", tmp_path_factory.mktemp("cop3d"))


@pytest.fixture(scope="module")
def out(raw, tmp_path_factory):
    out = tmp_path_factory.mktemp("cop3d_out")
    run(CONVERTER, raw, out)
    return out


def selection(out, split="train"):
    return json.loads((out / f"selected_seqs_{split}.json").read_text())


def test_by_default_all_frames_of_all_listed_sequences_of_good_quality_are_converted(out):
    # quirks 1 and 2: the original takes the training frames of the manyview lists
    numbers = {"100_1_2": [1, 2, 3, 4, 5, 6, 7], "102_5_6": [1, 3, 5, 7, 9, 11]}
    assert selection(out) == {"cat": numbers, "dog": {"100_1_2": numbers["100_1_2"]}}
    assert selection(out, "test") == {"cat": {}, "dog": {}}


def test_the_default_intrinsics_are_right(out):
    views = load_views("cop3d")
    for category in ("cat", "dog"):
        names = views[f"default/{category}_images"].tolist()
        right = dict(zip(names, views[f"default/{category}_intrinsics"], strict=True))
        sizes = dict(zip(names, views[f"default/{category}_sizes_wh"].tolist(), strict=True))
        pictures = sorted((out / category).rglob("*.jpg"))
        assert len(pictures) == (13 if category == "cat" else 7)
        for picture in pictures:
            name = picture.relative_to(out).as_posix()
            with np.load(picture.with_suffix(".npz")) as camera:
                assert set(camera.files) == {"camera_intrinsics", "camera_pose"}
                np.testing.assert_allclose(camera["camera_intrinsics"], right[name], rtol=1e-6)
            h, w = read_image(picture).shape[:2]
            assert [w, h] == sizes[name]


def test_the_sequences_can_be_limited_to_those_of_many_views(raw, tmp_path):
    copy = tmp_path / "raw"
    shutil.copytree(raw / "cat", copy / "cat")
    (copy / "cat" / "set_lists" / "set_lists_manyview_1.json").unlink()
    run(CONVERTER, copy, tmp_path / "out", options=Cop3dOptions(manyview_only=True))
    assert list(selection(tmp_path / "out")["cat"]) == ["102_5_6"]


def test_the_reader_gives_cameras_without_depth(out):
    dataset = Cop3d(out, num_views=6, sizes=[(32, 32)], allow_repeat=True)
    assert len(dataset) == 5 + 4 + 5
    views = dataset[0]
    assert all(view.camera_only and not view.metric and (view.depth == 1).all() for view in views)
    frames = [int(view.label[-6:]) for view in views]
    assert frames == sorted(frames), "always a video"


def test_short_sequences_are_used_when_frames_may_repeat(tmp_path, out):
    # quirk 3: the original replaces them even then
    for path in (out / "dog", out / "cat" / "100_1_2"):
        shutil.copytree(path, tmp_path / path.relative_to(out))
    (tmp_path / "selected_seqs_train.json").write_text(json.dumps({"cat": {"100_1_2": [1, 2, 3, 4, 5]}}))
    options = {"num_views": 6, "sizes": [(32, 32)], "allow_repeat": True}
    assert len(Cop3d(tmp_path, **options)[0]) == 6
    with pytest.raises(RuntimeError, match="samples in a row"):
        Cop3d(tmp_path, parity=True, **options)[0]


def test_a_frame_without_mask_is_left_out_by_name(raw, tmp_path):
    shutil.copytree(raw / "dog", tmp_path / "raw" / "dog")
    (tmp_path / "raw" / "dog" / "100_1_2" / "masks" / "frame000003.png").unlink()
    run(CONVERTER, tmp_path / "raw", tmp_path / "out")
    assert selection(tmp_path / "out")["dog"]["100_1_2"] == [1, 2, 4, 5, 6, 7]
