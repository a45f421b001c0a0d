"""demo_ga.py with what is known of the cameras."""

import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import demo
import demo_ga
from cut3r.inference.frame_folder import read_frame_folder
from cut3r.io import features, sky
from cut3r.io.panorama import pano_from_cam, view_intrinsics
from cut3r.io.trajectory import read_tum, write_kitti, write_tum
from cut3r.run.moving import Moving
from tests.roof.known_runs import GIVEN, assert_one_sentence, calibration, cameras, half_masks, with_poses


def run_demo_ga(*arguments: object) -> int:
    return demo_ga.main([*map(str, arguments), "--no-viewer", "--device", "cpu"])


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
    given = cameras(4, (1.0, 0.0))
    write_tum(tmp_path / "known.tum", given, np.arange(4) * 0.2 + 0.01)
    frames, poses, report = aligned("--intrinsics", calibration(tmp_path), "--poses", tmp_path / "known.tum")
    np.testing.assert_allclose(poses, given, atol=1e-6)
    for frame in frames:
        np.testing.assert_allclose(frame.intrinsics_original, GIVEN, rtol=1e-6)
    assert report["known_intrinsics"] == report["known_poses"] == 4


def test_four_numbers_are_a_calibration_and_masks_take_pixels_away(aligned, tmp_path):
    masks = half_masks(tmp_path / "masks")
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
    given = cameras(8, (1.0, 0.0))
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
    "depth for a stream as it is": (["--align", "none", "--depth", "."], "--align none"),
    "scale from no depth": (["--scale-from", "depth"], "give --depth FOLDER"),
    "depth and a distance": (["--depth", ".", "--scale-from", "a,b=1"], "has no say"),
    "depth would scale poses": (["--poses", "POSES", "--depth", ".", "--scale-from", "depth"], "leave one out"),
    "panorama": (["--panorama", "6", "--intrinsics", "100,100,50,50"], "leave out --intrinsics"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_makes_no_sense_is_one_sentence(case, weights, photos, tmp_path, capsys):
    flags, part = WRONG[case]
    flags = with_poses(flags, tmp_path)
    code = run_demo_ga("--seq_path", photos, "--output_dir", tmp_path / "out", "--model_path", weights, *flags)
    assert code == demo.WRONG_ARGUMENTS
    assert_one_sentence(capsys.readouterr().err, "demo_ga.py", part)


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
    masks, seen, detect = half_masks(tmp_path / "masks"), [], features.detect
    monkeypatch.setattr(features, "detect", lambda image, mask, *rest: seen.append(mask) or detect(image, mask, *rest))
    aligned("--masks", masks, "--ba")
    assert len(seen) == 4
    assert all(not mask[:, :32].any() and mask[:, 32:].all() for mask in seen)


def sensor(folder, frames, factor):
    """Depth maps that see everything so many times as far away, and nothing in a corner."""
    folder.mkdir()
    for frame in frames:
        depth = factor * cv2.resize(frame.depth, (64, 48), interpolation=cv2.INTER_NEAREST)
        depth[:10, :10] = 0
        np.save(folder / f"{frame.number:03d}.npy", depth)
    return folder


@pytest.mark.parametrize("how", ["graph", "full"])
def test_known_depth_takes_the_place_of_what_the_network_says(aligned, tmp_path, how):
    before, _, _ = aligned("--align", how)
    folder = sensor(tmp_path / "sensor", before, 3.0)
    frames, _, _ = aligned("--align", how, "--depth", folder, "--scale-from", "depth")
    for frame in frames:
        given = np.load(folder / f"{frame.number:03d}.npy")
        near = cv2.resize(given, frame.depth.shape[::-1], interpolation=cv2.INTER_NEAREST)
        known = (frame.depth > 0) & (near > 0)
        assert known.mean() > 0.3
        assert np.median(np.abs(frame.depth - near)[known] / near[known]) < 1e-3


def test_sky_and_moving_things_are_left_out_and_said(aligned, tmp_path, monkeypatch, capsys):
    above = np.zeros((48, 64), bool)
    above[:24] = True
    monkeypatch.setattr(sky, "find_sky", lambda rgb, depth=None: above)
    left = lambda self, result: torch.ones_like(result.valid).cumsum(dim=1) <= 16  # noqa: E731
    monkeypatch.setattr(Moving, "_moving", left)
    monkeypatch.setattr("cut3r.run.moving.SPACING", 1)
    frames, _, _ = aligned("--sky", "--moving")
    h = len(frames[0].depth)
    assert all(not frame.depth[: h // 2].any() and frame.depth[h // 2 :].any() for frame in frames)
    assert not frames[-1].depth[:, :16].any() and frames[0].depth[h // 2 :, :16].any()
    said = capsys.readouterr().err
    assert "sky: 50.0 % of the pixels were left out" in said and "moving things: " in said


@pytest.mark.parametrize("how", ["graph", "none"])
def test_views_of_a_panorama_keep_together(weights, tmp_path, how):
    folder = tmp_path / "panoramas"
    folder.mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((256, 128)).save(folder / f"{number}.png")
    out = tmp_path / "out"
    flags = ["--output_dir", out, "--size", 64, "--panorama", 4, "--align", how]
    assert run_demo_ga(folder, "--model_path", weights, *flags) == 0
    frames = list(read_frame_folder(out))
    assert len(frames) == 8
    for number, frame in enumerate(frames):
        first = frames[number - number % 4].world_from_cam.astype(float)
        np.testing.assert_allclose(frame.world_from_cam, first @ pano_from_cam(number % 4, 4), atol=1e-4)
        np.testing.assert_allclose(frame.intrinsics_original, view_intrinsics((128, 256)), rtol=1e-6)
