"""demo.py with what is known of the cameras."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

import demo
from cut3r.alignment import command as align_command
from cut3r.inference.frame_folder import read_frame_folder
from cut3r.io.known_cameras import Lens
from cut3r.io.trajectory import read_tum, write_tum
from cut3r.io.undistort import undistortion
from cut3r.run.finished import FinishedRun
from cut3r.run.known import Known
from cut3r.run.run import Run
from tests.roof.demo_runs import run_demo, written
from tests.roof.known_runs import GIVEN, assert_one_sentence, calibration, cameras, half_masks, with_poses


@pytest.fixture
def known(tmp_path):
    """Flags of known intrinsics and poses for the eight frames of a video."""
    write_tum(tmp_path / "known.tum", cameras(8), np.arange(8) * 0.1 + 0.01)
    return ["--intrinsics", calibration(tmp_path), "--poses", tmp_path / "known.tum"]


@pytest.fixture
def streamed(weights, video, tmp_path):
    """Runs on the video; gives the frames' files and the path."""

    def run(*flags: object, out: str = "out", source=video):
        chosen = ["--model_path", weights, "--output_dir", tmp_path / out, "--save", tmp_path / out / "traj.tum"]
        assert run_demo(source, *chosen, *flags) == 0
        return list(read_frame_folder(tmp_path / out)), read_tum(tmp_path / out / "traj.tum")[0]

    return run


@pytest.mark.parametrize("flags", [[], ["--reset-every", 4, "--overlap", 2], ["--keyframes", "every:3", "--condition"]])
def test_known_cameras_come_out_as_they_went_in(streamed, known, tmp_path, flags):
    frames, poses = streamed(*known, *flags)
    np.testing.assert_allclose(poses, cameras(8), atol=1e-6)
    for frame, pose in zip(frames, cameras(8), strict=True):
        np.testing.assert_allclose(frame.world_from_cam, pose, atol=1e-6)
        np.testing.assert_allclose(frame.intrinsics_original, GIVEN, rtol=1e-6)
        assert frame.given_pose and frame.given_intrinsics
    said = json.loads((tmp_path / "out" / "cut3r.json").read_text())["settings"]
    assert "camera.yaml" in said["what was given"] and "TUM trajectory" in said["what was given"]


def test_a_resumed_run_knows_the_same(streamed, known, tmp_path, monkeypatch):
    streamed(*known, "--reset-every", 5, "--overlap", 2, out="whole")
    take_in = Run._take_in

    def stop_early(self, progress, stop):
        add = self.writer.add

        def counted(result):
            add(result)
            if result.number == 4:
                stop.asked = True

        self.writer.add = counted
        take_in(self, progress, stop)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_take_in", stop_early)
        chosen = ["--model_path", tmp_path / "weights.safetensors", "--output_dir", tmp_path / "part"]
        flags = [*known, "--reset-every", 5, "--overlap", 2, "--save", tmp_path / "part" / "traj.tum"]
        run_demo(tmp_path / "clip.mp4", *chosen, *flags)
    assert len(list((tmp_path / "part" / "camera").glob("*.npz"))) == 5
    assert run_demo(tmp_path / "clip.mp4", *chosen, *flags, "--resume") == 0
    assert written(tmp_path / "part") == written(tmp_path / "whole")


def test_depth_and_distances_scale_what_is_saved(streamed, tmp_path):
    plain, path = streamed(out="plain")
    folder = tmp_path / "sensor"
    folder.mkdir()
    for frame in plain:  # the sensor sees everything three times as far away
        depth = cv2.resize(frame.depth, (64, 48), interpolation=cv2.INTER_NEAREST)
        np.save(folder / f"{frame.number:03d}.npy", 3 * depth)
    scaled, longer = streamed("--depth", folder, out="scaled")
    np.testing.assert_allclose(longer[:, :3, 3], 3 * path[:, :3, 3], rtol=0.01, atol=1e-5)
    for frame, before in zip(scaled, plain, strict=True):
        np.testing.assert_allclose(frame.depth, 3 * before.depth, rtol=0.01)
    _, measured = streamed("--scale-from", "0,clip.mp4#000007=1.5", "--reset-every", 4, "--overlap", 2, out="measured")
    assert np.linalg.norm(measured[7, :3, 3] - measured[0, :3, 3]) == pytest.approx(1.5, rel=1e-6)


def test_a_distorted_picture_becomes_that_of_a_pinhole_camera_for_later_steps_too(streamed, photos, tmp_path):
    bent = ["--intrinsics", "60,61,31,23", "--distortion", "fisheye:0.01,0,0,0", "--max-frames", 3]
    frames, _ = streamed(*bent, source=photos)
    for frame in frames:
        np.testing.assert_allclose(frame.intrinsics_original, [[60, 0, 31], [0, 61, 23], [0, 0, 1]], rtol=1e-6)
    run = FinishedRun(tmp_path / "out")
    assert all(frame.intrinsics is not None for _, frame in run.views(Known()))
    wanted = [(frame.index, frame.name) for frame in frames]
    for original in run.original_frames(wanted, Known(), who="a test"):
        raw = np.asarray(Image.open(photos / original.name))
        straight = undistortion(Lens.of(60.0, 61.0, 31.0, 23.0).bent(0.01), (48, 64))
        np.testing.assert_array_equal(original.rgb, straight.picture(raw))
        assert not np.array_equal(original.rgb, raw)
    assert align_command.main([str(run.folder), "--intrinsics", str(distorted(tmp_path))]) == demo.WRONG_ARGUMENTS


def distorted(folder):
    (folder / "bent.yaml").write_text(
        "fx: 60\nfy: 61\ncx: 31\ncy: 23\nwidth: 64\nheight: 48\ndistortion: [0.1, 0, 0, 0]\n"
    )
    return folder / "bent.yaml"


def test_masks_and_sky_take_pixels_away_and_say_so(streamed, tmp_path, capsys):
    frames, _ = streamed("--masks", half_masks(tmp_path / "masks"), "--sky", "--moving")
    w = frames[0].depth.shape[1]
    assert all(not frame.depth[:, : w // 2].any() and frame.depth[:, w // 2 :].any() for frame in frames)
    assert "masks: 50.0 % of the pixels were left out" in capsys.readouterr().err


WRONG = {
    "scale from nothing": (["--scale-from", "poses"], "give --poses FILE"),
    "scale from no depth": (["--scale-from", "depth"], "give --depth FOLDER"),
    "a distance for held poses": (["--poses", "POSES", "--scale-from", "a,b=1"], "stay as they are"),
    "distance": (["--scale-from", "a,b"], "IMG_1,IMG_9=1.5"),
    "condition": (["--poses", "POSES", "--condition"], "both --poses and --intrinsics"),
    "distortion": (["--distortion", "0.1"], "give --intrinsics"),
    "coefficients": (["--intrinsics", "1,1,1,1", "--distortion", "a"], "k1,k2,p1,p2"),
    "moving": (["--moving", "--resume"], "leave out one of both"),
    "counts": (["--poses", "POSES"], "3 entries"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_makes_no_sense_is_one_sentence(case, weights, photos, tmp_path, capsys):
    flags, part = WRONG[case]
    flags = with_poses(flags, tmp_path)
    code = run_demo("--seq_path", photos, "--output_dir", tmp_path / "out", "--model_path", weights, *flags)
    assert code == demo.WRONG_ARGUMENTS
    assert_one_sentence(capsys.readouterr().err, "demo.py", part)
