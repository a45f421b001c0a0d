import math

import numpy as np
import pytest

from cut3r.io.frame import Frame
from cut3r.io.frames import FrameOptions, open_frames
from cut3r.io.images import write_image
from cut3r.io.panorama import pano_from_cam, view_size, views_of

SIZE = (128, 256)


def colour(rays):
    """A smooth colour of each direction, x right, y down, z forward."""
    unit = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    return 127.5 + 120 * unit


@pytest.fixture
def panorama():
    h, w = SIZE
    longitude, latitude = np.meshgrid(
        ((np.arange(w) + 0.5) / w - 0.5) * 2 * math.pi, ((np.arange(h) + 0.5) / h - 0.5) * math.pi
    )
    rays = np.stack(
        (np.sin(longitude) * np.cos(latitude), np.sin(latitude), np.cos(longitude) * np.cos(latitude)), axis=-1
    )
    return Frame(np.rint(colour(rays)).astype(np.uint8), 3, 1.5, "pano.mp4#000003")


@pytest.mark.parametrize("count", [4, 6])
def test_each_view_shows_what_lies_in_its_direction(panorama, count):
    views = list(views_of(panorama, count))
    assert len(views) == count
    for number, view in enumerate(views):
        h, w = view.rgb.shape[:2]
        assert (h, w) == view_size(SIZE)
        columns, rows = np.meshgrid(np.arange(w), np.arange(h))
        rays = np.stack((columns, rows, np.ones_like(rows)), axis=-1) @ np.linalg.inv(view.intrinsics).T
        true = colour(rays @ pano_from_cam(number, count)[:3, :3].T)
        assert np.abs(view.rgb - true).max() < 2.5  # also across the seam at the back
        assert (view.index, view.time_s) == (3 * count + number, 1.5)
    assert views[1].name == f"pano.mp4#000003@{360 // count:03d}"
    assert 2 * math.degrees(math.atan(views[0].rgb.shape[1] / 2 / views[0].intrinsics[0, 0])) == pytest.approx(
        90, abs=1
    )


def test_a_stream_of_panoramas_is_one_of_views(panorama, tmp_path):
    for number in range(2):
        write_image(tmp_path / f"{number}.png", panorama.rgb)
    options = FrameOptions(panorama=4)
    with open_frames(tmp_path, options) as stream:
        assert stream.expected == 8 and "4 views each of" in stream.description
        whole = [(frame.name, frame.index) for frame in stream]
    assert whole[3:5] == [("0.png@270", 3), ("1.png@000", 4)]
    for skip in (1, 4, 7):
        assert [(frame.name, frame.index) for frame in open_frames(tmp_path, options, skip=skip)] == whole[skip:]


def test_another_picture_is_refused():
    with pytest.raises(ValueError, match="twice as wide as high"):
        next(views_of(Frame(np.zeros((96, 128, 3), np.uint8), 0, None, "photo.png"), 6))


@pytest.mark.parametrize("count", [1, 3, 13])
def test_so_many_views_are_refused(count):
    with pytest.raises(ValueError, match="4 to 12 views"):
        FrameOptions(panorama=count)
