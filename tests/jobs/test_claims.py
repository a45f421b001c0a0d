"""Who is at a job: one process at a time, and none that is gone."""

import json
import os
import subprocess
import sys
import threading
import time

from cut3r.jobs.claims import BLANK_S, Claims, finish, finished_in, read_claims
from cut3r.jobs.record import Outcome, Record


def test_one_of_many_gets_a_claim(tmp_path):
    with Claims(tmp_path) as first, Claims(tmp_path) as second:
        barrier, taken = threading.Barrier(8), []

        def take(claims):
            barrier.wait()
            taken.append(claims.take("a/b"))

        threads = [threading.Thread(target=take, args=(claims,)) for claims in (first, second) * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(claim is not None for claim in taken) == 1
        (about,) = read_claims(tmp_path)
        assert (about["scene"], about["pid"]) == ("a/b", os.getpid()) and abs(about["time"] - time.time()) < 60


def test_what_is_given_back_can_be_taken(tmp_path):
    with Claims(tmp_path) as first, Claims(tmp_path) as second:
        first.release(first.take("a"))
        assert second.take("a") is not None
        assert first.take("a") is None
    assert read_claims(tmp_path) == [], "the end of a block gives everything back"


def claim_of(tmp_path, name, **changes):
    """A claim as another process has left it."""
    with Claims(tmp_path) as claims:
        path = claims.take(name).path
        about = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps(about) + "\n")
    return path


def ended_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_claim_of_a_process_that_has_ended_is_taken_over_at_once(tmp_path):
    claim_of(tmp_path, "a", pid=ended_process(), token="theirs")
    with Claims(tmp_path) as claims:
        assert claims.take("a") is not None
        assert claims.take("a") is None


def test_the_claim_of_another_machine_is_taken_over_when_it_has_been_quiet(tmp_path):
    path = claim_of(tmp_path, "a", machine="elsewhere", token="theirs")
    with Claims(tmp_path, quiet_s=100.0) as claims:
        assert claims.take("a") is None
        os.utime(path, (time.time() - 200, time.time() - 200))
        assert claims.take("a") is not None


def test_a_claim_that_is_being_written_belongs_to_somebody_but_not_for_long(tmp_path):
    path = claim_of(tmp_path, "a")
    with Claims(tmp_path) as claims:
        for begun in ("", '{"scene": "a", "ho'):
            path.write_text(begun)
            assert claims.take("a") is None
            os.utime(path, (time.time() - BLANK_S - 2, time.time() - BLANK_S - 2))
            taken = claims.take("a")
            assert taken is not None and taken.finished is None, "its process was killed while it wrote"
            claims.release(taken)


def test_claims_are_kept_alive(tmp_path):
    with Claims(tmp_path, beat_s=0.02) as claims:
        path = claims.take("a").path
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 20
        while path.stat().st_mtime < 1000 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert time.time() - path.stat().st_mtime < 60


def test_a_claim_that_was_taken_from_us_is_not_removed_by_us(tmp_path):
    with Claims(tmp_path) as slow:
        mine = slow.take("a")
        claim_path = mine.path
        claim_path.write_text(json.dumps({**json.loads(claim_path.read_text()), "token": "theirs"}) + "\n")
        slow.release(mine)
        assert claim_path.exists()


def test_the_record_in_the_claim_of_a_process_that_is_gone_is_handed_on(tmp_path):
    path = claim_of(tmp_path, "a", pid=ended_process(), token="theirs")
    finish(path, Record("a", Outcome.done, ("0",), finished=3.0))
    with Claims(tmp_path) as claims:
        claim = claims.take("a")
        assert claim.finished == finished_in(claim.path) == Record("a", Outcome.done, ("0",), finished=3.0)


def test_half_a_record_in_a_claim_is_none(tmp_path):
    path = claim_of(tmp_path, "a", pid=ended_process(), token="theirs")
    line = Record("a", Outcome.done).to_json()
    path.write_text(path.read_text() + line[: len(line) // 2])
    assert finished_in(path) is None
    with Claims(tmp_path) as claims:
        assert claims.take("a").finished is None
