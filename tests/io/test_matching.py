"""Entries of files and frames find each other by name, time or number, or say why not."""

import logging
from pathlib import Path

import numpy as np
import pytest

from cut3r.io.frame import Frame
from cut3r.io.matching import By, Matcher, Source, with_interval

RGB = np.zeros((2, 2, 3), np.uint8)


def photos(*paths: str) -> list[Frame]:
    return [Frame(RGB, k, None, Path(path).name, Path(path)) for k, path in enumerate(paths)]


def clip(indices, fps: float = 10.0) -> list[Frame]:
    return [Frame(RGB, k, k / fps, f"clip.mp4#{k:06d}") for k in indices]


def source_of(frames: list[Frame], total: int | None = None) -> Source:
    files = [frame.source for frame in frames] if frames[0].source else [Path("videos/clip.mp4")]
    return Source(files, len(frames), total)


def places(frames, names=None, times_s=None, total=None):
    """What is found for each frame, and by what."""
    count = len(names or times_s)
    matcher = Matcher("given.txt", names or [None] * count, times_s or [None] * count, source_of(frames, total))
    found = [matcher.find(frame, number, gap) for number, (frame, gap) in enumerate(with_interval(frames))]
    matcher.finish()
    return found, matcher.by


def test_names_are_compared_without_folders_and_suffixes():
    frames = photos("/data/x/IMG_2.JPG", "/data/x/IMG_1.JPG", "/data/x/IMG_3.JPG")
    assert places(frames, ["images/IMG_1.png", "IMG_2"]) == ([1, 0, None], By.name)


def test_of_equal_names_the_folder_decides():
    frames = photos("/data/left/1.png", "/data/right/1.png", "/data/up/1.png")
    assert places(frames, ["right/1.png", "left/1.png"])[0] == [1, 0, None]


def test_frames_of_a_video_have_names_too():
    assert places(clip([0, 2, 4]), ["clip.mp4#000004", "clip.mp4#000000.png"]) == ([1, None, 0], By.name)


def test_the_nearest_stamp_within_half_a_frame_counts():
    stamps = [0.04, 0.26, 0.49, 0.9]
    found, by = places(clip([0, 1, 2, 3, 4, 5, 9]), times_s=stamps)
    assert found == [0, None, None, 1, None, 2, 3] and by is By.time


def test_frames_that_are_left_out_do_not_make_the_search_wider():
    assert places(clip([0, 5, 10]), times_s=[0.0, 0.4, 0.97])[0] == [0, None, 2]


def test_dates_begin_with_the_video(caplog):
    with caplog.at_level(logging.WARNING):
        assert places(clip([0, 1, 2]), times_s=[1.7e9, 1.7e9 + 0.1, 1.7e9 + 0.2])[0] == [0, 1, 2]
    assert "are dates" in caplog.text


def test_names_of_pictures_may_be_times():
    frames = photos("rgb/1305031102.175304.png", "rgb/1305031102.211214.png", "rgb/1305031102.243211.png")
    assert places(frames, times_s=[1305031102.2112, 1305031102.1758]) == ([1, 0, None], By.time)


def test_by_number_of_the_frames_that_are_chosen_or_of_all():
    frames = clip([0, 3, 6])
    assert places(frames, [None] * 3, total=9) == ([0, 1, 2], By.number)
    assert places(frames, [None] * 9, total=9) == ([0, 3, 6], By.number)


def test_an_unreadable_frame_shifts_nothing_by_number():
    frames = photos("a.png", "b.png", "c.png")
    matcher = Matcher("given.txt", [None] * 3, [None] * 3, source_of(frames, total=3))
    assert [matcher.find(frame, number, None) for number, frame in enumerate(frames[::2])] == [0, 2]
    matcher.finish()


def test_stamps_that_are_numbers_of_photos():
    assert places(photos("a.png", "b.png", "c.png"), times_s=[0.0, 2.0]) == ([0, None, 1], By.number)


def test_other_numbers_of_entries_are_refused():
    with pytest.raises(ValueError, match=r"given\.txt has 4 entries .* \(9 in all, 3 chosen\)"):
        places(clip([0, 3, 6]), [None] * 4, total=9)


def test_a_stream_that_ends_early_is_noticed():
    frames = photos("a.png", "b.png", "c.png")
    matcher = Matcher("given.txt", [None] * 3, [None] * 3, source_of(frames))
    assert [matcher.find(frame, k, None) for k, frame in enumerate(frames[:2])] == [0, 1]
    with pytest.raises(ValueError, match="3 entries for another number of frames"):
        matcher.finish()


def test_entries_for_none_of_the_frames_are_refused():
    with pytest.raises(ValueError, match=r"none for clip\.mp4#000000, clip\.mp4#000001, matched by time"):
        places(clip([0, 1]), times_s=[50.0, 51.0])


def test_frames_without_an_entry_are_counted_and_named(caplog):
    frames = photos(*(f"{k}.png" for k in range(9)))
    with caplog.at_level(logging.INFO):
        places(frames, ["0.jpg", "1.jpg"])
    assert "matched to 2 of 9 frames by name" in caplog.text
    assert "says nothing of 7 frames: 2.png, 3.png, 4.png, 5.png, 6.png and 2 more" in caplog.text


def test_a_name_that_two_entries_have_in_equal_folders_matches_neither():
    assert places(photos("/x/1.png", "/x/2.png"), ["a/1.png", "b/1.png", "b/2.png"])[0] == [None, 2]
