"""A system of one's own in this process: the example of the docs runs, and its folder can be reported."""

import re
from pathlib import Path

import pytest

from eval.report.__main__ import main as report
from eval.report.runs import RunError, read_run
from tests.eval.recordings import write_recordings

DOCS = Path(__file__).parents[2] / "docs" / "evaluation.md"


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The folder of the run that the docs' example makes."""
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S) if "FlatWall" in block)
    write_recordings(tmp_path / "recordings", ("room",), frames=3)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(DOCS), "exec"), {"__name__": "example"})
    return tmp_path / "runs/wall"


def test_the_example_of_the_docs_can_be_reported(example, capsys):
    assert report([str(example)]) == 0
    html = (example / "report/report.html").read_text()
    assert "flat wall" in html
    assert "own recordings" in html
    assert "a system of its own" in html


def test_an_unfinished_run_of_an_own_system_says_how_to_finish_it(example):
    (example / "result.json").unlink()
    with pytest.raises(RunError, match="finish it: run the program that made"):
        read_run(example)
