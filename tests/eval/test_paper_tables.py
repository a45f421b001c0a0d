"""Tables that a paper can be written from: ranks, all sets in one, intervals, pairs, notes said once."""

import csv
import io
import json
import re

import numpy as np
import pytest

from eval.protocols.base import Item, Score, summarize
from eval.protocols.depth import MonoDepth, VideoDepth
from eval.protocols.mv_recon import MultiViewReconstruction
from eval.protocols.relpose import RelativePose
from eval.report.__main__ import main
from eval.report.best import Rank, ranks
from eval.report.compare import RunSet, arrange, compare, general_notes
from eval.report.formats import as_csv, as_latex, as_markdown
from eval.report.page import make_report
from eval.report.pairs import pairs
from eval.report.paper import compare_common, paper_tables
from eval.report.runs import read_runs
from eval.report.significance import LEAST, WEIGHTED, interval, paired, parts
from eval.tables import Column, Comparison, Entry, Kind
from tests.eval.report_runs import make_run

SEVEN = tuple("abcdefg")
COLUMNS = (Column("ate", "ATE", "ate", "tum"), Column("delta_1", "δ", "delta_1", "tum"))


def table(*entries):
    return Comparison("Title", "relpose", "sim3", COLUMNS, entries)


def row(name, ate, delta_1, **entry):
    return Entry(name, Kind.paper, {"ate": ate, "delta_1": delta_1}, **entry)


def arranged(*folders):
    return arrange(read_runs(list(folders)))[0]


def test_the_best_is_bold_and_the_second_underlined_in_each_column():
    comparison = table(row("a", 0.1, 0.5), row("b", 0.2, 0.9), row("c", 0.3, 0.7))
    assert ranks(comparison) == {
        (0, "ate"): Rank.best, (1, "ate"): Rank.second, (1, "delta_1"): Rank.best, (2, "delta_1"): Rank.second,
    }  # fmt: skip
    assert " **0.100** |" in as_markdown(comparison)
    assert " <u>0.200</u> |" in as_markdown(comparison)
    assert r"\textbf{0.100}" in as_latex(comparison)
    assert r"\underline{70.0}" in as_latex(comparison)


def test_numbers_that_print_alike_share_a_rank_and_uncertain_ones_have_none():
    entries = [row("a", 0.1001, 0.5, uncertain=("delta_1",)), row("b", 0.1002, 0.4), row("c", 0.2, 0.3)]
    found = ranks(table(*entries))
    assert [found.get((number, "ate")) for number in range(3)] == [Rank.best, Rank.best, Rank.second]
    assert [found.get((number, "delta_1")) for number in range(3)] == [None, Rank.best, None]


def test_only_rows_that_can_be_compared_are_ranked_together():
    def ours(name, ate, word):
        return Entry(name, Kind.run, {"ate": ate}, peers={"tum": word})

    entries = [ours("part", 0.01, "part"), ours("x", 0.3, "all"), ours("y", 0.2, "all"), row("p", 0.05, 0.5)]
    found = ranks(table(*entries, row("q", 0.04, 0.5)))
    assert found == {(2, "ate"): Rank.best, (4, "ate"): Rank.best}


def test_a_run_in_parity_mode_of_the_whole_set_meets_the_papers(tmp_path):
    whole = make_run(tmp_path / "a", parity=True, numbers={"ate": 0.001})
    part = make_run(tmp_path / "b", parity=True, numbers={"ate": 0.0005}, only=["desk"], name="part")
    (runs,) = arranged(whole, part)
    found = ranks(compare(runs, "sim3"))
    assert found[0, "ate"] is Rank.best
    assert (1, "ate") not in found


