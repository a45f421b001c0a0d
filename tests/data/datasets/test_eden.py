"""EDEN beyond its recording: what cannot be used is left out by name, and depth has limits."""

import numpy as np
import pytest
from scipy.io import savemat

from cut3r.data.dataset import Request
from cut3r.data.datasets.eden import Eden
from datasets_preprocess.eden import CONVERTER
from datasets_preprocess.runner import run
from tests.data.datasets.left_out import left_out
from tests.data.datasets.recorded import case_of, open_parity, unpack


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("eden")


def test_missing_and_empty_files_are_left_out_by_name(folder):
    raw = unpack("eden", "raw", folder)
    assert "Depth/0001/sunset/0002_L.mat" in left_out(CONVERTER, raw, folder / "out", "0001_sunset")["0002"]
    assert "RGB/0016/twilight/0001_L.png" in left_out(CONVERTER, raw, folder / "out", "0016_twilight")["0001"]


def test_depth_ends_where_gardens_do(folder):
    raw = unpack("eden", "raw", folder)
    report = run(CONVERTER, raw, folder / "all")
    assert report.complete, str(report)
    dataset = Eden(folder / "all", num_views=4, sizes=[(30, 40)])
    (scene,) = dataset.scenes
    assert len(scene.frames) == 8 and {"0016_twilight/0002", "0001_sunset/0003"} <= set(scene.frames)
    for position in range(len(scene.frames)):
        depth = dataset.read(scene, position).depth
        assert depth.dtype == np.float32 and (depth == 0).any() and (depth >= 0).all() and (depth < 1000).all()


def test_depth_of_the_original_gets_the_same_limits(folder):
    dataset = Eden(unpack("eden", "processed", folder), num_views=4, sizes=[(30, 40)])
    (scene,) = dataset.scenes
    assert dataset.read(scene, 0).depth.max() < 1000


def test_unknown_weather_is_named(folder, caplog):
    names = {scene.name for scene in CONVERTER.scenes(unpack("eden", "raw", folder))}
    assert names == {"0001_clear", "0001_sunset", "0016_twilight"}
    assert "RGB/0016/fog is not converted" in caplog.text


@pytest.mark.parametrize(
    ("intrinsics", "reason"),
    [
        ([[-30, 0, 24], [0, 30, 18], [0, 0, 1]], "focal lengths above 0"),
        ([[30, 1, 24], [0, 30, 18], [0, 0, 1]], "skew"),
        ([[30, 0, 1], [0, 30, 18], [0, 0, 1]], "less than a fifth"),
    ],
)
def test_cameras_that_cannot_be_are_left_out(tmp_path, intrinsics, reason):
    raw = unpack("eden", "raw", tmp_path)
    savemat(raw / "cam_matrix" / "0001" / "clear" / "0003.mat", {"K_L": np.array(intrinsics, np.float64)})
    assert reason in left_out(CONVERTER, raw, tmp_path / "out", "0001_clear")["0003"]


def test_depth_without_further_channels_is_read(tmp_path):
    raw = unpack("eden", "raw", tmp_path)
    depth = np.full((36, 48), 7.0)
    depth[0, :4] = 1e300, -1, np.nan, 1001
    savemat(raw / "Depth" / "0001" / "clear" / "0003_L.mat", {"Depth": depth})
    assert not left_out(CONVERTER, raw, tmp_path / "out", "0001_clear")
    found = np.load(tmp_path / "out" / "0001_clear" / "depth" / "0003.npy")
    assert (found[0, :4] == 0).all() and (found[1:] == 7).all()


def test_parity_ends_when_too_few_pictures_are_left(tmp_path):
    out = unpack("eden", "processed", tmp_path)
    for number, path in enumerate(sorted(out.glob("*/rgb/*.png"))):
        if number > 2:
            path.write_bytes(b"")
    dataset = open_parity("eden", out, case_of("eden", "plain"))
    with pytest.raises(RuntimeError, match="samples in a row cannot be used"):
        dataset.compact(Request(0, dataset.sizes[0], 4))
