"""A frame refuses what is no picture and no camera, and says what it wants."""

from pathlib import Path

import jaxtyping
import numpy as np
import pytest

from cut3r.io.frame import Frame
from cut3r.io.frames import open_frames
from cut3r.io.images import write_image

PICTURE = np.zeros((4, 6, 3), np.uint8)
CAMERA = np.array([[5.0, 0, 3], [0, 5, 2], [0, 0, 1]])


def test_a_frame_may_bring_its_camera():
    mask = np.ones((4, 6), bool)
    frame = Frame(PICTURE, 0, None, "a", Path("a.jpg"), CAMERA, np.eye(4), mask)
    assert frame.intrinsics is CAMERA and frame.mask is mask


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ({"rgb": PICTURE.astype(np.float32)}, r"float32 \(4, 6, 3\), expected a NumPy array of bytes"),
        ({"rgb": PICTURE[..., 0]}, r"uint8 \(4, 6\), expected"),
        ({"mask": np.ones((4, 5), bool)}, r"mask of a is bool \(4, 5\).*size \(4, 6\)"),
        ({"mask": np.ones((4, 6), np.uint8)}, "mask of a is uint8"),
        ({"intrinsics": -CAMERA}, "no matrix .* with fx and fy above 0"),
        ({"intrinsics": CAMERA.T}, "no matrix"),
        ({"intrinsics": CAMERA * np.nan}, "no matrix"),
        ({"intrinsics": np.eye(4)}, "no matrix"),
        ({"world_from_cam": 2 * np.eye(4)}, "no rigid motion"),
        ({"world_from_cam": np.eye(3)}, "no rigid motion"),
        ({"world_from_cam": np.diag([1.0, 1, -1, 1])}, "no rigid motion"),
    ],
)
def test_what_is_none_is_refused(monkeypatch, what, reason):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as in production, where shapes are not enforced
    with pytest.raises(ValueError, match=reason):
        Frame(**{"rgb": PICTURE, "index": 0, "time_s": None, "name": "a", **what})


def test_frames_of_files_say_which(tmp_path):
    write_image(tmp_path / "a.png", PICTURE)
    (frame,) = open_frames(tmp_path)
    assert frame.source == tmp_path / "a.png"
