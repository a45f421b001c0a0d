import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cut3r.data.datasets.scannet import ScanNet
from datasets_preprocess.runner import RawScene, Writer, run
from datasets_preprocess.scannet import CONVERTER, ScanNetOptions, convert, open_scan, warp
from datasets_preprocess.sens import SensFile
from tests.data.datasets.raw_fixtures import save_image, textured

SCENE = "scans_train/scene0000_00"
INTRINSICS = np.array([[57.7, 0, 31.9, 0], [0, 57.8, 24.2, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def make_exported(folder: Path, frames: int = 4) -> None:
    for part in ("pose", "intrinsic"):
        (folder / part).mkdir(parents=True)
    for number in range(frames):
        save_image(folder / f"color/{number}.jpg", textured(97, 130, number))
        save_image(folder / f"depth/{number}.png", depth(number))
        np.savetxt(folder / f"pose/{number}.txt", pose(number))
    for name in ("intrinsic_color", "intrinsic_depth"):
        np.savetxt(folder / f"intrinsic/{name}.txt", INTRINSICS)


def make_sens(path: Path, frames: int = 4) -> None:
    """Two cameras, colour as PNG and depth through zlib, as the head says."""
    path.parent.mkdir(parents=True)
    parts = [np.array(4, "<u4"), np.array(5, "<u8"), b"Tango"]
    parts += [matrix.astype("<f4") for matrix in (INTRINSICS, np.eye(4), INTRINSICS, np.eye(4))]
    parts += [
        np.array([1, 1], "<i4"),
        np.array([130, 97, 64, 48], "<u4"),
        np.array(1000, "<f4"),
        np.array(frames, "<u8"),
    ]
    for number in range(frames):
        color, numbers = io.BytesIO(), zlib.compress(depth(number).tobytes())
        Image.fromarray(textured(97, 130, number)).save(color, "PNG")
        parts += [pose(number).astype("<f4"), np.array([0, 0, color.tell(), len(numbers)], "<u8")]
        parts += [color.getvalue(), numbers]
    path.write_bytes(b"".join(part if isinstance(part, bytes) else part.tobytes() for part in parts))


def depth(number: int) -> np.ndarray:
    return (1000 + 10 * number + np.arange(48 * 64).reshape(48, 64) % 7).astype(np.uint16)


def pose(number: int) -> np.ndarray:
    world_from_cam = np.eye(4)
    world_from_cam[0, 3] = 0.1 * number
    return world_from_cam


def writer_for(tmp_path, **options):
    return Writer(tmp_path / "out", ScanNet.layout, options=ScanNetOptions(**options))


def read(tmp_path, position=0):
    dataset = ScanNet(tmp_path / "out", num_views=2, sizes=[(48, 64)])
    return dataset.read(dataset.scenes[0], position)


def test_a_sens_file_gives_what_its_export_gives(tmp_path):
    make_sens(tmp_path / "raw" / SCENE / "scene0000_00.sens")
    report = run(CONVERTER, tmp_path / "raw", tmp_path / "out")
    assert report.complete, str(report)
    frame = read(tmp_path, 2)
    assert frame.size == (48, 64) and frame.world_from_cam[0, 3] == pytest.approx(0.2)
    np.testing.assert_allclose(frame.depth, depth(2) / 1000, rtol=1e-6)
    np.testing.assert_allclose(frame.intrinsics, INTRINSICS[:3, :3], rtol=1e-6)
    make_exported(tmp_path / "exported" / SCENE)
    theirs = open_scan(tmp_path / "exported" / SCENE).read(2)
    ours = open_scan(tmp_path / "raw" / SCENE).read(2)
    assert np.array_equal(ours[1], theirs[1]) and ours[0].shape == theirs[0].shape


def test_a_sens_file_that_ends_early_gives_the_frames_before(tmp_path):
    path = tmp_path / "raw" / SCENE / "scene0000_00.sens"
    make_sens(path)
    path.write_bytes(path.read_bytes()[:-100])
    writer = writer_for(tmp_path)
    assert convert(tmp_path / "raw", RawScene(SCENE), writer) == ["00000", "00001", "00002"]
    assert "ends before frame 3 of 4" in writer.left_out["00003"]
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"scene0000_00\.sens cannot be read \(it ends 1\d\d bytes too early"):
        SensFile(path)


def test_frames_without_tracking_or_files_are_named(tmp_path):
    folder = tmp_path / "raw" / SCENE
    make_exported(folder, frames=6)
    np.savetxt(folder / "pose/1.txt", np.full((4, 4), -np.inf))
    (folder / "depth/3.png").unlink()
    (folder / "color/4.jpg").write_bytes(b"no picture")
    writer = writer_for(tmp_path)
    assert convert(tmp_path / "raw", RawScene(SCENE), writer) == ["00000", "00002", "00005"]
    assert "tracking was lost" in writer.left_out["00001"]
    assert "3.png" in writer.left_out["00003"] and "4.jpg" in writer.left_out["00004"]
    assert ScanNet(tmp_path / "out", num_views=2, sizes=[(48, 64)]).scenes[0].frames == ("00000", "00002", "00005")


def test_a_scan_without_calibration_is_left_out_by_name(tmp_path):
    # quirk 2: the original leaves no trace
    make_exported(tmp_path / "raw" / SCENE)
    lost = INTRINSICS.copy()
    lost[0, 0] = -np.inf
    np.savetxt(tmp_path / "raw" / SCENE / "intrinsic/intrinsic_depth.txt", lost)
    report = run(CONVERTER, tmp_path / "raw", tmp_path / "out")
    assert report.converted == 0 and "calibration is not finite" in str(report)


def test_depth_can_be_moved_into_the_colour_camera(tmp_path):
    # quirk 1: the cameras are not in the same place
    folder = tmp_path / "raw" / SCENE
    make_exported(folder)
    rig_from_depth = np.eye(4)
    rig_from_depth[0, 3] = 0.1
    np.savetxt(folder / "intrinsic/extrinsic_depth.txt", rig_from_depth)
    scan = open_scan(folder)
    flat = np.full((48, 64), 1000, np.uint16)
    flat[:, 40:] = 3000
    moved = warp(flat, scan, INTRINSICS[:3, :3])
    # 57.7 pixels of focal length: 0.1 m is 5.77 pixels at 1 m, and 1.9 at 3 m
    assert not moved[:, :6].any() and (moved[:, 6:46] == 1000).all() and (moved[:, 46:] == 3000).all()
    convert(tmp_path / "raw", RawScene(SCENE), writer_for(tmp_path, warp_depth=True))
    frame = read(tmp_path)
    assert frame.world_from_cam[0, 3] == pytest.approx(-0.1)
    np.testing.assert_allclose(frame.intrinsics[0], [57.7 * 64 / 130, 0, 32.4 * 64 / 130 - 0.5], rtol=1e-6)
