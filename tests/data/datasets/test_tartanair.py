import numpy as np
import pytest

from cut3r.data.datasets.tartanair import TartanAir
from datasets_preprocess.runner import run
from datasets_preprocess.tartanair import CONVERTER
from tests.data.datasets.raw_fixtures import center_tartanair, make_tartanair

GOLDEN_POSE = [
    [-0.516417, 0.430945, 0.74, 1],
    [0.8, -0.065472, 0.596417, 2],
    [0.305472, 0.9, -0.310945, 3],
    [0, 0, 0, 1],
]


@pytest.fixture(scope="module", params=[False, True], ids=["default", "parity"])
def processed(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("tartanair")
    make_tartanair(root / "raw")
    run(CONVERTER, root / "raw", root / "out", parity=request.param)
    return root / "out", request.param


def test_the_converter_gives_the_recorded_cameras_and_files(processed):
    out, parity = processed
    with np.load(out / "abandoned" / "Easy" / "P000" / "000000_cam.npz") as camera:
        np.testing.assert_allclose(camera["camera_pose"], GOLDEN_POSE, atol=1e-6)
        assert camera["camera_intrinsics"].tolist() == [[320, 0, 320], [0, 320, 240], [0, 0, 1]]
        assert camera["camera_pose"].dtype == camera["camera_intrinsics"].dtype == np.float32
    names = {path.name for path in (out / "abandoned" / "Hard" / "P000").iterdir()}
    kinds = ["rgb.png", "depth.npy", "cam.npz"]
    expected = {f"{i:06d}_{kind}" for i in range(6) for kind in kinds}
    flow = {f"{i:06d}_{kind}.npy" for i in range(5) for kind in ("flow", "mask")}
    assert names == expected | (flow if parity else set())


def test_the_reader_finds_what_the_converter_wrote(processed):
    out, parity = processed
    center_tartanair(out)
    dataset = TartanAir(out, num_views=4, sizes=[(32, 48)], parity=parity)
    assert len(dataset) == 6, "three starts in each of two trajectories"
    assert [scene.name for scene in dataset.scenes] == ["abandoned/Easy/P000", "abandoned/Hard/P000"]
    frame = dataset.read(dataset.scenes[0], 1)
    assert (frame.depth[:5] == -1).all(), "sky"
    assert frame.world_from_cam[0, 3] == pytest.approx(1.1)
    known = frame.depth[5:]
    assert (known == 0).mean() == pytest.approx(0.02 if parity else 0.0, abs=0.002)
    views = dataset[0]
    assert [view.label for view in views] == [f"TartanAir/abandoned/Easy/P000/{i:06d}" for i in range(4)]
    assert views[0].metric and views[0].valid.any() and views[0].sky.any()


def test_one_of_the_two_modes_is_enough(tmp_path):
    # 11_tartanair.md quirk 4: the original demands both
    make_tartanair(tmp_path / "raw", environment="office")
    for path in sorted((tmp_path / "raw" / "office" / "Hard").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    run(CONVERTER, tmp_path / "raw", tmp_path / "out")
    scenes = TartanAir(tmp_path / "out", num_views=4, sizes=[(32, 48)]).scenes
    assert [scene.name for scene in scenes] == ["office/Easy/P000"]


def test_values_that_are_not_numbers_become_unknown(tmp_path):
    make_tartanair(tmp_path / "raw")
    path = tmp_path / "raw" / "abandoned" / "Easy" / "P000" / "depth_left" / "000000_left_depth.npy"
    depth = np.load(path)
    depth[10, :2] = np.nan, np.inf
    np.save(path, depth)
    run(CONVERTER, tmp_path / "raw", tmp_path / "out")
    dataset = TartanAir(tmp_path / "out", num_views=4, sizes=[(32, 48)])
    assert dataset.read(dataset.scenes[0], 0).depth[10, :2].tolist() == [0, -1]
