"""The command lines: what is refused, and that neither a kill nor a second process changes a digit."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cut3r.weights.checkpoint import save
from eval import launch
from eval.__main__ import main
from eval.config import EvalConfig, Stage
from eval.protocols.relpose import RelativePose
from eval.run import EvaluationRun
from eval.sequences import open_set
from tests.conftest import make_tiny
from tests.eval.recordings import Oracle, write_recordings

ROOT = Path(__file__).parents[2]
NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("workplace")
    write_recordings(folder / "rgbd", names=NAMES, frames=5)
    save(make_tiny("linear"), folder / "net.safetensors")
    return folder


def command(workplace: Path, out: str, *changes: str, launcher: tuple[str, ...] = ()) -> list[str]:
    start = [sys.executable, "-m", *(("torch.distributed.run", *launcher, "-m") if launcher else ())]
    words = ["dataset=rgbd", f"root={workplace}", f"weights={workplace}/net.safetensors", f"out={workplace}/{out}"]
    return [*start, "eval", "relpose", *words, "device=cpu", *changes]


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300)


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def summary(workplace: Path, out: str) -> dict:
    return json.loads((workplace / out / "result.json").read_text())["summary"]


@pytest.fixture(scope="module")
def whole(workplace) -> dict:
    """The summary of a run that nothing disturbed."""
    done = run(command(workplace, "whole"))
    assert done.returncode == 0, done.stderr
    assert "3 of 3 sequences scored" in done.stdout
    assert "| sim3 " in done.stdout
    return summary(workplace, "whole")


KILLS_ITSELF = """
import os, signal, sys
from eval.__main__ import main
from eval.systems import writing

def keep_and_die(writer, save, keep=writing.PredictionWriter.keep):
    keep(writer, save)
    if writer.count == 3:
        os.kill(os.getpid(), signal.SIGKILL)

