"""`cut3r export`, as a user runs it; and what must not be lost."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from cut3r.export.config import ExportConfig
from cut3r.export.of_run import export_run
from cut3r.export.tracks import TrackConfig
from cut3r.inference.frame_folder import FrameFolder
from cut3r.io.colmap import read_images
from cut3r.io.depth import read_depth
from cut3r.io.frames import FrameOptions
from cut3r.io.trajectory import read_tum
from cut3r.run.command import main
from cut3r.run.console import NO_INPUT, WRONG_ARGUMENTS, told
from cut3r.run.finished import FinishedRun
from cut3r.run.footage import Footage
from cut3r.run.output_folder import THE_INPUT, Marker, RunState
from tests.export.room import make_room
from tests.export.wall import Wall, make_photos

FEW = ExportConfig(tracks=TrackConfig(most=2000))


def export(*arguments: object) -> int:
    return main(["export", *map(str, arguments), "--points", "2000"])


@pytest.fixture
def fresh(room, tmp_path):
    """A copy of the room that may be changed."""
    shutil.copytree(room.folder, tmp_path / "out")
    shutil.copytree(room.photos, tmp_path / "photos")
    return tmp_path


def test_the_scene_lies_in_the_run_and_photos_are_copied_as_they_are(fresh, capfd):
    assert export(fresh / "out", "--seq_path", fresh / "photos") == 0
    scene = fresh / "out" / "scene"
    assert {path.name for path in scene.iterdir()} == {
        "images",
        "sparse",
        "depth",
        "transforms.json",
        "pointcloud.ply",
        "README.txt",
    }
    for path in (fresh / "photos").iterdir():
        assert (scene / "images" / path.name).read_bytes() == path.read_bytes()
    assert "8 pictures" in capfd.readouterr().err
    assert "cut3r export" in (scene / "README.txt").read_text()
    assert [path for path in (fresh / "out").iterdir() if path.name.startswith(".")] == []


def test_a_turned_photo_is_written_upright(fresh):
    path = fresh / "photos" / "IMG_002.png"
    with Image.open(path) as image:
        turned = image.transpose(Image.Transpose.ROTATE_90)
        exif = Image.Exif()
        exif[0x0112] = 6
        turned.save(path, exif=exif)
        upright = np.array(image)
    assert export(fresh / "out", "--seq_path", fresh / "photos", "--pictures", "png") == 0
    with Image.open(fresh / "out/scene/images/IMG_002.png") as written:
        np.testing.assert_array_equal(np.array(written), upright)
        assert not written.getexif()


def test_fewer_frames(fresh):
    assert export(fresh / "out", "--seq_path", fresh / "photos", "--to", fresh / "few", "--frames", 4) == 0
    assert len(list((fresh / "few/images").iterdir())) == 4
    assert len(read_images(fresh / "few/sparse/0/images.bin")) == 4


def test_masked_pixels_have_no_points_and_no_depth(fresh, room):
    (fresh / "masks").mkdir()
    mask = np.full(room.pixel_map.original_size, 255, np.uint8)
    mask[:, 128:] = 0
    for name in room.names:
        Image.fromarray(mask).save(fresh / "masks" / name)
    assert export(fresh / "out", "--seq_path", fresh / "photos", "--masks", fresh / "masks") == 0
    scene = fresh / "out/scene"
    for image in read_images(scene / "sparse/0/images.bin", points=True):
        assert image.pixels[:, 0].max() < 128
        assert (read_depth(scene / "depth" / image.name)[:, 128:] == 0).all()
        with Image.open(scene / "masks" / image.name) as written:
            np.testing.assert_array_equal(np.array(written.convert("L")), mask)
    assert '"mask_path"' in (scene / "transforms.json").read_text()


def test_a_scene_is_replaced_only_if_asked_and_others_files_never(fresh, capfd):
    given = (fresh / "out", "--seq_path", fresh / "photos", "--to", fresh / "scene")
    assert export(*given) == 0
    assert export(*given) == WRONG_ARGUMENTS and "--overwrite" in capfd.readouterr().err
    (fresh / "scene" / "transforms.json").unlink()
    assert export(*given, "--overwrite") == 0 and (fresh / "scene" / "transforms.json").exists()
    (fresh / "mine").mkdir()
    (fresh / "mine" / "diary.txt").write_text("dear diary")
    assert (
        export(fresh / "out", "--seq_path", fresh / "photos", "--to", fresh / "mine", "--overwrite") == WRONG_ARGUMENTS
    )
    assert "files of others" in capfd.readouterr().err and (fresh / "mine" / "diary.txt").exists()


def test_when_it_fails_in_the_middle_the_scene_before_stays(fresh, capfd):
    given = (fresh / "out", "--seq_path", fresh / "photos", "--to", fresh / "scene")
    assert export(*given) == 0
    before = {path: path.read_bytes() for path in (fresh / "scene").rglob("*") if path.is_file()}
    (fresh / "photos" / "IMG_005.png").unlink()
    assert export(*given, "--overwrite") == WRONG_ARGUMENTS
    assert "IMG_005.png is not among the original frames" in capfd.readouterr().err
    assert {path: path.read_bytes() for path in (fresh / "scene").rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in fresh.iterdir()) == ["out", "photos", "scene"]


def test_a_photo_of_another_size_is_named(fresh, capfd):
    Image.new("RGB", (100, 50)).save(fresh / "photos" / "IMG_003.png")
    assert export(fresh / "out", "--seq_path", fresh / "photos") == WRONG_ARGUMENTS
    assert "IMG_003.png has 100x50 pixels now, but 256x192" in capfd.readouterr().err


def test_without_the_pictures_it_says_how_to_name_them(fresh, capfd):
    assert export(fresh / "out") == WRONG_ARGUMENTS
    assert "--seq_path" in capfd.readouterr().err
    assert export(fresh / "out", "--seq_path", fresh / "nowhere") == NO_INPUT


def test_frames_that_agree_on_nothing_are_an_error_that_helps(room, tmp_path, capfd):
    made = make_room(tmp_path, frames=3)
    for number, path in enumerate(sorted((made.folder / "depth").iterdir())):
        np.save(path, np.load(path) * (1 + number))
    assert export(made.folder, "--seq_path", made.photos) == WRONG_ARGUMENTS
    assert "cut3r align" in capfd.readouterr().err and not (made.folder / "scene").exists()


def test_a_frame_that_no_other_confirms_is_named_and_left_out(fresh, caplog):
    depth = fresh / "out/depth/000004.npy"
    np.save(depth, np.load(depth) * 3)
    scene = export_run(FinishedRun(fresh / "out"), fresh / "scene", FEW, source=str(fresh / "photos"))
    assert "1 frames see nothing that others confirm" in caplog.text and "IMG_005.png" in caplog.text
    assert len(scene.frames) == 7 and not (fresh / "scene/images/IMG_005.png").exists()


def test_cameras_that_differ_are_written_each(room, tmp_path):
    made = make_room(tmp_path, frames=3)
    with np.load(made.folder / "camera/000001.npz") as saved:
        facts = dict(saved)
    for name in ("intrinsics", "intrinsics_original"):
        facts[name] = facts[name] * np.array([[1.001, 1, 1], [1, 1.001, 1], [1, 1, 1]], np.float32)
    np.savez(made.folder / "camera/000001.npz", **facts)
    assert export(made.folder, "--seq_path", made.photos) == 0
    text = (made.folder / "scene/README.txt").read_text()
    assert "Each picture has its own camera" in text and "--shared-focal" in text


def test_what_was_aligned_finds_the_pictures_of_its_run(fresh):
    shutil.copytree(fresh / "out", fresh / "out/aligned")
    with Footage(str(fresh / "photos"), FrameOptions()) as footage:
        settings = {"seq_path": str(fresh / "photos"), THE_INPUT: footage.contents}
    Marker("1", settings, "today", RunState.finished, 8).write(fresh / "out/cut3r.json")
    Marker("1", {"folder": str(fresh / "out")}, "today", RunState.finished, 8).write(fresh / "out/aligned/cut3r.json")
    assert export(fresh / "out/aligned") == 0
    assert len(list((fresh / "out/aligned/scene/images").iterdir())) == 8
    (fresh / "photos/IMG_001.png").write_bytes(b"another")
    assert export(fresh / "out/aligned", "--overwrite") == WRONG_ARGUMENTS


def test_frames_of_another_world_are_left_out(fresh, caplog):
    """After a reset that nothing joined, poses begin anew: they must not be mixed with those before."""
    for number in (6, 7):
        path = fresh / f"out/camera/{number:06d}.npz"
        with np.load(path) as saved:
            facts = dict(saved)
        np.savez(path, **facts | {"chunk": np.array(1)})
    scene = export_run(FinishedRun(fresh / "out"), fresh / "scene", FEW, source=str(fresh / "photos"))
    assert [frame.name for frame in scene.frames] == [f"IMG_00{number}" for number in range(1, 7)]
    assert "2 frames came after a reset" in caplog.text


def test_where_a_link_leads_the_scene_is_put(fresh):
    (fresh / "disk").mkdir()
    (fresh / "link").symlink_to(fresh / "disk")
    for _ in range(2):
        given = (fresh / "out", "--seq_path", fresh / "photos", "--to", fresh / "link", "--overwrite")
        assert export(*given) == 0
    assert (fresh / "link").is_symlink() and (fresh / "disk/transforms.json").is_file()
    assert sorted(path.name for path in fresh.iterdir()) == ["disk", "link", "out", "photos"]


@pytest.fixture
def small(tmp_path):
    """A finished run of four small photos."""
    make_photos(tmp_path / "photos", (101, 180))
    files = FrameFolder(tmp_path / "out")
    for result in Wall(tmp_path / "photos").results():
        files.add(result)
    return tmp_path


def test_one_format_alone_or_several_in_one_folder(small):
    given = (small / "out", "--seq_path", small / "photos")
    assert export(*given, "--only", "colmap") == 0
    assert {path.name for path in (small / "out/scene_colmap").iterdir()} == {"images", "sparse", "README.txt"}
    assert export(*given, "--only", "kitti", "--only", "ply", "--to", small / "both") == 0
    assert {path.name for path in (small / "both").iterdir()} == {"trajectory.kitti", "pointcloud.ply", "README.txt"}
    assert "images" not in (small / "both/README.txt").read_text()


def test_what_needs_no_pictures_does_without_them(small):
    shutil.rmtree(small / "photos")
    for name, file in {"depth": "depth", "tum": "trajectory.tum", "glb": "scene.glb"}.items():
        assert export(small / "out", "--only", name) == 0
        assert (small / "out" / f"scene_{name}" / file).exists()


def test_the_world_does_not_depend_on_which_frames_are_chosen(small):
    """So that formats that are exported at different times fit each other."""
    applied = []
    for count in (3, 4):
        given = (small / "out", "--seq_path", small / "photos", "--frames", count, "--to", small / f"{count}")
        assert export(*given, "--only", "nerfstudio") == 0
        applied.append(json.loads((small / f"{count}/transforms.json").read_text())["applied_transform"])
    np.testing.assert_array_equal(*applied)


@pytest.mark.parametrize("which", ["all", "some"])
def test_photos_have_the_times_when_they_were_taken_if_all_say_so(which, small):
    for number, path in enumerate(sorted((small / "photos").iterdir())):
        exif = Image.Exif()
        if which == "all" or number != 2:
            exif[0x8769] = {0x9003: f"2026:11:29 12:00:{3 * number:02d}", 0x9291: "5"}
        with Image.open(path) as image:
            image.copy().save(path, exif=exif)
    assert export(small / "out", "--seq_path", small / "photos", "--only", "tum") == 0
    times = read_tum(small / "out/scene_tum/trajectory.tum")[1]
    assert np.diff(times).tolist() == [3 if which == "all" else 1] * 3
    assert times[0] % 60 == (0.5 if which == "all" else 0)


def test_a_run_with_the_originals_files_is_refused(small, capfd):
    Marker("1", {"original": "True"}, "now", RunState.finished, frames=4).write(small / "out/cut3r.json")
    assert export(small / "out", "--seq_path", small / "photos") == WRONG_ARGUMENTS
    assert "was written with --original" in capfd.readouterr().err


def test_pictures_of_a_webcam_are_gone_and_what_needs_none_is_not(small, capfd):
    settings = {"seq_path": "camera:0, 640x480", THE_INPUT: "live"}
    Marker("1", settings, "now", RunState.finished, frames=4).write(small / "out/cut3r.json")
    assert export(small / "out") == WRONG_ARGUMENTS
    assert "camera:0, 640x480, which nobody can read again" in capfd.readouterr().err
    assert export(small / "out", "--only", "ply") == 0


def test_masks_alone_need_masks(small, capfd):
    assert export(small / "out", "--only", "masks") == WRONG_ARGUMENTS
    assert "--masks" in capfd.readouterr().err


def test_a_password_does_not_get_into_the_readme():
    source = "rtsp://admin:hunter2@cam/s?token=1"
    assert told(["cut3r", f"--seq_path={source}"]) == "cut3r --seq_path=rtsp://cam/s"
    assert told(["cut3r", "a b", "x@y.mp4"]) == "cut3r 'a b' x@y.mp4"
