import gzip
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from cut3r.weights.file_kind import FileKind, identify


def test_the_readable_kinds_are_told_apart_by_content_and_not_by_name(tmp_path):
    path = tmp_path / "weights.txt"
    torch.save({"a": torch.zeros(2)}, path)
    assert identify(path) is FileKind.torch_zip
    torch.save({"a": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)
    assert identify(path) is FileKind.torch_legacy
    save_file({"a": torch.zeros(2)}, path)
    assert identify(path) is FileKind.safetensors


@pytest.mark.parametrize("length", [0x80, 0x4B50])
def test_a_safetensors_file_whose_header_has_an_unlucky_length_is_not_taken_for_another_kind(tmp_path, length):
    """A header of 128 bytes makes the file begin like a pickle, one of 19,280 bytes like a zip file."""
    path, entries = tmp_path / "weights.safetensors", {"a": torch.zeros(2)}
    save_file(entries, path, metadata={"padding": ""})
    padding = length - int.from_bytes(path.read_bytes()[:8], "little")
    save_file(entries, path, metadata={"padding": "x" * padding})
    assert path.read_bytes()[:2] in (b"\x80\0", b"PK")
    assert identify(path) is FileKind.safetensors


QUOTA_PAGE = b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>"
FOREIGN = {
    "empty": (b"", r"empty \(0 bytes\), probably an interrupted download"),
    "zeros": (bytes(4096), "filled with zero bytes"),
    "html": (QUOTA_PAGE, "a web page, not weights, such as Google Drive's quota page"),
    "html with a byte order mark": (b"\xef\xbb\xbf\n" + QUOTA_PAGE, "a web page"),
    "xhtml": (b'<?xml version="1.0"?>\n<html xmlns="http://www.w3.org/1999/xhtml">', "a web page"),
    "text": ("Zugriff verweigert: größer".encode(), r"a text file \(it starts with 'Zugriff"),
    "json": (b'{"error": "not found"}', "a text file"),
    "long text with a letter cut at the limit": (b"a" * 1023 + "ä".encode(), "a text file"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3173\n", "run `git lfs pull`"),
    "gzip": (gzip.compress(b"weights"), "unpack it first"),
    "jpeg": (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "unknown kind .*ff d8 ff e0"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_foreign_file_is_named_and_the_remedy_given(tmp_path, case):
    content, message = FOREIGN[case]
    path = tmp_path / "cut3r_512_dpt_4_64.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        identify(path)
    assert str(path) in str(error.value)
    assert "cut3r models" in str(error.value)


def test_a_truncated_torch_file_is_recognised_by_its_missing_end(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"truncated or damaged zip file of 2,000 bytes.*download it again"):
        identify(path)


def test_a_zip_file_of_something_else_is_refused_with_its_content(tmp_path):
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cut3r_512_dpt_4_64.pth", "packed")
    with pytest.raises(ValueError, match=r"not one that torch.save wrote \(it holds cut3r_512_dpt_4_64.pth\)"):
        identify(path)


def test_a_program_of_torchscript_is_refused(tmp_path):
    path = tmp_path / "weights.pt"
    with zipfile.ZipFile(path, "w") as archive:  # the layout; torch.jit itself warns that it is deprecated
        for name in ("archive/data.pkl", "archive/code/__torch__.py", "archive/constants.pkl"):
            archive.writestr(name, b"")
    with pytest.raises(ValueError, match="a TorchScript program, which holds code"):
        identify(path)


def test_a_deflate_bomb_is_refused_by_what_it_is(tmp_path):
    """40 KB that become 40 MB when they are read; torch.save compresses nothing."""
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights/data.pkl", bytes(40 << 20))
    assert path.stat().st_size < 50_000
    with pytest.raises(ValueError, match=r"not as torch\.save wrote it: a member of it is compressed"):
        identify(path)


def test_a_header_that_claims_gigabytes_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes((1 << 33).to_bytes(8, "little") + b'{"a"' + bytes(100))
    with pytest.raises(ValueError, match=r"its header claims 8,589,934,592 bytes"):
        identify(path)


def test_nothing_there_and_a_folder_are_both_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*weights\.pth"):
        identify(tmp_path / "weights.pth")
    with pytest.raises(FileNotFoundError, match=r"is a folder.*name the file inside it"):
        identify(tmp_path)
