import numpy as np
import pytest

from cut3r.data.datasets.pointodyssey import PointOdyssey
from datasets_preprocess.pointodyssey import CONVERTER, depth_from_codes
from datasets_preprocess.runner import run
from tests.data.datasets.one_scene import convert_scene
from tests.data.datasets.raw_walks import pointodyssey as raw_walk
from tests.data.datasets.recorded import unpack


@pytest.fixture
def raw(tmp_path):
    raw_walk.write(tmp_path / "raw")
    return tmp_path / "raw"


def test_the_largest_code_is_no_distance():
    codes = np.array([[0, 2, 65534, 65535]], np.uint16)
    np.testing.assert_allclose(depth_from_codes(codes), [[0, 2000 / 65535, 999.98474, 0]], rtol=1e-6)
    assert depth_from_codes(codes, parity=True)[0, 3] == 1000


def test_rotations_of_half_precision_become_exact(tmp_path):
    raw, out = unpack("pointodyssey", "raw", tmp_path), tmp_path / "out"
    assert run(CONVERTER, raw, out).complete
    annotations = np.load(raw / "val" / "kg" / "anno.npz")
    for number, extrinsic in enumerate(annotations["extrinsics"].astype(np.float64)):
        with np.load(out / "val" / "kg" / "cam" / f"{number:05d}.npz") as camera:
            pose = camera["pose"].astype(np.float64)
        assert np.abs(extrinsic[:3, :3] @ extrinsic[:3, :3].T - np.eye(3)).max() > 1e-5
        assert np.abs(pose[:3, :3] @ pose[:3, :3].T - np.eye(3)).max() < 1e-6
        np.testing.assert_allclose(extrinsic @ pose, np.eye(4), atol=2e-3)
    dataset = PointOdyssey(out, split="train", num_views=2, sizes=[(24, 40)])
    assert [scene.name for scene in dataset.scenes] == ["train/dancing", "train/girl", "train/kg_ego1"], "not zz"
    assert (dataset.read(dataset.scenes[0], 0).depth[0] == 0).all(), "sky"


@pytest.mark.parametrize("damaged", ["rgbs/rgb_00001.jpg", "depths/depth_00001.png"])
@pytest.mark.parametrize("missing", [True, False])
def test_a_frame_without_its_files_is_left_out_by_name(raw, tmp_path, damaged, missing):
    path = raw / "train" / "dancing" / damaged
    path.unlink() if missing else path.write_bytes(path.read_bytes()[:90])
    frames, left_out = convert_scene(CONVERTER, raw, tmp_path / "out", "train/dancing")
    assert frames == ["00000", "00002", "00003"]
    assert list(left_out) == ["00001"] and path.name in left_out["00001"]


def test_cameras_that_are_none_are_named(raw, tmp_path):
    folder = raw / "train" / "dancing"
    annotations = np.load(folder / "anno.npz")
    intrinsics, extrinsics = annotations["intrinsics"].copy(), annotations["extrinsics"].copy()
    extrinsics[1, 0, 3], extrinsics[2, :3, :3] = np.nan, 0
    raw_walk.write_cameras(folder, intrinsics, extrinsics)
    frames, left_out = convert_scene(CONVERTER, raw, tmp_path / "out", "train/dancing")
    assert frames == ["00000", "00003"] and list(left_out) == ["00001", "00002"]
    raw_walk.write_cameras(folder, intrinsics[:3], extrinsics[:3])
    with pytest.raises(ValueError, match="4 pictures up to number 3, 4 depth maps, 3 intrinsics"):
        convert_scene(CONVERTER, raw, tmp_path / "out", "train/dancing")


def test_release_1_0_is_refused(raw, tmp_path):
    folder = raw / "train" / "dancing"
    (folder / "anno.npz").rename(folder / "annotations.npz")
    report = run(CONVERTER, raw, tmp_path / "out")
    assert "release 1.0" in report.failures[0].reason
