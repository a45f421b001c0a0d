"""Rules of writing: against recordings of the published implementations, and what must hold for every rule."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from cut3r.model.encoder import ViewInput
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs
from cut3r.model.state import StreamState, blend
from cut3r.model.update import OVERWRITE, UpdateRule
from cut3r.rules.gates import FILT3R, RULES, TTT3R
from cut3r.rules.statistics import LogitStatistics, Statistic, explicit_logits
from tests.conftest import make_tiny
from tests.model.test_golden import golden_model

FOLDER = Path(__file__).parents[1] / "golden" / "long"
FILES = sorted(path.stem for path in FOLDER.glob("*_*.npz"))
WIDE = FILT3R(1.2, 0.97, 0.03, 0.6, 8.0, 1.0, 0.2, 3.9, 0.8, 0.3, 0.58)
OURS: dict[str, UpdateRule] = {"cut3r": OVERWRITE, "ttt3r": TTT3R(), "filt3r": FILT3R(), "filt3r_wide": WIDE}


@cache
def recording(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def views_of(stream: str) -> list[ViewInput]:
    """The views that were fed, with their flags."""
    data = recording("streams")
    rgb, update = data[f"{stream}_rgb"], data[f"{stream}_update"]
    source = data[f"{stream}_source"] if f"{stream}_source" in data else np.arange(rgb.shape[1])
    flags = data.get(f"{stream}_flag", np.zeros(len(source), bool))
    return [
        ViewInput(
            image=(torch.from_numpy(rgb[:, frame]).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5,
            update=torch.from_numpy(update[frame]),
            reset=torch.full((len(rgb),), bool(flag)),
        )
        for frame, flag in zip(source, flags, strict=True)
    ]


@torch.inference_mode()
def play(model: Cut3r, rule: UpdateRule, views: list[ViewInput]) -> list[StreamState]:
    return model.rollout(views, outputs=Outputs.none(), combine="stream", keep_states=True, rule=rule).states


@pytest.mark.parametrize("name", FILES)
def test_states_and_memory_are_the_published_ones(name):
    rule, stream = name.rsplit("_", 1)
    data = recording(name)
    states = play(golden_model("dpt"), OURS[rule], views_of(stream))
    assert len(states) == len(data["state"])
    for view, state in enumerate(states):
        for ours, theirs in ((state.tokens, data["state"][view]), (state.memory, data["memory"][view])):
            assert np.abs(ours.detach().numpy() - theirs).max() <= 1e-4 * (1 + np.abs(theirs).max()), view
    if "variance" in data:
        resets = [
            bool(view.reset_mask().any()) for view in views_of(stream)
        ]  # recorded before the reset, ours is after
        for view in (number for number, reset in enumerate(resets) if not reset):
            known, ours = ~np.isnan(data["variance"][view]), states[view + 1].buffers["variance"]
            np.testing.assert_allclose(ours.numpy()[known], data["variance"][view][known], atol=2e-5)


@pytest.mark.parametrize("rule", [TTT3R(), FILT3R()], ids=lambda rule: type(rule).__name__)
class TestEveryRule:
    def test_a_batch_is_its_streams_one_by_one(self, rule):
        model, views = make_tiny("linear"), pictures(5, samples=2)
        together = play(model, rule, views)[-1]
        for sample in range(2):
            alone = play(model, rule, [ViewInput(image=view.image[sample : sample + 1]) for view in views])[-1]
            for name, value in alone.tensors().items():
                torch.testing.assert_close(together.tensors()[name][sample : sample + 1], value, atol=1e-5, rtol=1e-4)

    def test_the_first_written_view_is_written_whole(self, rule):
        model, views = make_tiny("linear"), pictures(2)
        unwritten = ViewInput(image=views[1].image, update=torch.tensor([False]))
        ours = play(model, rule, [unwritten, views[0]])[-1]
        theirs = play(model, OVERWRITE, [unwritten, views[0]])[-1]
        assert torch.equal(ours.tokens, theirs.tokens)

    def test_a_view_that_is_not_written_changes_nothing(self, rule):
        model, views = make_tiny("linear"), pictures(4)
        seen = play(model, rule, views[:3])[-1]
        frozen = ViewInput(image=views[3].image, update=torch.tensor([False]))
        with torch.inference_mode():
            _, after = model.step(seen, frozen, model.encode(frozen), Outputs.none(), rule)
        assert all(torch.equal(value, seen.tensors()[name]) for name, value in after.tensors().items())

    def test_after_a_reset_a_stream_is_a_fresh_one(self, rule):
        model, views = make_tiny("linear"), pictures(4)
        last = ViewInput(image=views[1].image, reset=torch.tensor([True]))
        ours, fresh = (play(model, rule, some)[-1] for some in ([views[0], last, *views[2:]], views[2:]))
        assert all(torch.equal(value, fresh.tensors()[name]) for name, value in ours.tensors().items())

    def test_later_views_move_tokens_part_of_the_way(self, rule):
        states = play(make_tiny("linear"), rule, pictures(3))
        plain = play(make_tiny("linear"), OVERWRITE, pictures(2))
        moved, whole = (run[2].tokens - run[1].tokens for run in (states, plain))
        share = moved.norm() / whole.norm()
        assert 0.05 < share < 0.95
        torch.testing.assert_close(
            moved / whole, (moved / whole).mean(-1, keepdim=True).expand_as(moved), atol=0.02, rtol=0
        )


def test_names_of_rules_are_those_that_files_and_flags_use():
    assert {name: rule() for name, rule in RULES.items()} == {
        "overwrite": OVERWRITE,
        "ttt3r": TTT3R(),
        "filt3r": FILT3R(),
    }
    assert repr(FILT3R(r=0.8)) != repr(FILT3R())


def test_a_calm_scene_is_averaged_over_more_and_more_views():
    """With proposals that change alike, the gains are those of a Kalman filter: of the formulas, worked out by hand."""
    rule, gains, variance = FILT3R(), [], 1.5
    for _ in range(9):
        predicted = variance + rule.q_min
        gain = predicted / (predicted + rule.r + 1e-6)
        variance = (1 - gain) ** 2 * predicted + gain**2 * rule.r
        gains.append(gain)
    np.testing.assert_allclose(gains, [0.603, 0.384, 0.288, 0.235, 0.203, 0.183, 0.168, 0.159, 0.152], atol=1e-3)
    states = play(make_tiny("linear"), rule, pictures(4))
    found = [float(state.buffers["variance"].mean()) for state in states[2:]]
    assert found == pytest.approx([0.603, 0.384, 0.288], abs=2e-2)  # (1-K)^2 p' + K^2 = K for r = 1


@pytest.mark.parametrize("gate", [0.0, 1.0])
def test_a_gate_of_0_or_1_is_exact(gate):
    old, new = torch.randn(2, 1, 5, 3).unbind(0)
    assert torch.equal(blend(torch.full((1, 5, 1), gate), new, old), new if gate else old)


def test_statistics_are_those_of_the_maps():
    torch.manual_seed(0)
    layers = [(torch.randn(2, 4, 6, 8), torch.randn(2, 4, 9, 8)) for _ in range(3)]
    statistics = LogitStatistics(frozenset(Statistic))
    for q, k in layers:
        statistics.add(q, k)
    maps = torch.stack([explicit_logits(q, k) for q, k in layers])  # layer b head s m
    torch.testing.assert_close(statistics[Statistic.mean_logit], maps.mean(dim=(0, 2, 4)), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(statistics[Statistic.mean_logits], maps[..., 1:].mean(dim=(0, 2)), atol=1e-6, rtol=1e-5)


def test_a_state_is_its_tensors():
    state = play(make_tiny("linear"), FILT3R(), pictures(2))[-1]
    again = StreamState.from_tensors(state.tensors())
    assert list(state.tensors()) == ["tokens", "memory", "is_new"] + [
        f"buffer.{name}" for name in sorted(state.buffers)
    ]
    assert again.tensors().keys() == state.tensors().keys()
    assert all(value is again.tensors()[name] for name, value in state.tensors().items())


def pictures(count: int, *, samples: int = 1) -> list[ViewInput]:
    draw = torch.Generator().manual_seed(3)
    return [ViewInput(image=torch.rand(samples, 3, 32, 48, generator=draw) * 2 - 1) for _ in range(count)]


def test_the_recordings_say_what_they_are():
    for name in FILES:
        assert json.loads(str(recording(name)["meta"]))["rule"]
