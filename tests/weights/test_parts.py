"""Weights in several small files: complete, from one moment, and one network again when joined."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import cut3r
from cut3r.model.network import Cut3r
from cut3r.weights import parts
from cut3r.weights.parts import divide, join, renamed_into, write_parts


def write(model: Cut3r, folder: Path, moment: int = 7, name: str = "ema") -> list[Path]:
    total = sum(2 * entry.numel() for entry in model.state_dict().values())
    largest = total // 2 + 2**17
    return write_parts(
        model.state_dict(), model.config, folder / name, folder.parent / "x", moment=moment, largest=largest
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_parts_join_to_the_same_network(tiny_linear, folder):
    paths = write(tiny_linear, folder)
    assert [path.name for path in paths] == ["ema-0.safetensors", "ema-1.safetensors"]
    joined = join(folder / "ema").state_dict()
    for name, entry in tiny_linear.state_dict().items():
        torch.testing.assert_close(joined[name], entry.half().float(), rtol=0, atol=0)


def test_parts_are_no_larger_than_they_may_be(tiny_linear, folder):
    total = sum(2 * entry.numel() for entry in tiny_linear.state_dict().values())
    sizes = [path.stat().st_size for path in write(tiny_linear, folder)]
    assert max(sizes) <= total // 2 + 2**17 and min(sizes) > total // 3


def test_the_command_writes_a_file_that_load_reads(tiny_linear, folder, monkeypatch):
    write(tiny_linear, folder)
    monkeypatch.setattr("sys.argv", ["parts", str(folder / "ema"), str(folder / "tiny.safetensors")])
    parts.main()
    assert cut3r.load(folder / "tiny.safetensors").config == tiny_linear.config


def test_parts_of_two_moments_are_refused(tiny_linear, folder):
    write(tiny_linear, folder, moment=7)
    shutil.copy(folder / "ema-1.safetensors", folder / "old")
    write(tiny_linear, folder, moment=8)
    (folder / "old").replace(folder / "ema-1.safetensors")
    with pytest.raises(ValueError, match=r"ema-1.safetensors is of step 7 and ema-0.safetensors of step 8"):
        join(folder / "ema")


def test_a_missing_part_is_named(tiny_linear, folder):
    write(tiny_linear, folder)[1].unlink()
    with pytest.raises(FileNotFoundError, match=r"ema-1\.safetensors"):
        join(folder / "ema")


def test_another_file_is_no_part(folder):
    save_file({"x": torch.zeros(1)}, folder / "ema-0.safetensors")
    with pytest.raises(ValueError, match="is no part of a network; give the name without number"):
        join(folder / "ema")


def test_numbers_that_are_not_finite_are_not_written(tiny_linear, folder):
    write(tiny_linear, folder)
    before = (folder / "ema-0.safetensors").read_bytes()
    with torch.no_grad():
        next(tiny_linear.parameters()).view(-1)[0] = 1e6
    with pytest.raises(ValueError, match="not finite in float16"):
        write(tiny_linear, folder, moment=8)
    assert (folder / "ema-0.safetensors").read_bytes() == before


def test_groups_keep_the_order_and_the_limit():
    entries = {str(number): torch.zeros(size, dtype=torch.uint8) for number, size in enumerate((60, 60, 60, 10))}
    groups = divide(entries, largest=2**16 + 100)
    assert [list(group) for group in groups] == [["0", "1"], ["2", "3"]]


def test_what_is_written_is_never_in_the_folder_before_it_is_complete(tmp_path, folder):
    with renamed_into(folder / "a.png", tmp_path / "scratch") as temporary:
        temporary.write_bytes(b"half")
        assert list(folder.iterdir()) == []
        assert temporary.parent == tmp_path / "scratch"
    assert (folder / "a.png").read_bytes() == b"half"
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_file_that_breaks_off_leaves_the_old_one(tmp_path, folder):
    (folder / "a.png").write_bytes(b"old")

    def break_off() -> None:
        with renamed_into(folder / "a.png", tmp_path / "scratch") as temporary:
            temporary.write_bytes(b"ne")
            raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        break_off()
    assert (folder / "a.png").read_bytes() == b"old"
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.skipif(
    not Path("/dev/shm").is_dir() or os.stat("/dev/shm").st_dev == os.stat("/tmp").st_dev, reason="one disk only"
)
def test_a_scratch_folder_on_another_disk_does_as_well(folder):
    scratch = Path(f"/dev/shm/cut3r-{os.getpid()}")
    with renamed_into(folder / "a.png", scratch) as temporary:
        temporary.write_bytes(b"all")
    assert (folder / "a.png").read_bytes() == b"all"
    scratch.rmdir()