def test_the_paper_s_table_has_systems_in_rows_and_sets_in_columns(tmp_path):
    folders = [
        make_run(tmp_path / f"{dataset}_{name}", dataset=dataset, name=name, level=level)
        for dataset in ("sintel", "tum")
        for name, level in (("one", 1.0), ("two", 2.0))
    ]
    (comparison,) = paper_tables(arranged(*folders))
    assert [(column.over, column.metric) for column in comparison.columns] == [
        (over, metric) for over in ("Sintel", "TUM-dynamics") for metric in ("ate", "rpe_trans", "rpe_rot")
    ]
    assert [entry.system for entry in comparison.entries[:2]] == ["one", "two"]
    paper = next(entry for entry in comparison.entries if entry.system == "CUT3R")
    assert [paper.text(column) for column in comparison.columns] == [
        "0.213", "0.066", "0.621", "0.046", "0.015", "0.473",
    ]  # fmt: skip
    headline = json.loads((folders[2] / "result.json").read_text())["summary"]["sim3"]["ate"]["headline"]
    assert comparison.entries[0].values["tum ate"] == headline
    latex = as_latex(comparison)
    assert r" & \multicolumn{3}{c}{Sintel} & \multicolumn{3}{c}{TUM-dynamics} \\" in latex
    assert r"\cmidrule(lr){2-4} \cmidrule(lr){5-7}" in latex
    assert {row["set"] for row in csv.DictReader(io.StringIO(as_csv([comparison])))} == {"sintel", "tum"}
    assert paper_tables(arranged(*folders[:2])) == []  # of one set there is a table already


def test_captions_are_titles_and_notes_stand_once(tmp_path):
    folders = [make_run(tmp_path / dataset, dataset=dataset) for dataset in ("sintel", "tum", "rgbd")]
    out = tmp_path / "out"
    assert main([*map(str, folders), "--out", str(out)]) == 0
    for name in ("tables.md", "tables.tex", "report.html"):
        text = (out / name).read_text()
        assert text.count("not to be compared digit by digit") == 1, name
        assert text.count("Nothing is published for own recordings") == 1, name
    captions = re.findall(r"\\caption\{(.*)\}", (out / "tables.tex").read_text())
    assert len(captions) == 7
    assert all(len(caption) < 100 for caption in captions)


def test_every_computed_metric_is_in_the_csv_file(tmp_path):
    more = {"nc1": 0.7, "nc2": 0.75, "nc1_med": 0.8, "nc2_med": 0.85}
    (recon,) = arranged(make_run(tmp_path / "a", "mv_recon", "nrgbd", numbers=more))
    more_depth = {"sq_rel": 0.11, "delta_2": 0.93, "delta_3": 0.97, "nonpositive": 0.01}
    (depth,) = arranged(make_run(tmp_path / "b", "video_depth", "bonn", numbers=more_depth))
    comparisons = [compare(recon, "published"), compare(depth, "scale")]
    rows = {row["metric"]: row for row in csv.DictReader(io.StringIO(as_csv(comparisons))) if row["kind"] == "run"}
    assert {name: float(rows[name]["value"]) for name in more | more_depth} == pytest.approx(more | more_depth)
    assert "Sq Rel" not in as_markdown(comparisons[1])


@pytest.mark.parametrize("kind", [MonoDepth, VideoDepth, RelativePose, MultiViewReconstruction])
def test_intervals_weigh_as_the_protocol_does(kind):
    assert kind.weighted is (kind.name in WEIGHTED)


@pytest.mark.parametrize(("protocol", "dataset"), [("monodepth", "bonn"), ("monodepth", "nyu"), ("relpose", "tum")])
def test_an_interval_holds_the_headline_and_is_as_wide_as_theory_says(tmp_path, protocol, dataset):
    (run,) = read_runs([make_run(tmp_path / "run", protocol, dataset, sequences=SEVEN)])
    group, metric = ("sim3", "ate") if protocol == "relpose" else ("median", "abs_rel")
    summands = parts(run, group, metric)
    total, weight = np.array(list(summands.values())).sum(axis=0)
    assert total / weight == pytest.approx(run.headline(group)[metric])
    assert len(summands) == (7 * 12 if dataset == "nyu" else 7)
    low, high = interval(summands)
    assert low < run.headline(group)[metric] < high
    if protocol == "relpose":
        values = np.array([total for total, _ in summands.values()])
        assert (high - low) / 2 == pytest.approx(1.96 * values.std() / np.sqrt(7), rel=0.1)


def test_few_sequences_have_no_interval():
    assert interval({str(n): (1.0, 1.0) for n in range(LEAST - 1)}) is None
    assert interval({str(n): (1.0, 1.0) for n in range(LEAST)}) == (1.0, 1.0)


