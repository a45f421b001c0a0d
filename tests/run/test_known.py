"""What is known is put onto frames: intrinsics in their pixels, poses, masks."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cut3r.io.frames import open_frames
from cut3r.io.known_cameras import KnownCamera, KnownCameras, Lens
from cut3r.run.known import Known, read_mask


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(folder / name)
    return folder


def camera(name: str | None, focal: float = 100.0, size=(96, 128), x: float = 0.0, distortion=()) -> KnownCamera:
    pose = np.eye(4)
    pose[0, 3] = x
    return KnownCamera(name, None, Lens.of(focal, focal, 63.5, 47.5, size, distortion), pose)


def onto(known: Known, photos: Path):
    with open_frames(photos) as stream:
        return list(known.onto(stream))


def test_each_frame_gets_its_own_camera_in_its_pixels(photos):
    given = KnownCameras("given", (camera("c", 300.0, x=3.0), camera("a", 100.0, x=1.0)))
    a, b, c = onto(Known(given, given), photos)
    assert a.intrinsics.tolist() == [[50, 0, 31.5], [0, 50, 23.5], [0, 0, 1]] and c.intrinsics[0, 0] == 150
    assert a.world_from_cam[0, 3] == 1 and c.world_from_cam[0, 3] == 3
    assert b.intrinsics is None and b.world_from_cam is None


def test_each_flag_takes_its_part(photos):
    given = KnownCameras("given", tuple(camera(name) for name in "abc"))
    assert all(frame.world_from_cam is None and frame.intrinsics is not None for frame in onto(Known(given), photos))
    assert all(frame.intrinsics is None for frame in onto(Known(poses=given), photos))


def test_a_camera_that_all_entries_share_is_that_of_the_other_frames_too(photos):
    given = KnownCameras("given", (camera("a"), camera("c")))
    assert all(frame.intrinsics[0, 0] == 50 for frame in onto(Known(given), photos))


def test_masks_are_found_by_name_and_white_counts(photos, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    grey = np.zeros((96, 128), np.uint8)
    grey[:, 64:] = 255
    Image.fromarray(grey).save(masks / "a.png")
    Image.fromarray(grey[:48, 32:96]).convert("1").save(masks / "c.png.png")  # as COLMAP calls them
    a, b, c = onto(Known(masks=masks), photos)
    assert not a.mask[:, :32].any() and a.mask[:, 32:].all() and b.mask is None
    assert not c.mask[:, :32].any() and c.mask[:, 32:].all()


def test_a_little_distortion_is_said_and_much_refused(photos, caplog):
    few, much = (KnownCameras("given", (camera("a", distortion=(k,)),), for_all=True) for k in (-0.01, -0.2))
    with caplog.at_level(logging.WARNING):
        onto(Known(few), photos)
    assert len(caplog.records) == 1 and "by up to 0.2 pixels, is left out" in caplog.text
    with pytest.raises(ValueError, match=r"given, a\.png: .* up to 5 pixels, .*undistort"):
        onto(Known(much), photos)


def test_what_does_not_fit_names_the_frame(photos, tmp_path):
    square = KnownCameras("given", (camera(None, size=(128, 128)),), for_all=True)
    with pytest.raises(ValueError, match=r"given, a\.png: the calibration is for pictures of 128x128"):
        onto(Known(square), photos)
    Image.fromarray(np.full((48, 48), 255, np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match="48x48 pixels for a picture of 64x48"):
        read_mask(tmp_path / "m.png", (48, 64))
    Image.fromarray(np.ones((48, 64), np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match="values of 0 and 1"):
        read_mask(tmp_path / "m.png", (48, 64))


def test_files_without_what_is_asked_of_them_are_refused(tmp_path):
    poses = KnownCameras("given", (KnownCamera(world_from_cam=np.eye(4)),))
    with pytest.raises(ValueError, match="gives no intrinsics of pinhole cameras: it holds poses only"):
        Known(poses)
    with pytest.raises(ValueError, match="gives no poses"):
        Known(poses=KnownCameras("given", (KnownCamera(lens=camera("a").lens),)))
    with pytest.raises(ValueError, match="has no camera"):
        KnownCameras("given", ())


def test_nothing_known_changes_nothing(photos):
    with open_frames(photos) as stream:
        assert [frame.name for frame in Known().onto(stream)] == ["a.png", "b.png", "c.png"]
