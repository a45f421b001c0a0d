import os

import pytest

from cut3r.io.lists import read_list

NAMES = ["a.png", "b.png"]


def listed(folder, text, encoding="utf-8"):
    path = folder / "list.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return [str(name.relative_to(folder)) for name in read_list(path)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lists_of_any_editor(tmp_path, encoding, end):
    """With a byte order mark, the first picture was not found."""
    assert listed(tmp_path, f"# mine{end}a.png{end}{end} b.png ", encoding) == NAMES


def test_utf_16_of_big_machines(tmp_path):
    assert listed(tmp_path, b"\xfe\xff" + "a.png\nb.png".encode("utf-16-be")) == NAMES


@pytest.mark.parametrize("data", [b"a.png\0\0b.png", "a.png".encode("utf-16-le")])
def test_what_is_no_text_is_refused(tmp_path, data):
    with pytest.raises(ValueError, match=r"list\.txt is not a text; expected one image path per line"):
        listed(tmp_path, data)


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotes_are_taken_off(tmp_path, quote):
    assert listed(tmp_path, f"{quote}a.png{quote}\nb.png\n") == NAMES


def test_a_quote_inside_a_name_stays(tmp_path):
    assert listed(tmp_path, "it's.png\n'\n") == ["it's.png", "'"]


@pytest.mark.parametrize(
    "text",
    [
        "file 'a.png'\nfile 'b.png'\n",
        "ffconcat version 1.0\n# by hand\nfile a.png\nduration 0.04\nfile 'b.png'\nduration 0.04\nfile 'b.png'\n",
        "file 'a.png'\nduration 1\ninpoint 0\nfile b.png\noption framerate 3\n",
    ],
)
def test_the_concat_form_of_ffmpeg(tmp_path, text):
    assert listed(tmp_path, text) == NAMES


@pytest.mark.parametrize(
    ("word", "name"),
    [
        (r"'it'\''s a.png'", "it's a.png"),
        (r"a\ b\\c.png", r"a b\c.png"),
        ("'a b.png'", "a b.png"),
        ("a b.png", "a b.png"),
    ],
)
def test_the_quotes_of_ffmpeg(tmp_path, word, name):
    assert listed(tmp_path, f"file {word}\n") == [name]


def test_repeats_that_are_meant_stay(tmp_path):
    assert listed(tmp_path, "file a.png\nfile a.png\n") == ["a.png", "a.png"]
    assert listed(tmp_path, "file a.png\nduration 1\nfile a.png\nduration 1\n") == ["a.png", "a.png"]


@pytest.mark.parametrize(
    "line",
    [
        "1305031102.175304 rgb/1.png",
        "1305031102175304000\trgb/1.png",
        "1.31e9,rgb/1.png",
        "1.5 rgb/1.png 1.6 depth/1.png",
        "1.6 depth/1.png 1.5 rgb/1.png",
    ],
)
def test_the_form_of_tum(tmp_path, line):
    assert listed(tmp_path, f"# color images\n# timestamp filename\n{line}\n") == ["rgb/1.png"]


def test_a_file_that_exists_is_no_form(tmp_path):
    for name in ("file 1.png", "2 b.png"):
        (tmp_path / name).touch()
        assert listed(tmp_path, name) == [name]


def test_files_of_macos_are_left_out(tmp_path):
    assert listed(tmp_path, "set/._a.png\na.png\nb.png\n") == NAMES


def test_windows_separators_find_their_file(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").touch()
    (tmp_path / r"b\c.png").touch()
    assert listed(tmp_path, "set\\a.png\nb\\c.png\n") == ["set/a.png", r"b\c.png"]


def test_latin_1_lists_and_latin_1_names(tmp_path):
    raw = os.fsdecode(b"raw\xe9.png")
    (tmp_path / raw).touch()
    (tmp_path / "caf\u00e9.png").touch()
    assert listed(tmp_path, b"raw\xe9.png\ncaf\xe9.png\n") == [raw, "caf\u00e9.png"]


def test_a_home_folder_is_filled_in(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "list.txt").write_text("~/a.png\n~b.png\n")
    assert [str(path) for path in read_list(tmp_path / "list.txt")] == ["/home/me/a.png", f"{tmp_path}/~b.png"]
