import numpy as np
import pytest

from cut3r.data.datasets.co3d import Co3d
from cut3r.data.datasets.mvs_synth import MvsSynth
from datasets_preprocess.mvs_synth import CONVERTER, read_camera
from datasets_preprocess.runner import run
from tests.data.datasets.one_scene import convert_scene
from tests.data.datasets.raw_walks import mvs_synth as raw_walk
from tests.data.datasets.recorded import load_views, unpack


@pytest.fixture
def raw(tmp_path):
    raw_walk.write(tmp_path / "raw")
    return tmp_path / "raw"


def test_the_default_flips_y_and_knows_no_sky(tmp_path):
    views, out = load_views("mvs_synth"), tmp_path / "out"
    assert run(CONVERTER, unpack("mvs_synth", "raw", tmp_path), out).complete
    dataset = MvsSynth(out, num_views=2, sizes=[(24, 40)])
    scene = dataset.scenes[0]
    for position in range(2):
        frame = dataset.read(scene, position)
        np.testing.assert_allclose(
            frame.world_from_cam, views[f"default/0000/{position:04d}_pose_with_y_flipped"], atol=1e-6
        )
    assert (out / "0000" / "rgb" / "0000.png").is_file()
    assert not list(out.rglob("*.jpg")), "pictures have the suffix of what they are"
    stored = np.load(out / "0000" / "depth" / "0000.npy")
    assert np.isfinite(stored).all() and stored.min() == 0
    frame = dataset.read(scene, 0)
    assert (frame.depth[0] == 0).all() and frame.depth.min() >= 0 and frame.depth.max() <= 1000


def test_only_the_original_forgets_what_is_far_and_has_sky(raw, tmp_path):
    convert_scene(CONVERTER, raw, tmp_path / "out", "0000")
    path = tmp_path / "out" / "0000" / "depth" / "0000.npy"
    depth = np.load(path)
    depth[:2, 0] = -1, 1001
    np.save(path, depth)
    known = {}
    for parity in (False, True):
        dataset = MvsSynth(tmp_path / "out", num_views=2, sizes=[(24, 40)], parity=parity)
        read = dataset.read(dataset.scenes[0], 0).depth
        assert (read[:2, 0] == (-1 if parity else 0, 0)).all()
        known[parity] = (read > 0).sum()
    assert known[False] == depth.size - 2 and known[True] < 0.985 * depth.size


def test_the_numbers_of_the_description(tmp_path):
    extrinsic = np.diag([1.0, -1, 1, 1])
    extrinsic[2, 3] = 1
    path = tmp_path / "0001.json"
    raw_walk.write_camera(path, np.array([[40, 0, 24], [0, 40, 13.5], [0, 0, 1]]), extrinsic)
    intrinsics, pose = read_camera(path, parity=True)
    assert pose.tolist() == [[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, -1], [0, 0, 0, 1]]
    assert intrinsics.tolist() == [[40, 0, 24], [0, 40, 13.5], [0, 0, 1]]
    _, pose = read_camera(path)
    assert pose.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -1], [0, 0, 0, 1]]


def test_a_right_handed_world_is_refused(tmp_path):
    raw_walk.write_camera(tmp_path / "a.json", np.eye(3), np.eye(4))
    with pytest.raises(ValueError, match=r"a\.json.*left-handed"):
        read_camera(tmp_path / "a.json")


@pytest.mark.parametrize("damaged", ["images/0001.png", "depths/0001.exr", "poses/0001.json"])
@pytest.mark.parametrize("missing", [True, False])
def test_a_frame_without_its_files_is_left_out_by_name(raw, tmp_path, damaged, missing):
    path = raw / "0000" / damaged
    path.unlink() if missing else path.write_bytes(path.read_bytes()[:90])
    frames, left_out = convert_scene(CONVERTER, raw, tmp_path / "out", "0000")
    assert frames == ["0000", "0002", "0003"]
    assert list(left_out) == ["0001"] and path.name in left_out["0001"]
    assert not list((tmp_path / "out").rglob("0001.*"))


def test_it_can_be_read_in_metres(raw, tmp_path):
    """A unit is about a tenth of a metre: 26_mvs_synth.md, section 6."""
    convert_scene(CONVERTER, raw, tmp_path / "out", "0000")
    read = {
        metric: MvsSynth(tmp_path / "out", num_views=2, sizes=[(24, 40)], metric=metric) for metric in (False, True)
    }
    frames = {metric: dataset.read(dataset.scenes[0], 3) for metric, dataset in read.items()}
    np.testing.assert_allclose(frames[True].depth, frames[False].depth / 10, rtol=1e-6)
    np.testing.assert_allclose(frames[True].world_from_cam[:3, 3], frames[False].world_from_cam[:3, 3] / 10)
    np.testing.assert_array_equal(frames[True].world_from_cam[:3, :3], frames[False].world_from_cam[:3, :3])
    assert [read[metric][0][0].metric for metric in (False, True)] == [False, True]


def test_no_unit_is_made_up(tmp_path):
    with pytest.raises(ValueError, match="Co3d_v2 has no known unit"):
        Co3d(tmp_path, num_views=2, sizes=[(24, 40)], metric=True)
