"""The baseline for VSLAM-LAB, on a sequence folder as that lays it out."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from cut3r.io.known_files import read_known_cameras
from cut3r.io.trajectory import read_tum
from cut3r.run.console import NO_INPUT, WRONG_ARGUMENTS
from cut3r.run.vslam_lab import Settings, main, make_parser, read_list
from cut3r.weights.checkpoint import save

FOLDER = Path(__file__).parents[2] / "benchmarks" / "vslam_lab"
ORB_SLAM = """%YAML:1.0
Camera.type: "PinHole"
Camera.fx: 60.0
Camera.fy: 61.0
Camera.cx: 31.0
Camera.cy: 23.0
Camera.k1: 0.01
Camera.k2: 0.0
Camera.p1: 0.0
Camera.p2: 0.0
Camera.w: 64
Camera.h: 48
Camera.fps: 30
"""
LIST = """cameras:
  - cam_name: rgb_0
    cam_model: pinhole
    focal_length: [60.0, 61.0]
    principal_point: [31.0, 23.0]
    distortion_type: radtan5
    distortion_coefficients: [0.01, 0.0, 0.0, 0.0, 0.0]
    image_dimension: [64, 48]
"""


@pytest.fixture
def sequence(tmp_path):
    folder = tmp_path / "sequence"
    (folder / "rgb_0").mkdir(parents=True)
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "rgb_0" / f"{number}.png")
    (folder / "calibration.yaml").write_text(ORB_SLAM)
    return folder


def write_csv(folder):
    rows = [f"{1_700_000_000_000_000_000 + n * 50_000_000},rgb_0/{n}.png" for n in range(4)]
    (folder / "rgb.csv").write_text("\n".join(["ts_rgb_0 (ns),path_rgb_0", *rows]) + "\n")


def write_txt(folder):
    (folder / "rgb.txt").write_text("".join(f"{100 + n * 0.05:.6f} rgb_0/{n}.png\n" for n in range(4)))


@pytest.mark.parametrize(("write", "begin"), [(write_csv, 1.7e9), (write_txt, 100.0)])
def test_a_sequence_becomes_a_trajectory(sequence, tmp_path, tiny_linear, write, begin):
    write(sequence)
    save(tiny_linear, tmp_path / "weights.safetensors")
    settings = {"model": str(tmp_path / "weights.safetensors"), "device": "cpu", "reset_every": "off"}
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    words = {"sequence_path": sequence, "exp_folder": tmp_path / "exp", "settings_yaml": tmp_path / "settings.yaml"}
    for number, style in enumerate(("--{}={}", "{}:{}")):
        assert main([style.format(*word) for word in (words | {"exp_id": number}).items()]) == 0
        text = (tmp_path / "exp" / f"0000{number}_KeyFrameTrajectory.txt").read_text().splitlines()
        assert all(len(line.split()) == 8 for line in text[1:]) and text[0].startswith("#")
        poses, times = read_tum(tmp_path / "exp" / f"0000{number}_KeyFrameTrajectory.txt")
        np.testing.assert_allclose(times, begin + np.arange(4) * 0.05, atol=1e-5)
        np.testing.assert_allclose(np.linalg.det(poses[:, :3, :3]), 1, atol=1e-6)
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings | {"use_calibration": False}))
    assert main([f"--{name}={value}" for name, value in (words | {"exp_id": 2}).items()]) == 0
    plain, _ = read_tum(tmp_path / "exp" / "00002_KeyFrameTrajectory.txt")
    assert not np.allclose(plain, poses, atol=1e-9), "the calibration has undistorted the pictures"


@pytest.mark.parametrize("text", [ORB_SLAM, LIST], ids=["as ORB-SLAM", "a list"])
def test_both_kinds_of_calibration_are_read(tmp_path, text):
    (tmp_path / "calibration.yaml").write_text(text)
    lens = read_known_cameras(tmp_path / "calibration.yaml").only_lens()
    np.testing.assert_allclose(lens.intrinsics, [[60, 0, 31], [0, 61, 23], [0, 0, 1]])
    assert lens.size == (48, 64) and lens.distortion[0] == 0.01


def test_a_fisheye_of_orb_slam_is_one(tmp_path):
    text = ORB_SLAM.replace("PinHole", "KannalaBrandt8").replace("p1", "k3").replace("p2", "k4")
    (tmp_path / "calibration.yaml").write_text(text)
    assert type(read_known_cameras(tmp_path / "calibration.yaml").only_lens()).__name__ == "Fisheye"


def test_what_is_wrong_is_one_sentence(sequence, tmp_path, capsys):
    words = [f"--sequence_path={sequence}", f"--exp_folder={tmp_path / 'exp'}"]
    assert main(words) == NO_INPUT
    assert "holds neither rgb.csv nor rgb.txt" in capsys.readouterr().err
    (sequence / "rgb.txt").write_text("0.0 rgb_0/0.png\n0.1 rgb_0/9.png\n")
    assert main(words) == NO_INPUT
    (sequence / "rgb.txt").write_text("0.0\n")
    assert main(words) == WRONG_ARGUMENTS
    (sequence / "rgb.txt").write_text("# nothing\n")
    with pytest.raises(ValueError, match="names no picture"):
        read_list(sequence, None)
    (tmp_path / "settings.yaml").write_text("modle: tiny\n")
    assert main([*words, f"--settings_yaml={tmp_path / 'settings.yaml'}"]) == WRONG_ARGUMENTS
    assert "modle" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "exp").exists()


def test_the_description_names_what_there_is():
    described = yaml.safe_load((FOLDER / "baseline_cut3r.yaml").read_text())
    words = shlex.split(described["command"])
    assert words[:3] == ["python", "-m", "cut3r.run.vslam_lab"]
    make_parser().parse_args([word.replace("{exp_id}", "0") for word in words[3:]])
    assert Settings.read(FOLDER / described["settings"]) == Settings()
