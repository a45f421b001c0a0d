"""train.py: recipes from the command line, refusals that name the remedy, and a training that learns."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import train
from cut3r.training.monitor import read_log

ROOT = Path(__file__).parents[2]


def run_train(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "train.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)


def refusal(monkeypatch, capsys, *arguments: str) -> str:
    """What train.py says to arguments that it cannot accept, before anything is built."""
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # so that what main() sets is taken back
    with pytest.raises(SystemExit) as ending:
        train.main()
    assert ending.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("recipe", ["+smoke", "+recipe=smoke"])
def test_a_recipe_is_named_with_a_plus(recipe):
    assert train.with_config_name([recipe, "optim.lr=1"]) == ["--config-name", "smoke", "optim.lr=1"]


def test_the_plus_of_hydra_itself_is_left_alone():
    arguments = ["--config-name", "smoke", "+hydra.verbose=true"]
    assert train.with_config_name(arguments) == arguments


def test_without_recipe_all_are_named(monkeypatch, capsys):
    assert "dpt_512_vary_4_64, finetune_24gb, linear_224_fixed_16" in refusal(monkeypatch, capsys)


def test_an_unknown_recipe_is_refused_with_all_there_are(monkeypatch, capsys):
    assert "there is no recipe 'smok'; there are distill, dpt_512_vary_4_64" in refusal(monkeypatch, capsys, "+smok")


def test_a_wrong_name_is_refused_with_the_nearest(monkeypatch, capsys):
    text = refusal(monkeypatch, capsys, "+smoke", "optim.warmup_epoch=1")
    assert "there is no setting 'optim.warmup_epoch', did you mean 'optim.warmup_epochs'" in text


def test_an_added_name_is_refused_too(monkeypatch, capsys):
    text = refusal(monkeypatch, capsys, "+smoke", "+run.precission=fp32")
    assert "there is no setting 'run.precission', did you mean 'run.precision'" in text


def test_a_wrong_type_is_refused(monkeypatch, capsys):
    text = refusal(monkeypatch, capsys, "+smoke", "optim.epochs=many")
    assert "optim.epochs is 'many'; expected a whole number" in text


def test_a_wrong_choice_is_refused_with_the_choices(monkeypatch, capsys):
    text = refusal(monkeypatch, capsys, "+smoke", "run.precision=fp8")
    assert "run.precision is 'fp8'; choose from fp32" in text
    assert "bf16" in text


def test_missing_data_is_refused_without_a_traceback(tmp_path):
    done = run_train("+stage1", "paths.root=/nowhere", f"run.output_dir={tmp_path}", "run.device=cpu")
    assert done.returncode == 2, done.stderr
    assert "co3d: there is no folder /nowhere/dust3r_data/processed_co3d" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smoke")
    done = run_train("+smoke", f"run.output_dir={folder}")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_smoke_training_ends_with_a_lower_loss(smoke):
    losses = [line["loss"] for line in read_log(smoke / "log.jsonl") if line["kind"] == "train"]
    assert min(losses[-3:]) < 0.6 * losses[0]


def test_a_run_leaves_its_settings_curves_and_weights(smoke):
    assert (smoke / ".hydra" / "config.yaml").exists()
    assert (smoke / "train.log").exists()
    assert list(smoke.glob("events.out.tfevents.*"))
    assert {"best.safetensors", "final.safetensors"} <= {path.name for path in (smoke / "checkpoints").iterdir()}


def test_many_runs_have_a_folder_each(tmp_path):
    done = run_train(
        *("+smoke", "--multirun", "run.seed=0,1", f"run.output_dir={tmp_path}", "optim.epochs=1"),
        *("data.samples.synthetic=2", "data.validation.samples.synthetic=1", "run.tensorboard=false"),
    )
    assert done.returncode == 0, done.stderr
    weights = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("final.safetensors"))
    assert len({path.parts[0] for path in weights}) == 2


def test_an_empty_folder_is_refused(monkeypatch, capsys):
    assert "run.output_dir is empty; give it a value" in refusal(monkeypatch, capsys, "+smoke", "run.output_dir=")


def test_a_setting_that_hydra_cannot_read_is_refused_with_how_to_quote(monkeypatch, capsys):
    text = refusal(monkeypatch, capsys, "+smoke", "run.train_only=[head(s)")
    assert "the setting 'run.train_only=[head(s)' cannot be read" in text
    assert "into quotes" in text


def test_a_folder_of_any_name_is_written_to(tmp_path):
    folder = tmp_path / "J\u00fcrgen's lr=1e-3, set[1] (a)"
    done = run_train(
        *("+smoke", f"run.output_dir={folder}", "optim.epochs=1", "run.tensorboard=false"),
        *("data.samples.synthetic=2", "data.validation.samples.synthetic=1"),
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "checkpoints/final.safetensors").is_file()
    assert (folder / ".hydra/config.yaml").is_file()


@pytest.fixture
def wish(monkeypatch):
    """What a trainer is told, with the handlers of a training; afterwards those of before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    trainer = SimpleNamespace(stop_requested=False)
    train._end_politely(trainer)
    yield trainer
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("echo", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_what_a_launcher_passes_on_does_not_keep_a_training_from_saving(wish, echo):
    """torchrun sends its processes once more what the system, Slurm or Ctrl-C have sent to all of them."""
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), echo)
    assert wish.stop_requested


def test_a_second_ctrl_c_is_obeyed_at_once(wish, monkeypatch):
    os.kill(os.getpid(), signal.SIGINT)
    monkeypatch.setattr(train, "ECHO_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
