"""Result files of the original's scripts, written by runs in parity mode.

Their numbers thus stand in the same files, under the same names, as those of the original's. Source:
spec/eval_metrics.md.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64

from cut3r.files.atomic import atomic_path
from cut3r.geometry.poses import quaternion_from_matrix
from eval.protocols.base import Score
from eval.protocols.trajectory import proper
from eval.run import EvaluationRun

DEPTH_KEYS = {
    "abs_rel": "Abs Rel",
    "sq_rel": "Sq Rel",
    "rmse": "RMSE",
    "log_rmse": "Log RMSE",
    "delta_0": "\u03b4 < 1.",
    "delta_1": "\u03b4 < 1.25",
    "delta_2": "\u03b4 < 1.25^2",
    "delta_3": "\u03b4 < 1.25^3",
}
RECON_KEYS = ("acc", "comp", "nc1", "nc2", "acc_med", "comp_med", "nc1_med", "nc2_med", "nc", "nc_med")
VIDEO_FILES = {
    "metric": "result_metric.json",
    "scale_published": "result_scale.json",
    "scale_shift_published": "result_scale&shift.json",
}
BLOCKS = {
    "ate_m": "APE w.r.t. translation part (m)",
    "rpe_deg": "RPE w.r.t. rotation angle in degrees (deg)\nfor delta = 1 (frames) using all pairs",
    "rpe_m": "RPE w.r.t. translation part (m)\nfor delta = 1 (frames) using all pairs",
}


def write_reference_files(run: EvaluationRun, dataset: str, result: Mapping[str, Any]) -> None:
    """Write what the original's scripts would have written, from a finished run in parity mode."""
    folder, summary, scores = run.folder, result["summary"], run.scores()
    match run.protocol.name:
        case "monodepth" | "video_depth":
            for group, metrics in summary.items():
                name = VIDEO_FILES.get(group, f"result_{group}.json")
                numbers = {title: metrics[key]["headline"] for key, title in DEPTH_KEYS.items()}
                _write(folder / ("metric.json" if group == "median" else name), json.dumps(numbers))
        case "relpose":
            for sequence in run.sequences:
                if sequence.name in scores:
                    with np.load(folder / "look" / f"{sequence.name}.npz") as look:
                        _write(folder / f"{sequence.name}_eval_metric.txt", metric_text(sequence.name, look))
                    cameras = run.predictions(sequence).cameras()
                    _write(folder / sequence.name / "pred_traj.txt", trajectory_text(cameras))
            _write(folder / "_error_log.txt", error_log(dataset, scores))
        case "mv_recon":
            _write(folder / "logs_all.txt", recon_log(scores))


def metric_text(name: str, look: Mapping[str, Float64[np.ndarray, "n"]]) -> str:
    """Statistics of a sequence's errors: ate_m, rpe_deg, rpe_m."""
    text = f"Seq: {name} \n\n"
    for key, title in BLOCKS.items():
        errors = look[key]
        statistics = {
            "max": errors.max(),
            "mean": errors.mean(),
            "median": np.median(errors),
            "min": errors.min(),
            "rmse": np.sqrt(np.mean(errors**2)),
            "sse": np.sum(errors**2),
            "std": errors.std(),
        }
        lines = [f"{each:>10}\t{value:.6f}" for each, value in statistics.items()]
        text += f"{title}\n(with Sim(3) Umeyama alignment)\n\n" + "\n".join(lines) + "\n"
    return text


def trajectory_text(cameras: Float[np.ndarray, "v 4 4"]) -> str:
    """Lines of index x y z qw qx qy qz. Parity: the scalar first, which is not the order of TUM files (quirk 21)."""
    rotations = torch.from_numpy(proper(cameras)[:, :3, :3])
    rows = np.concatenate([cameras[:, :3, 3].astype(np.float64), quaternion_from_matrix(rotations).numpy()], axis=1)
    return "".join(f"{float(index)} {' '.join(str(float(x)) for x in row)}\n" for index, row in enumerate(rows))


def error_log(dataset: str, scores: Mapping[str, Score]) -> str:
    """A line per sequence, then the averages, of numbers with 6 decimals as the original reads them back."""
    lines, rows = [], []
    for name, score in scores.items():
        metrics = score.groups["sim3"][0].metrics
        row = [round(float(metrics[key]), 6) for key in ("ate", "rpe_trans", "rpe_rot")]
        lines.append(f"{dataset}-{name:<16} | ATE: {row[0]:.5f}, RPE trans: {row[1]:.5f}, RPE rot: {row[2]:.5f}")
        lines += [f"{number:.5f}" for number in row]
        rows.append(row)
    if rows:
        ate, trans, rot = np.mean(rows, axis=0)
        lines.append(f"Average ATE: {ate:.5f}, Average RPE trans: {trans:.5f}, Average RPE rot: {rot:.5f}")
    return "\n".join(lines) + "\n"


def recon_log(scores: Mapping[str, Score]) -> str:
    lines, rows = [], []
    for name, score in scores.items():
        m = score.groups["published"][0].metrics
        lines.append(
            f"Idx: {name}, Acc: {m['acc']}, Comp: {m['comp']}, NC1: {m['nc1']}, NC2: {m['nc2']} - "
            f"Acc_med: {m['acc_med']}, Compc_med: {m['comp_med']}, NC1c_med: {m['nc1_med']}, NC2c_med: {m['nc2_med']}"
        )
        rows.append([float(m[key]) for key in RECON_KEYS])
    if rows:
        means = np.mean(rows, axis=0)
        lines.append("mean : " + " | ".join(f"{key}: {mean:.3f}" for key, mean in zip(RECON_KEYS, means, strict=True)))
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text)
