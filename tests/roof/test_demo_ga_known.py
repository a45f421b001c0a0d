"""demo_ga.py with what is known of the cameras."""

import json

import numpy as np
import pytest
from PIL import Image

import demo
import demo_ga
from cut3r.inference.frame_folder import read_frame_folder
from cut3r.io import features
from cut3r.io.trajectory import read_tum, write_kitti, write_tum


def run_demo_ga(*arguments: object) -> int:
    return demo_ga.main([*map(str, arguments), "--no-viewer", "--device", "cpu"])


def cameras(n: int) -> np.ndarray:
    """On an arc, looking ahead."""
    world_from_cams = np.tile(np.eye(4), (n, 1, 1))
    world_from_cams[:, 0, 3] = np.arange(n)
    world_from_cams[:, 1, 3] = 0.1 * np.arange(n) ** 2
    return world_from_cams


@pytest.fixture
def aligned(weights, video, tmp_path):
    """Runs on four frames of a video; gives the frames' files, the path, and the report."""

    def run(*flags: object):
        out = tmp_path / "out"
        chosen = ["--model_path", weights, "--output_dir", out, "--every", 2, "--save", out / "traj.tum"]
        assert run_demo_ga(video, *chosen, *flags) == 0
        poses, _ = read_tum(out / "traj.tum")
        return list(read_frame_folder(out)), poses, json.loads((out / "alignment.json").read_text())

    return run


def test_known_cameras_come_out_as_they_went_in(aligned, tmp_path):
    given = cameras(4)
    write_tum(tmp_path / "known.tum", given, np.arange(4) * 0.2 + 0.01)
    (tmp_path / "camera.yaml").write_text("fx: 120\nfy: 122\ncx: 63\ncy: 47\nwidth: 128\nheight: 96\n")
    frames, poses, report = aligned("--intrinsics", tmp_path / "camera.yaml", "--poses", tmp_path / "known.tum")
    np.testing.assert_allclose(poses, given, atol=1e-6)
    half = np.array([[60, 0, 31.25], [0, 61, 23.25], [0, 0, 1]])
    for frame in frames:
        np.testing.assert_allclose(frame.intrinsics_original, half, rtol=1e-6)
    assert report["known_intrinsics"] == report["known_poses"] == 4


def test_four_numbers_are_a_calibration_and_masks_take_pixels_away(aligned, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    for number in range(8):
        white = np.zeros((48, 64), np.uint8)
        white[:, 32:] = 255
        Image.fromarray(white).save(masks / f"{number:03d}.png")
    frames, _, _ = aligned("--intrinsics", "60,61,31,23", "--masks", masks)
    np.testing.assert_allclose(frames[0].intrinsics_original, [[60, 0, 31], [0, 61, 23], [0, 0, 1]], rtol=1e-6)
    w = frames[0].depth.shape[1]
    for frame in frames:
        assert not frame.depth[:, : w // 2].any() and frame.depth[:, w // 2 :].any()


def test_a_stream_as_it_is_takes_intrinsics_too(weights, photos, tmp_path):
    out = tmp_path / "out"
    flags = ["--align", "none", "--intrinsics", "60,61,31,23", "--max-frames", 2, "--model_path", weights]
    assert run_demo_ga(photos, "--output_dir", out, *flags) == 0
    for frame in read_frame_folder(out):
        np.testing.assert_allclose(frame.intrinsics_original, [[60, 0, 31], [0, 61, 23], [0, 0, 1]], rtol=1e-6)


def test_a_known_distance_is_the_distance(aligned):
    _, poses, _ = aligned("--scale-from", "clip.mp4#000000,clip.mp4#000006=1.5")
    assert np.linalg.norm(poses[3, :3, 3] - poses[0, :3, 3]) == pytest.approx(1.5, rel=1e-5)


def test_centres_of_poses_give_the_scale(aligned, tmp_path):
    given = cameras(8)
    write_kitti(tmp_path / "all.kitti", given)
    _, poses, _ = aligned("--poses", tmp_path / "all.kitti", "--scale-from", "poses")
    centres, truth = poses[:, :3, 3], given[::2, :3, 3]
    assert np.linalg.norm(centres - centres.mean(axis=0)) > 0.2 * np.linalg.norm(truth - truth.mean(axis=0))
    assert np.abs(centres.mean(axis=0) - truth.mean(axis=0)).max() < 2


WRONG = {
    "sigma": (["--poses", "POSES", "--pose-sigma", "0.1"], "metres and degrees"),
    "sigma without poses": (["--pose-sigma", "0.1,2"], "give --poses FILE"),
    "scale from nothing": (["--scale-from", "poses"], "give --poses FILE"),
    "both": (["--poses", "POSES", "--scale-from", "poses", "--pose-sigma", "0.1,2"], "leave one out"),
    "distance": (["--scale-from", "a,b"], "IMG_1,IMG_9=1.5"),
    "numbers": (["--intrinsics", "1,2,3"], "fx, fy, cx, cy"),
    "no poses": (["--align", "none", "--poses", "POSES"], "--align none"),
    "poses as intrinsics": (["--intrinsics", "POSES"], "gives no intrinsics"),
    "counts": (["--poses", "POSES"], "3 entries"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_makes_no_sense_is_one_sentence(case, weights, photos, tmp_path, capsys):
    write_kitti(tmp_path / "poses.txt", cameras(3))
    flags, part = WRONG[case]
    flags = [str(tmp_path / "poses.txt") if flag == "POSES" else flag for flag in flags]
    out = tmp_path / "out"
    code = run_demo_ga("--seq_path", photos, "--output_dir", out, "--model_path", weights, *flags)
    said = capsys.readouterr().err
    assert code == demo.WRONG_ARGUMENTS
    assert part in said.splitlines()[-1] and said.splitlines()[-1].startswith("demo_ga.py: ")


def test_what_is_missing_is_an_input_that_is_missing(photos, tmp_path, capsys):
    flags = ["--output_dir", tmp_path / "out", "--poses", tmp_path / "nowhere"]
    assert run_demo_ga("--seq_path", photos, *flags) == demo.NO_INPUT
    assert "there is no" in capsys.readouterr().err


def test_frames_that_a_file_leaves_out_are_named(weights, photos, tmp_path, capsys):
    (tmp_path / "transforms.json").write_text(
        json.dumps(
            {
                "frames": [
                    {"file_path": f"images/photo_{k}.png", "transform_matrix": camera.tolist()}
                    for k, camera in enumerate(cameras(3))
                ]
            }
        )
    )
    flags = ["--max-frames", 4, "--poses", tmp_path / "transforms.json", "--pairs", "window"]
    assert run_demo_ga(photos, "--model_path", weights, "--output_dir", tmp_path / "out", *flags) == 0
    assert "says nothing of 2 frames: photo_3.png, photo_5.png" in capsys.readouterr().err


def test_masks_exclude_details_from_bundle_adjustment(aligned, tmp_path, monkeypatch):
    pytest.importorskip("pyceres", reason="SKIPPED LOUDLY: no pyceres (pip install cut3r[ba])")
    masks, seen, detect = tmp_path / "masks", [], features.detect
    masks.mkdir()
    for number in range(8):
        white = np.zeros((48, 64), np.uint8)
        white[:, 32:] = 255
        Image.fromarray(white).save(masks / f"{number:03d}.png")
    monkeypatch.setattr(features, "detect", lambda image, mask, *rest: seen.append(mask) or detect(image, mask, *rest))
    aligned("--masks", masks, "--ba")
    assert len(seen) == 4
    assert all(not mask[:, :32].any() and mask[:, 32:].all() for mask in seen)
