"""What a training tells: lines in the log, `log.jsonl` for programs, curves and pictures for whoever else reports.

One line of `log.jsonl` is one report: `kind` is "train" or the name of a held-out set, `step` counts optimizer steps.
"""

import json
import logging
import re
import time
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from statistics import mean
from typing import Any

import psutil
import torch
from jaxtyping import UInt8
from torch import Tensor

from cut3r.files.atomic import atomic_path
from cut3r.training.reporters import Reporter, TensorBoard, WeightsAndBiases

logger = logging.getLogger(__name__)

SHOWN = (
    "points_cam",
    "points_world",
    "pose",
    "rgb",
    "matching",
    "attention",
    "flow",
    "abs_rel",
    "delta_1.25",
    "translation_m",
    "rotation_deg",
    "r2_yaw_1",
    "r2_forward_1",
    "control_yaw",
    "ate_share",
)
OF_A_VIEW = re.compile(r"/\d+$")


class Monitor:
    """Tells what happens in the log, and to its reporters; on other processes than the first it is silent.

    Args:
        folder: Of the run.
        step: Where the training (re)starts. What an earlier, interrupted run has reported beyond it is dropped.
        validated: The weights at `step` have been validated; if not, what was said of it is dropped, too.
        wandb: A project of Weights & Biases.
    """

    def __init__(
        self,
        folder: Path,
        *,
        speaks: bool,
        step: int,
        validated: bool = True,
        tensorboard: bool = True,
        wandb: str | None = None,
    ) -> None:
        self.speaks = speaks
        self.reporters: list[Reporter] = []
        if not speaks:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self.reporters.append(JsonLines(folder / "log.jsonl", step, validated=validated))
        if tensorboard:
            self.reporters.append(TensorBoard(folder, step))
        if wandb is not None:
            self.reporters.append(WeightsAndBiases(folder, wandb))

    def train(self, step: int, epoch: float, values: dict[str, float], *, left: float) -> None:
        """Report the latest iterations.

        Args:
            values: "loss", "lr", the speed (see `Interval`) and whatever else; "name/2" is the value of view 2.
            left: Seconds until the end.
        """
        if not self.speaks:
            return
        values = {"epoch": epoch, **values, "memory_gb": memory_gb()}
        self._record("train", step, values)
        logger.info(
            "epoch %.3f, step %d: loss %.4f, lr %.2e, %s%.1f samples/s, %.0f %% waiting for data, %.0f %% saving, "
            "%.1f GB, %s left",
            *(epoch, step, values["loss"], values["lr"], _shown(values), values["samples_per_s"]),
            *(100 * values["waiting"], 100 * values["saving"], values["memory_gb"], timedelta(seconds=round(left))),
        )

    def validation(self, name: str, step: int, values: dict[str, float]) -> None:
        if not self.speaks:
            return
        self._record(name, step, values)
        logger.info("step %d, %s: %sloss %.4f", step, name, _shown(values), values["loss"])

    def picture(self, name: str, step: int, image: UInt8[Tensor, "h w 3"]) -> None:
        for reporter in self.reporters:
            reporter.picture(name, step, image)

    def close(self) -> None:
        for reporter in self.reporters:
            reporter.close()

    def _record(self, kind: str, step: int, values: dict[str, float]) -> None:
        for reporter in self.reporters:
            reporter.numbers(kind, step, {**values, **over_views(values)})


class JsonLines:
    """A line per report, without pictures and without the values of single views.

    Args:
        step, validated: As in `Monitor`.
    """

    def __init__(self, path: Path, step: int, *, validated: bool) -> None:
        self._path = path
        _drop_after(path, step, validated=validated)

    def numbers(self, kind: str, step: int, values: dict[str, float]) -> None:
        kept = {name: value for name, value in values.items() if not OF_A_VIEW.search(name)}
        line = {"kind": kind, "step": step, "time": round(time.time(), 1), **kept}
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def picture(self, name: str, step: int, image: UInt8[Tensor, "h w 3"]) -> None:
        pass

    def close(self) -> None:
        pass


def over_views(values: dict[str, float]) -> dict[str, float]:
    """Average "name/0", "name/1", ... into "name"."""
    groups: dict[str, list[float]] = defaultdict(list)
    for name, value in values.items():
        groups[OF_A_VIEW.sub("", name)].append(value)
    return {name: mean(group) for name, group in groups.items()}


def memory_gb() -> float:
    """The most that this process has held on the GPU; without one, what it holds on the host now."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 1e9
    return psutil.Process().memory_info().rss / 1e9


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read `log.jsonl`; a last line that a killed process has not finished is left out."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _drop_after(path: Path, step: int, *, validated: bool) -> None:
    kept = [line for line in read_log(path) if line["step"] < step + (1 if validated or line["kind"] == "train" else 0)]
    if path.exists():
        with atomic_path(path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))


def _shown(values: dict[str, float]) -> str:
    """The terms that a line in the log has room for."""
    shown = {name: value for name, value in over_views(values).items() if name in SHOWN}
    return "".join(f"{name} {value:.4g}, " for name, value in shown.items())
