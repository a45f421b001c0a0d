"""A list of clips and folders is one stream."""

import numpy as np
import pytest

from cut3r.io.frames import FrameOptions, open_frames
from cut3r.io.images import write_image
from tests.io.pictures import write_video


@pytest.fixture
def clips(tmp_path):
    write_video(tmp_path / "hall.mp4", count=4, fps=10)
    (tmp_path / "photos").mkdir()
    for number in range(2):
        write_image(tmp_path / "photos" / f"{number}.png", np.full((64, 48, 3), 7, np.uint8))
    write_video(tmp_path / "kitchen.mp4", count=3, fps=10)
    (tmp_path / "clips.txt").write_text("hall.mp4\nphotos\nkitchen.mp4\n")
    return tmp_path


def test_frames_follow_each_other(clips):
    with open_frames(clips / "clips.txt") as stream:
        assert stream.expected == 9 and "3 clips" in stream.description
        assert [path.name for path in stream.files] == ["hall.mp4", "0.png", "1.png", "kitchen.mp4"]
        frames = list(stream)
    assert [frame.index for frame in frames] == list(range(9))
    assert [frame.name for frame in frames[2:6]] == [
        "hall.mp4#000002",
        "hall.mp4#000003",
        "photos/0.png",
        "photos/1.png",
    ]
    times = [frame.time_s for frame in frames]
    assert times[4:6] == [None, None]
    assert [t for t in times if t is not None] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6], abs=0.01)


def test_options_hold_for_each(clips):
    frames = list(open_frames([clips / "hall.mp4", clips / "kitchen.mp4"], FrameOptions(every=2)))
    assert [frame.name for frame in frames] == [
        "hall.mp4#000000",
        "hall.mp4#000002",
        "kitchen.mp4#000000",
        "kitchen.mp4#000002",
    ]
    assert [frame.index for frame in frames] == [0, 2, 3, 5]


@pytest.mark.parametrize("skip", [0, 3, 5, 8, 9])
def test_it_goes_on_anywhere(clips, skip):
    whole = [(frame.name, frame.index) for frame in open_frames(clips / "clips.txt")]
    with open_frames(clips / "clips.txt", skip=skip) as stream:
        assert stream.expected == 9 - skip
        assert [(frame.name, frame.index) for frame in stream] == whole[skip:]


def test_clips_of_one_name_are_told_apart(clips):
    for folder in ("left", "right"):
        (clips / folder).mkdir()
        write_video(clips / folder / "cam.mp4", count=2)
    frames = list(open_frames([clips / "left/cam.mp4", clips / "right/cam.mp4"]))
    assert [frame.name for frame in frames[1:3]] == ["left/cam.mp4#000001", "right/cam.mp4#000000"]


def test_what_is_wrong_with_the_last_is_known_at_once(clips):
    (clips / "empty").mkdir()
    with pytest.raises(ValueError, match="empty"):
        open_frames([clips / "hall.mp4", clips / "empty"])


def test_unreadable_frames_of_all_are_counted(clips):
    (clips / "photos" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with open_frames(clips / "clips.txt", FrameOptions(skip_bad=True)) as stream:
        assert len(list(stream)) == 8
        assert len(stream.skipped) == 1


def test_closing_in_the_middle_ends_it(clips):
    stream = open_frames(clips / "clips.txt")
    next(stream)
    stream.close()
    assert list(stream) == []


def test_a_list_of_pictures_with_a_video_in_it_is_refused_as_before(clips):
    with pytest.raises(ValueError, match="list images only"):
        open_frames([clips / "photos" / "0.png", clips / "hall.mp4"])
