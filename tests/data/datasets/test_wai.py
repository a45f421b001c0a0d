"""Sets in the WAI format: a walk comes back, what the table of modalities says is what is read."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cut3r.data.datasets import DATASETS
from cut3r.data.datasets.wai import Wai, WaiConfig
from cut3r.io.exr import write_exr
from cut3r.io.images import write_image
from cut3r.model.config import ModelConfig
from cut3r.training.data_config import DataConfig, PathsConfig
from cut3r.training.feed import DataFeed, available
from tests.data.datasets.exports import BARREL, bent, lens_of, make
from tests.data.datasets.raw_walks import render_walk
from tests.data.datasets.test_law import check_camera_frame, check_poses

SIZE = (64, 96)
K = np.array([[80.0, 0, 46.5], [0, 81.0, 33.0], [0, 0, 1]])
MODALITIES = {
    "image": {"frame_key": "image", "format": "image"},
    "depth": {"frame_key": "rendered_depth", "format": "depth"},
    "pred_depth": {"moge2": {"frame_key": "moge2_depth", "format": "depth"}},
    "pred_mask": {"moge2": {"frame_key": "moge2_mask", "format": "binary"}},
    "sky": {"frame_key": "sky_mask", "format": "binary"},
}


@pytest.fixture(scope="module")
def walk():
    return render_walk(SIZE, K, frames=3)


def write_scene(folder, frames, **changes):
    """Masks: the left column is not valid, the top row is sky. The last depth map is not a number in its last pixel."""
    entries = []
    for i, frame in enumerate(frames):
        write_image(make(folder / f"images/{i:03d}.png"), frame.rgb)
        depth = frame.depth.copy()
        depth[-1, -1] = np.nan
        write_exr(make(folder / f"rendered_depth/{i:03d}.exr"), depth)
        write_exr(make(folder / f"moge2/{i:03d}.exr"), depth * 7)
        for kind, black in (("mask", np.s_[:, 0]), ("sky", np.s_[1:])):
            mask = np.full(SIZE, 255, np.uint8)
            mask[black] = 0
            Image.fromarray(mask).save(make(folder / f"{kind}/{i:03d}.png"))
        entries.append(
            {
                "frame_name": f"{i:03d}",
                "file_path": f"images/{i:03d}.png",
                "image": f"images/{i:03d}.png",
                "rendered_depth": f"rendered_depth/{i:03d}.exr",
                "moge2_depth": f"moge2/{i:03d}.exr",
                "moge2_mask": f"mask/{i:03d}.png",
                "sky_mask": f"sky/{i:03d}.png",
                "transform_matrix": frame.world_from_cam.tolist(),
            }
        )
    content = {
        "scene_name": folder.name,
        "version": "0.1",
        "shared_intrinsics": True,
        "camera_model": "PINHOLE",
        "camera_convention": "opencv",
        "scale_type": "metric",
        **lens_of(frames[0]),
        "frames": entries,
        "scene_modalities": {},
        "frame_modalities": MODALITIES,
    }
    (folder / "scene_meta.json").write_text(json.dumps({**content, **changes}))


def change(folder, **changes):
    path = folder / "scene_meta.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def open_set(root, *, split=None, **config):
    return Wai(root, config=WaiConfig(**config), split=split, num_views=2, sizes=[(32, 48)])


def read_all(dataset, number=0):
    scene = dataset.scenes[number]
    return [dataset.read(scene, position) for position in range(len(scene.frames))]


def check(read, walk, depth=0.002):
    for frame, true in zip(read, walk, strict=True):
        check_camera_frame(frame, true, 1.0, SimpleNamespace(DEPTH=depth), camera_only=False)
    check_poses(read, walk, 1.0, 1e-4)


@pytest.mark.parametrize("below", ["", "a_set"])
def test_a_walk_comes_back(below, walk, tmp_path):
    write_scene(tmp_path / below / "room", walk)
    dataset = open_set(tmp_path)
    assert [(scene.name, scene.frames) for scene in dataset.scenes] == [
        (f"{below}/room".strip("/"), ["000", "001", "002"])
    ]
    read = read_all(dataset)
    check(read, walk)
    np.testing.assert_allclose(read[0].intrinsics, K)
    assert read[0].depth[-1, -1] == 0, "what is no number is unknown"


def test_opengl_poses_a_lens_of_each_frame_and_distortion_come_back(walk, tmp_path):
    room = tmp_path / "room"
    write_scene(room, [bent(frame, BARREL) for frame in walk], camera_convention="opengl", camera_model="OPENCV")
    content = json.loads((room / "scene_meta.json").read_text())
    for frame in content["frames"]:
        pose = np.array(frame["transform_matrix"]) @ np.diag([1, -1, -1, 1])
        coefficients = dict(zip(("k1", "k2", "p1", "p2", "k3"), BARREL, strict=True))
        frame |= {**lens_of(walk[0]), **coefficients, "transform_matrix": pose.tolist()}
    change(room, frames=content["frames"], fl_x=1.0, cx=0.0)
    check(read_all(open_set(tmp_path)), walk, depth=0.004)


def test_the_depth_and_masks_that_are_named_are_read(walk, tmp_path):
    write_scene(tmp_path / "room", walk)
    predicted = read_all(open_set(tmp_path, depth="pred_depth/moge2"))[0]
    np.testing.assert_allclose(predicted.depth[:-1], 7 * walk[0].depth[:-1], rtol=1e-6)
    masked = read_all(open_set(tmp_path, masks=["pred_mask/moge2"], sky_mask="sky"))[0]
    assert (masked.depth[1:, 0] == 0).all() and (masked.depth[0] == -1).all() and (masked.depth[1:-1, 1:] > 0).all()


def test_each_scene_says_whether_it_is_metric(walk, tmp_path):
    write_scene(tmp_path / "a", walk)
    write_scene(tmp_path / "b", walk, scale_type="colmap")
    flags = {view.label.split("/")[1]: bool(view.metric) for sample in open_set(tmp_path) for view in sample}
    assert flags == {"a": True, "b": False}
    assert {bool(view.metric) for sample in open_set(tmp_path, metric=False) for view in sample} == {False}


def test_text_files_name_the_scenes_of_a_split(walk, tmp_path):
    for name in "abc":
        write_scene(tmp_path / name, walk[:2])
    (tmp_path / "val.txt").write_text("b\n")
    names = {
        split: [scene.name for scene in open_set(tmp_path, split=split).scenes] for split in ("train", "val", "all")
    }
    assert names == {"train": ["a", "c"], "val": ["b"], "all": ["a", "b", "c"]}
    (tmp_path / "train.txt").write_text("a\n\n")
    assert [scene.name for scene in open_set(tmp_path).scenes] == ["a"]


def test_the_feed_hands_the_options_on_also_to_further_sets(walk, tmp_path):
    for name in ("wai", "another"):
        write_scene(tmp_path / name / "room", walk)
    config = DataConfig(samples={"wai": 2, "another": 2}, sizes=[[32, 48]], num_views=2, aug_crop=0)
    config.readers, config.color_jitter = {"another": "cut3r.data.datasets.wai:Wai"}, False
    config.wai = {"another": WaiConfig(depth="pred_depth/moge2")}
    config.loader.batch_size, config.loader.num_workers = 1, 0
    feed = DataFeed(config, PathsConfig(root=tmp_path), ModelConfig())
    farthest = sorted(float(views[0].depth.max()) for views in feed.batches(0, 0))
    assert farthest[2] > 3 * farthest[1] and DATASETS["wai"] is Wai


class Renamed(Wai):
    """A set of one's own that is read as all in this format."""


