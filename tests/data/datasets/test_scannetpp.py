import numpy as np
import pytest

from cut3r.data.datasets.scannetpp import ScanNetpp
from cut3r.data.layout import read_png16
from cut3r.data.transforms import Rescale
from cut3r.io.colmap import read_images
from datasets_preprocess.mesh import render_depth
from datasets_preprocess.runner import RawScene, Writer, run
from datasets_preprocess.scannetpp import (
    CONVERTER,
    Camera,
    ScanNetppOptions,
    convert,
    read_cameras,
    renumber,
    scenes,
    undistortion,
    written_intrinsics,
)
from tests.data.datasets.raw_fixtures import SCANNETPP_SCENE, make_scannetpp

LAYOUT = ScanNetpp.layout
NAMES = [f"DSC{i:05d}" for i in range(6)] + [f"frame_{10 * i:06d}" for i in range(6)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("scannetpp")
    make_scannetpp(root / "raw")
    for parity in (False, True):
        writer = Writer(root / str(parity), LAYOUT, parity, ScanNetppOptions(1, 92))
        assert list(convert(root / "raw", RawScene(SCANNETPP_SCENE), writer)) == NAMES
    return root


def dataset(folders, parity=False, **options):
    return ScanNetpp(folders / str(parity), **{"num_views": 4, "sizes": [(48, 64)], "parity": parity, **options})


@pytest.mark.parametrize(
    ("camera", "golden", "written"),
    [
        (
            (True, (1168, 1752), (790, 791, 876.5, 583.5), (-0.03, -0.004, -0.002, 0.0005)),
            (624.080665, 624.870641, 876, 584),
            (368.677797, 369.144477, 517.5, 345),
        ),
        (
            (False, (1440, 1920), (1430, 1431, 961, 719), (0.05, -0.1, 0.001, -0.001)),
            (1402.340945, 1403.321603, 959.5, 719.5),
            (671.955050, 672.424949, 459.760417, 344.760417),
        ),
    ],
    ids=["dslr", "iphone"],
)
def test_undistorted_cameras_are_the_recorded_ones(camera, golden, written):
    fisheye, size, (fx, fy, cx, cy), distortion = camera
    intrinsics = np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1]])
    pinhole, _ = undistortion(Camera(fisheye, size, intrinsics, np.array(distortion)))
    np.testing.assert_allclose(pinhole[[0, 1, 0, 1], [0, 1, 2, 2]], golden, rtol=0, atol=2e-3)
    exact = np.array([[golden[0], 0, golden[2]], [0, golden[1], golden[3]], [0, 0, 1]])
    stored = written_intrinsics(exact, Rescale.to_cover(size, (690, 920)), parity=True)
    np.testing.assert_allclose(stored[[0, 1, 0, 1], [0, 1, 2, 2]], written, rtol=0, atol=2e-5)


def test_by_default_a_resized_camera_stays_in_one_convention():
    # quirk 1: the original mixes two conventions and is off by about half a pixel
    pinhole = np.array([[100.0, 0, 49.5], [0, 100.0, 49.5], [0, 0, 1]])
    half = written_intrinsics(pinhole, Rescale.to_cover((100, 100), (50, 50)), parity=False)
    np.testing.assert_allclose(half[:2, 2], 24.5, atol=1e-5)  # the centre stays the centre


@pytest.mark.parametrize("parity", [False, True])
def test_depth_is_the_distance_of_the_mesh_outside_the_masked_block(folders, parity):
    out = folders / str(parity) / SCANNETPP_SCENE
    for name in ("DSC00000", "frame_000000"):
        depth = read_png16(out / "depth" / f"{name}.png")
        assert depth.shape == (69, 92)
        assert set(np.unique(depth)) == {0, 3000}
        assert not depth[31:33, 45:47].any(), "the masked block, 4x4 pixels around (31.5, 21.5) before resizing"
        assert depth[5, 40] == depth[40, 20] == 3000 and not depth[:, 0].any()


def test_the_reader_finds_what_the_converter_wrote(folders):
    reader = dataset(folders)
    assert reader.scenes[0].frames == tuple(NAMES)
    for i in range(6):
        for name in (NAMES[i], NAMES[6 + i]):
            frame = reader.read(reader.scenes[0], NAMES.index(name))
            np.testing.assert_allclose(frame.world_from_cam[:3, 3], [0.1 * i, 0, 0], atol=1e-12)
            np.testing.assert_allclose(frame.world_from_cam[:3, :3], np.eye(3))
    assert frame.depth.max() == pytest.approx(3.0)


@pytest.mark.parametrize("parity", [False, True])
def test_groups_need_enough_partners_and_count_ten_times(folders, parity):
    reader = dataset(folders, parity)
    assert len(reader) == 90, "nine of twelve images have three partners"


def test_groups_are_ranked_by_score_and_walk_either_camera(folders):
    scene = dataset(folders).scenes[0]
    assert ScanNetpp.policy.members(scene, 2) == list(range(2, 12))
    assert ScanNetpp.policy.paths(scene, 2) == [list(range(6)), list(range(6, 12))]
    assert ScanNetpp.parity_policy.paths(scene, 2) == [list(range(6, 12))], "quirk 2: the other camera"
    assert ScanNetpp.parity_policy.paths(scene, 7) == [list(range(6))]


def test_parity_admits_small_groups_only_without_repeats(folders):
    # quirk 4: with repeats, four of twelve views are enough by default
    assert len(dataset(folders, num_views=12, allow_repeat=True)) == 90
    assert len(dataset(folders, True, num_views=12, allow_repeat=True)) == 10


