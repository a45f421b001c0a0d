import json

import numpy as np
import pytest

from cut3r.data.datasets.uasol import LAYOUT, Uasol
from datasets_preprocess.runner import LeftOut, RawScene, Writer, run
from datasets_preprocess.uasol import CONVERTER, convert, read_log
from tests.data.datasets.raw_walks import uasol as walk
from tests.data.datasets.recorded import load_views, unpack


@pytest.fixture
def raw(tmp_path):
    walk.write(tmp_path / "raw")
    return tmp_path / "raw"


def change_manifest(raw, change):
    path = raw / "Seq4" / "complete.json"
    content = json.loads(path.read_text())
    change(content["Data"])
    path.write_text(json.dumps(content))


def test_the_default_intrinsics_are_the_left_cameras(tmp_path):
    run(CONVERTER, unpack("uasol", "raw", tmp_path), tmp_path / "out")
    views = load_views("uasol")
    for sequence in ("Seq1", "Seq2"):
        with np.load(tmp_path / "out" / sequence / "cam" / "left_000000.npz") as camera:
            right = views[f"default/{sequence}/intrinsics_of_the_left_camera"]
            np.testing.assert_allclose(camera["intrinsics"], right, rtol=1e-6)


def test_the_right_cameras_numbers_do_not_count(raw):
    path = raw / "Seq4" / "log.txt"
    assert read_log(path)[0][0, 0] == pytest.approx(0.8 * 368)
    assert read_log(path, parity=True)[0][0, 0] == 9
    path.write_text(path.read_text().replace("alog x", "along x", 1))
    with pytest.raises(ValueError, match=r"log\.txt .*no line 'focal length in pixels alog x axis'"):
        read_log(path)


def test_frames_keep_the_order_of_the_manifest(raw, tmp_path):
    change_manifest(raw, lambda entries: entries.reverse())
    run(CONVERTER, raw, tmp_path / "out")
    dataset = Uasol(tmp_path / "out", num_views=3, sizes=[(36, 64)])
    assert list(dataset.scenes[0].frames) == ["left_11", "left_10", "left_9"]
    parity = Uasol(tmp_path / "out", num_views=3, sizes=[(36, 64)], parity=True)
    assert list(parity.scenes[0].frames) == ["left_9", "left_10", "left_11"]


def test_far_depth_is_forgotten(raw, tmp_path):
    run(CONVERTER, raw, tmp_path / "out")
    path = tmp_path / "out" / "Seq4" / "depth" / "left_9.npy"
    depth = np.load(path)
    assert depth.dtype == np.float32 and depth.shape == (480, 853)
    depth[0, :4] = 19.99, 20, np.inf, np.nan
    np.save(path, depth)
    dataset = Uasol(tmp_path / "out", num_views=3, sizes=[(36, 64)])
    assert dataset.read(dataset.scenes[0], 0).depth[0, :4].tolist() == [np.float32(19.99), 0, 0, 0]


def test_frames_that_cannot_be_used_are_left_out_by_name(raw, tmp_path):
    (raw / "Seq4" / "Images" / "depth_10.png").unlink()

    def lose_track(entries):
        entries[2]["m"] = np.zeros((4, 4)).tolist()

    change_manifest(raw, lose_track)
    writer = Writer(tmp_path / "out", LAYOUT)
    assert convert(raw, RawScene("Seq4"), writer) == ["left_9"]
    assert "depth_10.png" in writer.left_out["left_10"] and "rigid" in writer.left_out["left_11"]


def test_a_sequence_without_manifest_is_left_out(raw, tmp_path):
    (raw / "Seq4" / "complete.json").unlink()
    with pytest.raises(LeftOut, match=r"complete\.json"):
        convert(raw, RawScene("Seq4"), Writer(tmp_path / "out", LAYOUT))
