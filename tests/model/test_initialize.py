"""The start at the own place: what an untrained decoder then does."""

import pytest
import torch

from cut3r.model.config import DecoderConfig, EncoderConfig, HeadKind, ModelConfig, StateConfig, StatePositions
from cut3r.model.network import Cut3r
from cut3r.model.rope import grid_angles, rotate_pair, state_angles
from cut3r.training.own_place import start_at_own_place


def network(positions: StatePositions = StatePositions.grid) -> Cut3r:
    torch.manual_seed(0)
    encoder = EncoderConfig(width=32, depth=1, heads=2, ray_depth=1, ray_heads=2)
    decoder = DecoderConfig(width=32, depth=3, heads=2, state_heads=2)
    state = StateConfig(tokens=16, positions=positions, memory_slots=2, memory_depth=1)
    return Cut3r(ModelConfig(HeadKind.linear, (32, 48), 16, encoder=encoder, decoder=decoder, state=state))


def test_the_state_looks_at_its_own_place_of_the_image():
    cross = start(network()).decoder.state_blocks[0].cross
    state, image = torch.randn(1, 16, 32), torch.randn(1, 7, 32)
    q, k = (layer(x).unflatten(-1, (2, 16)).transpose(1, 2) for layer, x in ((cross.q, state), (cross.k, image)))
    device = torch.device("cpu")
    angles = state_angles(16, "grid", 16, 100.0, device), grid_angles((2, 3), 16, 100.0, device, pose_token=True)
    q, k = rotate_pair(q, k, *angles)
    looks_at = (q @ k.mT).argmax(-1)[0]  # heads, state tokens; 4 columns
    assert looks_at[:, [0, 1, 2, 4, 5, 6]].tolist() == [[1, 2, 3, 4, 5, 6]] * 2


def test_content_is_compared_and_passed_on():
    for block in start(network()).decoder.image_blocks:
        cross = block.cross
        assert torch.equal(cross.q.weight, cross.k.weight)
        torch.testing.assert_close(cross.q.weight @ cross.q.weight.T, 4 * torch.eye(32), atol=1e-5, rtol=0)
        torch.testing.assert_close(cross.proj.weight @ cross.v.weight, torch.eye(32), atol=1e-5, rtol=0)


def test_nothing_but_the_cross_attention_of_the_decoder_changes():
    published, ours = network().state_dict(), start(network()).state_dict()
    changed = {name for name in ours if not torch.equal(ours[name], published[name])}
    assert changed
    assert all(name.startswith("decoder.") and ".cross." in name for name in changed)


def test_a_state_without_grid_has_no_own_place():
    with pytest.raises(ValueError, match="on a grid"):
        start_at_own_place(network(StatePositions.line))


def start(model: Cut3r) -> Cut3r:
    start_at_own_place(model)
    return model