def test_a_sample_is_metric_and_consistent(folders):
    for index in range(0, 90, 13):
        views = dataset(folders)[index]
        assert len(views) == 4 and all(view.metric for view in views)
        for view in views:
            torch_depth = view.points[..., 2][view.valid]
            assert torch_depth.numpy() == pytest.approx(3.0, abs=1e-5), "the wall is flat in the world"


def test_an_image_without_a_pose_is_left_out(tmp_path, caplog):
    # quirk 7: a KeyError in the original
    make_scannetpp(tmp_path / "raw")
    path = tmp_path / "raw" / "pairs" / SCANNETPP_SCENE / "selected_pairs.npz"
    with np.load(path) as archive:
        selection, pairs = archive["selection"].tolist(), archive["pairs"]
    np.savez(path, selection=["DSC99999", *selection[:3]], pairs=pairs[:3])
    writer = Writer(tmp_path / "out", LAYOUT, options=ScanNetppOptions(1, 92))
    assert convert(tmp_path / "raw", RawScene(SCANNETPP_SCENE), writer) == NAMES[:3]
    assert "DSC99999 is selected but has no pose" in caplog.text
    with np.load(tmp_path / "out" / SCANNETPP_SCENE / "new_scene_metadata.npz") as archive:
        assert archive["pairs"].shape == (0, 3), "all three pairs were with the missing image"


def test_a_scene_without_selection_says_where_to_get_it(tmp_path):
    make_scannetpp(tmp_path / "raw")
    (tmp_path / "raw" / "pairs" / SCANNETPP_SCENE / "selected_pairs.npz").unlink()
    report = run(CONVERTER, tmp_path / "raw", tmp_path / "out")
    assert "scannetpp_pairs.zip" in report.failures[0].reason


def test_pairs_follow_a_new_order():
    pairs = np.array([[0, 1, 0.5], [1, 2, 0.25]])
    assert renumber(pairs, ["a", "b", "c"], ["c", "b"]).tolist() == [[1, 0, 0.25]]


def test_scenes_are_the_folders_of_data(tmp_path):
    make_scannetpp(tmp_path)
    assert [scene.name for scene in scenes(tmp_path)] == [SCANNETPP_SCENE]


def test_an_unknown_camera_model_is_refused(tmp_path):
    (tmp_path / "cameras.txt").write_text("# comment\n1 SIMPLE_RADIAL 64 48 40 32 24 0\n")
    with pytest.raises(ValueError, match="camera model SIMPLE_RADIAL"):
        read_cameras(tmp_path / "cameras.txt")


def test_rendered_depth_is_that_of_the_nearest_triangle():
    intrinsics = np.array([[20.0, 0, 15.5], [0, 20.0, 15.5], [0, 0, 1]])
    wall = np.array([[-9.0, -9, 4], [9, -9, 4], [9, 9, 4], [-9, 9, 4]])
    plate = wall * [0.05, 0.05, 0.5]
    slope = np.array([[-9.0, -9, 1], [9, -9, 10], [0, 90, 5.5]])
    points = np.concatenate((wall, plate, slope))
    squares = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    depth = render_depth(points, squares, intrinsics, (32, 32))
    assert set(np.unique(depth)) == {2.0, 4.0}
    assert depth[16, 16] == 2.0 and (depth == 2.0).sum() == 10 * 10  # pixels 11 to 20, 4.5 on each side
    tilted = render_depth(points, np.array([[8, 9, 10]]), intrinsics, (32, 32))
    # z = 5.5 + x / 2 along the row through the middle, and x = z (u - 15.5) / 20
    u = np.arange(32)
    np.testing.assert_allclose(tilted[15], 5.5 / (1 - (u - 15.5) / 40), rtol=1e-5)
    assert not render_depth(points - [0, 0, 100.0], squares, intrinsics, (8, 8)).any(), "behind the camera"


def test_many_small_triangles_are_rendered_in_portions(monkeypatch):
    monkeypatch.setattr("datasets_preprocess.mesh._PIXELS_AT_ONCE", 50)
    intrinsics = np.array([[20.0, 0, 15.5], [0, 20.0, 15.5], [0, 0, 1]])
    x, y = np.meshgrid(np.linspace(-4, 4, 9), np.linspace(-4, 4, 9))
    points = np.stack((x, y, np.full_like(x, 3)), axis=-1).reshape(-1, 3)
    corner = (np.arange(8)[:, None] * 9 + np.arange(8)).ravel()
    faces = np.concatenate(
        [np.stack((corner, corner + 1, corner + 10), 1), np.stack((corner, corner + 10, corner + 9), 1)]
    )
    np.testing.assert_allclose(render_depth(points, faces, intrinsics, (32, 32)), 3.0)


@pytest.mark.parametrize("values", ["0 0 0 0 0 0 0", "nan 0 0 0 0 0 0", "1 0 0 0 -1.#IND 0 0", "1 0 0 0 x 0 0"])
def test_a_pose_that_is_no_rotation_is_refused_by_file_and_line(tmp_path, values):
    path = tmp_path / "images.txt"
    path.write_text(f"# images\n1 1 0 0 0 0 0 0 1 a.jpg\n\n2 {values} 1 b.jpg\n\n")
    with pytest.raises(ValueError, match=r"images\.txt, line 4: "):
        read_images(path)


@pytest.mark.parametrize("numbers", ["nan 40 32 24 0 0 0 0", "0 40 32 24 0 0 0 0", "40 40 x 24 0 0 0 0", "40"])
def test_a_camera_without_focal_length_is_refused_by_file_and_line(tmp_path, numbers):
    path = tmp_path / "cameras.txt"
    path.write_text(f"# cameras\n1 OPENCV 64 48 {numbers}\n")
    with pytest.raises(ValueError, match=r"cameras\.txt, line 2: "):
        read_cameras(path)
