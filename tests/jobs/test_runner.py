"""Jobs done once, whatever happens to those who do them."""

import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cut3r.files.disk import DiskFullError
from cut3r.jobs.claims import ClaimLostError, Claims
from cut3r.jobs.job import Job, perform
from cut3r.jobs.log import RecordLog, read_records
from cut3r.jobs.progress import NoRoomError, Room, Tally
from cut3r.jobs.record import Done, LeftOut, Outcome
from cut3r.jobs.workers import Given, Here, open_workers
from tests.jobs.work import jobs, kill, kill_once, run_all, times_done


def failing(reason):
    def work():
        raise ValueError(reason)

    return work


def test_jobs_are_done_left_out_or_failed(tmp_path):
    def leave():
        raise LeftOut("its camera is skewed")

    todo = [Job("a", Done), Job("b", leave), Job("c", failing("no depth"))]
    run = run_all(todo, tmp_path, Here())
    assert [(record.scene, record.outcome, record.reason) for record in run.records] == [
        ("a", Outcome.done, ""),
        ("b", Outcome.left_out, "its camera is skewed"),
        ("c", Outcome.failed, "ValueError: no depth"),
    ]
    assert {record.scene for record in read_records(tmp_path)} == {"a", "b", "c"}
    assert not list((tmp_path / "claims").glob("*.claim"))


def test_an_unexpected_error_shows_where_it_came_from(tmp_path, caplog):
    def wrong():
        return {}["depth"]

    (record,) = run_all([Job("a", wrong)], tmp_path, Here()).records
    assert record.reason == "KeyError: 'depth'" and 'return {}["depth"]' in caplog.text
    assert read_records(tmp_path)[0].trace == ""


@pytest.mark.parametrize("stop_after", [0, 3])
def test_failures_in_a_row_end_a_run(tmp_path, stop_after):
    todo = [Job("a", failing("x")), Job("b", Done), *(Job(f"c{i}", failing("no folder")) for i in range(5))]
    run = run_all(todo, tmp_path, Here(), stop_after=stop_after)
    assert len(run.records) == (5 if stop_after else 7)
    assert bool(run.stopped) == bool(stop_after)
    if stop_after:
        assert run.stopped == "3 jobs in a row have failed, the last (c2) with: ValueError: no folder"


def test_a_full_disk_ends_a_run_and_is_no_failure_of_the_job(tmp_path):
    def full():
        raise DiskFullError(tmp_path)

    with pytest.raises(DiskFullError, match="is full; make room there"):
        run_all([Job("a", Done), Job("b", full), Job("c", Done)], tmp_path, Here())
    assert [record.scene for record in read_records(tmp_path)] == ["a"]
    assert run_all([Job("b", Done)], tmp_path, Here(), name="again").records[0].done


def test_a_run_ends_before_the_disk_is_full(tmp_path, monkeypatch):
    work = [Job(f"job{i}", lambda: Done(written=1 << 30)) for i in range(100)]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100 << 30, 60 << 30, 40 << 30))
    monkeypatch.setattr("cut3r.jobs.progress.LOOK_AGAIN_S", 0.0)
    with pytest.raises(NoRoomError, match=r"the rest needs about 95 GB and the disk of .* has 40 GB free"):
        run_all(work, tmp_path, Here(), room=Room(tmp_path))
    assert len(read_records(tmp_path)) == 5, "five jobs show how large results are"


def test_errors_of_full_disks_come_from_other_processes(tmp_path):
    import pickle

    for error in (DiskFullError(tmp_path), NoRoomError(tmp_path, 3e9, 2 << 30)):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and str(again) == str(error) and again.folder == tmp_path


