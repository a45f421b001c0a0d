import json

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from cut3r.data.dataset import NoScenesError, Request
from cut3r.data.datasets.co3d import Co3d
from cut3r.data.layout import read_png16
from datasets_preprocess.co3d import CATEGORIES, CONVERTER, choose_sequences, read_annotated_depth
from datasets_preprocess.co3d_annotations import camera
from datasets_preprocess.runner import run
from tests.data.datasets.raw_fixtures import make_co3d, save_image


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("co3d")
    make_co3d(root / "raw")
    for parity in (False, True):
        report = run(CONVERTER, root / "raw", root / str(parity), parity=parity)
        assert not report.failures
    return root


def load_camera(folders, parity, sequence, number):
    with np.load(folders / str(parity) / "apple" / sequence / "images" / f"frame{number:06d}.npz") as archive:
        return {name: archive[name] for name in archive.files}


def dataset(folders, parity=False, **options):
    return Co3d(folders / str(parity), **{"num_views": 4, "sizes": [(48, 64)], "parity": parity, **options})


def test_cameras_are_converted_from_pytorch3d_as_recorded():
    rotation = Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_matrix()
    viewpoint = {"R": rotation, "T": [0.1, 0.2, 3], "focal_length": [3.5, 3.6], "principal_point": [0.02, -0.01]}
    intrinsics, world_from_cam = camera(viewpoint, (1000, 800), parity=True)
    np.testing.assert_allclose(intrinsics, [[1400, 0, 392], [0, 1440, 504], [0, 0, 1]])
    np.testing.assert_allclose(np.linalg.inv(world_from_cam)[:3, 3], [-0.1, -0.2, 3], atol=1e-12)
    corrected, _ = camera(viewpoint, (1000, 800))
    np.testing.assert_allclose(corrected[:2, 2], [391.5, 503.5])  # quirk 4: half a pixel between two conventions


def test_depth_is_the_bits_of_half_precision_numbers(tmp_path):
    save_image(tmp_path / "depth.png", np.array([[15872, 16512, 0, 31744]], dtype=np.uint16))
    annotation = {"depth": {"path": "depth.png", "scale_adjustment": 1.0}}
    assert read_annotated_depth(tmp_path, annotation).tolist() == [[1.5, 2.25, 0, 0]], "infinity is no depth"
    annotation["depth"]["scale_adjustment"] = 2.0
    with pytest.raises(ValueError, match=r"depth scale of 2\.0"):
        read_annotated_depth(tmp_path, annotation)


def test_sequences_are_the_originals_choice(monkeypatch):
    names = [f"s{i:03d}" for i in range(60)]
    monkeypatch.setattr("datasets_preprocess.co3d.SEQUENCES_PER_CATEGORY", 5)
    chosen = choose_sequences(names, 43)
    assert chosen == ["s002", "s018", "s044", "s048", "s009"]
    assert choose_sequences(names[:4], 43) == names[:4]
    assert len(CATEGORIES) == 51 and CATEGORIES.index("backpack") == 1, "the position seeds the choice"


@pytest.mark.parametrize("parity", [False, True])
def test_the_selection_lists_good_sequences_of_the_right_set_list(folders, parity):
    train = json.loads((folders / str(parity) / "selected_seqs_train.json").read_text())
    assert train == {"apple": {"100_1_2": [1, 2, 3, 4, 5, 6], "102_5_6": [1, 3, 5, 7, 9, 11]}}
    assert json.loads((folders / str(parity) / "selected_seqs_test.json").read_text()) == {"apple": {}}


def test_parity_gives_the_recorded_files(folders):
    first = load_camera(folders, True, "100_1_2", 1)
    expected = [[734.102566, 0, 207.670513], [0, 755.076925, 266.219231], [0, 0, 1]]
    np.testing.assert_allclose(first["camera_intrinsics"], expected, atol=1e-5)
    pose = [
        [-0.813798, 0.440970, 0.378522, -1.128753],
        [-0.469846, -0.882564, 0.018028, -0.277582],
        [0.342020, -0.163176, 0.925417, -2.774683],
    ]
    np.testing.assert_allclose(first["camera_pose"][:3], pose, atol=2e-6)
    assert first["maximum_depth"] == 3.0
    folder = folders / "True" / "apple" / "100_1_2"
    with Image.open(folder / "images" / "frame000001.jpg") as image:
        assert image.size == (409, 524)
    codes = read_png16(folder / "depths" / "frame000001.jpg.geometric.png")
    assert codes[0, 0] == 0 and codes[0, 10] == 43690 and codes.max() == 65535

    second = load_camera(folders, True, "102_5_6", 1)["camera_intrinsics"]
    np.testing.assert_allclose(second[[0, 1], [0, 1]], [685.714287, 705.306124], atol=1e-5)
    np.testing.assert_allclose(second[:2, 2], [325.377551, 200.224490], atol=1e-5)
    assert load_camera(folders, True, "102_5_6", 7)["maximum_depth"] == 0


def test_by_default_outliers_do_not_coarsen_the_depth(folders):
    # quirk 6: one wild pixel would set the step of all others
    assert 2.99 < load_camera(folders, False, "100_1_2", 1)["maximum_depth"] < 3.0


def test_the_reader_gives_back_depth_and_object(folders):
    reader = dataset(folders)
    frame = reader.read(reader.scenes[0], 0)
    known = frame.depth[frame.depth > 0]
    assert known.min() == pytest.approx(2.0, abs=1e-4) and 2.99 < known.max() < 3.0
    assert 0.2 < frame.foreground.mean() < 0.3
    assert frame.foreground[0, 0], "100 of 255 is more than a tenth"
    empty = reader.read(reader.scenes[1], 3)
    assert not empty.depth.any()


def test_a_sample_never_holds_the_frame_without_depth(folders):
    reader = dataset(folders)
    assert len(reader) == 6
    for epoch in range(4):
        views = reader[Request(5, (48, 64), 4, epoch)]
        labels = [view.label for view in views]
        assert "Co3d_v2/apple/102_5_6/frame000007" not in labels
        assert len(set(labels)) == 4, "quirk 8: the replacement is a frame that the sample lacks"
        assert all(view.valid.any() and not view.metric for view in views)


def test_parity_turns_the_order_around(folders):
    views = dataset(folders, True)[2]  # three frames follow: all are taken, in order
    assert [int(view.label[-1]) for view in views] == [6, 5, 4, 3]
    assert [int(view.label[-1]) for view in dataset(folders)[2]] == [3, 4, 5, 6]


def test_a_split_without_sequences_is_an_error(folders):
    with pytest.raises(NoScenesError):
        dataset(folders, split="test")


def test_the_single_sequence_subset_is_recognised_by_its_set_lists(tmp_path):
    make_co3d(tmp_path)
    (tmp_path / "apple" / "set_lists" / "set_lists_fewview_train.json").unlink()
    assert [scene.name for scene in CONVERTER.scenes(tmp_path)] == ["train/apple/100_1_2", "test/apple/100_1_2"]
