import logging
from pathlib import Path

import pytest

from cut3r.io.selection import FrameOptions
from cut3r.io.sources import find_images


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def names(source, options=None):
    return [path.name for path in find_images(source, options or FrameOptions())]


def test_a_folder_is_listed_in_natural_order_without_hidden_and_other_files(tmp_path):
    touch(tmp_path, "f10.jpg", "f2.PNG", ".hidden.jpg", "notes.md", "f1.jpeg", "sub.jpg/inner.jpg")
    assert names(tmp_path) == ["f1.jpeg", "f2.PNG", "f10.jpg"]
    assert names(str(tmp_path)) == ["f1.jpeg", "f2.PNG", "f10.jpg"]


def test_parity_sorts_by_name_and_knows_only_the_originals_extensions(tmp_path):
    touch(tmp_path, "f10.jpg", "f2.png", "f3.webp", "f4.tif", "f5.bmp")
    assert names(tmp_path, FrameOptions(parity=True)) == ["f10.jpg", "f2.png", "f5.bmp"]
    assert len(names(tmp_path)) == 5


def test_brackets_in_a_folder_name_mean_nothing(tmp_path):
    assert names(touch(tmp_path / "run [1] what?*", "a.png")) == ["a.png"]


def test_depth_maps_beside_colour_images_are_left_out_loudly(tmp_path, caplog):
    touch(tmp_path, "f1.color.jpg", "f1.depth.png", "f2.color.jpg", "f2_depth.png", "in_depth_view.jpg")
    assert names(tmp_path) == ["f1.color.jpg", "f2.color.jpg", "in_depth_view.jpg"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "2 depth maps" in caplog.text
    assert len(names(tmp_path, FrameOptions(parity=True))) == 5


def test_a_folder_of_depth_maps_alone_is_taken_as_it_is(tmp_path):
    assert names(touch(tmp_path, "f1.depth.png")) == ["f1.depth.png"]


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ([], "it is empty"),
        (["a.mp4", "b.mov"], r"2 videos, name one of them \(such as a\.mp4\)"),
        (["left/1.png", "right/1.png"], r"2 folders with images inside, name one of them \(such as left\)"),
        (["notes.md"], r"1 other entries \(such as notes\.md\)"),
    ],
)
def test_a_folder_without_images_says_what_is_there_instead(tmp_path, content, hint):
    with pytest.raises(ValueError, match=rf"holds no image \(known extensions: \.bmp .*\.webp\).*{hint}"):
        find_images(touch(tmp_path, *content), FrameOptions())


def test_a_pattern_is_sorted_and_filtered(tmp_path):
    touch(tmp_path, "f10.color.jpg", "f2.color.jpg", "f2.depth.png", "f2.color.txt")
    assert names(f"{tmp_path}/*.color.*") == ["f2.color.jpg", "f10.color.jpg"]


def test_a_pattern_goes_into_folders(tmp_path):
    touch(tmp_path, "a/1.png", "b/c/2.png")
    assert names(f"{tmp_path}/**/*.png") == ["1.png", "2.png"]


def test_a_file_with_brackets_in_its_name_is_no_pattern(tmp_path):
    touch(tmp_path, "a[1].png", "a1.png")
    assert names(tmp_path / "a[1].png") == ["a[1].png"]


def test_a_pattern_without_a_match_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="matches nothing"):
        find_images(f"{tmp_path}/*.png", FrameOptions())


def test_a_pattern_for_one_video_gives_it(tmp_path):
    touch(tmp_path, "a.mp4")
    assert find_images(f"{tmp_path}/*.mp4", FrameOptions()) == tmp_path / "a.mp4"


def test_a_text_file_gives_paths_relative_to_it_in_its_order(tmp_path):
    touch(tmp_path, "set/b.png", "set/a.png")
    (tmp_path / "list.txt").write_text(f"# my frames\nset/b.png\n\n{tmp_path}/set/a.png\n")
    assert find_images(tmp_path / "list.txt", FrameOptions()) == [tmp_path / "set/b.png", tmp_path / "set/a.png"]


def test_an_empty_text_file_is_refused(tmp_path):
    (tmp_path / "list.txt").write_text("# nothing\n")
    with pytest.raises(ValueError, match=r"list\.txt names no image"):
        find_images(tmp_path / "list.txt", FrameOptions())


def test_a_list_keeps_its_order_and_repeats(tmp_path):
    touch(tmp_path, "a.png", "b.png")
    assert names([tmp_path / "b.png", str(tmp_path / "a.png"), tmp_path / "b.png"]) == ["b.png", "a.png", "b.png"]


def test_a_list_with_something_else_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"contains movie\.mp4, which is not an image"):
        find_images([Path("a.png"), Path("movie.mp4")], FrameOptions())


def test_an_empty_list_is_refused():
    with pytest.raises(ValueError, match="names no image"):
        find_images([], FrameOptions())


@pytest.mark.parametrize("source", ["", Path("no/such/folder"), "no_such.mp4", "file:///no_such.mp4"])
def test_what_does_not_exist_is_refused(source):
    with pytest.raises(
        (ValueError, FileNotFoundError), match=r"the input is empty|there is no file or folder no|file:"
    ):
        find_images(source, FrameOptions())


def test_other_files_are_taken_for_videos_unless_empty(tmp_path):
    touch(tmp_path, "movie.xyz")
    assert find_images(tmp_path / "movie.xyz", FrameOptions()) == tmp_path / "movie.xyz"
    (tmp_path / "movie.mp4").touch()
    with pytest.raises(ValueError, match=r"movie\.mp4 is empty"):
        find_images(tmp_path / "movie.mp4", FrameOptions())
