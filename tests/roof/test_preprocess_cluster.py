"""Conversion by many: a Dask cluster that loses a worker, and runs that share the scenes, one of which is killed."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from datasets_preprocess.runner import read_records, run
from tests.roof import toy_converter

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
COUNT = 40


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    toy_converter.make(tmp_path / "raw", tmp_path / "out", COUNT, deadly=12)
    return tmp_path / "raw", tmp_path / "out"


def times_converted(out):
    return Counter(int(path.name.split("-")[0]) for path in (out / "notes").iterdir())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of sockets to the killed worker
def test_of_four_workers_one_is_killed_and_there_is_one_report(folders):
    distributed = pytest.importorskip("distributed")
    raw, out = folders
    with (
        distributed.LocalCluster(n_workers=4, processes=True, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        report = run(toy_converter.CONVERTER, raw, out, executor=client.get_executor())
    assert not list(raw.rglob("deadly")), "a worker was killed"
    assert (report.total, report.converted, report.skipped, report.complete) == (COUNT, COUNT, 0, True)
    assert times_converted(out) == dict.fromkeys(range(COUNT), 1), "nothing lost, nothing done twice"
    assert len(read_records(out)) == COUNT


RUN = """
import sys
from pathlib import Path
from datasets_preprocess.runner import run
from tests.roof.toy_converter import CONVERTER
report = run(CONVERTER, Path(sys.argv[1]), Path(sys.argv[2]))
print(report.converted, report.skipped, report.complete)
"""


def test_of_three_runs_one_is_killed_and_the_others_do_the_rest(folders):
    raw, out = folders
    command = [sys.executable, "-c", RUN, str(raw), str(out)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [each.communicate(timeout=120)[0].split() for each in runs]
    assert sorted(each.returncode for each in runs) == [-signal.SIGKILL, 0, 0]
    for done, skipped, whole in filter(None, answers):
        assert int(done) + int(skipped) == COUNT and whole == "True"
    assert times_converted(out) == dict.fromkeys(range(COUNT), 1), "nothing lost, nothing done twice"
    assert len(read_records(out)) == COUNT
