"""UrbanSyn beyond its recording: the camera and its options, files with odd names, what is left out."""

import numpy as np
import pytest

from cut3r.data.datasets.urbansyn import UrbanSyn
from cut3r.data.layout import read_npz
from cut3r.data.transforms import Rescale
from cut3r.io.exr import write_exr
from datasets_preprocess.runner import run
from datasets_preprocess.urbansyn import CONVERTER, UrbanSynOptions, intrinsics_of
from tests.data.datasets.left_out import left_out
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.recorded import unpack

CAMERA = UrbanSynOptions(focal_mm=20, sensor_width_mm=32, sensor_height_mm=16)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return unpack("urbansyn", "raw", tmp_path_factory.mktemp("urbansyn"))


def test_principal_points_are_half_a_raw_pixel_from_the_original(raw, tmp_path):
    (tmp_path / "theirs").mkdir()
    theirs = unpack("urbansyn", "processed", tmp_path)
    out = tmp_path / "out"
    report = run(CONVERTER, raw, out)
    assert report.complete, str(report)
    scale = 480 / 24
    for path in sorted((theirs / "cam").iterdir()):
        (right,), (recorded,) = read_npz(out / "cam" / path.name, "intrinsics"), read_npz(path, "intrinsics")
        recorded[:2, 2] -= 0.5 * scale
        np.testing.assert_allclose(right, recorded, rtol=1e-5)


def test_the_measured_cameras():
    """34_urbansyn.md, section 4; the principal point is the only difference to the original."""
    scaling = Rescale.to_cover((1024, 2048), (480, 640))
    parity = scaling.intrinsics(intrinsics_of((1024, 2048), UrbanSynOptions(19.2, 32, 16), parity=True))
    assert scaling.new == (480, 960)
    np.testing.assert_allclose(parity, [[576, 0, 479.734], [0, 576, 239.734], [0, 0, 1]], atol=1e-3)
    right = scaling.intrinsics(intrinsics_of((1024, 2048), UrbanSynOptions(19.2, 32, 16)))
    np.testing.assert_allclose(right[:2, 2] - parity[:2, 2], UrbanSyn.card.corner_shift, atol=1e-6)


def test_raw_files_keep_their_names_and_missing_ones_are_named(raw, tmp_path):
    before = sorted(path.name for path in raw.rglob("*"))
    (reason,) = left_out(CONVERTER, raw, tmp_path).items()
    assert reason[0] == "0005" and "ss_0005.png" in reason[1]
    assert sorted(path.name for path in raw.rglob("*")) == before
    assert (tmp_path / "depth" / "rgb_0003.npy").is_file(), "its depth ends with .exr.1"


def test_a_damaged_depth_map_gives_way_to_the_one_with_the_odd_name(tmp_path):
    raw = unpack("urbansyn", "raw", tmp_path)
    usual = raw / "depth" / "depth_0001.exr"
    usual.with_name("depth_0001.exr.1").write_bytes(usual.read_bytes())
    usual.write_bytes(b"nothing")
    (raw / "depth" / "depth_0002.exr").write_bytes(b"nothing")
    assert set(left_out(CONVERTER, raw, tmp_path / "out")) == {"0002", "0005"}


def test_grey_classes_and_depth_in_three_channels_are_read(tmp_path):
    raw = unpack("urbansyn", "raw", tmp_path)
    h, w = 24, 48
    ids = np.full((h, w), 3, np.uint8)
    ids[:10] = 10
    save_image(raw / "ss" / "ss_0001.png", ids)
    write_exr(raw / "depth" / "depth_0001.exr", np.full((h, w, 3), 5e-5, np.float32))
    report = run(CONVERTER, raw, tmp_path / "out")
    assert report.complete, str(report)
    dataset = UrbanSyn(tmp_path / "out", num_views=4, sizes=[(32, 64)])
    depth = dataset.read(dataset.scenes[0], dataset.scenes[0].frames.index("rgb_0001")).depth
    assert (depth[:199] == -1).all() and np.allclose(depth[201:], 5)


def test_sky_is_marked_and_what_is_beyond_200_m_forgotten(raw, tmp_path):
    run(CONVERTER, raw, tmp_path)
    dataset = UrbanSyn(tmp_path, num_views=4, sizes=[(32, 64)])
    for position in range(6):
        depth = dataset.read(dataset.scenes[0], position).depth
        assert (depth < 0).any() and (depth == 0).any() and depth.max() <= 200.001


def test_without_the_camera_the_three_numbers_are_asked_for(tmp_path):
    raw = unpack("urbansyn", "raw", tmp_path)
    (raw / "camera_metadata.json").unlink()
    report = run(CONVERTER, raw, tmp_path / "out")
    assert "--focal-mm, --sensor-width-mm, --sensor-height-mm" in report.failures[0].reason
    assert run(CONVERTER, raw, tmp_path / "out", options=CAMERA, retry_failed=True).complete
    with pytest.raises(ValueError, match="all above 0, or none"):
        UrbanSynOptions(focal_mm=20)
