"""Files of the original's scripts: its folders of predictions read, its result files written (in parity mode).

Numbers of a run in parity mode thus stand in the same files, under the same names, as those of the original's.
Source: spec/eval_metrics.md.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64

from cut3r.data.layout import read_npy
from cut3r.files.atomic import atomic_path
from cut3r.files.listing import visible
from cut3r.geometry.poses import is_rotation, matrix_from_quaternion, quaternion_from_matrix
from cut3r.io.numbers import read_rows
from eval.evaluate import EvaluationRun
from eval.protocol import Score
from eval.saved import MissingPredictionsError, require_shape
from eval.sequences.sequence import Sequence
from eval.stamps import require_stamps_of_pictures
from eval.trajectory import proper

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


@dataclass(frozen=True)
class ReferencePredictions:
    """One sequence in a results folder of the original: depth maps in the order of their names, a camera path.

    Depth maps are `<picture>depth.npy` (single pictures) or `frame_0000.npy`, ...; the path is `pred_traj.txt`.
    """

    folder: Path
    frames: int

    @classmethod
    def find(cls, root: Path, sequence: Sequence) -> "ReferencePredictions":
        """Find a sequence's folder; that of NYU is the results folder itself.

        Raises:
            MissingPredictionsError: There is none.
        """
        names = (sequence.name, sequence.name.removeprefix("rgbd_bonn_"))
        folders = [root / name for name in names if (root / name).is_dir()]
        if not folders and visible(root, "*depth.npy"):
            folders = [root]
        if not folders:
            raise MissingPredictionsError(f"there is no folder {root / sequence.name}; check predictions and layout")
        return cls(folders[0], len(sequence))

    def __len__(self) -> int:
        return self.frames

    def depth(self, number: int) -> Float[np.ndarray, "h w"]:
        paths = self._depth_maps
        if len(paths) != self.frames:
            raise MissingPredictionsError(f"{self.folder} has {len(paths)} depth maps for {self.frames} pictures")
        array = read_npy(paths[number])
        require_shape(array, "h w", paths[number])
        return array.astype(np.float32, copy=False)

    def cameras(self) -> Float64[np.ndarray, "v 4 4"]:
        path = self.folder / "pred_traj.txt"
        if not path.is_file():
            raise MissingPredictionsError(f"there is no {path}")
        rows, lines = read_rows(path, 8, "index x y z qw qx qy qz")  # the scalar first
        wrong = np.flatnonzero(~is_rotation(torch.from_numpy(rows[:, 4:8])).numpy())
        if len(wrong):
            raise ValueError(
                f"{path}, line {lines[wrong[0]]}: its quaternion is no rotation; expected a unit quaternion"
            )
        require_stamps_of_pictures(rows[:, 0], (), None, path)
        cameras = np.tile(np.eye(4), (len(rows), 1, 1))
        cameras[:, :3, :3] = matrix_from_quaternion(torch.from_numpy(rows[:, 4:8])).numpy()
        cameras[:, :3, 3] = rows[:, 1:4]
        return cameras

    def has_camera(self) -> Bool[np.ndarray, "v"]:
        return np.ones(self.frames, bool)

    def points(self, number: int) -> Float[np.ndarray, "h w 3"]:
        raise MissingPredictionsError("the original keeps points in pickles, which may run code and are not read")

    confidence = points

    def intrinsics(self) -> None:
        return None

    def files(self) -> list[Path]:
        return [*self._depth_maps, self.folder / "pred_traj.txt"]

    @cached_property
    def _depth_maps(self) -> list[Path]:
        return visible(self.folder, "*depth.npy") or visible(self.folder, "frame_*.npy")


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
