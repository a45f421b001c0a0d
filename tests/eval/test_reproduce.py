"""One command checks all published numbers: what is there is judged, what is not is named with the way to get it."""

import pytest

from eval.published import SYSTEM, published
from eval.reproduce import command, main, published_tables, reproduce, status
from tests.eval.report_runs import make_run
from tests.eval.sequences.trees import touch

OFFICIAL = {"weights": {"given": "512-dpt", "file": "cut3r_512_dpt_4_64.pth", "sha256": "1" * 64}}


def paper(protocol, dataset, group):
    rows = published(protocol, dataset, group).rows
    return dict(next(row.values for row in rows if row.system == SYSTEM and not row.rerun))


def finished(out, table, **changes):
    numbers = paper(table.protocol, table.dataset, table.groups[0])
    folder = out / table.protocol / table.dataset
    return make_run(folder, table.protocol, table.dataset, parity=True, numbers=numbers | changes, **OFFICIAL)


def table_of(protocol, dataset):
    return next(t for t in published_tables() if (t.protocol, t.dataset) == (protocol, dataset))


def test_there_is_a_run_for_every_published_table():
    tables = published_tables()
    assert len(tables) == 12
    assert {table.protocol for table in tables} == {"monodepth", "video_depth", "relpose", "mv_recon"}
    assert table_of("video_depth", "bonn").groups == ("scale_published", "metric", "scale_shift_published")


def test_an_empty_disk_is_answered_with_what_to_get(tmp_path, capsys):
    assert main(["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--weights", "tiny"]) == 3
    said = capsys.readouterr().out
    missing = said[said.index("## Missing") :]
    assert missing.count("\n- ") == 12
    for name in ("bonn", "kitti", "nyu", "tum", "scannet", "sevenscenes"):
        assert f"python -m eval.prepare {name} --raw DOWNLOAD --out {tmp_path} --parity" in missing
    assert "0 of 12 tables scored" in said
    assert (tmp_path / "out" / "reproduction.md").read_text() in said


@pytest.mark.parametrize(("changes", "verdict", "status"), [({}, "within", 3), ({"ate": 0.5}, "OUTSIDE", 1)])
def test_finished_runs_are_judged_cell_by_cell(tmp_path, capsys, changes, verdict, status):
    finished(tmp_path / "out", table_of("relpose", "tum"), **changes)
    words = ["--data", str(tmp_path / "none"), "--out", str(tmp_path / "out"), "--only", "relpose", "--dry-run"]
    assert main(words) == status
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| Camera pose on TUM")]
    assert len(rows) == 3
    ate = next(row for row in rows if "ATE" in row)
    assert "0.035 to 0.057" in ate
    assert verdict in ate
    assert all("within" in row for row in rows if row is not ate)


def test_another_network_does_not_reproduce_whatever_its_numbers(tmp_path):
    table = table_of("relpose", "tum")
    folder = make_run(tmp_path / "relpose" / "tum", parity=True, numbers=paper("relpose", "tum", "sim3"), name="mine")
    outcome = reproduce(table, tmp_path, "512-dpt", tmp_path, start=None)
    assert folder == outcome.run.folder
    assert not outcome.good
    assert "not the released weights" in outcome.wrong


def test_failed_sequences_are_said(tmp_path):
    table = table_of("relpose", "tum")
    make_run(tmp_path / "relpose" / "tum", parity=True, fail=("desk",), **OFFICIAL)
    assert "1 sequences failed: desk" in reproduce(table, tmp_path, "512-dpt", tmp_path, start=None).wrong


def test_what_is_there_is_run_in_parity_mode_and_once(tmp_path):
    table, out = table_of("monodepth", "nyu"), tmp_path / "out"
    for number in range(654):
        touch(tmp_path / f"nyu-v2/val/nyu_images/{number:05d}.png")
        touch(tmp_path / f"nyu-v2/val/nyu_depths/{number:05d}.npy")
    started = []

    def start(words):
        started.append(words)
        finished(out, table)
        return 0

    outcome = reproduce(table, tmp_path, "tiny", out, start=start)
    assert outcome.good
    assert status(outcome) == "2 of 2 numbers within"
    assert started == [command(table, tmp_path, "tiny", out / "monodepth" / "nyu")]
    assert {"dataset=nyu", "parity=true", f"root={tmp_path}", "weights=tiny"} < set(started[0])
    assert reproduce(table, tmp_path, "tiny", out, start=start).good
    assert len(started) == 1


def test_a_run_that_ends_early_is_said(tmp_path):
    for number in range(654):
        touch(tmp_path / f"nyu-v2/val/nyu_images/{number:05d}.png")
        touch(tmp_path / f"nyu-v2/val/nyu_depths/{number:05d}.npy")
    outcome = reproduce(table_of("monodepth", "nyu"), tmp_path, "tiny", tmp_path / "out", start=lambda words: 137)
    assert not outcome.good
    assert "ended with status 137" in status(outcome)


def test_unknown_weights_are_refused(tmp_path, capsys):
    assert main(["--data", str(tmp_path), "--weights", "nothing"]) == 2
    assert "neither a file nor one of 512-dpt" in capsys.readouterr().err
