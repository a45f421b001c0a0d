"""python -m datasets_preprocess pack: resumable, atomic, shared; and what does not fit is refused by name."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from cut3r.data.datasets.tartanair import CARD, LAYOUT, TartanAir
from cut3r.files.packed_path import UNFINISHED
from cut3r.files.shards import INDEX, Shards
from datasets_preprocess import CONVERTERS
from datasets_preprocess import pack as _pack
from datasets_preprocess.__main__ import main
from datasets_preprocess.pack import pack
from datasets_preprocess.shard_plan import plan_shards
from datasets_preprocess.verify import verify
from datasets_preprocess.writer import Writer

ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
CONVERTER = CONVERTERS[CARD.slug]
SIZE, FRAMES = (24, 32), 6
SHARD_GB = 40_000 / (1 << 30)  # four frames


@pytest.fixture
def out(tmp_path):
    """Two scenes, and a file of the user."""
    writer, rng = Writer(tmp_path / "out", LAYOUT), np.random.default_rng(0)
    for scene in ("house/Easy/P000", "house/Easy/P001"):
        for number in range(FRAMES):
            frame = f"{number:06d}"
            writer.image("rgb", scene, frame, rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
            writer.npy("depth", scene, frame, rng.uniform(1, 9, SIZE).astype(np.float32))
            intrinsics = np.array([[30.0, 0, 15.5], [0, 30, 11.5], [0, 0, 1]])
            writer.npz("camera", scene, frame, camera_pose=np.eye(4), camera_intrinsics=intrinsics)
    (tmp_path / "out/notes.txt").write_text("mine")
    return tmp_path / "out"


def open_set(root: Path) -> TartanAir:
    return TartanAir(root, split="all", num_views=2, sizes=[(16, 16)])


def state(target: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in target.glob("*.tar")}


def test_a_plan_keeps_frames_together_and_shards_small(out):
    limit = 40_000
    plan = plan_shards(out, LAYOUT, "tartanair", limit)
    assert len(plan) > 2
    names = [name for shard in plan for name in shard.members]
    assert sorted(names) == sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    for shard in plan:
        frames = [name.rpartition("_")[0] for name in shard.members if name != "notes.txt"]
        assert all(frames.count(frame) == 3 for frame in frames), "a frame is divided among shards"
        assert sum((out / name).stat().st_size for name in shard.members) <= limit
        assert frames == sorted(frames), "the files of a frame are no neighbours"


def test_the_command_packs_and_says_so(out, tmp_path, caplog):
    caplog.set_level("INFO")
    command = ["pack", "tartanair", "--out", str(out), "--to", str(tmp_path / "to"), "--shard-gb", str(SHARD_GB)]
    assert main(command) == 0
    assert "packed now, 0 failed" in caplog.text and "/s" in caplog.text
    before = state(tmp_path / "to")
    assert main(command) == 0
    assert "0 to pack" in caplog.text and state(tmp_path / "to") == before
    ours, theirs = open_set(tmp_path / "to"), open_set(out)
    assert len(ours) == len(theirs) and (ours[3][0].image == theirs[3][0].image).all()
    assert main(["verify", "tartanair", "--out", str(tmp_path / "to"), "--compare", "0"]) == 0
    assert Shards(tmp_path / "to").find("notes.txt") is not None


DEADLY = """
import os, signal, sys
from pathlib import Path
from datasets_preprocess import CONVERTERS, pack
whole, count = pack.write_shard, [0]
def write(path, root, names):
    count[0] += 1
    if count[0] == 2:
        path.with_name(f".{path.stem}.0123456789ab.tar").write_bytes(b"half of it")
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(path, root, names)
pack.write_shard = write
pack.pack(CONVERTERS["tartanair"], Path(sys.argv[1]), Path(sys.argv[2]), shard_gb=float(sys.argv[3]))
"""


def test_a_run_that_is_killed_goes_on_where_it_was(out, tmp_path):
    target = tmp_path / "to"
    run = subprocess.run([sys.executable, "-c", DEADLY, str(out), str(target), str(SHARD_GB)], env=ENV, timeout=120)
    assert run.returncode == -signal.SIGKILL
    before = state(target)
    assert len([name for name in before if not name.startswith(".")]) == 1 and not (target / INDEX).exists()
    with pytest.raises(ValueError, match="not packed completely"):
        open_set(target)
    assert pack(CONVERTER, out, target, shard_gb=SHARD_GB).complete
    after = state(target)
    assert not any(name.startswith(".") for name in after), "what the killed run had begun is left"
    assert {item for item in before.items() if item[0][0] != "."} <= after.items(), "a shard was packed again"
    assert len(open_set(target)) == len(open_set(out))


def test_two_runs_share_the_shards(out, tmp_path, monkeypatch):
    packed, whole = [], _pack.write_shard

    def slow(path, root, names):
        packed.append(path.name)
        time.sleep(0.02)
        return whole(path, root, names)

    monkeypatch.setattr(_pack, "write_shard", slow)
    reports = []
    threads = [
        threading.Thread(target=lambda: reports.append(pack(CONVERTER, out, tmp_path / "to", shard_gb=SHARD_GB)))
        for _ in range(2)
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(reports) == 2 and all(report.complete for report in reports)
    assert len(packed) == len(set(packed)) == reports[0].total


def test_jobs_can_be_done_by_other_processes(out, tmp_path, monkeypatch):
    job = _pack._job

    def sent(*arguments):
        return pickle.loads(pickle.dumps(job(*arguments)))

    monkeypatch.setattr(_pack, "_job", sent)
    assert pack(CONVERTER, out, tmp_path / "to", shard_gb=SHARD_GB).complete
    assert len(open_set(tmp_path / "to")) == len(open_set(out))


def test_what_has_changed_is_named_and_packed_again_alone(out, tmp_path, caplog):
    target = tmp_path / "to"
    pack(CONVERTER, out, target, shard_gb=SHARD_GB)
    before, old = state(target), open_set(target)
    path = LAYOUT.path(out, "depth", "house/Easy/P001", "000003")
    depth = np.load(path)
    np.save(path, depth + np.float32(1))
    problems = verify("tartanair", target, converter=CONVERTER, compared=0).problems
    assert len(problems) == 1 and "has changed since it was packed: 1 of" in problems[0] and "pack" in problems[0]
    caplog.set_level("INFO")
    report = pack(CONVERTER, out, target, shard_gb=SHARD_GB)
    assert (report.packed, report.removed) == (1, 1) and "have changed" in caplog.text
    assert len(state(target).items() & before.items()) == len(before) - 1, "more than that shard was touched"
    assert verify("tartanair", target, converter=CONVERTER, compared=0).problems == []
    scene = next(scene for scene in old.scenes if scene.name.endswith("P001"))
    assert open_set(target).read(scene, 3).depth == pytest.approx(depth + 1)


def test_a_shard_that_is_missing_or_damaged_is_packed_again(out, tmp_path):
    target = tmp_path / "to"
    pack(CONVERTER, out, target, shard_gb=SHARD_GB)
    first, second, *_ = sorted(target.glob("*.tar"))
    content = first.read_bytes()
    first.unlink()
    os.truncate(second, 1000)
    with pytest.raises(FileNotFoundError, match=first.name):
        open_set(target)
    assert first.name in verify("tartanair", target, converter=CONVERTER, compared=0).problems[0]
    report = pack(CONVERTER, out, target, shard_gb=SHARD_GB)
    assert (report.packed, report.removed) == (2, 0)
    assert first.read_bytes() == content, "packing again gives other bytes"
    assert len(open_set(target)) == len(open_set(out))


def test_damaged_frames_are_named_as_in_the_folder_and_replaced(out, tmp_path, caplog):
    LAYOUT.path(out, "rgb", "house/Easy/P000", "000002").write_bytes(b"no picture")
    LAYOUT.path(out, "camera", "house/Easy/P000", "000004").unlink()
    target = tmp_path / "to"
    pack(CONVERTER, out, target)
    problems = [verify("tartanair", root, compared=0).problems for root in (out, target)]
    assert len(problems[0]) == 2 and problems[0] == [text.replace(str(target), str(out)) for text in problems[1]]
    dataset = open_set(target)
    samples = [[view.label for view in dataset[index]] for index in range(len(dataset))]
    assert dataset.broken_frames > 0 and "a neighbour takes its place" in caplog.text
    assert not any(label.endswith(("P000/000002", "P000/000004")) for labels in samples for label in labels)


def test_a_link_to_nothing_is_said_and_a_link_in_a_circle_is_refused(out, tmp_path, caplog):
    (out / "house/Easy/P001/gone.png").symlink_to(tmp_path / "nowhere")
    assert pack(CONVERTER, out, tmp_path / "to").complete
    assert "gone.png is no file, or a link to nothing" in caplog.text
    (out / "house/up").symlink_to(out)
    with pytest.raises(ValueError, match="has no end"):
        pack(CONVERTER, out, tmp_path / "to2")


def test_a_file_that_cannot_be_packed_fails_its_shard_alone(out, tmp_path, monkeypatch):
    target, whole = tmp_path / "to", _pack.write_shard

    def changing(path, root, names):
        packed = whole(path, root, names)
        if any("P001/000003" in name for name in names):
            os.utime(root / names[0], ns=(1, 1))
        return packed

    monkeypatch.setattr(_pack, "write_shard", changing)
    report = pack(CONVERTER, out, target, shard_gb=SHARD_GB)
    assert len(report.failures) == 1 and "changed while they were packed" in str(report)
    assert report.packed == report.total - 1 and not (target / INDEX).exists()
    monkeypatch.undo()
    assert pack(CONVERTER, out, target, shard_gb=SHARD_GB).complete


def test_a_folder_in_the_way_of_a_shard_is_named(out, tmp_path):
    target = tmp_path / "to"
    (target / UNFINISHED).mkdir(parents=True)
    name = plan_shards(out, LAYOUT, "tartanair", 1 << 30)[0].name
    (target / name).mkdir()
    report = pack(CONVERTER, out, target)
    assert not report.complete and name in str(report)


def test_targets_that_hold_something_else_are_refused(out, tmp_path, caplog):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("mine")
    pack(CONVERTER, out, tmp_path / "to")
    refusals = {
        (out, tmp_path / "file"): "is a file",
        (out, tmp_path / "full"): "other files, such as thesis.tex",
        (out, out): "must lie beside",
        (out, out / "packed"): "must lie beside",
        (out, tmp_path): "must lie beside",
        (tmp_path / "to", tmp_path / "again"): "is packed already",
        (tmp_path / "nothing", tmp_path / "again"): "there is no folder",
    }
    for (source, target), reason in refusals.items():
        with pytest.raises((ValueError, FileNotFoundError), match=reason):
            pack(CONVERTER, source, target)
    with pytest.raises(ValueError, match="holds tartanair, packed"):
        pack(CONVERTERS["irs"], out, tmp_path / "to")
    assert (tmp_path / "full/thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("command", [["finish", "tartanair"], ["tartanair", "--raw", "."]])
def test_converters_do_not_write_into_a_packed_folder(out, tmp_path, command, caplog):
    pack(CONVERTER, out, tmp_path / "to")
    assert main([*command, "--out", str(tmp_path / "to")]) == 2
    assert "is packed, and nothing is written there" in caplog.text
