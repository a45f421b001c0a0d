"""Tables hold the numbers of the runs' files beside published ones, whatever the names are made of."""

import csv
import io
import json
import re

import pytest

from eval.report.compare import arrange, compare, family_comparisons, mode
from eval.report.formats import as_csv, as_latex, as_markdown, escape_latex
from eval.report.runs import read_runs
from eval.tables import METRICS, Column, Comparison, Entry, Kind, markdown, summary_table
from tests.eval.report_runs import make_run

NASTY = 'a_b & 50% {x} #1 | "q", ~^\\'


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


def compared(*folders, group="sim3"):
    (runs,), _ = arrange(read_runs(list(folders)))
    return compare(runs, group)


def small(**entry):
    column = Column("abs_rel", "AbsRel", "abs_rel", "bonn")
    return Comparison(
        "Title", "video_depth", "scale", (column,), (Entry("one", Kind.run, {"abs_rel": 0.125}, **entry),)
    )


def test_the_console_table_shows_headlines_and_names_failures(tmp_path):
    folder = make_run(tmp_path / "run", "video_depth", "bonn", sequences=("a", "b", "c"), fail=("b",), leave_out=("c",))
    text = summary_table(result_of(folder))
    headline = result_of(folder)["summary"]["scale"]["abs_rel"]["headline"]
    assert f"{headline:.3f}" in text
    assert "1 of 3 sequences scored" in text
    assert "1 FAILED: b (ValueError: the depth of b is <not> finite)" in text
    assert "1 left out by the protocol: c (no two successive cameras are known)" in text


def test_a_run_without_scores_has_no_table():
    counts = {"expected": 1, "scored": 0, "left_out": {}, "failed": {"a": "out of memory"}}
    assert "no sequence has a score" in summary_table({"summary": {}, "coverage": counts, "facts": {"only": ["a"]}})


def test_numbers_are_those_of_the_result(tmp_path):
    folder = make_run(tmp_path / "run")
    comparison = compared(folder)
    ours = comparison.entries[0]
    assert (ours.kind, ours.system, ours.mode) == (Kind.run, "ours", "default")
    for metric, numbers in result_of(folder)["summary"]["sim3"].items():
        assert ours.values[metric] == numbers["headline"]
        assert f"{METRICS[metric].scale * numbers['headline']:.3f}" in as_markdown(comparison)


def test_runs_come_first_then_papers_then_reruns(tmp_path):
    comparison = compared(make_run(tmp_path / "a", name="one"), make_run(tmp_path / "b", name="two", level=2.0))
    assert [entry.system for entry in comparison.entries[:2]] == ["one", "two"]
    kinds = [entry.kind for entry in comparison.entries]
    assert kinds == sorted(kinds, key=[Kind.run, Kind.paper, Kind.rerun].index)
    paper = next(entry for entry in comparison.entries if entry.system == "CUT3R" and entry.kind is Kind.paper)
    assert [paper.text(column) for column in comparison.columns] == ["0.046", "0.015", "0.473"]


def test_every_table_says_its_mode(tmp_path):
    default = compared(make_run(tmp_path / "a"))
    parity = compared(make_run(tmp_path / "b", parity=True))
    assert any("not to be compared digit by digit" in note for note in default.notes)
    assert not any("not to be compared digit by digit" in note for note in parity.notes)
    assert any(note.startswith("Parity") for note in parity.notes)
    assert "ours (default)" in as_latex(default)
    assert "ours (" not in as_latex(parity)
    for text in (as_markdown(default), as_latex(default)):
        assert "not to be compared digit by digit" in text


def test_parts_of_a_set_are_called_parts(tmp_path):
    folder = make_run(tmp_path / "run", every=4, only=["desk"], complete=False)
    (run,) = read_runs([folder])
    assert mode(run) == "default, 1 of 4 frames, part of the set"
    assert any("Not the whole set" in note for note in compared(folder).notes)


def test_averages_over_different_sequences_are_pointed_out(tmp_path):
    whole, part = make_run(tmp_path / "a", name="one"), make_run(tmp_path / "b", name="two", fail=("desk",))
    comparison = compared(whole, part)
    assert any("did not score the same sequences" in note for note in comparison.notes)
    assert [entry.coverage() for entry in comparison.entries[:2]] == ["2/2", "1/2, 1 failed"]


