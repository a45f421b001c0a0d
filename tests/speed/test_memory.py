"""The memory of a frame is counted; on a CPU, the same count of a real frame says whether that is right."""

import torch

from cut3r.inference.pipeline import ENCODED_TOGETHER
from cut3r.model.encoder import ViewInput
from cut3r.model.prediction import Outputs
from cut3r.speed import memory
from cut3r.speed.live_bytes import LiveBytes
from cut3r.speed.memory import AHEAD, CONTEXT, SCRATCH, free_on_host, memory_of_frame
from tests.conftest import tiny_config


def test_the_count_without_numbers_is_that_of_a_real_frame(tiny_model):
    view, state = ViewInput(image=torch.rand(1, 3, 48, 64)), tiny_model.initial_state()
    weights = [*tiny_model.parameters(), *tiny_model.buffers()]
    with torch.inference_mode(), LiveBytes([*weights, *state.tensors().values(), view.image]) as alive:
        tiny_model.step(state, view, tiny_model.encode(view), Outputs())
    counted = memory_of_frame(tiny_model.config, (48, 64), torch.float32)
    assert counted.weights == sum(tensor.nbytes for tensor in weights)
    assert abs(counted.frame / alive.peak - 1) < 0.05


def test_bfloat16_halves_the_weights_and_pictures_cost_memory():
    full, half = (memory_of_frame(tiny_config(), (48, 64), dtype) for dtype in (torch.float32, torch.bfloat16))
    assert 0.5 <= half.weights / full.weights < 0.75  # norms and the layers that give metres stay
    large = memory_of_frame(tiny_config(), (96, 128), torch.float32)
    assert large.weights == full.weights and large.frame > 2 * full.frame


def test_a_container_has_what_its_limit_leaves(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CONTAINER", tmp_path)
    whole = free_on_host()
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert whole > 2_000_000 == free_on_host()
    (tmp_path / "memory.max").write_text("max\n")
    assert free_on_host() > 2_000_000


def test_frames_are_counted_ahead_as_a_session_encodes_them():
    assert AHEAD == ENCODED_TOGETHER
    counted = memory_of_frame(tiny_config(), (48, 64), torch.float32)
    assert counted.ahead > 0
    assert counted.on_gpu() == CONTEXT + counted.weights + int(SCRATCH * (counted.frame + counted.ahead))
    assert counted.needs(on_gpu=True) == counted.on_gpu() and counted.needs(on_gpu=False) == counted.on_host()
