"""Packed folders: what was packed comes back, is listed as on a disk, and what is damaged is named."""

import multiprocessing
import os
import pickle
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cut3r.files.listing import visible, visible_folders
from cut3r.files.mapped import read_mapped, write_mapped
from cut3r.files.packed_path import PackedPath, as_path, named_file, names_in, on_disk, open_root
from cut3r.files.shards import INDEX, Packed, Shards, write_shard, write_shard_index

FILES = {
    "a/0.jpg": b"first",
    "a/1.jpg": b"",
    "a b/deep/er/x.npy": bytes(range(256)) * 9,
    "a-c": b"between a/ and a0",
    "a0/0": b"0",
    "z/ünï/\u65e5.png": b"names are any text",
    "top.json": b'{"a": 1}\r\n',
    f"long/{'n' * 150}/{'m' * 120}.txt": b"longer than a header of tar has room for",
}


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        path = tmp_path / "plain" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "plain"


@pytest.fixture
def packed(folder):
    target = folder.with_name("packed")
    names = sorted(FILES, key=lambda name: name[::-1])
    shards = {"0.tar": names[::2], "1.tar": names[1::2]}
    write_shard_index(target, [(name, write_shard(target / name, folder, part)) for name, part in shards.items()])
    return target


def test_what_was_packed_comes_back_in_any_order(packed):
    root = open_root(packed)
    for name, content in [*FILES.items(), *reversed(FILES.items())]:
        assert (root / name).read_bytes() == content
        assert (root / name).stat().st_size == len(content)


def test_any_tar_unpacks_the_folder_as_it_was(packed, folder, tmp_path):
    for shard in packed.glob("*.tar"):
        with tarfile.open(shard) as archive:
            archive.extractall(tmp_path / "again", filter="data")
    found = {path.relative_to(tmp_path / "again").as_posix() for path in (tmp_path / "again").rglob("*.*")}
    assert found >= {name for name in FILES if "." in name}
    for name, content in FILES.items():
        assert (tmp_path / "again" / name).read_bytes() == content


@pytest.mark.parametrize("pattern", ["*", "*/*", "*/[01]*", "a/*.jpg", "nothing/*", "*/deep", "a b/deep/er/*"])
def test_a_packed_folder_is_listed_as_the_folder(packed, folder, pattern):
    root = open_root(packed)
    for listed in (visible, visible_folders):
        ours, theirs = ([path.relative_to(top).as_posix() for path in listed(top, pattern)] for top in (root, folder))
        assert ours == theirs


def test_paths_look_as_on_the_disk(packed, folder):
    root = open_root(packed)
    for name in ("a", "a/0.jpg", "a/0", "a-", "a-c", "a b/deep", "a/0.jpg/x", ".", "nothing", "top.json"):
        ours, theirs = root / name, folder / name
        assert (ours.exists(), ours.is_file(), ours.is_dir()) == (theirs.exists(), theirs.is_file(), theirs.is_dir())
        if theirs.is_file():
            assert ours.stat().st_mtime_ns == theirs.stat().st_mtime_ns
        elif theirs.is_dir():
            assert sorted(names_in(ours)) == sorted(os.listdir(theirs))
    assert (root / "top.json").read_text() == (folder / "top.json").read_text() == '{"a": 1}\n'


def test_absent_files_are_absent_and_nothing_is_written(packed):
    root = open_root(packed)
    for act in (PackedPath.read_bytes, PackedPath.stat, names_in):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            act(root / "nowhere")
    with pytest.raises(OSError, match="nothing is written"):
        (root / "new").open("wb")
    with pytest.raises(ValueError, match="depth"):
        root.glob("**/*.jpg")


def test_only_a_packed_folder_is_opened_as_one(packed, folder, tmp_path):
    assert type(open_root(folder)) is type(folder)
    root = open_root(packed)
    assert open_root(root) is root and as_path(root) is root
    assert type(on_disk(root)) is type(folder)
    (tmp_path / "half/.packing").mkdir(parents=True)
    with pytest.raises(ValueError, match="not packed completely"):
        open_root(tmp_path / "half")


def test_libraries_that_want_a_name_get_a_copy_for_a_moment(packed):
    with named_file(open_root(packed) / "a/0.jpg") as path:
        assert path.read_bytes() == b"first" and path.suffix == ".jpg"
    assert not path.exists()


def read_all(root: PackedPath) -> bool:
    return all((root / name).read_bytes() == content for name, content in FILES.items())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_through_paths_that_they_are_given(packed, method):
    root = open_root(packed)
    assert read_all(root)  # before, so that a forked process inherits open shards
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(read_all, [root / "."] * 8) == [True] * 8
    assert read_all(pickle.loads(pickle.dumps(root)))


def test_a_shard_that_is_missing_or_cut_off_is_named_at_once_and_later(packed):
    root = open_root(packed)
    shard = packed / "1.tar"
    content = shard.read_bytes()
    first = next(name for name in FILES if Shards(packed)._shard[Shards(packed).find(name)] == 1 and FILES[name])
    os.truncate(shard, 512)
    with pytest.raises(ValueError, match=r"1\.tar is cut off.*pack it again"):
        (root / first).read_bytes()
    with pytest.raises(ValueError, match=r"1\.tar has 512 bytes and was packed with"):
        open_root(packed)
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=r"1\.tar is missing"):
        open_root(packed)
    shard.write_bytes(content)
    assert read_all(open_root(packed))


def test_an_index_of_another_version_or_none_at_all_says_so(packed):
    arrays = {name: np.array(array) for name, array in read_mapped(packed / INDEX).items()}
    text = bytes(arrays["about"]).replace(b'"format": 1', b'"format": 9')
    write_mapped(packed / INDEX, **{**arrays, "about": np.frombuffer(text, np.uint8)})
    with pytest.raises(ValueError, match="has format 9; expected 1; pack again"):
        open_root(packed)
    write_mapped(packed / INDEX, something=np.zeros(3))
    with pytest.raises(ValueError, match="no index of packed files"):
        open_root(packed)
    (packed / INDEX).write_bytes(b"PK\3\4 and no more")
    with pytest.raises(ValueError, match="no whole"):
        open_root(packed)


NAMES = st.lists(st.text("ab/.0-", min_size=1, max_size=7), min_size=1, max_size=12)


@given(names=NAMES)
def test_an_index_finds_and_lists_whatever_the_names(names, tmp_path_factory):
    parts = [[part for part in name.split("/") if part.strip(".")] for name in names]
    files = sorted({"/".join(each) for each in parts if each})
    files = [name for name in files if not any(other.startswith(f"{name}/") for other in files)]
    folder = tmp_path_factory.mktemp("index")
    (folder / "0.tar").write_bytes(b"")
    places = np.arange(3 * len(files)).reshape(-1, 3)
    write_shard_index(folder, [("0.tar", Packed([name.encode() for name in files], places, 0))])
    shards = Shards(folder)
    folders = {name[:end] for name in files for end, letter in enumerate(name) if letter == "/"}
    assert all(shards.size(shards.find(name)) == 3 * row + 1 for row, name in enumerate(files))
    assert all(shards.is_folder(name) and shards.find(name) is None for name in folders)
    for name in ["", *folders]:
        below = (path[len(name) + 1 if name else 0 :] for path in files if path.startswith(f"{name}/" if name else ""))
        assert sorted(shards.children(name)) == sorted({path.partition("/")[0] for path in below})
