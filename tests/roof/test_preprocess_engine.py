"""Conversion beyond one scene: what runs share, what is left out, what spans scenes, what the options are."""

import json
import logging
import re
import threading
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import pytest

from cut3r.data.datasets.co3d import Co3d
from cut3r.data.datasets.scannetpp import ScanNetpp
from cut3r.data.datasets.tartanair import TartanAir
from cut3r.data.made import Made, read_made
from cut3r.files.disk import DiskFullError
from cut3r.jobs.log import append_line
from cut3r.jobs.record import Outcome, Record
from datasets_preprocess import CONVERTERS
from datasets_preprocess.__main__ import main, parse_args
from datasets_preprocess.finish import finish
from datasets_preprocess.options import as_json, from_flags
from datasets_preprocess.runner import Converter, LeftOut, RawScene, Shard, Unlisted, make_plan, read_records, run
from datasets_preprocess.status import status
from datasets_preprocess.verify import verify
from tests.data.datasets.raw_fixtures import make_co3d, make_tartanair


def write_camera(raw, scene, writer):
    writer.npz("camera", scene.name, "0", number=1)
    return ["0"]


def toy(convert=write_camera, *, count=6, reader=TartanAir, **fields):
    return Converter(reader, 1, lambda raw: [RawScene(f"room/{i}") for i in range(count)], convert, **fields)


def selecting(convert=write_camera, **fields):
    """A converter of which a file names all scenes."""

    def write_selection(out, records):
        (out / "selected.json").write_text(json.dumps(sorted(record.scene for record in records)))

    return toy(convert, finish=write_selection, **fields)


# what spans scenes


