"""Sequences shared among workers: whoever is killed, the table is the same."""

import json
import os
from pathlib import Path

import psutil
import pytest

from cut3r.jobs.record import Outcome, Record
from cut3r.weights.checkpoint import save
from eval.__main__ import main
from eval.launch import WRONG_SETTINGS
from eval.run import read_outcome
from eval.share import note_loss
from tests.conftest import make_tiny
from tests.eval.recordings import write_recordings

ROOT = Path(__file__).parents[2]
NAMES = tuple("abcdef")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("workplace")
    write_recordings(folder / "rgbd", names=NAMES, frames=12)
    save(make_tiny("linear"), folder / "net.safetensors")
    return folder


def words(workplace: Path, out: str, *changes: str) -> list[str]:
    fixed = ["dataset=rgbd", f"root={workplace}", f"weights={workplace}/net.safetensors", "device=cpu"]
    return ["relpose", *fixed, f"out={workplace}/{out}", *changes]


def table(workplace: Path, out: str) -> dict:
    return json.loads((workplace / out / "result.json").read_text())["summary"]


@pytest.fixture(scope="module")
def whole(workplace) -> dict:
    assert main(words(workplace, "whole")) == 0
    return table(workplace, "whole")


@pytest.fixture
def killing(monkeypatch) -> list[int]:
    """Kill the first worker process that is seen at work, as soon as a sequence is finished."""
    from cut3r.jobs import runner

    killed: list[int] = []
    record = runner.JobRun._record

    def with_a_kill(self, held, ended):
        if not killed:
            workers = [each for each in psutil.Process().children(recursive=True) if _is_worker(each)]
            killed.append(workers[0].pid)
            workers[0].kill()
        return record(self, held, ended)

    monkeypatch.setattr(runner.JobRun, "_record", with_a_kill)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    return killed


def _is_worker(process: psutil.Process) -> bool:
    """Not the forkserver or the tracker of resources, and no parent of workers."""
    return "spawn_main" in " ".join(process.cmdline()) and not process.children()


@pytest.mark.slow
def test_two_processes_give_the_identical_table(workplace, whole):
    assert main(words(workplace, "two", "workers=2")) == 0
    assert table(workplace, "two") == whole


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sockets of a killed Dask worker
def test_a_cluster_of_two_workers_of_which_one_is_killed_gives_the_identical_table(workplace, whole, killing):
    pytest.importorskip("distributed")
    assert main(words(workplace, "cluster", "dask=local:2")) == 0
    assert len(killing) == 1
    assert table(workplace, "cluster") == whole
    assert not list((workplace / "cluster/.claims").glob("*.claim"))


def test_a_sequence_that_costs_its_workers_has_failed_by_name(tmp_path):
    note_loss(tmp_path, Record("a", Outcome.failed, reason="its worker process was killed 3 times"))
    assert read_outcome(tmp_path, "a") == {"sequence": "a", "failed": "its worker process was killed 3 times"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("workers=0",), "workers is 0; give at least 1"),
        (("workers=2", "dask=local:2"), "leave it out with dask=ADDRESS"),
        (("dask=local:many",), "write local:4 for four"),
    ],
)
def test_wrong_workers_are_refused(workplace, capsys, changes, said):
    assert main(words(workplace, "refused", *changes)) == WRONG_SETTINGS
    assert said in capsys.readouterr().err