writing.KEEP_S = 0.0
writing.PredictionWriter.keep = keep_and_die
sys.exit(main(sys.argv[1:]))
"""


def test_a_run_that_is_killed_three_times_goes_on_in_the_middle_and_gives_the_identical_table(workplace, whole):
    words, times = command(workplace, "killed"), {}
    for number, name in enumerate(NAMES):
        killed = run([sys.executable, "-c", KILLS_ITSELF, *words[3:]])
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert [path.stem for path in (workplace / "killed/predictions").glob(f".{name}@*/memory_*")] == [
            "memory_000003"
        ]
        if number:
            assert f"killed/predictions/{NAMES[number - 1]} goes on after 3 of 5 frames" in killed.stderr
        now = {path: path.stat().st_mtime_ns for path in (workplace / "killed/scores").glob("*.json")}
        assert len(now) == number and {path: now[path] for path in times} == times, "a finished sequence was done again"
        times = now
    done = run(words)
    assert done.returncode == 0, done.stderr
    assert summary(workplace, "killed") == whole
    left = {path.name for path in (workplace / "killed/predictions/c").iterdir()}
    assert left == {"cameras.npz", "sequence.json"}
    for name in NAMES:
        cameras = [np.load(workplace / out / "predictions" / name / "cameras.npz") for out in ("whole", "killed")]
        for key in cameras[0].files:
            np.testing.assert_array_equal(*(each[key] for each in cameras))


def test_two_processes_give_the_identical_table(workplace, whole):
    launcher = ("--nproc-per-node=2", "--standalone")  # at a free port
    done = run(command(workplace, "two", launcher=launcher))
    assert done.returncode == 0, done.stderr
    assert summary(workplace, "two") == whole


def test_other_settings_in_the_same_folder_are_refused(workplace, whole):
    done = run(command(workplace, "whole", "every=2"))
    assert done.returncode == launch.WRONG_SETTINGS
    assert "every: 1 there, 2 now" in done.stderr
    assert "overwrite=true" in done.stderr
    assert summary(workplace, "whole") == whole


def test_published_files_are_written_in_parity_mode(workplace):
    words = command(workplace, "parity", "parity=true", "only=[b]")
    done = run([*words[:2], "eval.relpose", *words[4:]])  # the older name of the command
    assert done.returncode == 0, done.stderr
    assert (workplace / "parity/_error_log.txt").read_text().startswith("rgbd-b")
    assert (workplace / "parity/b_eval_metric.txt").is_file()
    assert len((workplace / "parity/b/pred_traj.txt").read_text().splitlines()) == 5


@pytest.mark.parametrize("broken", [0, 1])
def test_predicting_alone_says_whether_everything_was_predicted(workplace, tmp_path, capsys, broken):
    sequences = open_set("relpose", "rgbd", workplace)[:2]
    oracle = Oracle(sequences)
    if broken:
        damaged = tmp_path / sequences[1].images[3].name
        damaged.write_bytes(b"no picture")
        images = (*sequences[1].images[:3], damaged, *sequences[1].images[4:])
        sequences[1] = replace(sequences[1], images=images)
    run = EvaluationRun(tmp_path / "run", RelativePose(), sequences, oracle)
    run.begin()
    run.work(Stage.predict)
    config = EvalConfig(dataset="rgbd", weights="tiny", stage=Stage.predict)
    assert launch.finish(config, run) == (launch.SEQUENCES_FAILED if broken else 0)
    said = capsys.readouterr().out
    assert f"{2 - broken} of 2 sequences predicted" in said
    assert ("FAILED: b (" in said) == bool(broken)


def refusal(capsys, *words: str) -> str:
    assert main(list(words)) == launch.WRONG_SETTINGS
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name a data set, such as dataset=sintel"),
        (("dataset=rgbd",), "give weights=FILE|NAME to run our network, or predictions=FOLDER"),
        (("dataset=rgbd", "layout=orginal"), "layout is 'orginal'; choose from saved, reference"),
        (("dataset=rgbd", "size=large"), "size is 'large'; expected a whole number"),
        (("--cfg", "job"), "--cfg is no setting; settings are name=value"),
        (("dataset=rgbd", "sise=3"), "there is no setting 'sise', did you mean 'size'"),
        (
            ("dataset=rgbd", "weights=tiny", "update=tt3r"),
            "there is no update rule 'tt3r'; choose from overwrite, ttt3r",
        ),
        (("dataset=rgbd", "weights=tiny", "freeze=true"), "at least 2 with freeze=true"),
        (("dataset=rgbd", "predictions=/nowhere", "stage=predict"), "stage=predict has nothing to do"),
        (("dataset=moon", "weights=tiny"), "relpose has no set 'moon'; choose from sintel, tum"),
        (("dataset=sintel", "weights=tiny", "root=/nowhere"), "sintel"),
        (("dataset=rgbd", "predictions=/nowhere", "root={root}"), "there is no folder /nowhere"),
        (("dataset=rgbd", "weights=tiny", "only=[d]", "root={root}"), "rgbd has no sequence d; it has a, b, c"),
        (("dataset=rgbd", "weights=tiny", "root={root}", "device=foo"), "there is no device 'foo'"),
        (("dataset=rgbd", "weights=tiny", "root={root}", "device=meta"), "the device 'meta' cannot be used"),
        (("dataset=rgbd", "weights=tiny", "root={root}", "device=cuda:99"), "the device 'cuda:99' is not there"),
        (("dataset=rgbd", "weights=tiny", "root="), "root is empty; give it a value"),
        (("dataset=rgbd", "weights=tiny", "only=[a(b]"), "the setting 'only=[a(b]' cannot be read"),
        (("dataset=rgbd", "weights=tiny", "root=no[1], \u00fc=(x)"), "no[1], \u00fc=(x)"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(capsys, workplace, words, said):
    text = refusal(capsys, "relpose", *(word.format(root=workplace) for word in words))
    assert said in text
    assert "Traceback" not in text
