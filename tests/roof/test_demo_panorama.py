"""--panorama: the views of one picture keep together, in all files."""

import numpy as np
import pytest
from PIL import Image

from cut3r.io.panorama import pano_from_cam, view_intrinsics
from cut3r.weights.checkpoint import save
from tests.roof.demo_runs import run_demo

SIZE = (128, 256)


@pytest.fixture
def panoramas(tmp_path):
    folder = tmp_path / "panoramas"
    folder.mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize(SIZE[::-1]).save(folder / f"{number}.png")
    return folder


def test_views_share_a_centre_and_their_turns_are_exact(tiny_linear, panoramas, tmp_path):
    save(tiny_linear, tmp_path / "network.safetensors")
    out = tmp_path / "out"
    words = [panoramas, "--model_path", tmp_path / "network.safetensors", "--output_dir", out, "--size", 64]
    assert run_demo(*words, "--panorama", 4) == 0
    cameras = [np.load(path) for path in sorted((out / "camera").glob("*.npz"))]
    assert len(cameras) == 8
    for first in (0, 4):
        poses = np.stack([camera["pose"] for camera in cameras[first : first + 4]]).astype(float)
        for number, pose in enumerate(poses):
            assert np.allclose(pose, poses[0] @ pano_from_cam(number, 4), atol=1e-5)
    for camera in cameras:
        assert np.allclose(camera["intrinsics_original"], view_intrinsics(SIZE), rtol=1e-6)
    assert not np.allclose(cameras[0]["pose"], cameras[4]["pose"], atol=1e-5)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--panorama", "2"], "4 to 12 views"),
        (["--panorama", "6", "--intrinsics", "100,100,50,50"], "leave out --intrinsics"),
        (["--panorama", "6", "--resume"], "leave out one of both"),
    ],
)
def test_what_makes_no_sense_is_refused(panoramas, tmp_path, capsys, flags, message):
    assert run_demo(panoramas, "--output_dir", tmp_path / "out", *flags) == 2
    assert message in capsys.readouterr().err


def test_pictures_of_another_shape_are_named(photos, tmp_path, capsys):
    assert run_demo(photos, "--output_dir", tmp_path / "out", "--panorama", 6) != 0
    assert "twice as wide as high" in capsys.readouterr().err