def test_several_runs_share_the_jobs(tmp_path):
    todo, done = jobs(tmp_path / "done", 40, seconds=0.005), []

    def one(name):
        done.extend(run_all(todo, tmp_path, Here(), name=name, since={}).records)

    threads = [threading.Thread(target=one, args=(f"log{i}",)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(times_done(tmp_path / "done").values()) == {1}
    assert sorted(record.scene for record in done) == sorted(job.name for job in todo)


def test_what_another_run_was_doing_when_it_was_killed_is_done(tmp_path):
    script = f"""
import os, signal, sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from cut3r.jobs.workers import Here
from tests.jobs.work import jobs, kill, run_all
run_all(jobs(Path({str(tmp_path / "done")!r}), 1, kill), Path({str(tmp_path)!r}), Here(), name="killed")
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    assert list((tmp_path / "claims").glob("*.claim"))
    (record,) = run_all(jobs(tmp_path / "done", 1), tmp_path, Here()).records
    assert record.done and times_done(tmp_path / "done") == {"job0": 1}


def test_a_job_that_a_killed_run_has_done_is_not_done_again(tmp_path):
    script = f"""
import os, signal, sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from cut3r.jobs.claims import Claims
from cut3r.jobs.job import perform
from tests.jobs.work import jobs
job = jobs(Path({str(tmp_path / "done")!r}), 1)[0]
with Claims(Path({str(tmp_path)!r}) / "claims") as claims:
    perform(job, claims.take(job.name), 0)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    assert run_all(jobs(tmp_path / "done", 1), tmp_path, Here()).records == []
    assert times_done(tmp_path / "done") == {"job0": 1}
    assert [record.scene for record in read_records(tmp_path)] == ["job0"]


def test_a_call_that_is_repeated_by_the_cluster_does_nothing_twice(tmp_path):
    (job,) = jobs(tmp_path / "done", 1)
    with Claims(tmp_path / "claims") as claims:
        claim = claims.take(job.name)
        first, second = perform(job, claim, 0), perform(job, claim, 0)
        assert first.scene == second.scene and first.finished == second.finished
        claims.release(claim)
        with pytest.raises(ClaimLostError):
            perform(job, claim, 0)
    assert times_done(tmp_path / "done") == {"job0": 1}


def test_a_job_that_another_run_took_from_us_is_looked_at_again(tmp_path):
    todo = jobs(tmp_path / "done", 2)

    class Thief(Here):
        def submit(self, work, job, claim, attempt):
            if job.name == "job0" and not stolen:
                stolen.append(claim.token)
                claim.path.unlink()
            return super().submit(work, job, claim, attempt)

    stolen = []
    run = run_all(todo, tmp_path, Thief())
    assert [record.scene for record in run.records] == ["job1", "job0"]
    assert stolen and times_done(tmp_path / "done") == {"job0": 1, "job1": 1}


def test_an_executor_of_ones_own_does_the_jobs(tmp_path):
    with ThreadPoolExecutor(3) as executor:
        run = run_all(jobs(tmp_path / "done", 10), tmp_path, Given(executor))
    assert len(run.records) == 10 and set(times_done(tmp_path / "done").values()) == {1}


@pytest.mark.slow
def test_the_jobs_of_a_killed_worker_are_handed_out_again(tmp_path):
    todo = jobs(tmp_path / "done", 6)
    todo[2] = jobs(tmp_path / "done", 3, kill_once)[2]
    with open_workers(2) as workers:
        run = run_all(todo, tmp_path, workers)
    assert [record.done for record in run.records] == [True] * 6
    assert times_done(tmp_path / "done") == {f"job{i}": 1 for i in range(6)}


@pytest.mark.slow
def test_a_job_that_kills_every_worker_fails_alone(tmp_path):
    todo = jobs(tmp_path / "done", 4)
    todo[1] = jobs(tmp_path / "done", 2, kill)[1]
    with open_workers(2) as workers:
        run = run_all(todo, tmp_path, workers)
    outcomes = {record.scene: record.outcome for record in run.records}
    assert outcomes == {f"job{i}": Outcome.failed if i == 1 else Outcome.done for i in range(4)}
    assert "its worker process was killed 3 times" in next(r.reason for r in run.records if r.failed)


def test_sizes_and_times_are_for_people(tmp_path):
    (tmp_path / "raw").write_bytes(bytes(3 << 20))
    todo = [Job(f"job{i}", lambda: Done(written=1 << 20), lambda: [tmp_path / "raw"]) for i in range(2)]
    tally = Tally(todo)
    assert (tally.unit, tally.amount_left) == ("bytes", 6 << 20)
    log = RecordLog(tmp_path, "log")
    (first, _) = run_all(todo, tmp_path / "status", Here()).records
    log.append(first)
    assert first.size == 3 << 20
    tally.add(first, todo[0])
    assert tally.line(first).startswith("1/2 job0 done; ") and "B/s, about 0 s left" in tally.line(first)
