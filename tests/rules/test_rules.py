"""What must hold for every rule of writing, on random networks."""

import numpy as np
import pytest
import torch

from cut3r.model.encoder import ViewInput
from cut3r.model.prediction import Outputs
from cut3r.model.state import StreamState, blend
from cut3r.model.update import OVERWRITE
from cut3r.rules.filt3r import FILT3R
from cut3r.rules.frame_gate import WEIGHT, Change, FrameGate
from cut3r.rules.gate import GATE, NOT_A_NUMBER, WRITTEN, common_buffers, give, ranks
from cut3r.rules.memix import MeMix
from cut3r.rules.recal3r import ReCal3R
from cut3r.rules.ttsa3r import TTSA3R
from cut3r.rules.ttt3r import TTT3R
from tests.conftest import make_tiny, tiny_config
from tests.rules.recordings import pictures, play

EVERY = [TTT3R(), TTSA3R(), FILT3R(), ReCal3R(), MeMix(), MeMix(TTT3R()), MeMix(TTSA3R(), blocks=4, protected=1)]
EVERY += [FrameGate(TTT3R()), MeMix(FrameGate(FILT3R(), Change(window=2)))]


@pytest.mark.parametrize("rule", EVERY, ids=repr)
class TestEveryRule:
    def test_a_batch_is_its_streams_one_by_one(self, rule):
        """With views that are written into some of the streams only, and a reset of one of them."""
        model, views = make_tiny("linear"), pictures(5, samples=2)
        written = [[True, True], [True, False], [True, True], [False, True], [True, True]]
        reset = [[False, False], [False, False], [True, False], [False, False], [False, False]]
        flags = [(torch.tensor(one), torch.tensor(other)) for one, other in zip(written, reset, strict=True)]
        both = [ViewInput(view.image, update=w, reset=r) for view, (w, r) in zip(views, flags, strict=True)]
        together = play(model, rule, both)[-1]
        for sample in range(2):
            part = slice(sample, sample + 1)
            one = [ViewInput(view.image[part], update=view.update[part], reset=view.reset[part]) for view in both]
            alone = play(model, rule, one)[-1]
            for name, value in alone.tensors().items():
                torch.testing.assert_close(together.tensors()[name][part], value, atol=1e-5, rtol=1e-4)

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

    def test_the_buffers_keep_their_names_shapes_and_types(self, rule):
        before, *_, after = play(make_tiny("linear"), rule, pictures(3))
        for name, value in before.tensors().items():
            assert (after.tensors()[name].shape, after.tensors()[name].dtype) == (value.shape, value.dtype), name
        assert list(before.tensors())[:3] == ["tokens", "memory", "is_new"]

    def test_they_hold_at_most_three_states(self, rule):
        """For the published network, whose sizes decide."""
        from cut3r.model.config import published_512_dpt

        config = published_512_dpt()
        buffers = rule.initial_buffers(1, config, torch.device("meta")).values()
        state = 4 * config.state.tokens * config.decoder.width
        assert sum(buffer.numel() * buffer.element_size() for buffer in buffers) <= 3 * state

    def test_the_gate_it_keeps_is_the_one_it_wrote_with(self, rule):
        before, after = play(make_tiny("linear"), rule, pictures(3))[2:]
        plain, gate = play(make_tiny("linear"), OVERWRITE, pictures(2)), after.buffers[GATE]
        assert plain[0].tokens.shape == after.tokens.shape
        unchanged = (after.tokens == before.tokens).all(dim=-1)
        assert torch.equal(unchanged, gate == 0)
        assert gate.min() >= 0 and gate.max() <= 1

    def test_bfloat16_keeps_the_gates(self, rule):
        gates = [play(make_tiny("linear").to_dtype(dtype), rule, pictures(2))[-1].buffers[GATE] for dtype in TYPES]
        if not isinstance(rule, MeMix | ReCal3R):  # ranks may swap
            torch.testing.assert_close(gates[1], gates[0], atol=1e-2, rtol=0)
        assert gates[1].dtype is torch.float32

    def test_frames_may_change_their_size(self, rule):
        model = make_tiny("linear")
        views = [*pictures(2), *pictures(2, size=(48, 32)), *pictures(1, size=(64, 64)), *pictures(1)]
        assert play(model, rule, views)[-1].tokens.isfinite().all()


