import numpy as np
import pytest
from PIL import Image

from cut3r.data.datasets.spring import Spring
from datasets_preprocess.runner import run
from datasets_preprocess.spring import CONVERTER, SpringOptions, depth_from_disparity
from tests.data.datasets.one_scene import convert_scene
from tests.data.datasets.raw_walks import spring as raw_walk
from tests.data.datasets.recorded import unpack


@pytest.fixture
def raw(tmp_path):
    raw_walk.write(tmp_path / "raw")
    return tmp_path / "raw"


def test_sky_is_marked_and_flow_is_not_written(tmp_path):
    raw = unpack("spring", "raw", tmp_path)
    report = run(CONVERTER, raw, tmp_path / "out", options=SpringOptions(target_height=27, target_width=48))
    assert [record.scene for record in report.failures] == ["0002"]
    assert "2 rows of intrinsics" in report.failures[0].reason
    assert sorted(path.name for path in (tmp_path / "out" / "0001").iterdir()) == ["cam", "depth", "rgb"]
    assert not (tmp_path / "out" / "0002").exists(), "the original leaves empty folders"
    dataset = Spring(tmp_path / "out", num_views=4, sizes=[(16, 16)])
    frame = dataset.read(dataset.scenes[0], 0)
    assert (frame.depth[:2] == -1).all() and (frame.depth[2:] >= 0).all()


def test_small_pictures_are_enlarged_with_their_intrinsics(tmp_path):
    # the numbers of 31_spring.md, section 7
    scene = tmp_path / "raw" / "0001"
    (scene / "cam_data").mkdir(parents=True)
    (scene / "frame_left").mkdir()
    (scene / "disp1_left").mkdir()
    Image.new("RGB", (96, 54)).save(scene / "frame_left" / "frame_left_0001.png")
    disparity = np.random.default_rng(0).uniform(1, 9, (54, 96))
    disparity[3:5], disparity[10, 10] = 0, np.nan
    raw_walk.write_disparity(scene, 1, disparity)
    (scene / "cam_data" / "intrinsics.txt").write_text("80 80 48 27\n")
    (scene / "cam_data" / "extrinsics.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1\n")
    frames, left_out = convert_scene(CONVERTER, tmp_path / "raw", tmp_path / "out", "0001")
    assert (frames, left_out) == (["0000"], {})
    with np.load(tmp_path / "out" / "0001" / "cam" / "0000.npz") as camera:
        assert camera["intrinsics"].tolist() == [[800, 0, 484.5], [0, 800, 274.5], [0, 0, 1]]
        assert camera["intrinsics"].dtype == camera["pose"].dtype == np.float32
    depth = np.load(tmp_path / "out" / "0001" / "depth" / "0000.npy")
    assert depth.shape == (540, 960) and 5 < depth.max() <= 5.2
    assert (depth[30:50] == 0).all() and (depth[100:110, 100:110] == 0).all() and (depth[50:100] > 0).all()


def test_no_disparity_is_no_depth():
    disparity = np.array([[2, 0, -1, np.nan, np.inf, 1e-45]], np.float32)
    assert depth_from_disparity(disparity, 100, 0.1).tolist() == [[5, 0, 0, 0, 0, 0]]
    assert depth_from_disparity(disparity, 100, 0.1, parity=True)[0, 2] == -10, "the original's would be sky"


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        ("disp1_left/disp1_left_0002.dsp5", "cannot be read"),
        ("frame_left/frame_left_0002.png", "frame_left_0002.png"),
        ("maps/skymap_left/skymap_left_0002.png", "cannot be read"),
    ],
)
def test_a_damaged_frame_is_left_out_by_name_and_the_others_keep_their_numbers(raw, tmp_path, damaged, reason):
    (raw / "0001" / damaged).write_bytes(b"broken")
    frames, left_out = convert_scene(CONVERTER, raw, tmp_path / "out", "0001", options=raw_walk.OPTIONS)
    assert frames == ["0000", "0002"]
    assert list(left_out) == ["0001"] and reason in left_out["0001"]
    assert not list((tmp_path / "out").rglob("0001.*"))


def test_a_pose_that_is_no_motion_is_left_out(raw, tmp_path):
    path = raw / "0001" / "cam_data" / "extrinsics.txt"
    rows = path.read_text().splitlines()
    rows[0], rows[2] = "2 0 0 0 0 2 0 0 0 0 2 0 0 0 0 1", rows[2].replace(rows[2].split()[0], "nan")
    path.write_text("\n".join(rows))
    frames, left_out = convert_scene(CONVERTER, raw, tmp_path / "out", "0001", options=raw_walk.OPTIONS)
    assert frames == ["0001"]
    assert "no rigid motion" in left_out["0000"] and "row 3 of extrinsics.txt" in left_out["0002"]


def test_flow_is_an_option(tmp_path):
    raw = unpack("spring", "raw", tmp_path)
    convert_scene(CONVERTER, raw, tmp_path / "out", "0001", options=SpringOptions(27, 48, flow=True))
    assert len(list((tmp_path / "out" / "0001" / "flow_forward").iterdir())) == 4


def test_parity_stops_where_the_original_does(tmp_path):
    raw = unpack("spring", "raw", tmp_path)
    path = raw / "0001" / "cam_data" / "extrinsics.txt"
    rows = path.read_text().splitlines()
    rows[2] = " ".join(["nan"] * 16)
    path.write_text("\n".join(rows))
    options = SpringOptions(target_height=27, target_width=48)
    for parity, expected in ((True, ["0000", "0001"]), (False, ["0000", "0001", "0003", "0004"])):
        out = tmp_path / f"out{parity}"
        frames, left_out = convert_scene(CONVERTER, raw, out, "0001", parity=parity, options=options)
        assert frames == expected and "row 3 of extrinsics.txt" in left_out["0002"]
