import json
import shutil

import numpy as np
import pytest

from cut3r.data.datasets.wildrgbd import LAYOUT, WildRgbd
from datasets_preprocess.runner import LeftOut, RawScene, Writer, run
from datasets_preprocess.wildrgbd import (
    CONVERTER,
    ORIGINAL_SEED,
    WildRgbdOptions,
    choose_scenes,
    convert,
    read_poses,
    scenes,
    spread_frames,
)
from tests.data.datasets.recorded import unpack

SCENE = RawScene("train/box/scenes/scene_000")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return unpack("wildrgbd", "raw", tmp_path_factory.mktemp("wildrgbd"))


def writer_to(out, *, parity=False, **options):
    return Writer(out, LAYOUT, parity, WildRgbdOptions(**options))


def test_the_choice_of_scenes_is_the_originals():
    names = [f"s{number:03d}" for number in range(60)]
    assert ORIGINAL_SEED == 7161132861371675299
    assert choose_scenes(names, 5, ORIGINAL_SEED) == ["s000", "s045", "s049", "s006", "s057"]
    assert choose_scenes(names, 5, "box") != choose_scenes(names, 5, "cup"), "quirk 1"
    assert choose_scenes(names, 60, "box") == names


def test_frames_are_spread_evenly_and_a_short_scene_gives_all():
    assert spread_frames(8, 6) == ["00000", "00001", "00003", "00004", "00006", "00007"]
    assert spread_frames(3, 100) == ["00000", "00001", "00002"], "quirk 4: the original stops"


def test_a_scene_that_is_in_one_train_list_only_is_for_tests(raw):
    names = {scene.name for scene in scenes(raw)}
    assert "test/box/scenes/scene_003" in names and "train/box/scenes/scene_003" not in names


def test_a_scene_that_is_listed_but_not_there_is_named(raw, tmp_path):
    with pytest.raises(LeftOut, match="scene_999 is not there"):
        convert(raw, RawScene("train/box/scenes/scene_999"), writer_to(tmp_path))


def test_of_many_scenes_so_many_are_chosen(raw, tmp_path):
    report = run(CONVERTER, raw, tmp_path, options=WildRgbdOptions(frames=2, train_scenes=1))
    reasons = [record.reason for record in report.left_out if record.scene.startswith("train/box/")]
    assert sum("not among the 1 of 2 scenes" in reason for reason in reasons) == 1
    assert len(json.loads((tmp_path / "selected_seqs_train.json").read_text())["box"]) == 1


def test_frames_that_cannot_be_used_are_left_out_by_name(raw, tmp_path):
    copy = tmp_path / "raw"
    shutil.copytree(raw / "box", copy / "box")
    folder = copy / "box" / "scenes" / "scene_000"
    (folder / "rgb" / "00001.png").unlink()
    (folder / "masks" / "00002.png").write_bytes(b"no picture")
    lines = (folder / "cam_poses.txt").read_text().splitlines()
    lines[3] = "3 " + " ".join(["0"] * 16)
    (folder / "cam_poses.txt").write_text("\n".join(lines))
    writer = writer_to(tmp_path / "out")
    assert convert(copy, SCENE, writer) == ["00000", "00004", "00005", "00006", "00007"]
    assert set(writer.left_out) == {"00001", "00002", "00003"}
    assert "00002.png cannot be read" in writer.left_out["00002"] and "rigid" in writer.left_out["00003"]
    assert not (tmp_path / "out" / "box" / "scenes" / "scene_000" / "rgb" / "00002.jpg").exists()


def test_poses_that_do_not_count_from_zero_are_refused(tmp_path):
    path = tmp_path / "cam_poses.txt"
    path.write_text("1 " + " ".join(map(str, np.eye(4).ravel())) + "\n")
    with pytest.raises(ValueError, match=r"cam_poses\.txt: its lines do not count frames from 0"):
        read_poses(path)


def test_the_reader_never_uses_the_scene_that_the_original_leaves_out(raw, tmp_path):
    run(CONVERTER, raw, tmp_path, options=WildRgbdOptions(frames=4))
    selection = json.loads((tmp_path / "selected_seqs_train.json").read_text())
    assert "scenes/scene_257" in selection["box"]
    dataset = WildRgbd(tmp_path, num_views=2, sizes=[(30, 40)])
    assert "box/scenes/scene_257" not in {scene.name for scene in dataset.scenes}
    views = WildRgbd(tmp_path, num_views=4, sizes=[(30, 40)])[0]
    assert views[0].label.endswith("/00000"), "quirk 3: the order of time, not its reverse"


def test_parity_draws_a_sample_of_one_frame_again(tmp_path):
    root = unpack("wildrgbd", "processed", tmp_path)
    dataset = WildRgbd(root, num_views=4, sizes=[(30, 40)], parity=True, allow_repeat=True)
    frames, start = list(dataset.scenes[0].frames), 4  # two frames follow, so views repeat
    empty = frames.index("00004")
    drawn = ((seed, walks_of(seed)) for seed in range(1000))
    seed, walks = next(each for each in drawn if len(each[1]) > 1 and not any(empty in walk for walk in each[1]))
    dataset.seed = seed - start
    assert [view.label.rsplit("/", 1)[1] for view in dataset[start]] == [frames[position] for position in walks[-1]]


def walks_of(seed):
    """What is drawn of seven frames until views show more than one."""
    rng, walks = np.random.default_rng(seed), []
    while not walks or len(set(walks[-1])) == 1:
        walks.append(WildRgbd.parity_policy.walk(4, 7, 4, rng).positions)
        rng.random()  # of the object alone?
        rng.random(3)  # what the network sees of the later views
    return walks
