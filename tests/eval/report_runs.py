"""Small finished runs for tests of the report: real run folders around made-up scores and pictures."""

from pathlib import Path

import numpy as np

from eval.clock import over_time
from eval.config import Stage
from eval.protocols.base import EvaluationProtocol, Item, NotScoredError, Score
from eval.run import EvaluationRun, write_json
from eval.sequences.sequence import Sequence
from eval.systems.saved import SavedPredictions

GROUPS = {
    "monodepth": ["median"],
    "video_depth": ["metric", "scale"],
    "relpose": ["sim3", "se3"],
    "mv_recon": ["published", "sim3"],
}
PARITY_GROUPS = {
    "monodepth": ["median"],
    "video_depth": ["metric", "scale_published"],
    "relpose": ["sim3"],
    "mv_recon": ["published"],
}


class MadeUp(EvaluationProtocol):
    """Scores like the real protocols', from a generator of random numbers: `level` times a plausible error.

    Args:
        numbers: Metrics that are these exactly, in every sequence and alignment.
    """

    def __init__(self, protocol, *, level, parity, fail, leave_out, numbers, frames):
        self.name, self.weighted = protocol, protocol in ("monodepth", "video_depth")
        self.groups = (PARITY_GROUPS if parity else GROUPS)[protocol]
        self.level, self.fail, self.leave_out, self.frames = level, fail, leave_out, frames
        self.numbers = numbers

    def settings(self):
        return {"alignments": self.groups, "made_up": True}

    def score(self, sequence, predictions):
        if sequence.name in self.fail:
            raise ValueError(f"the depth of {sequence.name} is <not> finite")
        if sequence.name in self.leave_out:
            raise NotScoredError("no two successive cameras are known")
        rng = np.random.default_rng(sum(sequence.name.encode()))
        level = self.level * rng.uniform(0.5, 1.5)
        draw = {"monodepth": _depth, "video_depth": _depth, "relpose": _path, "mv_recon": _clouds}[self.name]
        metrics, notes, look = draw(rng, level, self.groups, self.frames)
        metrics |= self.numbers
        count = self.frames if self.name == "monodepth" else 1
        names = [f"picture_{n}" for n in range(count)] if count > 1 else [sequence.name]
        items = [Item(name, dict(metrics), weight=float(1 + n)) for n, name in enumerate(names)]
        return Score(dict.fromkeys(self.groups, items), notes), look


def make_run(
    folder,
    protocol="relpose",
    dataset="tum",
    *,
    name="ours",
    sequences=("desk", "walk/1"),
    level=1.0,
    frames=12,
    parity=False,
    fail=(),
    leave_out=(),
    numbers=None,
    **facts,
):
    """Write a finished run, as `python -m eval.<protocol>` does, and return its folder."""
    run = begin_run(
        folder,
        MadeUp(
            protocol, level=level, parity=parity, fail=fail, leave_out=leave_out, numbers=numbers or {}, frames=frames
        ),
        dataset,
        name,
        sequences,
        {"parity": parity, **facts},
    )
    for sequence in run.sequences:
        write_json(run.folder / "predictions" / sequence.name / "sequence.json", cost(frames))
    run.work(Stage.score)
    run.finish()
    return run.folder


def begin_run(folder, protocol, dataset, name, sequences, facts):
    run = EvaluationRun(
        folder=Path(folder),
        protocol=protocol,
        sequences=[Sequence(each, (Path("picture.png"),)) for each in sequences],
        find=lambda sequence: SavedPredictions(Path(folder) / "predictions" / sequence.name, sequence.stems),
        facts=facts_of(protocol.name, dataset, name, **facts),
    )
    run.begin()
    return run


