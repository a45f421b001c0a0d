import numpy as np
import pytest

from cut3r.data.dataset import NoScenesError
from cut3r.data.datasets.mp3d import Matterport3d, both_ways
from cut3r.data.layout import read_npz
from datasets_preprocess.mp3d import CONVERTER, read_overlaps, read_scans
from datasets_preprocess.runner import RawScene, Writer, run
from tests.data.datasets.raw_walks.mp3d import HOUSE, write
from tests.data.datasets.recorded import load_views, unpack

LAYOUT = Matterport3d.layout


def opened(root, **options):
    return Matterport3d(root, **{"num_views": 3, "sizes": [(30, 40)], **options})


@pytest.mark.parametrize("parity", [None, False, True])
def test_the_principal_point_is_counted_from_the_top(tmp_path, parity):
    # of what the original wrote (None), and of what our converter writes
    root = unpack("mp3d", "processed", tmp_path)
    if parity is not None:
        root = tmp_path / "out"
        assert run(CONVERTER, unpack("mp3d", "raw", tmp_path), root, parity=parity).complete
    for house in ("h0aaa", "h1bbb"):
        scene = next(scene for scene in opened(root).scenes if scene.name == house)
        rows = [opened(root).read(scene, position).intrinsics[1, 2] for position in range(len(scene.frames))]
        expected = load_views("mp3d")[f"default/{house}/cy_from_the_top"]
        np.testing.assert_allclose(list(dict.fromkeys(np.round(rows, 5).tolist())), expected, rtol=1e-6)


def test_partners_are_found_both_ways_and_repeat_only_where_there_are_too_few(tmp_path):
    write(tmp_path / "raw")
    assert run(CONVERTER, tmp_path / "raw", tmp_path / "out").complete
    dataset = opened(tmp_path / "out", allow_repeat=True)
    assert len(dataset) == 3, "the table has each pair once"
    assert all(len({view.label for view in dataset[index]}) == 3 for index in range(3))
    assert all(len(view.label.split("/")) == 3 for view in dataset[0]), "dataset, house and picture"
    many = opened(tmp_path / "out", allow_repeat=True, num_views=6)
    assert len(many[0]) == 6
    with pytest.raises(NoScenesError):
        opened(tmp_path / "out", num_views=4)


def test_a_missing_picture_does_not_move_the_others_in_the_table(tmp_path):
    write(tmp_path / "raw")
    folder = tmp_path / "raw" / HOUSE / HOUSE
    (folder / "undistorted_color_images/pano_i0_0.jpg").unlink()
    table = folder / f"image_overlap_data/{HOUSE}_iis.txt"
    table.write_text("II 0 1 0.9 1 2 3 4\nII 1 2 0.4 1 2 3 4\n")
    writer = Writer(tmp_path / "out", LAYOUT)
    assert CONVERTER.convert(tmp_path / "raw", RawScene(HOUSE), writer) == ["000001", "000002"]
    assert "pano_i0_0.jpg" in writer.left_out["000000"]
    (scene,) = opened(tmp_path / "out", num_views=2).scenes
    assert [list(map(list, scene.graph.of(position))) for position in (0, 1)] == [
        [[1], pytest.approx([0.4])],
        [[0], pytest.approx([0.4])],
    ]


def test_a_picture_without_pose_or_intrinsics_is_left_out(tmp_path):
    write(tmp_path / "raw")
    path = tmp_path / "raw" / HOUSE / HOUSE / f"undistorted_camera_parameters/{HOUSE}.conf"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[4], lines[3], lines[5], " ".join(lines[6].split()[:9])]) + "\n")
    writer = Writer(tmp_path / "out", LAYOUT)
    assert CONVERTER.convert(tmp_path / "raw", RawScene(HOUSE), writer) == ["000001"]
    assert all("no intrinsics or no pose" in writer.left_out[frame] for frame in ("000000", "000002"))


def test_depth_is_metres_and_cameras_are_opencvs(tmp_path):
    frames = write(tmp_path / "raw")[HOUSE]
    assert run(CONVERTER, tmp_path / "raw", tmp_path / "out").complete
    pose, intrinsics = read_npz(LAYOUT.path(tmp_path / "out", "camera", HOUSE, "000002"), "pose", "intrinsics")
    np.testing.assert_allclose(pose, frames[2].world_from_cam, atol=1e-6)
    assert intrinsics.dtype == np.float32 and intrinsics[1, 2] == 55
    depth = np.load(LAYOUT.path(tmp_path / "out", "depth", HOUSE, "000002"))
    np.testing.assert_allclose(depth, frames[2].depth, atol=1.3e-4)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_overlaps, "II 0 1\n"),
        (read_overlaps, "II 0 x 0.5\n"),
        (read_scans, "intrinsics_matrix 1 0\n"),
        (read_scans, "scan\n"),
        (read_scans, "scan a.png b.jpg " + "x " * 16 + "\n"),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path, read, text):
    (tmp_path / "house.txt").write_text(text)
    with pytest.raises(ValueError, match=r"house\.txt cannot be read"):
        read(tmp_path / "house.txt")


def test_pairs_are_listed_once_in_either_order():
    rows = np.array([[0, 1, 0.5], [1, 0, 0.4], [0, 2, 0.3], [0, 2, 0.2]])
    assert both_ways(rows).tolist() == [[0, 1, 0.5], [0, 2, 0.3], [1, 0, 0.4], [2, 0, 0.3]]
