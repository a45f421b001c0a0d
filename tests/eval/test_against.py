"""A run against an older one: what got worse beyond noise, and an exit status that tells a script."""

import numpy as np
import pytest

from eval.report.__main__ import main
from eval.report.against import Verdict, regression
from eval.report.runs import read_run
from tests.eval.report_runs import make_run

SEVEN = tuple("abcdefg")


def run(folder, **options):
    return make_run(folder, **{"sequences": SEVEN} | options)


@pytest.mark.parametrize(("level", "status", "word"), [(1.0, 0, "within noise"), (1.2, 1, "WORSE"), (0.8, 0, "better")])
def test_the_exit_status_says_whether_something_got_worse(tmp_path, capsys, level, status, word):
    old, new = run(tmp_path / "old"), run(tmp_path / "new", level=level)
    assert main([str(new), "--against", str(old)]) == status
    said = capsys.readouterr().out
    rows = [line for line in said.splitlines() if line.startswith("| ATE")]
    assert len(rows) == 2
    assert all(line.rstrip(" |").endswith(word) for line in rows)
    assert not (tmp_path / "new" / "report").exists()


def test_a_difference_that_differs_by_sequence_is_noise(tmp_path):
    old, new = read_run(run(tmp_path / "old")), read_run(run(tmp_path / "new"))
    factors = np.random.default_rng(1).normal(1.02, 0.3, 7)
    for factor, sequence in zip(factors, new.sequences.values(), strict=True):
        for item in sequence.score.groups["sim3"]:
            item.metrics["ate"] *= factor
    verdicts = {change.metric: change.verdict for change in regression(new, old).changes if change.group == "sim3"}
    assert verdicts["ate"] is Verdict.same


def test_a_change_of_less_than_a_hundredth_is_none_even_if_certain(tmp_path):
    found = regression(read_run(run(tmp_path / "new", level=1.005)), read_run(run(tmp_path / "old")))
    assert {change.verdict for change in found.changes} == {Verdict.same}
    assert any(change.result.certain for change in found.changes)


def test_few_sequences_are_judged_without_an_interval(tmp_path, capsys):
    old, new = make_run(tmp_path / "old"), make_run(tmp_path / "new", level=1.3)
    assert main([str(new), "--against", str(old)]) == 1
    assert "too few" in capsys.readouterr().out


def test_a_sequence_that_is_lost_is_a_loss(tmp_path, capsys):
    old, new = run(tmp_path / "old"), run(tmp_path / "new", fail=("c",))
    assert main([str(new), "--against", str(old)]) == 1
    assert "LOST, scored by the older run only: c" in capsys.readouterr().out
    assert main([str(old), "--against", str(new)]) == 0


def test_runs_that_cannot_be_compared_are_refused(tmp_path, capsys):
    new = run(tmp_path / "new", parity=True)
    assert main([str(new), "--against", str(run(tmp_path / "old"))]) == 2
    assert "give --against a run of the same set and mode" in capsys.readouterr().err
