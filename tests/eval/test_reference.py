"""Files of the original's scripts, read and written to the digit."""

import json
from dataclasses import replace

import numpy as np
import pytest

from eval.protocols.base import Item, Score
from eval.reference_files import error_log, metric_text, recon_log, trajectory_text
from eval.systems.reference import ReferencePredictions
from eval.systems.saved import MissingPredictionsError
from tests.conftest import GOLDEN

WITH_TEXT = sorted(
    path.stem
    for path in (GOLDEN / "eval").glob("pose_*.npz")
    if "eval_metric_txt" in (case := np.load(path)).files and case["ok"]
)


@pytest.mark.parametrize("name", WITH_TEXT)
def test_statistics_are_written_as_recorded(golden, name):
    case = np.load(golden / f"eval/{name}.npz")
    errors = {"ate_m": case["ape_errors"], "rpe_deg": case["rpe_rot_errors"], "rpe_m": case["rpe_trans_errors"]}
    found, expected = metric_text(name.removeprefix("pose_"), errors), str(case["eval_metric_txt"])
    assert found.replace("-0.000000", "0.000000") == expected.replace("-0.000000", "0.000000")


def test_averages_are_those_of_the_recorded_logs(golden):
    recorded = json.loads((golden / "eval/pose_io/logs_expected.json").read_text())
    scores = {
        name: Score({"sim3": [Item(name, {"ate": ate, "rpe_trans": trans, "rpe_rot": rot})]})
        for name, ate, trans, rot in recorded["results"]
    }
    text = error_log("sintel", scores)
    ate, trans, rot = recorded["averages"]
    assert text.endswith(f"Average ATE: {ate:.5f}, Average RPE trans: {trans:.5f}, Average RPE rot: {rot:.5f}\n")
    assert text.startswith("sintel-s0               | ATE: 0.03513, RPE trans: 0.05282, RPE rot: 3.25577\n0.03513\n")


def test_a_path_is_written_and_read_back_with_the_scalar_first(golden, tmp_path):
    cameras = np.load(golden / "eval/pose_io/pred_traj_c2w.npy")
    expected = np.loadtxt(golden / "eval/pose_io/pred_traj_expected.txt")
    (tmp_path / "seq").mkdir()
    (tmp_path / "seq/pred_traj.txt").write_text(trajectory_text(cameras))
    found = np.loadtxt(tmp_path / "seq/pred_traj.txt")
    signs = np.sign((found[:, 4:] * expected[:, 4:]).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found[:, :4], expected[:, :4], atol=1e-6)
    np.testing.assert_allclose(found[:, 4:] * signs, expected[:, 4:], atol=1e-6)
    again = ReferencePredictions(tmp_path / "seq", len(cameras)).cameras()
    np.testing.assert_allclose(again, cameras, atol=1e-6)


def test_an_incomplete_folder_is_named(tmp_path):
    (tmp_path / "seq").mkdir()
    np.save(tmp_path / "seq/frame_0000.npy", np.ones((2, 2), np.float32))
    predictions = ReferencePredictions(tmp_path / "seq", 2)
    with pytest.raises(MissingPredictionsError, match="1 depth maps for 2 pictures"):
        predictions.depth(0)
    with pytest.raises(MissingPredictionsError, match=r"pred_traj\.txt"):
        predictions.cameras()
    with pytest.raises(MissingPredictionsError, match="pickles"):
        replace(predictions).points(0)


def test_means_of_reconstructions_end_the_log():
    metrics = dict.fromkeys(
        ("acc", "comp", "nc1", "nc2", "acc_med", "comp_med", "nc1_med", "nc2_med", "nc", "nc_med"), 0.5
    )
    scores = {
        name: Score({"published": [Item(name, {**metrics, "acc": acc})]}) for name, acc in (("a", 0.1), ("b", 0.3))
    }
    lines = recon_log(scores).splitlines()
    assert lines[0].startswith("Idx: a, Acc: 0.1, Comp: 0.5, NC1: 0.5, NC2: 0.5 - Acc_med: 0.5, Compc_med: 0.5")
    assert lines[-1].startswith("mean : acc: 0.200 | comp: 0.500 | ")