TYPES = (torch.float32, torch.bfloat16)


@pytest.mark.parametrize("rule", [TTT3R(), TTSA3R(), FILT3R(), ReCal3R()], ids=repr)
def test_later_views_move_tokens_part_of_the_way(rule):
    states = play(make_tiny("linear"), rule, pictures(3))
    plain = play(make_tiny("linear"), OVERWRITE, pictures(2))
    moved, whole = (run[2].tokens - run[1].tokens for run in (states, plain))
    torch.testing.assert_close(moved, whole * states[2].buffers[GATE].unsqueeze(-1), atol=1e-5, rtol=1e-4)
    assert 0.05 < moved.norm() / whole.norm() < 0.95


def test_a_mask_of_all_tokens_is_the_rule_itself():
    for inner in (OVERWRITE, TTT3R()):
        masked, plain = (play(make_tiny("linear"), rule, pictures(4))[-1] for rule in (MeMix(inner, share=1.0), inner))
        assert torch.equal(masked.tokens, plain.tokens)


def test_the_mask_writes_the_share_of_tokens_that_agree_least():
    rule = MeMix(share=0.5)
    scores = torch.tensor([[3.0, -1.0, 2.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    assert rule.mask(scores, 4).tolist() == [[0, 1, 0, 1], [1, 1, 0, 0]]
    blocks = MeMix(share=1.0, blocks=4, protected=2)
    assert blocks.mask(scores[:1], 7).tolist() == [[1, 1, 1, 1, 0, 0, 1]]
    after = play(make_tiny("linear"), rule, pictures(2))[-1].buffers[GATE]
    assert sorted(after[0].tolist()) == [0.0] * 6 + [1.0] * 6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"share": 0.0}, "share is 0.0"),
        ({"blocks": -1}, "blocks is -1"),
        ({"inner": MeMix()}, "memix masks another rule"),
        ({"inner": "ttt3r"}, "memix masks another rule"),
    ],
)
def test_a_mask_that_makes_no_sense_is_refused(wrong, message):
    with pytest.raises((ValueError, TypeError), match=message if wrong.get("inner") != "ttt3r" else "."):
        MeMix(**wrong)


def weights(views, weight=None):
    states = play(make_tiny("linear"), FrameGate(weight=weight or Change()), views)[1:]
    return [float(state.buffers[WEIGHT]) for state in states], states


def test_what_shows_nothing_new_is_hardly_written():
    """The same picture again writes the least; another one is written whole, and is what the next is compared with."""
    one, other = pictures(2)
    found, states = weights([one, one, other, other, one])
    assert found == pytest.approx([1.0, 0.05, 1.0, 0.05, 1.0])
    assert [float(state.buffers[GATE].mean()) for state in states] == pytest.approx(found)


