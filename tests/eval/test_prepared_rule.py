"""Parity is claimed only for data that was prepared in parity; a run on other data says so wherever it has numbers."""

import logging

import numpy as np
import pytest

from cut3r.metrics.depth_alignment import DepthAlignment
from eval.prepare.__main__ import main as prepare
from eval.protocols.depth import VideoDepth
from eval.report.compare import arrange, family_comparisons
from eval.report.coverage import coverage_badges
from eval.report.formats import as_markdown
from eval.report.runs import read_run
from eval.run import EvaluationRun
from eval.sequences import open_set
from eval.systems.saved import SavedPredictions
from eval.tables import summary_table
from tests.eval.prepare.test_video_sets import make_bonn
from tests.eval.report_runs import facts_of
from tests.eval.sequences.trees import write_picture


@pytest.fixture(scope="module", params=[True, False])
def prepared(request, tmp_path_factory):
    """A set of Bonn, and whether it was prepared in parity."""
    folder = tmp_path_factory.mktemp("bonn")
    make_bonn(folder / "raw", count=80)
    words = ["bonn", "--raw", f"{folder / 'raw'}", "--out", f"{folder}", "--frames", "8"]
    assert prepare([*words, *(["--parity"] * request.param)]) == 0
    for picture in (folder / "long_bonn_s1").rglob("rgb_8/*.png"):
        write_picture(picture)
    return folder, request.param


@pytest.mark.parametrize("parity", [True, False])
def test_data_that_was_prepared_for_the_other_mode_is_said_everywhere(prepared, tmp_path, caplog, parity):
    root, in_parity = prepared
    with caplog.at_level(logging.WARNING):
        sequences = open_set("video_depth", "bonn_s1_8", root, parity=parity, complete=False)
    for sequence in sequences:
        for number, stem in enumerate(sequence.stems):
            path = tmp_path / "preds" / sequence.name / "depth" / f"{stem}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, sequence.read_depth(number).astype(np.float32))
    run = EvaluationRun(
        tmp_path / "run",
        VideoDepth("bonn", [DepthAlignment.metric], parity=parity),
        sequences,
        find=lambda sequence: SavedPredictions(tmp_path / "preds" / sequence.name, sequence.stems),
        facts=facts_of("video_depth", "bonn_s1_8", "files", parity=parity),
    )
    run.begin()
    run.work()
    text = summary_table(run.finish())
    read = read_run(run.folder)
    (_, (family,)) = arrange([read])
    table = family_comparisons(family)[0]
    said = {
        "log": "the numbers are of neither mode" in caplog.text,
        "console": "the numbers are of neither mode" in text,
        "table": "the numbers are of neither mode" in as_markdown(table),
        "row": "prepared in parity" in table.entries[0].mode,
        "badge": "prepared in parity" in coverage_badges([read]),
    }
    assert set(said.values()) == {parity != in_parity}, said


def test_data_that_was_not_prepared_here_is_taken_as_it_is(prepared, caplog):
    root, _ = prepared
    for path in sorted((root / ".prepared").rglob("*.json")):
        path.rename(path.with_suffix(".away"))
    with caplog.at_level(logging.WARNING):
        sequences = open_set("video_depth", "bonn_s1_8", root, parity=True, complete=False)
    assert {sequence.prepared_in_parity for sequence in sequences} == {None}
    assert "neither mode" not in caplog.text