def test_a_reader_made_of_ours_gets_the_options_too(walk, tmp_path):
    write_scene(tmp_path / "room", walk)
    config = DataConfig(samples={"mine": 1}, readers={"mine": f"{__name__}:Renamed"}, sizes=[[32, 48]], num_views=2)
    config.wai = {"mine": WaiConfig(depth="pred_depth/absent")}
    with pytest.raises(ValueError, match="it has no pred_depth/absent"):
        DataFeed(config, PathsConfig(folders={"mine": tmp_path}), ModelConfig())


@pytest.mark.parametrize("name", ["anohter", "co3d", "synthetic"])
def test_options_for_what_is_no_such_set_are_refused(name):
    config = DataConfig(samples={"synthetic": 1}, wai={name: WaiConfig(depth="pred_depth/moge2")})
    with pytest.raises(ValueError, match=rf"data\.wai has options for {name}, which is no set in the WAI format"):
        available(config.samples, config, PathsConfig())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"frame_modalities": {"image": MODALITIES["image"]}}, r"not clear which modality is depth \(image\)"),
        ({"frame_modalities": {"depth": {"frame_key": "elsewhere", "format": "depth"}}}, "frame 000: it has no depth"),
        ({"frames": 3}, "frames is no list of objects"),
        ({"frames": [{"frame_name": "a"}, {"frame_name": "a"}]}, "2 frames have only 1 names"),
        ({"frames": [{"image": 3}]}, "frame 0: it has no frame_name"),
    ],
)
def test_what_is_wrong_with_a_set_shows_at_once(changes, reason, walk, tmp_path):
    write_scene(tmp_path / "room", walk[:2])
    change(tmp_path / "room", **changes)
    with pytest.raises(ValueError, match=reason):
        open_set(tmp_path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"camera_model": "OPENCV_FISHEYE"}, "frame 000: its camera_model OPENCV_FISHEYE is no pinhole camera"),
        ({"camera_convention": "unity"}, "camera_convention is unity; expected opencv or opengl"),
        ({"w": 64, "h": 96}, "the calibration is for pictures of 64x96 pixels, and this one has 96x64"),
        ({"fl_x": -1}, "are no intrinsics"),
    ],
)
def test_a_camera_that_cannot_be_used_is_named(changes, reason, walk, tmp_path):
    write_scene(tmp_path / "room", walk[:2], **changes)
    dataset = open_set(tmp_path)
    with pytest.raises(ValueError, match=reason):
        dataset.read(dataset.scenes[0], 0)


@pytest.mark.parametrize("options", [{"max_interval": 0}, {"video_prob": 1.5}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match=r"data\.wai"):
        WaiConfig(**options)
