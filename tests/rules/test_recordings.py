"""Every rule against recordings of the published implementations: states, memory, gates, inner values, outputs."""

import numpy as np
import pytest
import torch

from cut3r.model.prediction import Outputs
from cut3r.model.update import UpdateRule, Writing
from cut3r.rules.gate import WRITTEN
from cut3r.rules.memix import MeMix
from cut3r.rules.recal3r import ReCal3R, doubt_of, entropy_rank, prior
from cut3r.rules.statistics import Statistic
from cut3r.rules.ttsa3r import TTSA3R, dissimilarity
from tests.model.test_golden import golden_model
from tests.rules.recordings import FILES, facts, play_whole, recording, rule_of_file, stream_of, views_of

GATES, REST = 2e-5, 1e-4  # see tests/golden/long/README.md


@pytest.mark.parametrize("name", FILES)
def test_states_memory_and_gates_are_the_recorded_ones(name):
    data, views, rule = recording(name), views_of(stream_of(name)), rule_of_file(name)
    model = golden_model("linear")  # the head makes no difference
    assert len(views) + 1 == len(data["state"])
    for number, (_, writing, gate, state) in enumerate(play_whole(model, rule, views, Outputs.none())):
        for ours, theirs in ((state.tokens, data["state"]), (state.memory, data["memory"])):
            agree(ours, theirs[number + 1], REST, f"view {number}")
        whole = torch.ones(len(state.tokens), 30) if gate is None else gate.squeeze(-1)
        agree(whole * views[number].write_mask().unsqueeze(-1), data["gate"][number], GATES, f"gate {number}")
        if writing is not None:
            written = (views[number].write_mask() & writing.state.buffers.get(WRITTEN, torch.tensor(True))).numpy()
            for key, value in inner_values(rule, writing).items():
                if key in data:
                    theirs = np.where(written.reshape(-1, *[1] * (value.ndim - 1)), data[key][number], np.nan)
                    agree(value, theirs, REST, f"{key} {number}")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("memix_tt")])
@pytest.mark.parametrize("head", ["dpt", "linear"])
def test_outputs_are_the_recorded_ones(name, head):
    data, views = recording(name), views_of(stream_of(name))
    steps = play_whole(golden_model(head), rule_of_file(name), views, Outputs.all())
    for number, (prediction, *_) in enumerate(steps):
        near = np.abs(data["linear_points_cam"][number][..., 2:]) < 1e-4 * np.linalg.norm(
            data["linear_points_cam"][number], axis=-1, keepdims=True
        )  # the linear head's points may flip there
        for key in ("points_cam", "points_world", "conf_cam", "conf_world"):
            theirs = data[f"{head}_{key}"][number]
            theirs = np.where(near, np.nan, theirs) if (head, key) == ("linear", "points_cam") else theirs
            agree(getattr(prediction, key)[:, 4::8, 4::8], theirs, REST, f"{key} {number}")
        agree(prediction.pose_encoding, data[f"{head}_pose"][number], REST, f"pose {number}")


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("filt3r")])
def test_the_filter_keeps_the_recorded_numbers(name):
    data, views = recording(name), views_of(stream_of(name))
    steps = play_whole(golden_model("dpt"), rule_of_file(name), views, Outputs.none())
    for number, (*_, state) in enumerate(steps):
        if not views[number].reset_mask().any():  # recorded before the reset, ours is after
            agree(state.buffers["variance"], data["variance"][number], GATES, f"view {number}")
            agree(state.buffers["change"], data["change_mean"][number], REST, f"view {number}")


def test_the_recordings_are_of_every_rule_and_every_kind():
    kinds = {name.split("_")[0] for name in FILES}
    assert kinds == {"cut3r", "ttt3r", "ttsa3r", "filt3r", "recal3r", "memix"}
    assert {facts(name)["source"] for name in FILES} == {"code", "spec"}
    assert len(FILES) >= 38


def inner_values(rule: UpdateRule, writing: Writing) -> dict[str, torch.Tensor]:
    """What the rule computes on its way to the gate, by the names of the recordings."""
    if isinstance(rule, MeMix):
        scores = rule.scores(writing)
        tokens = writing.decoded.candidate.shape[1]
        return {"score": scores, "mask": rule.mask(scores, tokens)} | inner_values(rule.inner, writing)
    if isinstance(rule, TTSA3R):
        change = (writing.decoded.candidate - writing.state.buffers["candidate"]).norm(dim=-1)
        patches = dissimilarity(writing.tokens, writing.state)
        signal = (writing.statistics[Statistic.mean_logits].abs() * patches.unsqueeze(1)).amax(dim=-1)
        temporal, spatial = rule.temporal(writing), rule.spatial(writing)
        both = {"temporal": temporal, "spatial": spatial}
        return both | {"change": change, "dissimilarity": patches, "signal": signal}
    if isinstance(rule, ReCal3R):
        entropy = writing.statistics[Statistic.entropy]
        doubt = doubt_of(prior(writing.state), entropy_rank(entropy))
        _, after = rule.gate(writing)
        return {
            "pressure": after["pressure"],
            "residual": rule.surprise(writing.decoded),
            "drift": (writing.state.tokens - writing.state.buffers["reference"]).norm(dim=-1),
            "prior": prior(writing.state),
            "entropy": entropy,
            "entropy_rank": entropy_rank(entropy),
            "R": doubt,
        }
    return {}


def agree(ours: torch.Tensor, theirs: np.ndarray, tolerance: float, what: str) -> None:
    """Compare where the recording has a number."""
    known = ~np.isnan(theirs)
    if known.any():
        error = np.abs(ours.detach().numpy() - theirs)[known].max()
        assert error <= tolerance * (1 + np.abs(theirs[known]).max()), f"{what}: {error:.2g}"
