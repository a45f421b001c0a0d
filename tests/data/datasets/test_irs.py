"""IRS beyond its recording: sequences anywhere in the tree, cameras, what is left out."""

import shutil

import numpy as np
import pytest

from cut3r.data.datasets.irs import Irs
from cut3r.data.layout import read_npz
from datasets_preprocess.irs import CONVERTER, depth_of, intrinsics_of
from datasets_preprocess.runner import Unlisted, Writer, run
from tests.data.datasets.left_out import left_out
from tests.data.datasets.recorded import unpack


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return unpack("irs", "raw", tmp_path_factory.mktemp("irs"))


def test_sequences_are_found_wherever_they_lie(raw, tmp_path):
    report = run(CONVERTER, raw, tmp_path)
    assert report.complete, str(report)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir() and path.name[0] != ".") == [
        "ArchA",
        "ArchB_Night",
        "Home_HomeA",
    ]
    dataset = Irs(tmp_path, num_views=4, sizes=[(30, 40)])
    assert list(dataset.scenes[0].frames)[-2:] == ["Home_HomeA/00001", "Home_HomeA/00002"]
    assert len(dataset) == 8
    for path in sorted(tmp_path.glob("*/cam/*.npz")):
        assert read_npz(path, "intrinsics")[0][:2, 2].tolist() == [(48 - 1) / 2, (36 - 1) / 2]
        depth = np.load(path.parents[1] / "depth" / f"{path.stem}.npy")
        assert np.isfinite(depth).all() and (depth == 0).any()


def test_disparity_of_another_size_is_named(raw, tmp_path):
    (reason,) = left_out(CONVERTER, raw, tmp_path, "ArchB_Night").items()
    assert reason[0] == "00003" and "expected the same size" in reason[1]


def test_parity_knows_one_level_of_folders_and_two_names(raw, tmp_path):
    for path in ("Store/x", "IRS_small/a/b", "IRS_small/c"):
        shutil.copytree(raw / "ArchA", tmp_path / "raw" / path)
    written = {}
    for scene in CONVERTER.scenes(tmp_path / "raw"):
        writer = Writer(tmp_path / "out", Irs.layout, parity=True)
        written[scene.name] = len(CONVERTER.convert(tmp_path / "raw", scene, writer)), len(writer.left_out)
    assert written == {"Store_x": (4, 0), "IRS_small_a_b": (4, 0), "IRS_small_c": (0, 4)}
    assert (tmp_path / "out" / "IRS_small" / "a" / "b" / "rgb" / "00001.png").is_file()


def test_two_folders_for_one_name_are_refused(raw, tmp_path):
    for path in ("Home/A", "Home_A"):
        shutil.copytree(raw / "ArchA", tmp_path / path)
    listed = list(CONVERTER.scenes(tmp_path))
    assert [type(each) for each in listed].count(Unlisted) == 1 and len(listed) == 2


def test_depth_of_disparity():
    depth = depth_of(np.array([[48.0, 0.24, 0.0, -1.0, np.nan]], np.float32))
    np.testing.assert_allclose(depth, [[1, 200, 0, 0, 0]], rtol=1e-6)


def test_the_camera_of_the_published_pictures():
    """23_irs.md: parity 480, 270."""
    assert intrinsics_of((540, 960)).tolist() == [[480, 0, 479.5], [0, 480, 269.5], [0, 0, 1]]
    assert intrinsics_of((540, 960), parity=True)[:2, 2].tolist() == [480, 270]
