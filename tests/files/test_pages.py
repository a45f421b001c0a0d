"""Pages of a mapped file are given back, and come again from the file."""

import ctypes
import mmap
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from cut3r.files.pages import MappedPages, give_back_freed

PAGES = 2000

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells what is mapped")


def resident(path: Path) -> int:
    """Kilobytes of a mapped file that are counted as this process's memory."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    start = next(k for k, line in enumerate(lines) if line.endswith(str(path.resolve())))
    return next(int(line.split()[1]) for line in lines[start:] if line.startswith("Rss:"))


@linux
def test_pages_are_given_back_and_come_again(tmp_path):
    path = tmp_path / "a file (1).bin"
    content = bytes(range(256)) * (PAGES * mmap.PAGESIZE // 256)
    path.write_bytes(content)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE) as mapped:
        pages = MappedPages(path)
        assert mapped[:] == content
        assert resident(path) >= PAGES * mmap.PAGESIZE // 1024
        pages.release()
        assert resident(path) == 0
        assert mapped[:] == content


@linux
def test_pages_that_were_written_into_stay(tmp_path):
    path = tmp_path / "written.bin"
    path.write_bytes(b"a" * PAGES * mmap.PAGESIZE)
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as mapped,
    ):
        mapped[:5] = b"mine!"
        MappedPages(path).release()
        assert mapped[:6] == b"mine!a"


def test_a_file_that_is_not_mapped_has_no_pages(tmp_path):
    (tmp_path / "other").write_bytes(b"0" * 10)
    MappedPages(tmp_path / "other").release()
    MappedPages(tmp_path / "nothing").release()


def test_what_was_freed_is_given_back():
    """Large blocks that lie between small ones that live on."""
    process, kept = psutil.Process(), []
    blocks = [(np.ones(4000), kept.append(bytearray(100))) for _ in range(4000)]  # 128 MB
    before = process.memory_info().rss
    del blocks
    give_back_freed()
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim"):
        assert before - process.memory_info().rss > 60e6
