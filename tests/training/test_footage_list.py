"""Lists of videos, folders and patterns as people write them."""

import os

import numpy as np
import pytest
from PIL import Image

from cut3r.training.footage_list import find_sequences
from tests.io.pictures import write_video


def photos(folder, count=3):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(np.full((16, 16, 3), number, np.uint8)).save(folder / f"{number}.png")
    return [folder / f"{number}.png" for number in range(count)]


def test_a_video_is_a_sequence_and_so_is_a_folder_of_photos(tmp_path):
    video, pictures = write_video(tmp_path / "a.mp4", 3), photos(tmp_path / "photos")
    assert find_sequences([str(video), str(tmp_path / "photos")]) == [video, pictures]


def test_each_video_of_a_folder_is_a_sequence(tmp_path):
    videos = [write_video(tmp_path / name, 3) for name in ("a.mp4", "b.mp4")]
    pictures = photos(tmp_path, 2)
    assert find_sequences([str(tmp_path)]) == [pictures, *videos]


def test_each_folder_of_a_pattern_is_a_sequence(tmp_path):
    pictures = [photos(tmp_path / f"data/{scene}/images") for scene in "ab"]
    assert find_sequences([f"{tmp_path}/data/*/images"]) == pictures


def test_photos_of_a_pattern_are_one_sequence(tmp_path):
    assert find_sequences([f"{photos(tmp_path)[0].parent}/*.png"]) == [[tmp_path / f"{k}.png" for k in range(3)]]


def test_a_home_folder_may_be_abbreviated(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    video = write_video(tmp_path / "a.mp4", 3)
    assert find_sequences(["~/a.mp4"]) == [video]


def test_what_is_named_twice_is_looked_at_once(tmp_path):
    video = write_video(tmp_path / "a.mp4", 3)
    assert find_sequences([str(video), str(tmp_path)]) == [video]


def test_what_cannot_be_looked_at_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="there is no footage for the teacher"):
        find_sequences([])
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*nothing\.mp4"):
        find_sequences([str(tmp_path / "nothing.mp4")])
    with pytest.raises(FileNotFoundError, match="matches nothing"):
        find_sequences([str(tmp_path / "*.mov")])
    with pytest.raises(ValueError, match="holds no image"):
        find_sequences([str(tmp_path / "empty")])
    with pytest.raises(ValueError, match="can be seen only once"):
        find_sequences(["camera:0"])
    with pytest.raises(ValueError, match="can be read only once"):
        find_sequences([str(tmp_path / "pipe")])
