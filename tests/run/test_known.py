"""What is known is put onto frames: intrinsics in their pixels, poses, masks."""

import logging
from pathlib import Path

import cv2
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


def test_distorted_pictures_become_those_of_a_pinhole_camera_with_mask_and_depth(photos, tmp_path, caplog):
    rgb, mask = np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8)
    rgb[4:10, 6:14] = mask[4:10, 6:14] = 255
    for folder, value in (("masks", mask), ("photos", rgb)):
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.fromarray(value).save(tmp_path / folder / "a.png")
    (tmp_path / "depth").mkdir()
    np.save(tmp_path / "depth" / "a.npy", np.where(mask > 0, 2, 0).astype(np.float32))
    lens = camera(None, distortion=(-0.3, 0.05)).lens
    given = KnownCameras("given", (KnownCamera(lens=lens),), for_all=True)
    with caplog.at_level(logging.INFO):
        a, *_ = onto(Known(given, masks=tmp_path / "masks", depth=tmp_path / "depth"), photos)
    assert "pictures are undistorted" in caplog.text
    seen = cv2.undistort(rgb, lens.at((48, 64)), np.array([-0.3, 0.05, 0, 0]), None, a.intrinsics)
    assert np.abs(a.rgb.astype(int) - seen).mean() < 1
    assert ((a.rgb[..., 0] > 127) != a.mask).sum() < 12 and np.array_equal(a.depth > 0, a.mask)


def test_a_fisheye_becomes_a_pinhole_camera_of_its_focal_length_and_size(photos):
    fisheye = Lens.of(20.0, 20.0, 31.5, 23.5, (48, 64)).bent(0.02, -0.004)
    a, *_ = onto(Known(KnownCameras("given", (KnownCamera(fisheye=fisheye),), for_all=True)), photos)
    assert a.intrinsics[0, 0] == 20 and a.rgb.shape == (48, 64, 3)


def test_distortion_that_leaves_no_pinhole_camera_names_the_frame(photos):
    given = KnownCameras("given", (camera("a", distortion=(-9.0,)),), for_all=True)
    with pytest.raises(ValueError, match=r"given, a\.png: its distortion .* leaves no pinhole camera"):
        onto(Known(given), photos)


def test_sky_is_left_out_and_counted(photos):
    rgb = np.full((48, 64, 3), (60, 50, 40), np.uint8)
    rgb[:20] = (90, 150, 230)
    Image.fromarray(rgb).save(photos / "a.png")
    known = Known(sky=True)
    a, b, _ = onto(known, photos)
    assert not a.mask[:16].any() and a.mask[24:].all() and b.mask.all()
    assert known.dropped["sky"] == (~a.mask).sum() and known.dropped["all"] == 3 * 48 * 64


def test_a_stream_that_goes_on_matches_by_number_as_the_whole_one(photos):
    given = KnownCameras("given", tuple(camera(None, x=float(k)) for k in range(3)))
    with open_frames(photos, skip=1) as stream:
        frames = list(Known(poses=given).onto(stream, skipped=1))
    assert [frame.world_from_cam[0, 3] for frame in frames] == [1, 2]


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
    with pytest.raises(ValueError, match="gives no intrinsics of pinhole or fisheye cameras: it holds poses only"):
        Known(poses)
    with pytest.raises(ValueError, match="gives no poses"):
        Known(poses=KnownCameras("given", (KnownCamera(lens=camera("a").lens),)))
    with pytest.raises(ValueError, match="has no camera"):
        KnownCameras("given", ())


def test_nothing_known_changes_nothing(photos):
    with open_frames(photos) as stream:
        assert [frame.name for frame in Known().onto(stream)] == ["a.png", "b.png", "c.png"]
