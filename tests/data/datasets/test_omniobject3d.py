import json
import math

import numpy as np
import pytest
from PIL import Image

from cut3r.data.datasets.omniobject3d import OmniObject3D, number_of
from cut3r.data.loader import LoaderConfig
from cut3r.io.exr import write_exr
from cut3r.model.config import ModelConfig
from cut3r.training.data_config import DataConfig, PathsConfig
from cut3r.training.feed import DataFeed
from datasets_preprocess.omniobject3d import CONVERTER, read_render_depth
from datasets_preprocess.runner import run
from tests.data.datasets.one_scene import convert_scene
from tests.data.datasets.raw_walks import omniobject3d as raw_walk
from tests.data.datasets.recorded import unpack


@pytest.fixture
def raw(tmp_path):
    raw_walk.write(tmp_path / "raw")
    return tmp_path / "raw"


def test_the_default_centres_cameras_blends_edges_and_names_what_is_unfinished(tmp_path):
    raw, theirs = unpack("omniobject3d", "raw", tmp_path), unpack("omniobject3d", "processed", tmp_path)
    out = tmp_path / "out"
    report = run(CONVERTER, raw, out)
    assert [record.scene for record in report.failures] == ["unfinished_001"]
    assert "transforms.json" in report.failures[0].reason
    assert json.loads((out / "scale.json").read_text()) == {"anise_001": 0.02, "bottle_012": 0.0125}
    with np.load(out / "anise_001/cam/r_0.npz") as ours, np.load(theirs / "anise_001/cam/r_0.npz") as original:
        shift = original["intrinsics"] - ours["intrinsics"]
        np.testing.assert_allclose(shift, [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]], atol=1e-5)
    with Image.open(raw / "anise_001/render/images/r_0.png") as image:
        rgba = np.asarray(image).astype(float)
    share = rgba[..., 3:] / 255
    assert ((share > 0) & (share < 1)).any()
    with Image.open(out / "anise_001/rgb/r_0.png") as image:
        np.testing.assert_allclose(np.asarray(image), share * rgba[..., :3] + (1 - share) * 255, atol=1)


def test_files_of_the_original_are_centred_and_in_metres(tmp_path):
    dataset = OmniObject3D(unpack("omniobject3d", "processed", tmp_path), num_views=2, sizes=[(30, 30)])
    assert list(dataset.scenes[0].frames) == [f"r_{number}" for number in range(8)]
    frame = dataset.read(dataset.scenes[0], 0)
    focal = 20 / math.tan(0.345)
    np.testing.assert_allclose(frame.intrinsics, [[focal, 0, 19.5], [0, focal, 19.5], [0, 0, 1]], rtol=1e-6)
    assert number_of("r_2") < number_of("r_10")


def test_training_takes_its_metres_for_metres_if_it_is_told_to(tmp_path):
    paths = PathsConfig(folders={"omniobject3d": unpack("omniobject3d", "processed", tmp_path)})
    for metric in ([], ["omniobject3d"]):
        config = DataConfig({"omniobject3d": 2}, metric=metric, num_views=2, sizes=[[30, 30]], aug_crop=0)
        config.loader = LoaderConfig(batch_size=1, num_workers=0, fixed_length=True)
        config.validation.samples = {}
        (view, *_), *_ = DataFeed(config, paths, ModelConfig()).batches(0, 0)
        assert bool(view.metric.all()) == bool(metric)


def test_depth_is_red_not_alpha(tmp_path):
    rgba = np.stack([np.full((2, 3), value, np.float16) for value in (3, 3, 3, 1)], axis=-1)
    rgba[0, 0, :3], rgba[0, 1, :3], rgba[0, 2, :3] = 65504, np.inf, np.nan
    write_exr(tmp_path / "depth.exr", rgba)
    assert read_render_depth(tmp_path / "depth.exr").tolist() == [[0, 0, 0], [3, 3, 3]]
    assert (read_render_depth(tmp_path / "depth.exr", parity=True) == 1).all(), "27_omniobject3d.md, section 6"
    write_exr(tmp_path / "alone.exr", rgba[..., 0], channels=("V",))
    assert read_render_depth(tmp_path / "alone.exr")[1].tolist() == [3, 3, 3]


@pytest.mark.parametrize("damaged", ["images/r_1.png", "depths/r_1_depth.exr"])
@pytest.mark.parametrize("missing", [True, False])
def test_a_frame_without_its_files_is_left_out_by_name(raw, tmp_path, damaged, missing):
    path = raw / "anise" / "anise_001" / "render" / damaged
    path.unlink() if missing else path.write_bytes(path.read_bytes()[:90])
    frames, left_out = convert_scene(CONVERTER, raw, tmp_path / "out", "anise_001")
    assert frames == ["r_0", "r_2", "r_3"]
    assert list(left_out) == ["r_1"] and path.name in left_out["r_1"]


def test_a_picture_without_a_pose_and_an_unknown_scale_are_named(raw, tmp_path):
    render = raw / "anise" / "anise_001" / "render"
    transforms = json.loads((render / "transforms.json").read_text())
    removed = transforms["frames"].pop()
    (render / "transforms.json").write_text(json.dumps(transforms))
    frames, left_out = convert_scene(CONVERTER, raw, tmp_path / "out", "anise_001")
    assert frames == ["r_0", "r_1", "r_2"] and "no pose of r_3" in left_out["r_3"]
    transforms["frames"].append({**removed, "scale": 0.03})
    (render / "transforms.json").write_text(json.dumps(transforms))
    with pytest.raises(ValueError, match=r"transforms\.json.*expected one scale"):
        convert_scene(CONVERTER, raw, tmp_path / "out", "anise_001")


def test_two_objects_of_one_name_are_not_mixed(raw, tmp_path):
    raw_walk.write(raw, "spice/anise_001")
    report = run(CONVERTER, raw, tmp_path / "out")
    assert [part.name for part in report.unlisted] == ["anise_001"]


def test_without_scale_json_nobody_guesses_sizes(raw, tmp_path):
    convert_scene(CONVERTER, raw, tmp_path / "out", "anise_001")
    with pytest.raises(ValueError, match=r"there is no .*scale\.json"):
        OmniObject3D(tmp_path / "out", num_views=2, sizes=[(30, 30)])
