"""What a job is made from is looked at, once."""

from collections import Counter
from pathlib import Path

from cut3r.files.fingerprint import fingerprint
from cut3r.jobs.job import Job, measure


def test_each_file_is_asked_once_and_the_fingerprint_is_that_of_all(tmp_path, monkeypatch):
    (tmp_path / "images" / "empty").mkdir(parents=True)
    files = [tmp_path / "pose.txt", tmp_path / "images" / "0.jpg", tmp_path / "images" / "1.jpg"]
    for number, file in enumerate(files):
        file.write_bytes(bytes(number))
    missing = tmp_path / "missing"
    sources = [files[0], tmp_path / "images", missing]
    expected, asked, stat = fingerprint([*files, missing]), Counter(), Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **how: asked.update([path]) or stat(path, **how))
    found = measure(Job("a", lambda: None, lambda: sources))
    assert found.fingerprint == expected and found.size == 3
    assert [asked[file] for file in files[1:]] == [1, 1]