def test_two_shards_of_which_one_is_slow_are_both_in_the_selection(tmp_path):
    def slow(raw, scene, writer):
        time.sleep(0.1 if scene.name == "room/1" else 0)
        return write_camera(raw, scene, writer)

    threads = [
        threading.Thread(target=run, args=(selecting(slow), tmp_path, tmp_path / "out"), kwargs={"shard": Shard(i, 2)})
        for i in (1, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert json.loads((tmp_path / "out" / "selected.json").read_text()) == [f"room/{i}" for i in range(6)]


def test_what_spans_scenes_is_written_again_by_its_own_command_and_by_verify(tmp_path, caplog):
    raw, out = tmp_path / "raw", tmp_path / "out"
    make_co3d(raw)
    run(CONVERTERS["co3d"], raw, out)
    selection = out / "selected_seqs_train.json"
    content = selection.read_text()
    for command in ("finish", "verify"):
        selection.unlink()
        assert main([command, "co3d", "--out", str(out)]) == 0
        assert selection.read_text() == content
    caplog.set_level(logging.INFO)
    assert main(["finish", "co3d", "--out", str(tmp_path / "none")]) == 2
    assert "there is no folder" in caplog.text


def test_finishing_that_fails_names_the_file_and_what_to_do(tmp_path):
    def broken(out, records):
        raise ValueError(f"{out / 'list.txt'} cannot be read (it ends too early)")

    report = run(toy(finish=broken), tmp_path, tmp_path / "out")
    assert report.converted == 6 and not report.complete
    assert f"{tmp_path / 'out' / 'list.txt'} cannot be read" in str(report)
    assert f"python -m datasets_preprocess finish tartanair --out {tmp_path / 'out'}" in str(report)
    assert run(selecting(), tmp_path, tmp_path / "out").complete, "scenes need not be converted again"


@pytest.mark.parametrize(
    ("reader", "parity", "centre"),
    [(Co3d, False, "centre"), (Co3d, True, "corner"), (TartanAir, True, "centre")],
)
def test_a_folder_says_who_made_it_and_where_its_pixels_are(tmp_path, reader, parity, centre):
    assert (Co3d.card.corner_shift != 0) and not TartanAir.card.corner_shift

    def write(raw, scene, writer):
        writer.npz("camera", scene.name, "0", number=1)
        return []

    run(toy(write, reader=reader), tmp_path, tmp_path / "out", parity=parity)
    assert read_made(tmp_path / "out") == Made(reader.card.slug, 1, centre, parity)


def test_an_index_is_made_and_made_again_when_scenes_were_converted_again(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    make_tartanair(raw, frames=6)
    run(CONVERTERS["tartanair"], raw, out)
    assert (out / "index.npz").is_file()

    def frames():
        dataset = TartanAir(out, num_views=1, sizes=[(16, 16)])
        return [len(scene.frames) for scene in dataset.scenes]

    assert frames() == [6, 6]
    folder = raw / "abandoned" / "Hard" / "P000"
    for path in (folder / "image_left" / "000005_left.png", folder / "depth_left" / "000005_left_depth.npy"):
        path.unlink()
    (folder / "pose_left.txt").write_text("\n".join((folder / "pose_left.txt").read_text().splitlines()[:5]))
    (out / "abandoned" / "Hard" / "P000" / "000005_rgb.png").unlink()
    assert run(CONVERTERS["tartanair"], raw, out).converted == 1
    assert frames() == [6, 5]


# outcomes


def test_scenes_and_frames_are_left_out_with_reasons_and_that_is_no_failure(tmp_path):
    def choosy(raw, scene, writer):
        if scene.name == "room/2":
            raise LeftOut("its camera is skewed")
        if scene.name == "room/3":
            writer.leave_out("7", "no pose")
        return write_camera(raw, scene, writer)

    report = run(selecting(choosy), tmp_path, tmp_path / "out")
    assert report.complete and (report.converted, len(report.left_out)) == (5, 1)
    assert "1 left out" in str(report) and "room/2: its camera is skewed" in str(report)
    records = {record.scene: record for record in read_records(tmp_path / "out")}
    assert records["room/2"].outcome is Outcome.left_out and not records["room/2"].done
    assert {name: dict(record.left_out) for name, record in records.items() if record.left_out} == {
        "room/3": {"7": "no pose"}
    }, "and not that of another scene"
    assert "room/2" not in (tmp_path / "out" / "selected.json").read_text()
    again = run(selecting(choosy), tmp_path, tmp_path / "out", retry_failed=True)
    assert (again.converted, again.skipped, len(again.left_out)) == (0, 5, 1)
    text = status(tmp_path / "out")
    assert "1 frames left out: no pose" in text and "1 scenes left out: its camera is skewed" in text


def test_a_wrong_folder_ends_a_run_early(tmp_path):
    def nothing_there(raw, scene, writer):
        raise FileNotFoundError(f"there is no folder {raw / scene.name}")

    report = run(toy(nothing_there, count=50), tmp_path, tmp_path / "out")
    assert (report.total, len(report.failures), report.complete) == (50, 20, False)
    assert "20 jobs in a row have failed" in report.stopped
    assert f"Is {tmp_path} the right folder? --stop-after 0" in report.stopped
    assert len(run(toy(nothing_there, count=50), tmp_path, tmp_path / "out", stop_after=0).failures) == 50


def test_a_full_disk_is_one_sentence_and_no_failure(tmp_path, monkeypatch):
    def full(raw, scene, writer):
        if scene.name == "room/3":
            raise DiskFullError(writer.out)
        return write_camera(raw, scene, writer)

    with pytest.raises(DiskFullError, match="is full; make room there, or choose a folder on another disk"):
        run(toy(full), tmp_path, tmp_path / "out")
    report = run(toy(), tmp_path, tmp_path / "out")
    assert (report.converted, report.skipped, report.complete) == (3, 3, True)


# plans and reports


def test_a_dry_run_counts_and_writes_nothing(tmp_path, caplog):
    raw, out = tmp_path / "raw", tmp_path / "out"
    make_tartanair(raw)
    caplog.set_level(logging.INFO)
    assert main(["tartanair", "--raw", str(raw), "--out", str(out), "--dry-run"]) == 0
    size = sum(path.stat().st_size for path in raw.rglob("*") if path.is_file() and path.parent.name != "flow")
    found = re.search(r"2 scenes: 0 done, 0 left out, 0 failed before .*, 2 due \((\d+) kB of raw files\)", caplog.text)
    assert int(found[1]) == round(size / 1024)
    assert not out.exists()
    run(CONVERTERS["tartanair"], raw, out)
    assert str(make_plan(CONVERTERS["tartanair"], raw, out)).startswith("2 scenes: 2 done, 0 left out")
    assert "0 due" in str(make_plan(CONVERTERS["tartanair"], raw, out))


def test_a_plan_says_what_cannot_be_listed_and_what_has_changed(tmp_path):
    converter = Converter(
        TartanAir, 1, lambda raw: [RawScene("room/0"), Unlisted("attic", "list.json is damaged")], write_camera
    )
    (tmp_path / "room" / "0").mkdir(parents=True)
    run(converter, tmp_path, tmp_path / "out")
    (tmp_path / "room" / "0" / "picture").write_text("repaired")
    text = str(make_plan(converter, tmp_path, tmp_path / "out"))
    assert "1 of them again, because raw files have changed: room/0" in text
    assert "the scenes of attic cannot be listed: list.json is damaged" in text


def test_the_state_of_many_scenes_is_listed_quickly(tmp_path):
    """200,000 scenes take 4 s of a busy core; a fortieth of them here."""
    frames = tuple(f"{i:06d}" for i in range(30))
    folder = tmp_path / ".status"
    folder.mkdir()
    reasons = {Outcome.done: "", Outcome.left_out: "skewed", Outcome.failed: "ValueError: {}/depth.png ends too early"}
    for shard in (1, 2):
        with (folder / f"{shard}-of-2.host-7.jsonl").open("w") as file:
            for i in range(2_500):
                outcome = list(Outcome)[0 if i % 100 else 1 + i % 200 // 100]
                scene = f"room{shard}/{i}"
                facts = {"files": [["rgb", scene, {}, None], ["depth", scene, {}, None]]}
                record = Record(scene, outcome, frames, reasons[outcome].format(i), facts=facts, finished=1.0)
                file.write(record.to_json() + "\n")
    start = time.process_time()
    text = status(tmp_path)
    seconds = time.process_time() - start
    assert seconds < 5, "and on a machine forty times as slow"
    assert text.startswith("5000 scenes: 4950 done, 26 left out, 24 failed")
    assert "24 scenes failed: ValueError: " in text and "26 scenes left out: skewed" in text
    assert "shard   1/2: 2475 done, 13 left out, 12 failed" in text


def test_a_status_without_records_says_where_it_looked(tmp_path, caplog):
    assert main(["status", "co3d", "--out", str(tmp_path)]) == 2
    assert f"there is no record of a conversion in {tmp_path / '.status'}" in caplog.text


# options


class Flavour(Enum):
    plain = "plain"
    spicy = "spicy"


@dataclass(frozen=True)
class ToyOptions:
    """How the toy looks.

    size: In pixels,
        of the longer side.
    flow: Whether flow is written.
    """

    size: int = 3
    flow: bool = False
    scale: float = 1.0
    flavour: Flavour = Flavour.plain
    window: tuple[int, int] = (1, 2)
    list: Path | None = None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size {self.size} is no size")


@pytest.fixture
def toy_command(monkeypatch):
    seen = []

    def note(raw, scene, writer):
        seen.append(writer.options)
        return write_camera(raw, scene, writer)

    monkeypatch.setitem(CONVERTERS, "toy", toy(note, count=1, options=ToyOptions))
    return seen


def test_options_are_flags_by_name(toy_command, tmp_path):
    command = ["toy", "--raw", str(tmp_path), "--out", str(tmp_path / "out")]
    flags = ["--size", "5", "--flow", "--scale", "2", "--flavour", "spicy", "--window", "3", "4", "--list", "a.txt"]
    assert main([*command, *flags]) == 0
    assert toy_command == [ToyOptions(5, True, 2.0, Flavour.spicy, (3, 4), Path("a.txt"))]
    assert from_flags(ToyOptions, parse_args(command)) == ToyOptions()
    (record,) = read_records(tmp_path / "out")
    assert record.options == as_json(toy_command[0])
    assert record.options["flavour"] == "spicy" and record.options["window"] == [3, 4]


@pytest.mark.parametrize("flags", [["--size", "big"], ["--flavour", "sweet"], ["--window", "3"]])
def test_wrong_options_are_refused_by_name(toy_command, tmp_path, flags, capsys):
    with pytest.raises(SystemExit):
        main(["toy", "--raw", str(tmp_path), "--out", str(tmp_path / "out"), *flags])
    assert f"argument {flags[0]}" in capsys.readouterr().err


def test_what_the_options_refuse_is_said(toy_command, tmp_path, caplog):
    assert main(["toy", "--raw", str(tmp_path), "--out", str(tmp_path / "out"), "--size", "0"]) == 2
    assert "size 0 is no size" in caplog.text


def test_help_comes_from_the_docstring(toy_command, capsys):
    with pytest.raises(SystemExit):
        main(["toy", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "How the toy looks." in text
    assert "--size SIZE In pixels, of the longer side. (default: 3)" in text
    assert "--flavour plain|spicy (default: plain)" in text


def test_other_options_convert_again(tmp_path):
    converter = toy(options=ToyOptions)
    run(converter, tmp_path, tmp_path / "out")
    assert run(converter, tmp_path, tmp_path / "out", options=ToyOptions()).converted == 0
    assert run(converter, tmp_path, tmp_path / "out", options=ToyOptions(size=4)).converted == 6
    assert finish(converter, tmp_path / "out").scenes == 6, "those of the newest options"


def test_the_converters_of_published_datasets_have_their_options(tmp_path):
    command = ["scannetpp", "--raw", "r", "--out", "o", "--target-width", "92"]
    options = from_flags(CONVERTERS["scannetpp"].options, parse_args(command))
    assert (options.target_width, options.target_height) == (92, 690)
    assert CONVERTERS["scannetpp"].reader is ScanNetpp


# verification by sets of files


@pytest.fixture
def converted(tmp_path):
    make_tartanair(tmp_path / "raw")
    run(CONVERTERS["tartanair"], tmp_path / "raw", tmp_path / "out")
    for path in (tmp_path / "out").rglob("*_cam.npz"):
        with np.load(path) as camera:
            pose, intrinsics = camera["camera_pose"], camera["camera_intrinsics"].copy()
        intrinsics[:2, 2] = 32, 24
        np.savez(path, camera_pose=pose, camera_intrinsics=intrinsics)
    return tmp_path / "out"


def test_whole_data_has_no_problems(converted):
    assert verify("tartanair", converted).problems == []


@pytest.mark.parametrize("kind", ["rgb.png", "depth.npy", "cam.npz"])
def test_a_missing_file_is_named(converted, kind):
    name = f"abandoned/Hard/P000/000003_{kind}"
    (converted / name).unlink()
    problems = verify("tartanair", converted).problems
    assert f"abandoned/Hard/P000: 1 of its files missing, first {name}" in problems


def test_a_file_that_no_record_names_is_named(converted):
    folder = converted / "abandoned" / "Hard" / "P000"
    for kind in ("rgb.png", "depth.npy", "cam.npz"):
        (folder / f"000099_{kind}").write_bytes((folder / f"000003_{kind}").read_bytes())
    problems = verify("tartanair", converted).problems
    assert (
        "abandoned/Hard/P000: 1 files that no record names, first abandoned/Hard/P000/000099_rgb.png; remove them"
        in (problems)
    )


def test_a_scene_that_no_record_names_is_named(converted):
    (converted / "abandoned" / "Hard" / "P000").rename(converted / "abandoned" / "Hard" / "P001")
    problems = verify("tartanair", converted).problems
    assert "abandoned/Hard/P001: the reader finds this scene, and no record names it; remove it" in problems


def test_scenes_that_were_left_out_are_no_problem(converted):
    append_line(converted / ".status" / "log.jsonl", Record("x/Easy/P0", Outcome.left_out, reason="dark").to_json())
    assert verify("tartanair", converted).problems == []
