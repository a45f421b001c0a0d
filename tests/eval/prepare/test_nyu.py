"""NYU: both sources give the same pictures and depth."""

import io
import shutil
import tarfile

import h5py
import numpy as np
import pytest
import scipy.io

from cut3r.io.images import read_image
from eval.prepare.__main__ import main
from eval.sequences import open_set

NUMBERS = list(range(2, 2 + 2 * 654, 2))  # of the test pictures, from 1
ALL = NUMBERS[-1]


@pytest.fixture
def truth():
    rng = np.random.default_rng(3)
    return rng.integers(0, 256, (ALL, 3, 5, 3), dtype=np.uint8), rng.uniform(0.5, 9, (ALL, 3, 5)).astype(np.float32)


def write_labeled(raw, truth, *, modern_splits=False):
    raw.mkdir()
    rgb, depth = truth
    with h5py.File(raw / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"], file["depths"] = rgb.transpose(0, 3, 2, 1), depth.transpose(0, 2, 1)
    numbers = np.array(NUMBERS, np.uint16)[:, None]
    if modern_splits:
        with h5py.File(raw / "splits.mat", "w") as file:
            file["testNdxs"] = numbers.T.astype(np.float64)
    else:
        scipy.io.savemat(raw / "splits.mat", {"testNdxs": numbers, "trainNdxs": numbers - 1})


def write_shards(raw, truth, shards=2):
    raw.mkdir()
    for shard in range(shards):
        with tarfile.open(raw / f"val-{shard:06d}.tar", "w") as tar:
            for number in NUMBERS[shard::shards]:
                buffer = io.BytesIO()
                with h5py.File(buffer, "w") as file:
                    file["rgb"], file["depth"] = truth[0][number - 1].transpose(2, 0, 1), truth[1][number - 1]
                member = tarfile.TarInfo(f"val/official/{number:05d}.h5")
                member.size = buffer.getbuffer().nbytes
                buffer.seek(0)
                tar.addfile(member, buffer)


def assert_prepared(out, truth):
    (sequence,) = open_set("monodepth", "nyu", out)
    assert sequence.stems == tuple(f"{number:05d}" for number in NUMBERS)
    for i in (0, 300, 653):
        np.testing.assert_array_equal(read_image(sequence.images[i]), truth[0][NUMBERS[i] - 1])
        np.testing.assert_array_equal(sequence.read_depth(i), truth[1][NUMBERS[i] - 1])
        assert sequence.read_depth(i).dtype == np.float32


@pytest.mark.parametrize("modern_splits", [False, True])
def test_the_file_of_the_authors(tmp_path, truth, modern_splits):
    write_labeled(tmp_path / "raw", truth, modern_splits=modern_splits)
    assert main(["nyu", "--raw", str(tmp_path / "raw"), "--out", str(tmp_path)]) == 0
    assert_prepared(tmp_path, truth)


def test_the_shards_for_fastdepth_packed_and_unpacked(tmp_path, truth):
    write_shards(tmp_path / "raw", truth)
    assert main(["nyu", "--raw", str(tmp_path / "raw"), "--out", str(tmp_path)]) == 0
    assert_prepared(tmp_path, truth)
    for shard in sorted((tmp_path / "raw").iterdir()):
        shutil.unpack_archive(shard, tmp_path / "loose", filter="data")
    assert main(["nyu", "--raw", str(tmp_path / "loose"), "--out", str(tmp_path / "again")]) == 0
    assert_prepared(tmp_path / "again", truth)


def test_a_missing_shard_is_noticed(tmp_path, truth, caplog):
    caplog.set_level("INFO")
    write_shards(tmp_path / "raw", truth)
    (tmp_path / "raw/val-000001.tar").unlink()
    assert main(["nyu", "--raw", str(tmp_path / "raw"), "--out", str(tmp_path)]) == 1
    assert "gives 327 pictures; expected 654" in caplog.text and not (tmp_path / "nyu-v2/val/nyu_images").exists()


def test_a_download_without_splits_or_without_anything_is_refused(tmp_path, truth, caplog):
    caplog.set_level("INFO")
    write_labeled(tmp_path / "raw", truth)
    (tmp_path / "raw/splits.mat").unlink()
    assert main(["nyu", "--raw", str(tmp_path / "raw"), "--out", str(tmp_path)]) == 1
    assert "splits.mat is missing" in caplog.text
    (tmp_path / "empty").mkdir()
    assert main(["nyu", "--raw", str(tmp_path / "empty"), "--out", str(tmp_path)]) == 1
    assert "holds neither source" in caplog.text
