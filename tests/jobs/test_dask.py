"""A real Dask cluster on this machine, whose worker is killed in the middle."""

import os
import sys
import time
from pathlib import Path

import pytest

import cut3r.jobs.workers
from cut3r.jobs.log import read_records
from cut3r.jobs.workers import Given, open_dask, open_workers
from tests.jobs.work import jobs, kill_once, run_all, times_done

pytest.importorskip("distributed")
# Dask leaves the sockets of a worker that was killed to the garbage collector.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def importable(monkeypatch):
    """Workers import what the jobs are made of."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))


@pytest.mark.usefixtures("importable")
def test_of_four_workers_one_is_killed_and_nothing_is_lost_or_done_twice(tmp_path):
    todo = jobs(tmp_path / "done", 40, seconds=0.05)
    todo[12] = jobs(tmp_path / "done", 13, kill_once)[12]
    with open_dask("local:4") as executor, open_workers(1, executor) as workers:
        assert workers.limit() == 8
        run = run_all(todo, tmp_path, workers)
    assert (tmp_path / "done" / ".killed-job12").exists()
    assert sorted(record.scene for record in run.records) == sorted(job.name for job in todo)
    assert all(record.done for record in run.records)
    assert len(read_records(tmp_path)) == 40
    assert set(times_done(tmp_path / "done").values()) == {1}


def test_what_is_wrong_with_a_cluster_is_said(monkeypatch):
    with pytest.raises(ValueError, match="write local:4 for four"), open_dask("local:many"):
        pass
    monkeypatch.setattr(cut3r.jobs.workers, "CONNECT_S", 1.0)
    with pytest.raises(ValueError, match=r"no Dask scheduler at tcp://127.0.0.1:9"), open_dask("tcp://127.0.0.1:9"):
        pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match="needs Dask; install the package distributed"), open_dask("local:2"):
        pass


def test_the_number_of_jobs_that_are_handed_out_is_the_callers(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(3) as executor:
        assert Given(executor).limit() == 6 and Given(executor, 5).limit() == 10


def test_an_error_of_the_caller_is_not_taken_for_a_missing_cluster():
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=None, scheduler_port=0) as cluster,
        pytest.raises(FileNotFoundError, match="of the caller"),
        open_dask(cluster.scheduler_address),
    ):
        raise FileNotFoundError("of the caller")


def a_while(number: int) -> tuple[float, float]:
    start = time.monotonic()
    time.sleep(0.3)
    return start, time.monotonic()


@pytest.mark.parametrize(("resources", "together"), [({}, True), ({"GPU": 1}, False)])
def test_jobs_take_one_of_the_resource_where_there_is_one(resources, together):
    from distributed import LocalCluster

    options = {"processes": False, "dashboard_address": None, "scheduler_port": 0}
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, resources=resources, **options) as cluster,
        open_dask(cluster.scheduler_address, resource="GPU") as executor,
    ):
        first, second = sorted(executor.map(a_while, range(2)))
    assert (second[0] < first[1]) == together
