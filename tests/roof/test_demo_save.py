"""--save scene/ and --export: folders for other programs, right after the run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import demo
import demo_ga
from cut3r.export import of_run
from cut3r.files.disk import DiskFullError
from cut3r.inference.frame_folder import FrameFolder
from cut3r.io.colmap import read_cameras, read_images
from cut3r.io.depth import read_depth
from cut3r.io.frames import Frame, FrameStream
from cut3r.io.images import read_image
from cut3r.io.trajectory import read_tum, write_kitti
from cut3r.io.transforms_json import read_transforms
from cut3r.run.output_folder import OutputFolder
from cut3r.weights.checkpoint import save
from tests.roof.demo_runs import run_demo

SCENE = {"images", "sparse", "depth", "transforms.json", "pointcloud.ply", "README.txt"}


@pytest.fixture
def wall(tiny_linear, tmp_path):
    """A checkpoint that sees a wall a metre away from a camera that stands still, so that all frames agree."""
    with torch.no_grad():
        last, pose = tiny_linear.heads.points_cam.mlp.fc2, tiny_linear.heads.pose.fc2
        last.weight.zero_()
        last.bias.view(4, -1).copy_(torch.tensor([[0.0], [0.0], [0.7], [3.0]]).expand(4, last.bias.numel() // 4))
        pose.weight.zero_()
        pose.bias.copy_(torch.tensor([0.0, 0, 0, 1, 0, 0, 0]))
    save(tiny_linear, tmp_path / "wall.safetensors")
    return tmp_path / "wall.safetensors"


def large(photos: Path) -> Path:
    """Twice as wide and high as the network sees them, and a little more above and below."""
    for number, path in enumerate(sorted(photos.iterdir())):
        pixels = np.random.default_rng(number).integers(0, 256, (100, 128, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return photos


def test_the_scene_is_there_after_the_run_with_the_original_pictures(wall, photos, tmp_path, capsys):
    flags = ["--model_path", wall, large(photos), "--output_dir", tmp_path / "out", "--size", 64]
    scene = tmp_path / "out" / "scene"
    assert run_demo(*flags, "--save", f"{scene}/", "--save", tmp_path / "traj.tum") == 0
    assert {path.name for path in scene.iterdir()} == SCENE
    for path in photos.iterdir():
        assert (scene / "images" / path.name).read_bytes() == path.read_bytes()
    assert [camera.size for camera in read_cameras(scene / "sparse/0/cameras.bin").values()] == [(100, 128)]
    assert read_depth(scene / "depth/photo_3.png").shape == (100, 128)
    said = capsys.readouterr().err
    assert f"wrote {scene}" in said and "6 pictures" in said and "writing pictures" in said
    assert len(read_tum(tmp_path / "traj.tum")[0]) == 6
    assert not list((tmp_path / "out").glob(".scene*"))


def test_frames_of_a_video_are_written_and_a_second_run_replaces_the_scene(wall, video, tmp_path):
    flags = ["--model_path", wall, video, "--output_dir", tmp_path / "out", "--save", tmp_path / "scene"]
    assert run_demo(*flags) == 0
    assert run_demo(*flags, "--every", 2) == 0
    names = sorted(path.name for path in (tmp_path / "scene/images").iterdir())
    assert names == [f"{number:06d}.jpg" for number in range(4)]
    shown = [read_image(tmp_path / "scene/images" / name).mean() for name in names]
    np.testing.assert_allclose(shown, [0, 60, 120, 180], atol=4)


def test_each_format_alone(wall, photos, tmp_path):
    wanted = {"colmap": {"images", "sparse"}, "depth": {"depth"}, "tum": {"trajectory.tum"}, "glb": {"scene.glb"}}
    flags = [flag for name in wanted for flag in ("--export", f"{name}:{tmp_path / name}")]
    assert run_demo("--model_path", wall, photos, "--output_dir", tmp_path / "out", *flags) == 0
    for name, files in wanted.items():
        assert {path.name for path in (tmp_path / name).iterdir()} == files | {"README.txt"}
    assert len(read_images(tmp_path / "colmap/sparse/0/images.txt")) == 6


def test_known_cameras_are_exported_as_they_were_given(wall, photos, tmp_path):
    """Small steps, so that a wall a metre away from cameras that stand still is one for all of them."""
    given = np.tile(np.eye(4), (6, 1, 1))
    given[:, :3, 3] = np.array([5.0, -2.0, 1.0]) + 1e-4 * np.arange(6)[:, None]
    write_kitti(tmp_path / "poses.kitti", given)
    flags = ["--model_path", wall, large(photos), "--output_dir", tmp_path / "out", "--size", 64]
    known = ["--poses", tmp_path / "poses.kitti", "--intrinsics", "101.25,99.5,63.1,50.2"]
    saves = ["--export", f"nerfstudio:{tmp_path / 'nerf'}", "--export", f"colmap:{tmp_path / 'colmap'}"]
    assert run_demo(*flags, *known, *saves) == 0
    true = np.array([[101.25, 0, 63.1], [0, 99.5, 50.2], [0, 0, 1]])
    turn = np.eye(4)
    turn[:3] = json.loads((tmp_path / "nerf/transforms.json").read_text())["applied_transform"]
    cameras = read_transforms(tmp_path / "nerf/transforms.json").cameras
    images = read_images(tmp_path / "colmap/sparse/0/images.bin")
    lens = read_cameras(tmp_path / "colmap/sparse/0/cameras.bin")[images[0].camera].lens()
    for number, (camera, image) in enumerate(zip(cameras, images, strict=True)):
        for intrinsics in (camera.lens.intrinsics, lens.intrinsics):
            np.testing.assert_allclose(intrinsics, true, rtol=1e-6, atol=1e-9)
        for pose in (camera.world_from_cam, image.world_from_cam):
            np.testing.assert_allclose(np.linalg.inv(turn) @ pose, given[number], atol=1e-6)


def test_some_frames_and_keyframes_are_enough(wall, video, tmp_path):
    flags = ["--model_path", wall, video, "--output_dir", tmp_path / "out", "--save", tmp_path / "scene"]
    assert run_demo(*flags, "--save-frames", "some", "--keyframes", "every:2") == 0
    assert [path.name for path in (tmp_path / "scene/images").iterdir()] == ["000000.jpg"]


def test_after_an_interruption_the_scene_has_all_frames(wall, photos, tmp_path, monkeypatch):
    flags = ["--model_path", wall, photos, "--output_dir", tmp_path / "out", "--save", tmp_path / "scene"]
    add = FrameFolder.add

    def fail(self: FrameFolder, result: object) -> None:
        if result.number == 4:
            raise RuntimeError("the power is out")
        add(self, result)

    monkeypatch.setattr(FrameFolder, "add", fail)
    with pytest.raises(RuntimeError, match="the power is out"):
        run_demo(*flags)
    assert len(list((tmp_path / "scene/images").iterdir())) == 4, "of what is there"
    monkeypatch.undo()
    assert run_demo(*flags, "--resume") == 0
    assert len(list((tmp_path / "scene/images").iterdir())) == 6


def test_a_scene_that_cannot_be_made_in_the_end_does_not_keep_the_others_from_it(wall, photos, tmp_path, capsys):
    """One photo alone is changed while the run reads them."""
    monkey = OutputFolder.end

    def end(self: OutputFolder, *given: object) -> None:
        monkey(self, *given)
        shutil.copy(photos / "photo_1.png", photos / "photo_2.png")
        (photos / "photo_3.png").unlink()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(OutputFolder, "end", end)
        flags = ["--model_path", wall, photos, "--output_dir", tmp_path / "out"]
        saves = ["--save", tmp_path / "scene/", "--save", tmp_path / "traj.tum"]
        assert run_demo(*flags, *saves) == demo.FAILED
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"demo.py: {tmp_path / 'scene'} could not be finished (the pictures at")
    assert len(read_tum(tmp_path / "traj.tum")[0]) == 6 and not (tmp_path / "scene").exists()


def fail(path: Path, *_given: object) -> None:
    raise DiskFullError(path.parent)


def live(monkeypatch) -> None:
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (96, 128, 3), dtype=np.uint8) for _ in range(4)]
    frames = [Frame(rgb, n, float(n), f"camera:0#{n:06d}") for n, rgb in enumerate(pictures)]
    stream = FrameStream(iter(frames), "live rtsp://cam/s, 128x96", expected=None, skipped=[], live=True)
    monkeypatch.setattr("cut3r.run.footage.open_frames", lambda *_args, **_options: stream)


def test_pictures_of_a_webcam_are_kept_until_the_scene_is_there(wall, tmp_path, monkeypatch):
    live(monkeypatch)
    out = tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["demo.py", "rtsp://admin:hunter2@cam/s?token=1"])
    assert run_demo("--model_path", wall, "--seq_path", "rtsp://x", "--output_dir", out, "--save", f"{out}/scene/") == 0
    shown = sorted((out / "scene/images").iterdir())
    assert [read_image(path).shape for path in shown] == [(96, 128, 3)] * 4
    assert {path.name for path in out.iterdir()} >= {"scene", "depth"} and not list(out.glob(".pictures"))
    assert "demo.py rtsp://cam/s\n" in (out / "scene/README.txt").read_text()


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--save", "mine/"], "mine holds files of others"),
        (["--save", "scene/", "--save-frames", "none"], "--save scene is made of the files of frames"),
        (["--export", "depth:there", "--original"], "--export depth: there needs more than the original's"),
        (["--export", "masks:there"], "--masks"),
        (["--export", "usd:there"], "FORMAT is one of scene, colmap"),
        (["--save", "photos/"], "photos holds files of others"),
        (["--save", "out/"], "writes into out itself"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_network_is_loaded(
    flags, said, photos, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine/diary.txt").touch()
    for main in (demo.main, demo_ga.main):
        assert main(["photos", "--output_dir", "out", "--no-viewer", *flags]) == demo.WRONG_ARGUMENTS
        assert said in capsys.readouterr().err.splitlines()[-1]
    assert not Path("out").exists()


def test_demo_ga_gives_a_scene_too_with_masks_and_reports_what_failed(wall, photos, tmp_path, monkeypatch, capsys):
    masks = tmp_path / "masks"
    masks.mkdir()
    white = np.full((48, 64), 255, np.uint8)
    white[:, :20] = 0
    for path in photos.iterdir():
        Image.fromarray(white).save(masks / path.name)
    flags = [photos, "--max-frames", "4", "--masks", masks, "--align", "none"]
    flags += ["--save", tmp_path / "scene.ply", "--save", f"{tmp_path}/scene/"]
    flags += ["--model_path", wall, "--output_dir", tmp_path / "out", "--device", "cpu", "--no-viewer"]
    monkeypatch.setattr("cut3r.inference.reconstruction.write_ply", fail)
    assert demo_ga.main(list(map(str, flags))) == demo.FAILED
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"demo_ga.py: {tmp_path / 'scene.ply'} could not be finished (the disk of")
    scene = tmp_path / "scene"
    assert {path.name for path in scene.iterdir()} == SCENE | {"masks"}
    assert len(read_transforms(scene / "transforms.json").cameras) == 4
    for path in (scene / "depth").iterdir():
        assert (read_depth(path)[:, :20] == 0).all() and (read_depth(path)[:, 24:] > 0).any()


def test_frames_and_points_are_found_once_for_all_folders(wall, photos, tmp_path, monkeypatch):
    calls = []
    find = of_run.find_tracks
    monkeypatch.setattr(of_run, "find_tracks", lambda *given: calls.append(1) or find(*given))
    saves = ["--save", f"{tmp_path}/scene/", "--export", f"ply:{tmp_path}/points"]
    assert run_demo("--model_path", wall, photos, "--output_dir", tmp_path / "out", *saves) == 0
    assert len(calls) == 1
    assert (tmp_path / "points/pointcloud.ply").read_bytes() == (tmp_path / "scene/pointcloud.ply").read_bytes()


def test_what_a_killed_run_has_left_goes_with_the_next(weights, photos, tmp_path):
    """Its hidden folders, whose locks nobody holds any more; not those of others."""
    out = tmp_path / "out"
    flags = [photos, "--model_path", weights, "--output_dir", out, "--max-frames", 2]
    assert run_demo(*flags) == 0
    for name in (".pictures", ".scene.0123456789ab", ".mine"):
        (out / name).mkdir()
        (out / name / "000000.jpg").write_bytes(b"half")
    (out / ".scene.0123456789ab.lock").write_text("scene")
    assert run_demo(*flags) == 0
    assert {path.name for path in out.iterdir() if path.name.startswith(".")} == {".mine", ".cut3r.lock"}