def facts_of(protocol, dataset, name, **facts):
    return {
        "protocol": protocol,
        "dataset": dataset,
        "parity": False,
        "root": "data",
        "complete": True,
        "every": 1,
        "only": [],
        "update": "overwrite",
        "revisit": 1,
        "freeze": False,
        "dtype": "fp32",
        "layout": "saved",
        "predictions": None,
        "weights": {"given": f"weights/{name}.pth", "file": f"{name}.pth", "sha256": "0" * 64},
        "name": name,
        **facts,
    }


def cost(frames):
    return {
        "frames": frames,
        "seconds": frames / 20,
        "frame_ms_median": 48.0,
        "over_time": over_time(np.where(np.arange(frames), 48.0, np.nan), np.linspace(1900, 2100, frames)),
        "peak_memory_mb": 2100.0,
        "peak_gpu_memory_mb": 5200.0,
        "finished": "2026-01-01T00:00:00+00:00",
    }


def _depth(rng, level, groups, frames):
    y, x = np.mgrid[0:48, 0:64] / 48
    true = 2 + y + 0.5 * np.sin(5 * x)
    bumps = sum(rng.normal() * np.sin((k + 1) * 3 * (x + rng.uniform()) + k * y) for k in range(4)) / 4
    predicted = true * (1 + 0.1 * level * bumps)
    true[:6, :9] = 0  # unknown
    abs_rel = 0.05 * level
    small = {"true": true[::2, ::2].astype(np.float16), "predicted": predicted[::2, ::2].astype(np.float16)}
    look = {"true_0": true.astype(np.float16), "predicted_0": predicted.astype(np.float16)}
    look["image_0"] = np.stack([60 * y + 40, 80 * x + 30, 100 + 0 * x], axis=-1).astype(np.uint8)
    look |= {f"small_{kind}_{n}": (1 + n / 9) * array for n in range(6) for kind, array in small.items()}
    for group in groups:
        look[f"abs_rel_{group}"] = abs_rel * (1 + 0.3 * rng.normal(size=frames))
    metrics = {"abs_rel": abs_rel, "delta_1": max(0.0, 1 - 0.2 * level), "rmse": 0.4 * level, "log_rmse": 0.1 * level}
    notes = {group: {"scale": 1.02, "shift": 0.0} for group in groups}
    return metrics, {**notes, "pictured": groups[-1]}, look


def _path(rng, level, groups, frames):
    turn = np.linspace(0, 5, frames)
    true = np.stack([2 * np.cos(turn), 0.1 * np.sin(3 * turn), np.sin(turn)], axis=1)
    drift = np.cumsum(rng.normal(0, 0.02 * level, (frames, 3)), axis=0)
    ate = np.linalg.norm(drift, axis=1)
    look = {
        "frames": np.arange(frames),
        "predicted": true + drift,
        "true": true,
        "ate_m": ate,
        "rpe_m": np.abs(rng.normal(0, 0.01 * level, frames - 1)),
        "rpe_deg": np.abs(rng.normal(0, 0.3 * level, frames - 1)),
    }
    metrics = {"ate": float(np.sqrt(np.mean(ate**2))), "rpe_trans": 0.01 * level, "rpe_rot": 0.3 * level}
    notes = {"frames": frames, "unknown_cameras": 0, "scale": 1.02, "degenerate": False}
    return metrics, notes, look


def _clouds(rng, level, groups, frames):
    def room(noise):
        points = rng.uniform(-1, 1, (600, 3))
        axis = rng.integers(0, 3, 600)
        points[np.arange(600), axis] = np.sign(points[np.arange(600), axis])
        return (points + rng.normal(0, noise, points.shape)).astype(np.float32)

    true, predicted = room(0.0), room(0.03 * level)
    look = {"true_points": true, "predicted_points": predicted}
    look["true_colors"] = (127 * (1 + np.clip(true, -1, 1))).astype(np.uint8)
    acc = 0.03 * level
    metrics = {
        "acc": acc,
        "acc_med": acc / 2,
        "comp": acc,
        "comp_med": acc / 2,
        "nc": 0.8,
        "nc_med": 0.9,
        "chamfer": acc,
    }
    return metrics, {}, look
