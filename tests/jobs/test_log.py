"""Records as lines of JSON."""

import errno
import gc
import json
import os
import threading

import pytest

from cut3r.files.disk import DiskFullError
from cut3r.jobs.log import BLOCK, RecordLog, append_line, positions, read_records
from cut3r.jobs.record import Outcome, Record, Rule


def record(scene, outcome=Outcome.done, **facts):
    return Record(scene, outcome, **facts)


def test_records_survive_the_round_trip(tmp_path):
    written = record(
        "a/b", frames=("0", "1"), left_out={"2": "no pose"}, options={"size": 3}, facts={"files": [1]}, finished=5.5
    )
    RecordLog(tmp_path, "log").append(written)
    assert read_records(tmp_path) == [written]


def test_the_last_record_of_a_scene_wins_in_whichever_file(tmp_path):
    first, second = RecordLog(tmp_path, "a"), RecordLog(tmp_path, "b")
    second.append(record("x", Outcome.failed, finished=1.0))
    first.append(record("x", finished=2.0))
    second.append(record("y", Outcome.left_out, reason="skewed", finished=1.0))
    assert [(each.scene, each.outcome) for each in read_records(tmp_path)] == [
        ("x", Outcome.done),
        ("y", Outcome.left_out),
    ]


def test_records_of_older_versions_are_read(tmp_path):
    path = tmp_path / "room" / "0.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"scene": "room/0", "done": False, "frames": ["7"], "reason": "x", "seconds": 1.0}))
    (old,) = read_records(tmp_path)
    assert (old.scene, old.failed, old.frames, old.options) == ("room/0", True, ("7",), None)
    RecordLog(tmp_path, "log").append(record("room/0", finished=1.0))
    assert [each.done for each in read_records(tmp_path)] == [True]


def test_a_line_that_a_crash_has_cut_off_costs_itself_only(tmp_path, caplog):
    log = RecordLog(tmp_path, "log")
    log.append(record("a"))
    with log.path.open("a") as file:
        file.write(record("b").to_json()[:30])
    log.append(record("c"))
    assert [each.scene for each in read_records(tmp_path)] == ["a", "c"]
    assert "log.jsonl, line 2 is no whole record" in caplog.text


@pytest.mark.parametrize("with_frames", [True, False])
def test_records_are_decoded_in_blocks_and_a_bad_line_among_hundreds_costs_itself_only(tmp_path, caplog, with_frames):
    lines = [record(f"{number:04}", frames=("0",)).to_json() for number in range(2 * BLOCK + 5)]
    lines[BLOCK + 3] = '{"scene": "cut o'
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    scenes = [int(each.scene) for each in read_records(tmp_path, with_frames=with_frames)]
    assert scenes == [number for number in range(len(lines)) if number != BLOCK + 3]
    assert f"line {BLOCK + 4} is no whole record" in caplog.text


def test_two_records_on_a_line_do_not_make_up_for_one_that_is_lost(tmp_path):
    line = record("a").to_json()
    (tmp_path / "log.jsonl").write_text(f"{line}, {line}\n7\n{record('b').to_json()}\n")
    assert [each.scene for each in read_records(tmp_path)] == ["b"]


def test_reading_leaves_the_garbage_collector_as_it_was(tmp_path):
    append_line(tmp_path / "log.jsonl", record("a").to_json())
    read_records(tmp_path)
    assert gc.isenabled()


@pytest.mark.parametrize("line", ["[]", "3", '{"scene": "a", "outcome": "perhaps"}', '{"outcome": "done"}'])
def test_what_is_no_record_does_not_count(tmp_path, line):
    append_line(tmp_path / "log.jsonl", line)
    assert read_records(tmp_path) == []


def test_a_log_sees_what_others_append_after_its_beginning(tmp_path):
    other = RecordLog(tmp_path, "other")
    other.append(record("before"))
    log = RecordLog(tmp_path, "mine")
    other.append(record("after", frames=("0",)))
    RecordLog(tmp_path, "new").append(record("newer"))
    assert log.arrived("after") is None
    log.refresh()
    assert log.arrived("after") is not None and log.arrived("newer") is not None
    assert log.arrived("before") is None


def test_lines_of_several_writers_never_mix(tmp_path):
    def write(number):
        for i in range(50):
            append_line(tmp_path / "log.jsonl", record(f"{number}/{i}", reason="x" * 3000).to_json())

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_records(tmp_path)) == 200


def test_a_record_follows_the_rule_that_it_was_made_by():
    made = record("a", version=2, parity=True, options={"size": 3})
    assert made.follows(Rule(2, True, {"size": 3}))
    assert not made.follows(Rule(1, True, {"size": 3}))
    assert not made.follows(Rule(2, False, {"size": 3}))
    assert not made.follows(Rule(2, True, {"size": 4}))
    assert record("old", version=2).follows(Rule(2, False, {"size": 4})), "older versions knew no options"


def test_a_full_disk_is_said_and_the_line_before_is_whole(tmp_path, monkeypatch):
    log = RecordLog(tmp_path, "log")
    log.append(record("a"))
    write = os.write

    def part_of_it(descriptor, data):
        if len(data) < 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[: len(data) - 30])

    monkeypatch.setattr(os, "write", part_of_it)
    with pytest.raises(DiskFullError, match="is full; make room there"):
        log.append(record("b"))
    monkeypatch.undo()
    log.append(record("c"))
    assert [each.scene for each in read_records(tmp_path)] == ["a", "c"]


def test_what_others_write_while_we_still_decide_is_not_missed(tmp_path):
    other = RecordLog(tmp_path, "other")
    other.append(record("before"))
    since = positions(tmp_path)
    other.append(record("meanwhile"))
    late, ours = RecordLog(tmp_path, "late"), RecordLog(tmp_path, "ours", since=since)
    for log in (late, ours):
        log.refresh()
    assert ours.arrived("meanwhile") is not None and ours.arrived("before") is None
    assert late.arrived("meanwhile") is None, "a log that begins later has missed it"


@pytest.mark.parametrize("length", [10, 1 << 16, 200_000])
def test_positions_are_those_of_whole_lines(tmp_path, length):
    path = tmp_path / "log.jsonl"
    append_line(path, "x" * length)
    whole = path.stat().st_size
    with path.open("a") as file:
        file.write("y" * length)
    assert positions(tmp_path) == {path: whole}
    path.write_text("z" * length)
    assert positions(tmp_path) == {path: 0}
