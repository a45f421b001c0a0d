import logging
import os
import socket
from pathlib import Path

import pytest
from PIL import Image

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
    with pytest.raises(ValueError, match=rf"holds no image \(known extensions: \.apng .*\.webp\).*{hint}"):
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


PNG = b"\x89PNG\r\n\x1a\n"


def test_pictures_of_unknown_suffix_or_none_are_found_by_their_content(tmp_path):
    touch(tmp_path, "f1.jpg", "notes", "data.xyz")
    for name in ("f2", "f3.image", "f4.PNG_copy"):
        (tmp_path / name).write_bytes(PNG)
    assert names(tmp_path) == ["f1.jpg", "f2", "f3.image", "f4.PNG_copy"]
    assert names(f"{tmp_path}/f*") == ["f1.jpg", "f2", "f3.image", "f4.PNG_copy"]
    assert names(tmp_path, FrameOptions(parity=True)) == ["f1.jpg"]


@pytest.mark.parametrize("name", ["f1.jpg_original", "f1.jpg~", "f1.bak", "f1.dng", "clip.thm", "._f1.jpg"])
def test_backups_raw_twins_and_thumbnails_are_no_frames(tmp_path, name):
    touch(tmp_path, "f1.jpg")
    (tmp_path / name).write_bytes(b"\xff\xd8\xff\xe0")
    assert names(tmp_path) == ["f1.jpg"]


@pytest.mark.parametrize("suffix", [".jfif", ".JPE", ".jp2", ".avif", ".bmp", ".tga", ".ppm", ".gif", ".qoi"])
def test_rare_suffixes_are_those_of_pictures(tmp_path, suffix):
    assert names(touch(tmp_path, f"a{suffix}")) == [f"a{suffix}"]


def test_a_folder_is_not_opened_file_by_file(tmp_path, monkeypatch):
    touch(tmp_path, *(f"{number}.jpg" for number in range(9)), "scan.npy", "poses.txt", "clip.mp4")
    monkeypatch.setattr("cut3r.io.sources.recognise", lambda path: pytest.fail(f"{path} was opened"))
    assert len(names(tmp_path)) == 9


def test_links_to_nothing_are_counted_and_named(tmp_path, caplog):
    """Three of seven pictures vanished without a word."""
    touch(tmp_path, "f1.jpg")
    for number in range(2, 9):
        (tmp_path / f"f{number}.jpg").symlink_to(f"gone/{number}")
    (tmp_path / "notes").symlink_to("gone")
    assert names(tmp_path) == ["f1.jpg"]
    assert (
        "left out 7 of 8 pictures, which are links to nothing (f2.jpg, f3.jpg, f4.jpg, f5.jpg, f6.jpg and 2 more)"
        in (caplog.text)
    )
    caplog.clear()
    assert names(f"{tmp_path}/*.jpg") == ["f1.jpg"]
    assert "left out 7 of 8" in caplog.text


def test_a_folder_of_links_to_nothing_is_called_that(tmp_path):
    (tmp_path / "a.jpg").symlink_to("gone.jpg")
    (tmp_path / "b.jpg").symlink_to("b.jpg")
    with pytest.raises(ValueError, match=r"holds 2 pictures, all of which are links to nothing \(a\.jpg, b\.jpg\)"):
        find_images(tmp_path, FrameOptions())


def test_a_link_to_nothing_says_where_it_points(tmp_path):
    (tmp_path / "a[1].jpg").symlink_to("gone.jpg")
    with pytest.raises(FileNotFoundError, match=r"a\[1\]\.jpg is a link to gone\.jpg, which does not exist"):
        find_images(tmp_path / "a[1].jpg", FrameOptions())


def test_a_link_to_a_picture_is_one(tmp_path):
    touch(tmp_path, "real/a.jpg")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "b.jpg").symlink_to("../real/a.jpg")
    assert names(tmp_path / "set") == ["b.jpg"]


def test_a_pipe_is_given_to_the_reader_of_videos(tmp_path):
    """It was called an empty file."""
    os.mkfifo(tmp_path / "clip.ts")
    assert find_images(tmp_path / "clip.ts", FrameOptions()) == tmp_path / "clip.ts"


def test_a_device_is_refused_as_what_it_is(monkeypatch):
    with pytest.raises(ValueError, match="/dev/null is a device, not a file"):
        find_images("/dev/null", FrameOptions())
    monkeypatch.setattr("os.path.realpath", lambda path: "/dev/video3")
    with pytest.raises(ValueError, match="is a camera; write camera:3"):
        find_images("/dev/null", FrameOptions())


def test_a_socket_is_refused_as_what_it_is(tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(ValueError, match="s is a socket, not a file"):
            find_images(tmp_path / "s", FrameOptions())


@pytest.mark.parametrize("name", ["12:30:45.jpg", "100%d.jpg", "a*b?.jpg", "-rf.jpg", "~me.jpg", "naïve \t.jpg"])
def test_the_name_of_a_file_that_exists_means_nothing_else(tmp_path, monkeypatch, name):
    monkeypatch.chdir(touch(tmp_path, name))
    assert names(name) == [name]


def test_names_of_any_bytes(tmp_path):
    name = os.fsdecode(b"caf\xe9 \xff.jpg")
    touch(tmp_path, name, "b.jpg")
    assert names(tmp_path) == ["b.jpg", name]
    assert names(tmp_path / name) == [name]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_one_named_animation_is_a_video_and_in_a_folder_a_picture(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 6), (level, 0, 0)) for level in (0, 99)]
    path = tmp_path / f"moves{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert find_images(path, FrameOptions()) == path
    assert find_images(path, FrameOptions(parity=True)) == (path if suffix == ".gif" else [path])
    assert find_images(tmp_path, FrameOptions()) == [path]
    frames[0].save(path)
    assert find_images(path, FrameOptions()) == [path]


def test_a_video_with_the_suffix_of_a_picture_is_a_video(tmp_path):
    path = tmp_path / "clip.jpg"
    path.write_bytes(b"\0\0\0\x18ftypisom\0\0\2\0isomiso2")
    assert find_images(path, FrameOptions()) == path


def test_a_picture_with_the_suffix_of_a_video_is_a_picture(tmp_path):
    (tmp_path / "photo.mp4").write_bytes(PNG)
    assert names(tmp_path / "photo.mp4") == ["photo.mp4"]


@pytest.mark.parametrize("name", ["clip.mp4", "list.txt", "photo"])
def test_a_pointer_in_the_place_of_a_file_is_called_what_it_is(tmp_path, name):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match=rf"{name} is (neither|not) a .* but a Git LFS pointer; run 'git lfs pull'"):
        find_images(tmp_path / name, FrameOptions())


def test_a_list_may_name_pictures_without_a_suffix(tmp_path):
    (tmp_path / "photo").write_bytes(PNG)
    assert names([tmp_path / "photo", tmp_path / "later.jpg"]) == ["photo", "later.jpg"]
    with pytest.raises(ValueError, match="contains gone, which does not exist"):
        find_images([Path("gone"), Path("a.jpg")], FrameOptions())