def test_pictures_are_counted_beside_sequences(tmp_path):
    folder = make_run(tmp_path / "run", "monodepth", "nyu", sequences=("nyu",), frames=7)
    assert compared(folder, group="median").entries[0].coverage() == "1/1, 7 items"


def test_markdown_survives_any_name():
    lines = markdown([{"system": NASTY, "n": "1"}, {"system": "b"}]).splitlines()
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert len({len(line) for line in lines}) == 1


def test_latex_survives_any_name(tmp_path):
    text = as_latex(compared(make_run(tmp_path / "run", name=NASTY)))
    assert r"a\_b \& 50\% \{x\} \#1 | " in text
    assert r"\textasciitilde{}\textasciicircum{}\textbackslash{}" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1
    assert len(re.findall(r"(?<!\\)\{", text)) == len(re.findall(r"(?<!\\)\}", text))
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}", r"ATE, m $\downarrow$"):
        assert part in text
    assert text.isascii()


@pytest.mark.parametrize("sign", ["&", "%", "$", "#", "_", "{", "}", "~", "^", "\\"])
def test_latex_never_sees_a_bare_special_sign(sign):
    assert escape_latex(sign) != sign
    assert escape_latex(f"a{sign}b").startswith("a\\")


def test_csv_gives_back_every_number_in_full(tmp_path):
    folder = make_run(tmp_path / "run", name=NASTY, fail=("desk",))
    rows = list(csv.DictReader(io.StringIO(as_csv([compared(folder)]))))
    ours = {row["metric"]: row for row in rows if row["kind"] == "run"}
    summary = result_of(folder)["summary"]["sim3"]
    assert {metric: float(row["value"]) for metric, row in ours.items()} == {
        metric: numbers["headline"] for metric, numbers in summary.items()
    }
    row = ours["ate"]
    assert (row["system"], row["protocol"], row["set"], row["alignment"]) == (NASTY, "relpose", "tum", "sim3")
    assert (row["mode"], row["expected"], row["scored"], row["failed"]) == ("default", "2", "1", "1")
    paper = next(row for row in rows if row["system"] == "CUT3R" and row["kind"] == "paper" and row["metric"] == "ate")
    assert (float(paper["value"]), paper["expected"], paper["source"]) == (0.046, "", "C, S, V, T, A, P")


def test_uncertain_numbers_are_marked_and_explained():
    comparison = small(uncertain=("abs_rel",), remarks={"abs_rel": "another source says 0.5"}, note="own suite")
    for text in (as_markdown(comparison), as_latex(comparison)):
        assert "0.125?" in text
        assert "? one, AbsRel: another source says 0.5" in text
        assert "one: own suite" in text
    assert as_csv([comparison]).splitlines()[1].split(",")[11] == "1"


def test_long_sets_share_a_table_with_a_column_for_each_length(tmp_path):
    folders = [
        make_run(tmp_path / f"{name}_{frames}", dataset=f"tum_s1_{frames}", name=name, level=level * frames)
        for frames in (100, 50)
        for name, level in (("one", 0.01), ("two", 0.02))
    ]
    sets, (family,) = arrange(read_runs(folders))
    assert sets == []
    comparison = next(c for c in family_comparisons(family) if (c.group, c.columns[0].metric) == ("sim3", "ate"))
    assert [column.title for column in comparison.columns] == ["50", "100", "200", "400", "600", "800", "1000"]
    one, two = comparison.entries[:2]
    assert set(one.values) == {"50", "100"}
    assert two.values["100"] == result_of(tmp_path / "two_100")["summary"]["sim3"]["ate"]["headline"]
    published = {entry.system: entry for entry in comparison.entries[2:]}
    assert published["TTT3R"].values == {
        "50": 0.014, "200": 0.041, "400": 0.051, "600": 0.067, "800": 0.091, "1000": 0.11,
    }  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(as_csv([comparison]))))
    assert {row["set"] for row in rows if row["system"] == "one"} == {"tum_s1_50", "tum_s1_100"}


def test_lengths_with_missing_sequences_are_named(tmp_path):
    full = make_run(tmp_path / "a", dataset="tum_s1_50")
    part = make_run(tmp_path / "b", dataset="tum_s1_100", leave_out=("desk",))
    _, (family,) = arrange(read_runs([full, part]))
    assert family_comparisons(family)[0].entries[0].coverage() == "tum_s1_50 2/2; tum_s1_100 1/2, 1 left out"
