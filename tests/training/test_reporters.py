"""Weights & Biases without its package: a fake one writes down what it is told."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from cut3r.training.config import TrainConfig
from cut3r.training.monitor import JsonLines, Monitor
from cut3r.training.reporters import Reporter, TensorBoard, WeightsAndBiases
from cut3r.training.start import prepare

VALUES = {"loss": 2.0, "rgb/1": 1.0, "rgb/2": 3.0}


class FakeRun:
    def __init__(self, **options):
        self.options, self.logged, self.metrics, self.finished = options, [], [], False

    def define_metric(self, name, **options):
        self.metrics.append((name, options))

    def log(self, values):
        self.logged.append(values)

    def finish(self):
        self.finished = True


@pytest.fixture
def started(monkeypatch) -> list[FakeRun]:
    """The runs that the fake wandb has begun."""
    runs: list[FakeRun] = []

    def init(**options):
        runs.append(FakeRun(**options))
        return runs[-1]

    fake = ModuleType("wandb")
    fake.init, fake.Image = init, lambda pixels: SimpleNamespace(pixels=pixels)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return runs


def test_numbers_go_to_wandb_and_to_the_log_with_the_step_of_the_training(tmp_path, started):
    monitor = Monitor(tmp_path, speaks=True, step=0, tensorboard=False, wandb="rooms")
    monitor.validation("held_out", 7, VALUES)
    monitor.picture("held_out/0", 7, torch.zeros(8, 6, 3, dtype=torch.uint8))
    monitor.close()
    (run,) = started
    assert (run.options["project"], run.options["dir"]) == ("rooms", str(tmp_path))
    assert ("*", {"step_metric": "step"}) in run.metrics
    numbers, picture = run.logged
    assert numbers == {
        "step": 7,
        "held_out/loss": 2.0,
        "held_out/rgb/1": 1.0,
        "held_out/rgb/2": 3.0,
        "held_out/rgb": 2.0,
    }
    assert picture["pictures/held_out/0"].pixels.shape == (8, 6, 3)
    assert run.finished
    assert (tmp_path / "log.jsonl").read_text().count('"loss": 2.0') == 1


def test_a_resumed_run_goes_on_as_the_same_run_of_wandb(tmp_path, started):
    for folder in ("one", "one", "two"):
        (tmp_path / folder).mkdir(exist_ok=True)
        WeightsAndBiases(tmp_path / folder, "rooms")
    ids = [run.options["id"] for run in started]
    assert ids[0] == ids[1] != ids[2]
    assert all(run.options["resume"] == "allow" for run in started)


def test_wandb_is_shown_the_settings_that_train_py_wrote(tmp_path, started):
    (tmp_path / ".hydra").mkdir()
    folder = "!!python/object/apply:pathlib.PosixPath [/, tmp, tiny]"  # as Hydra writes a path
    (tmp_path / ".hydra/config.yaml").write_text(f"optim: {{lr: 0.001}}\nrun: {{output_dir: {folder}}}\n")
    WeightsAndBiases(tmp_path, "rooms")
    assert started[0].options["config"] == {"optim": {"lr": 0.001}, "run": {"output_dir": "/tmp/tiny"}}


def test_the_other_processes_start_no_run(tmp_path, started):
    Monitor(tmp_path, speaks=False, step=0, wandb="rooms")
    assert not started


def test_a_missing_wandb_is_refused_before_the_first_batch(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    config = TrainConfig()
    config.run.wandb, config.run.device = "rooms", "cpu"
    with pytest.raises(ValueError, match="pip install wandb"):
        prepare(config)


def test_every_reporter_fits_the_protocol():
    for kind in (JsonLines, TensorBoard, WeightsAndBiases):
        assert issubclass(kind, Reporter)
