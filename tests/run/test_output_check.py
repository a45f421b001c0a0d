"""What a run would write over is found before it begins, by whatever name."""

import os
from pathlib import Path

import pytest

from cut3r.run.output_check import check_inputs, check_output


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the layout that several datasets share with our output."""
    for kind, suffix in (("color", "png"), ("depth", "npy"), ("rgb", "png")):
        (tmp_path / "scene" / kind).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "scene" / kind / f"{number:06d}.{suffix}").write_text("mine")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "scene"


def refuse(folder: Path, *inputs: Path) -> None:
    with pytest.raises(ValueError, match=f"lies in .*color, which this run would write to; name another .*{folder}"):
        check_inputs(folder, inputs)


def test_an_input_in_a_folder_that_is_written_to_is_refused(recording):
    refuse(recording, recording / "color" / "000000.png")
    refuse(recording, recording / "color")
    refuse(recording, recording / "rgb" / "000000.png", recording / "color" / "deeper" / "a.jpg")


def test_a_relative_name_of_either_is_seen_through(recording):
    refuse(Path("scene"), recording / "color" / "000000.png")
    refuse(recording, Path("scene/color/000000.png"))
    refuse(Path("scene/rgb/.."), Path("scene/depth/../color/000000.png"))
    refuse(recording, Path("scene/color/."))


def test_links_of_files_and_folders_are_seen_through(recording, tmp_path):
    (tmp_path / "photo.png").symlink_to(recording / "color" / "000000.png")
    (tmp_path / "again.png").symlink_to("photo.png")
    (tmp_path / "pictures").symlink_to(recording / "color")
    (tmp_path / "output").symlink_to(recording)
    refuse(recording, tmp_path / "photo.png")
    refuse(recording, tmp_path / "again.png")
    refuse(recording, tmp_path / "pictures" / "000001.png")
    refuse(recording, tmp_path / "pictures")
    refuse(tmp_path / "output", recording / "color" / "000000.png")


def test_a_link_that_lies_where_a_frame_will_be_written_is_seen(tmp_path):
    (tmp_path / "out" / "color").mkdir(parents=True)
    (tmp_path / "real.png").touch()
    (tmp_path / "out" / "color" / "000000.png").symlink_to(tmp_path / "real.png")
    (tmp_path / "first.png").symlink_to(tmp_path / "out" / "color" / "000000.png")
    refuse(tmp_path / "out", tmp_path / "out" / "color" / "000000.png")
    refuse(tmp_path / "out", tmp_path / "first.png")


def test_an_output_folder_that_is_a_link_to_the_input_is_seen(recording, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "color").symlink_to(recording / "rgb")
    refuse(tmp_path / "out", recording / "rgb" / "000000.png")


def test_links_in_a_circle_do_not_hang(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    check_inputs(tmp_path / "out", [tmp_path / "a"])


def test_an_input_beside_the_four_folders_is_allowed(recording, tmp_path):
    check_inputs(recording, [recording / "rgb", recording / "rgb" / "000000.png", recording / "kitchen.mp4"])
    check_inputs(tmp_path / "new", [recording / "color" / "000000.png"])
    check_inputs(recording, [recording])


def test_many_pictures_of_one_folder_are_checked_quickly(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os.path, "samefile", lambda *_: calls.append(1) or False)
    check_inputs(tmp_path / "out", [tmp_path / "photos" / f"{number}.jpg" for number in range(2000)])
    assert len(calls) < 100


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "depth").touch()
    with pytest.raises(ValueError, match="is a file; name a folder"):
        check_output(tmp_path / "file")
    with pytest.raises(ValueError, match="depth is not a folder"):
        check_output(tmp_path / "out")