def test_a_pair_is_compared_over_what_both_scored(tmp_path):
    one = make_run(tmp_path / "a", name="one", sequences=SEVEN, fail=("g",))
    two = make_run(tmp_path / "b", name="two", sequences=SEVEN, level=2.0)
    (runs,) = arranged(one, two)
    found = {pair.metric: pair for pair in pairs(runs, "sim3")}
    ate = found["ate"]
    assert (ate.result.count, ate.result.better, ate.result.worse) == (6, 0, 6)
    assert ate.result.p == pytest.approx(2 * 0.5**6)
    assert ate.gain is False
    assert 0 < ate.result.low < ate.result.second - ate.result.first < ate.result.high
    html = make_report(read_runs([one, two]), pictured=0).html
    assert "Pair by pair" in html
    assert "3 of 3 differences certain" in html


def test_pairs_tell_a_common_difference_from_noise():
    rng = np.random.default_rng(0)
    hard = rng.uniform(0.1, 2.0, 30)  # sequences differ by far more than systems do
    first = {str(n): (value, 1.0) for n, value in enumerate(hard)}
    second = {str(n): (value * 0.97, 1.0) for n, value in enumerate(hard)}
    assert paired(first, second, "ate").high < 0
    noise = {str(n): (value + rng.normal(0, 0.05), 1.0) for n, value in enumerate(hard)}
    result = paired(first, noise, "ate")
    assert result.low < 0 < result.high
    low, high = interval(first)
    assert high - low > 0.3  # each alone is not known well enough to tell


def test_runs_are_compared_over_their_common_sequences(tmp_path):
    one = make_run(tmp_path / "a", "video_depth", "bonn", name="one", sequences=SEVEN, fail=("b",))
    two = make_run(tmp_path / "b", "video_depth", "bonn", name="two", sequences=SEVEN, fail=("c",))
    (runs,) = arranged(one, two)
    comparison = compare_common(runs, "scale")
    assert "the 5 sequences that all scored" in comparison.title
    assert [entry.coverage() for entry in comparison.entries] == ["5/5", "5/5"]
    assert comparison.entries[0].values == comparison.entries[1].values  # made up alike
    assert compare(runs, "scale").entries[0].values != compare(runs, "scale").entries[1].values
    kept = {name: each.score for name, each in runs.runs[0].sequences.items() if name not in "bc"}
    expected = summarize(kept, weighted=True)["scale"]["abs_rel"]["headline"]
    assert comparison.entries[0].values["abs_rel"] == pytest.approx(expected)
    assert compare_common(RunSet("video_depth", "bonn", runs.runs[:1]), "scale") is None


def test_weights_of_single_metrics_count_in_intervals(tmp_path):
    (run,) = read_runs([make_run(tmp_path / "run", "monodepth", "bonn", sequences=("a",))])
    item = Item("p", {"abs_rel": 0.2, "delta_1": 0.5}, weight=10.0, weights={"delta_1": 40.0})
    run.sequences["a"].score.groups["median"][:] = [item, Item("q", {"delta_1": 1.0}, 0.0, {"delta_1": 40.0})]
    assert parts(run, "median", "delta_1") == {"a": (60.0, 80.0)}
    assert parts(run, "median", "abs_rel") == {"a": (2.0, 10.0)}
    score = Score({"median": run.sequences["a"].score.groups["median"]})
    assert summarize({"a": score}, weighted=True)["median"]["delta_1"]["headline"] == pytest.approx(60 / 80)


def test_a_range_of_lengths_without_a_published_end_says_which_it_is(tmp_path):
    runs = read_runs([make_run(tmp_path / str(n), dataset=f"tum_s1_{n}") for n in (50, 150)])
    html = make_report(runs, pictured=0).html
    assert "ATE 0.023 m (50 frames)" in html
    assert "to ·" not in html


def test_general_notes_are_those_of_several_tables():
    both = [Comparison("t", "relpose", "sim3", COLUMNS, (), ("shared", f"own {n}")) for n in range(2)]
    assert general_notes(both) == ["shared"]
