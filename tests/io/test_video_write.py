import numpy as np
import pytest

from cut3r.io.frames import open_frames
from cut3r.io.video_write import VideoWriter

GREY = np.arange(64, dtype=np.uint8)[None, :, None].repeat(48, 0).repeat(3, 2)


def written(path, times, picture=GREY, fps=30.0):
    with VideoWriter(path, fps=fps) as video:
        for number, time_s in enumerate(times):
            video.add(np.minimum(picture + 10 * number, 255).astype(np.uint8), time_s)
    with open_frames(path) as frames:
        return list(frames)


def write_all(path, pictures):
    with VideoWriter(path) as video:
        for picture in pictures:
            video.add(picture)


def test_pictures_come_back_at_their_times(tmp_path):
    times = [10.0, 10.04, 10.12, 10.16]  # one was left out, and the first is not at zero
    frames = written(tmp_path / "a.mp4", times)
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.04, 0.12, 0.16], abs=1e-4)
    for number, frame in enumerate(frames):
        assert np.abs(frame.rgb.astype(int) - (GREY.astype(int) + 10 * number)).mean() < 3


@pytest.mark.parametrize("times", [[None] * 3, [np.nan] * 3])
def test_without_times_they_follow_each_other(tmp_path, times):
    frames = written(tmp_path / "a.mp4", times, fps=4.0)
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.25, 0.5], abs=1e-4)


def test_times_that_stand_still_give_every_picture(tmp_path):
    assert len(written(tmp_path / "a.mp4", [1.0, 1.0, 0.5, 2.0])) == 4


def test_an_odd_row_is_left_out(tmp_path):
    assert written(tmp_path / "a.mp4", [None], GREY[:47, :63])[0].rgb.shape == (46, 62, 3)


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"before")
    with pytest.raises(ZeroDivisionError):
        written(path, (1 / number for number in (2, 1, 0)))
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "pictures", "message"),
    [
        ("a.avi", [GREY], "expected .mp4"),
        ("a.mp4", [], "no picture"),
        ("a.mp4", [GREY, GREY[:40]], "64x40 pixels and the first one 64x48"),
        ("a.mp4", [np.zeros((2, 5000, 3), np.uint8)], "plays nowhere"),
    ],
)
def test_what_cannot_be_a_video_is_refused(tmp_path, name, pictures, message):
    with pytest.raises(ValueError, match=message):
        write_all(tmp_path / name, pictures)
    assert not list(tmp_path.iterdir())