def test_a_change_is_measured_against_the_large_ones_of_this_stream():
    """By hand: of the changes so far, the one at the percentile counts as whole."""
    one, other = (view.image for view in pictures(2))
    views = [ViewInput(image=torch.lerp(one, other, share)) for share in (0.0, 1.0, 0.0, 0.4, 0.5, 1.0, 0.5, 0.8)]
    model, found = make_tiny("linear"), weights(views, Change(percentile=0.5, window=3))[0]
    with torch.inference_mode():
        said = [model.encode(view).features.float().mean(dim=1)[0] for view in views]
    key, changes, expected = said[0], [], [1.0]
    for token in said[1:]:
        changes.append(float(1 - torch.cosine_similarity(token.double(), key.double(), dim=0)))
        recent = sorted(changes[-3:])
        expected.append(min(1.0, max(0.05, changes[-1] / recent[(len(recent) + 1) // 2 - 1])))
        key = token if expected[-1] >= 0.5 else key
    assert found == pytest.approx(expected, abs=1e-3)
    assert len({round(value, 3) for value in expected}) > 2, "the case must be one in which something is between"


def test_a_frame_gate_multiplies_the_gates_of_its_rule():
    views = pictures(3)
    plain, gated = (
        play(make_tiny("linear"), rule, views) for rule in (TTT3R(), FrameGate(TTT3R(), Change(least=1.0, key=1.0)))
    )
    assert torch.equal(plain[-1].tokens, gated[-1].tokens)
    one, again = pictures(1)[0], pictures(1)[0]
    ours, theirs = (play(make_tiny("linear"), rule, [one, again])[-1].buffers for rule in (FrameGate(TTT3R()), TTT3R()))
    torch.testing.assert_close(ours[GATE], 0.05 * theirs[GATE])


def test_a_frame_weight_that_is_not_a_number_writes_nothing_and_is_counted():
    class Nothing(Change):
        def weigh(self, writing):
            weight, after = super().weigh(writing)
            return weight * torch.nan, after

    states = play(make_tiny("linear"), FrameGate(weight=Nothing()), pictures(2))
    assert torch.equal(states[1].tokens, states[2].tokens)
    assert states[2].buffers[NOT_A_NUMBER].tolist() == [12]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Change(least=0.6), "least is 0.6 and key 0.5"),
        (lambda: Change(percentile=0.0), "percentile is 0.0"),
        (lambda: Change(window=0), "window is 0"),
        (lambda: FrameGate(MeMix()), "goes around a rule of tokens"),
        (lambda: FrameGate(FrameGate()), "goes around a rule of tokens"),
    ],
)
def test_a_frame_gate_that_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_view_with_more_tokens_than_the_buffer_is_refused_with_the_remedy():
    views = pictures(1, size=(80, 64))
    with pytest.raises(ValueError, match=r"keeps 16 tokens of a view, and this one has 20.*most_tokens=20"):
        play(make_tiny("linear"), TTSA3R(), views)
    assert play(make_tiny("linear"), TTSA3R(most_tokens=20), views)


def test_views_of_another_size_count_as_changed_everywhere():
    from cut3r.rules.ttsa3r import dissimilarity

    model = make_tiny("linear")
    state, upright = play(model, TTSA3R(), pictures(1))[-1], pictures(1, size=(48, 32))[0]
    with torch.inference_mode():
        assert dissimilarity(model.encode(upright), state).tolist() == [[1.0] * 6]
        same = dissimilarity(model.encode(pictures(1)[0]), state)
    assert same.abs().max() < 1e-5


def test_a_gate_that_is_not_a_number_writes_nothing_and_is_counted():
    buffers = common_buffers(2, tiny_config("linear"), torch.device("cpu"))
    state = StreamState(torch.zeros(2, 12, 32), torch.zeros(2, 6, 64), torch.zeros(2, dtype=torch.bool), buffers)
    strange = torch.full((2, 12), 0.5)
    strange[0, 3] = strange[1, 4] = torch.nan
    state.buffers[WRITTEN][1] = True
    gate, after = give(state, strange)
    assert gate[0].flatten().tolist() == [1.0] * 12  # the first view
    assert gate[1, 4].item() == 0 and gate[1, 5].item() == 0.5
    assert after[NOT_A_NUMBER].tolist() == [0, 1]


def test_of_equal_values_the_first_ranks_first():
    assert ranks(torch.tensor([[2.0, 1.0, 2.0, 0.0]])).tolist() == [[2, 1, 3, 0]]


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


def test_a_state_is_its_tensors():
    state = play(make_tiny("linear"), FILT3R(), pictures(2))[-1]
    again = StreamState.from_tensors(state.tensors())
    assert list(state.tensors()) == ["tokens", "memory", "is_new"] + [
        f"buffer.{name}" for name in sorted(state.buffers)
    ]
    assert again.tensors().keys() == state.tensors().keys()
    assert all(value is again.tensors()[name] for name, value in state.tensors().items())
