"""What is left in the end: understood, and refused before the run begins where it would cost something."""

import argparse
import os
from pathlib import Path

import pytest

from cut3r.run.formats import FORMATS, Part, parts_of
from cut3r.run.targets import README, SIGN, check_targets, targets_of


def targets(*saves: str, exports: tuple[str, ...] = (), into: Path = Path()) -> list:
    return targets_of(argparse.Namespace(save=list(saves), export=list(exports)), into)


@pytest.mark.parametrize("word", ["scene/", "out/scene", "v1.2/", ".hidden", "there.v2"])
def test_a_slash_at_the_end_or_no_suffix_or_a_folder_is_a_scene(word, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("there.v2").mkdir()
    assert [(target.path, target.formats) for target in targets(word)] == [(Path(word), ("scene",))]


def test_a_suffix_is_a_file():
    assert [(target.path, target.formats) for target in targets("a/b.PLY", "c.tum")] == [
        (Path("a/b.PLY"), ()),
        (Path("c.tum"), ()),
    ]


def test_formats_that_go_to_one_folder_are_one_target():
    found = targets("s/", exports=("colmap:a:b", "depth:c", "tum:a:b"))
    assert [(str(target.path), target.formats) for target in found] == [
        ("s", ("scene",)),
        ("a:b", ("colmap", "tum")),
        ("c", ("depth",)),
    ]
    assert parts_of(found[1].formats) == {Part.pictures, Part.colmap, Part.masks, Part.tum}


def test_names_without_a_folder_go_into_one(tmp_path):
    assert [target.path for target in targets("a.ply", "s/", "b/c.ply", into=tmp_path)] == [
        tmp_path / "a.ply",
        tmp_path / "s",
        Path("b/c.ply"),
    ]


@pytest.mark.parametrize(
    ("saves", "exports", "said"),
    [
        (("scene.obj",), (), "--save scene.obj has the suffix '.obj'.*, with / at its end, as a folder"),
        ((" ",), (), "--save is empty"),
        ((), ("usd:out",), "--export is 'usd:out'; expected FORMAT:DIR, where FORMAT is one of scene, colmap"),
        ((), ("colmap",), "expected FORMAT:DIR"),
        ((), ("colmap:",), "expected FORMAT:DIR"),
        (("a.ply", "a.ply"), (), "a.ply is named twice"),
        (("a.ply",), ("ply:a.ply",), "a.ply is named twice"),
    ],
)
def test_what_is_not_understood_is_refused_in_a_sentence(saves, exports, said):
    with pytest.raises(ValueError, match=said):
        targets(*saves, exports=exports)


def test_the_scene_has_what_splat_trainers_look_for():
    assert {part.value for part in parts_of(["scene"])} == {
        "images",
        "sparse/0",
        "transforms.json",
        "pointcloud.ply",
        "depth",
        "masks",
    }
    assert parts_of(list(FORMATS)) == set(Part), "each part belongs to a format"


BAD = {
    "a folder": (["dir.ply"], "because it is a folder"),
    "below a file": (["afile/scene.ply"], "afile is not a folder"),
    "twice": (["scene.ply", "out/../scene.ply"], "named twice"),
    "the resume point": (["out/resume.npz"], "writes into .*out itself"),
    "a frame": (["out/camera/000002.npz"], "writes into .*out itself"),
    "the input": (["clip.npz"], "would replace the input"),
    "the input through a link": (["second.ply"], "would replace the input"),
    "a file as a folder": (["afile/"], "afile is a file"),
    "a folder below a file": (["afile/scene/"], "afile is not a folder"),
    "a folder twice": (["scene/", "out/../scene/"], "named twice"),
    "the folder of the run": (["new/"], "writes into .*new itself"),
    "what the folder of the run lies in": (["around/"], "writes into .*new itself"),
    "a folder of frames": (["new/depth/"], "writes into .*new itself"),
    "below a folder of frames": (["new/color/scene/"], "writes into .*new itself"),
    "files of others": (["mine/"], "holds files of others"),
    "a file in a folder": (["scene/", "scene/points.ply"], "lies in scene, which is replaced as a whole"),
    "a folder in a folder": (["a/", "a/b/"], "lies in a, which is replaced as a whole"),
    "a scene with the input": (["ours/"], "would replace the input ours/images/1.png"),
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("afile").touch()
    for folder in ("dir.ply", "out/camera", "mine", "ours/images"):
        Path(folder).mkdir(parents=True)
    for file in ("clip.npz", "third.png", "mine/diary.txt", "ours/images/1.png"):
        Path(file).touch()
    Path("ours", README).write_text(f"{SIGN} long ago")
    Path("second.ply").symlink_to("third.png")
    Path("first.png").symlink_to("second.ply")


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("case", BAD)
def test_a_target_that_cannot_be_or_must_not_be_written_is_refused(case):
    saves, hint = BAD[case]
    folder = Path("around/new") if "around" in saves[0] else Path("new") if "new" in saves[0] else Path("out")
    with pytest.raises(ValueError, match=hint):
        check_targets(folder, targets(*saves), [Path("clip.npz"), Path("first.png"), Path("ours/images/1.png")])


def test_good_targets_are_allowed_and_nothing_is_made(tmp_path):
    names = ["a/scene.ply", "out/traj.tum", "out/camera/all.npz", "out/scene/", "other/deep/scene/"]
    check_targets(tmp_path / "out", targets(*(f"{tmp_path}/{name}" for name in names)), [tmp_path / "photo.png"])
    assert not os.listdir(tmp_path)


@pytest.mark.usefixtures("place")
def test_a_scene_of_ours_may_be_replaced():
    check_targets(Path("out"), targets("ours/"), [Path("clip.npz")])
