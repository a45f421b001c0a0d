import numpy as np
import pytest

from cut3r.data.datasets.hypersim import Hypersim
from datasets_preprocess.hypersim import CONVERTER, metres_per_unit, tone_map
from datasets_preprocess.hypersim_cameras import HALF, scene_camera
from datasets_preprocess.runner import LeftOut, run
from tests.data.datasets.one_scene import convert_scene
from tests.data.datasets.raw_walks import hypersim as raw_walk
from tests.data.datasets.recorded import load_views, unpack

SCENE = "ai_001_001/cam_00"


@pytest.fixture
def raw(tmp_path):
    raw_walk.write(tmp_path / "raw")
    return tmp_path / "raw"


def test_the_default_has_the_right_cameras_and_depth(tmp_path):
    views, out = load_views("hypersim"), tmp_path / "out"
    report = run(CONVERTER, unpack("hypersim", "raw", tmp_path), out)
    assert not [record for record in report.failures if "LeftOut" not in record.reason]
    for scene, frame in (("ai_001_001", 0), ("ai_002_003", 1)):
        path = out / scene / "cam_00" / f"{frame:06d}"
        expected = views[f"default/{scene}/K_corner_convention"] - HALF
        expected[0, 1] = 0  # less than a pixel of skew is none
        with np.load(f"{path}_cam.npz") as camera:
            np.testing.assert_allclose(camera["intrinsics"], expected, rtol=1e-5)
            rotation = views[f"default/{scene}/cam_00_{frame:06d}_rotation"]
            np.testing.assert_allclose(camera["pose"][:3, :3], rotation, atol=1e-6)
        depth = np.nan_to_num(views[f"default/{scene}/cam_00_{frame:06d}_depth"])
        np.testing.assert_allclose(np.load(f"{path}_depth.npy"), depth, rtol=1e-5)
    names = [scene.name for scene in Hypersim(out, num_views=2, sizes=[(24, 32)]).scenes]
    assert names[:3] == ["ai_001_001/cam_00", "ai_001_001/cam_01", "ai_002_003/cam_00"]
    assert not (out / "ai_001_001" / "cam_02").exists(), "the original leaves an empty folder"


def test_the_golden_camera_of_a_real_scene():
    # 22_hypersim.md, section 7
    matrix = [[0.5980926771, 0, 0], [0, 0.4331864368, 0], [0, -0.1164650777, -1.0359268685]]
    row = {"scene_name": "ai_017_004", "settings_output_img_width": "1024", "settings_output_img_height": "768"}
    row |= {f"M_cam_from_uv_{i}{j}": str(matrix[i][j]) for i in range(3) for j in range(3)}
    camera = scene_camera(row)
    expected = [[856.39806, 0, 511.5], [0, 856.39806, 613.74836], [0, 0, 1]]
    np.testing.assert_allclose(camera.intrinsics, expected, atol=1e-4)
    turned = [[1, 0, 0], [0, 0.96570638, -0.25963664], [0, 0.25963664, 0.96570638]]
    np.testing.assert_allclose(camera.nominal_from_cam.T, turned, atol=1e-7)


def test_surfaces_alone_set_the_brightness():
    radiance, entities = np.full((10, 10, 3), 2.0, np.float16), np.ones((10, 10), np.int32)
    radiance[0], entities[0] = 1000, -1
    picture = tone_map(radiance, entities)
    assert (picture[0] == 255).all() and (np.abs(picture[1:].astype(int) - 204) <= 1).all(), "0.8 of white"
    assert (tone_map(radiance * 0, entities) == 0).all(), "black stays black"
    alone = np.full((10, 10), -1)
    assert (tone_map(np.full_like(radiance, 0.5**2.2), alone) == 127).all(), "no surface: as it is"


def test_the_unit_is_found_by_its_name(raw):
    path = raw / "ai_001_001" / "_detail" / "metadata_scene.csv"
    assert metres_per_unit(path) == raw_walk.UNIT
    assert metres_per_unit(path, first=True) == 7
    path.write_text("parameter_name,parameter_value\nsomething_else,7\n")
    with pytest.raises(ValueError, match="meters_per_asset_unit"):
        metres_per_unit(path)


@pytest.mark.parametrize(
    "damaged",
    [
        "final_hdf5/frame.0001.color.hdf5",
        "geometry_hdf5/frame.0001.depth_meters.hdf5",
        "geometry_hdf5/frame.0001.render_entity_id.hdf5",
    ],
)
@pytest.mark.parametrize("missing", [True, False])
def test_a_frame_without_its_files_is_left_out_by_name(raw, tmp_path, damaged, missing):
    path = raw / "ai_001_001" / "images" / f"scene_cam_00_{damaged}"
    path.unlink() if missing else path.write_bytes(path.read_bytes()[:90])
    frames, left_out = convert_scene(CONVERTER, raw, tmp_path / "out", SCENE)
    assert frames == ["000000", "000003", "000004"]
    assert list(left_out) == ["000001"] and path.name in left_out["000001"]


def test_a_frame_without_a_pose_or_with_entity_0_is_left_out(raw, tmp_path):
    scene = raw / "ai_001_001"
    raw_walk.write_frame(scene, 9, np.ones((60, 96, 3)), np.ones((60, 96)))
    ids = scene / "images" / "scene_cam_00_geometry_hdf5" / "frame.0003.render_entity_id.hdf5"
    ids.unlink()
    raw_walk.write_array(ids, np.zeros((60, 96), np.int16))
    frames, left_out = convert_scene(CONVERTER, raw, tmp_path / "out", SCENE)
    assert frames == ["000000", "000001", "000004"]
    assert "entity 0" in left_out["000003"] and "none of frame 9" in left_out["000009"]


@pytest.mark.parametrize(
    ("change", "reason"), [([0, 1, 3.0], "skewed by 3 pixels"), ([0, 2, 40.0], "less than a fifth of the image")]
)
def test_a_camera_that_no_crop_can_show_is_left_out(raw, tmp_path, change, reason):
    row, column, value = change
    intrinsics = np.array([[70.0, 0, 52], [0, 70, 27], [0, 0, 1]]) + HALF
    intrinsics[row, column] += value
    raw_walk.write_parameters(raw, "ai_001_001", raw_walk.cam_from_uv(intrinsics, raw_walk.TILT))
    with pytest.raises(LeftOut, match=reason):
        convert_scene(CONVERTER, raw, tmp_path / "out", SCENE)


def test_what_is_missing_of_a_download_is_named(raw, tmp_path):
    raw_walk.write_parameters(raw, "ai_009_009", np.eye(3))
    with pytest.raises(ValueError, match="no row of ai_001_001"):
        convert_scene(CONVERTER, raw, tmp_path / "out", SCENE)
    (raw / "metadata_camera_parameters.csv").unlink()
    with pytest.raises(FileNotFoundError, match="ml-hypersim"):
        run(CONVERTER, raw, tmp_path / "out")
