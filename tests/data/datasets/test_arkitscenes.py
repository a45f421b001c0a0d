import shutil

import numpy as np
import pytest

from cut3r.data.datasets.arkitscenes import ArkitScenes
from cut3r.data.datasets.arkitscenes_highres import ArkitScenesHighres
from cut3r.data.sampling import Wanted
from datasets_preprocess import arkit, arkitscenes, arkitscenes_highres
from datasets_preprocess.runner import read_records, run
from tests.data.datasets.recorded import load_views, unpack

PARTS = {
    "arkitscenes": (arkitscenes.CONVERTER, ArkitScenes),
    "arkitscenes_highres": (arkitscenes_highres.CONVERTER, ArkitScenesHighres),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("arkit")
    for slug, (converter, _) in PARTS.items():
        run(converter, unpack(slug, "raw", root), root / slug / "out")
    return root


def reader(folder, slug, split="all", **options):
    return PARTS[slug][1](folder / slug / "out", split=split, **{"num_views": 3, "sizes": [(30, 40)], **options})


@pytest.mark.parametrize("slug", PARTS)
def test_all_frames_are_there_with_the_right_cameras(folder, slug):
    views, dataset = load_views(slug), reader(folder, slug)
    wanted = dict(zip(views["default/images"].tolist(), views["default/intrinsics_whfxfycxcy"], strict=True))
    read = {frame: (scene, number) for scene in dataset.scenes for number, frame in enumerate(scene.frames)}
    converted = {name.removesuffix(".png") for name in wanted}
    assert set(read) == converted - {"41000003_100.208"}, "all but one that is not selected"
    for frame, place in read.items():
        row = wanted[frame if frame in wanted else f"{frame}.png"]
        raw = dataset.read(*place)
        assert raw.size == (row[1], row[0])
        np.testing.assert_allclose(raw.intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]], row[2:])


def test_what_is_missing_is_named_and_the_rest_is_converted(folder):
    records = {record.scene: record for record in read_records(folder / "arkitscenes" / "out")}
    assert "selects no pairs" in records["Training/41000007"].reason
    assert "in none of the folders Test, Training, Validation" in records["Training/49999999"].reason
    assert records["Training/41000006"].done and len(records["Training/41000006"].frames) == 5, "one of six is missing"
    assert (
        "there is no calibration"
        in {r.scene: r for r in read_records(folder / "arkitscenes_highres" / "out")}["Training/41000022"].reason
    )


def test_a_damaged_frame_leaves_pairs_that_count_the_others(folder, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(folder / "arkitscenes" / "raw", raw)
    frame = raw / "Training/41000003/vga_wide/41000003_100.388.png"
    frame.write_bytes(frame.read_bytes()[:60])
    run(arkitscenes.CONVERTER, raw, tmp_path / "out")
    with np.load(tmp_path / "out/Training/41000003/new_scene_metadata.npz") as made:
        assert made["images"].tolist() == [f"41000003_{time}" for time in ("100.154", "100.295", "100.456", "100.741")]
        assert made["pairs"].tolist()[0] == [1, 2, 0.8524] and made["intrinsics"].shape == (4, 3, 3)


def test_without_a_selection_frames_are_taken_ten_times_a_second(folder, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(folder / "arkitscenes" / "raw", raw)
    shutil.rmtree(raw / "pairs")
    (raw / "Test").rename(raw / "Validation")
    report = run(arkitscenes.CONVERTER, raw, tmp_path / "out")
    frames = {record.scene: record.frames for record in read_records(tmp_path / "out")}
    assert frames["Test/41000001"] == tuple(f"41000001_100.{ms}" for ms in (189, 293, 735, 887))
    assert [record.scene for record in report.failures] == ["Training/41000007"], "it has no frames"


def test_groups_and_walks_are_of_the_same_video(folder):
    dataset = reader(folder, "arkitscenes", "train")
    for scene in dataset.scenes:
        assert dataset.policy.entries(scene, Wanted(3, 3)) > 0
    for index in range(len(dataset)):
        views = dataset[index]
        assert len({view.label.split("/")[1] for view in views}) == 1 and len({view.label for view in views}) == 3


def test_videos_with_laser_depth_are_left_to_the_other_dataset(folder):
    assert "41000008" in {scene.name for scene in reader(folder, "arkitscenes").scenes}
    highres = folder / "laser"
    (highres / "Training/41000008").mkdir(parents=True)
    names = {scene.name for scene in reader(folder, "arkitscenes", highres_root=highres).scenes}
    assert "41000008" not in names and "41000003" in names


def test_the_lists_name_the_videos(folder):
    lists = (folder / "arkitscenes_highres" / "out/Training/scene_list.json").read_text()
    assert all(video in lists for video in ("41000019", "41000020", "41000021")) and "41000022" not in lists


def test_the_nearest_calibration_counts(tmp_path):
    (tmp_path / arkit.CALIBRATIONS).mkdir()
    for time in ("99.910", "100.003", "100.090"):
        (tmp_path / arkit.CALIBRATIONS / f"v_{time}.pincam").write_text("")
    found = arkit.calibration(tmp_path, "v", 100.0, sorted(range(-100, 101), key=abs))
    assert found is not None and found.name == "v_100.003.pincam"
    assert arkit.calibration(tmp_path, "v", 101.0, (0, -1, 1)) is None


@pytest.mark.parametrize("text", ["", "100.0 0 0 0 nan 0 0\n", "100.0 1 2\n"])
def test_a_damaged_trajectory_is_refused_by_name(tmp_path, text):
    (tmp_path / "a.traj").write_text(text)
    with pytest.raises(ValueError, match=r"a\.traj"):
        arkit.read_trajectory(tmp_path / "a.traj")


def test_times_are_rounded_half_up():
    assert [arkit.rounded(time) for time in (100.0005, 100.00049, 3358.0215)] == [100.001, 100.0, 3358.022]
