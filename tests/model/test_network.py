"""Laws of the network that hold for any weights."""

import re

import jaxtyping
import pytest
import torch
from torch import Tensor

from cut3r.model.encoder import ViewInput
from cut3r.model.prediction import Outputs
from cut3r.model.state import StreamState


def image(batch: int = 1, size: tuple[int, int] = (32, 48), seed: int = 0) -> Tensor:
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def rays(batch: int = 1, size: tuple[int, int] = (32, 48), seed: int = 0) -> Tensor:
    return torch.randn(batch, *size, 6, generator=torch.Generator().manual_seed(seed))


def flag(*values: bool) -> Tensor:
    return torch.tensor(values)


def assert_same_state(a: StreamState, b: StreamState) -> None:
    torch.testing.assert_close(a.tokens, b.tokens, rtol=0, atol=0)
    torch.testing.assert_close(a.memory, b.memory, rtol=0, atol=0)


def test_every_parameter_that_should_learn_gets_a_gradient(tiny_model):
    views = [
        ViewInput(image(2, seed=1)),
        ViewInput(image(2, seed=2), rays(2), has_image=flag(True, False), has_rays=flag(False, True)),
        ViewInput(image(2, seed=3), rays(2), has_rays=flag(True, False)),
        ViewInput(image(2, seed=4)),
    ]
    before = {name: parameter.clone() for name, parameter in tiny_model.named_parameters()}
    optimizer = torch.optim.SGD([p for p in tiny_model.parameters() if p.requires_grad], lr=1e-2)
    outputs = tiny_model.rollout(views, outputs=Outputs.all()).predictions
    fields = ("points_cam", "conf_cam", "points_world", "conf_world", "rgb", "pose_encoding")
    sum(getattr(p, field).square().mean() for p in outputs for field in fields).backward()
    optimizer.step()
    gradients = {name: p.grad for name, p in tiny_model.named_parameters() if p.grad is not None}
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert {n for n in before if n not in gradients} == {n for n in before if ".fusions.3.skip_unit." in n}
    # a softmax over one key is 1, and adding the same to all keys changes nothing: these cannot learn at all
    cannot = re.compile(r"memory\.write_blocks\.\d\.(norm2|cross\.[qk])\.|cross\.k\.bias$")
    still = {n for n, p in tiny_model.named_parameters() if n in gradients and torch.equal(p, before[n])}
    assert {name for name in still if not cannot.search(name)} == set()


@torch.inference_mode()
def test_a_ray_map_alone_never_changes_the_state(tiny_linear):
    state = tiny_linear.rollout([ViewInput(image())], outputs=Outputs.none()).states[-1]
    after = tiny_linear.rollout([ViewInput(ray_map=rays())], outputs=Outputs.all(), combine="stream", state=state)
    assert_same_state(after.states[-1], state)


@torch.inference_mode()
def test_a_view_that_may_not_update_leaves_the_state_alone(tiny_linear):
    state = tiny_linear.rollout([ViewInput(image())], outputs=Outputs.none()).states[-1]
    after = tiny_linear.rollout([ViewInput(image(seed=1), update=flag(False))], outputs=Outputs.none(), state=state)
    assert_same_state(after.states[-1], state)


@torch.inference_mode()
def test_a_view_that_updates_changes_the_state_but_not_the_old_one(tiny_linear):
    state = tiny_linear.rollout([ViewInput(image())], outputs=Outputs.none()).states[-1]
    kept = state.clone()
    after = tiny_linear.rollout([ViewInput(image(seed=1))], outputs=Outputs.none(), state=state).states[-1]
    assert_same_state(state, kept)
    assert not torch.allclose(after.tokens, state.tokens)
    assert not torch.allclose(after.memory, state.memory)


@torch.inference_mode()
def test_samples_of_a_batch_do_not_see_each_other(tiny_model):
    streams = [[image(seed=10 * s + i) for i in range(3)] for s in range(2)]
    both = [ViewInput(torch.cat(pair), reset=flag(i == 1, False)) for i, pair in enumerate(zip(*streams, strict=True))]
    together = tiny_model.rollout(both, outputs=Outputs.all())
    for s, stream in enumerate(streams):
        views = [ViewInput(x, reset=flag(i == 1 and s == 0)) for i, x in enumerate(stream)]
        alone = tiny_model.rollout(views, outputs=Outputs.all())
        for a, b in zip(together.predictions, alone.predictions, strict=True):
            torch.testing.assert_close(a.points_world[s], b.points_world[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(together.states[-1].tokens[s], alone.states[-1].tokens[0], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_what_a_mask_hides_does_not_matter_even_when_it_is_not_a_number(tiny_linear):
    hidden = image(2)
    hidden[1] = torch.nan
    views = [ViewInput(hidden, rays(2), has_image=flag(True, False), has_rays=flag(False, True))]
    prediction = tiny_linear.rollout(views, outputs=Outputs.all()).predictions[0]
    assert prediction.points_cam.isfinite().all()


def test_hidden_pixels_do_not_poison_the_gradient(tiny_linear):
    hidden = image(2)
    hidden[1] = torch.nan
    view = ViewInput(hidden, rays(2), has_image=flag(True, False), has_rays=flag(False, True))
    tiny_linear.rollout([view], outputs=Outputs.all()).predictions[0].points_cam.mean().backward()
    assert all(p.grad.isfinite().all() for p in tiny_linear.parameters() if p.grad is not None)


@torch.inference_mode()
def test_both_rules_agree_on_images_and_differ_with_rays(tiny_linear):
    images = [ViewInput(image(seed=i)) for i in range(2)]
    mixed = [*images, ViewInput(ray_map=rays())]
    for views, same in ((images, True), (mixed, False)):
        a, b = (
            tiny_linear.rollout(views, outputs=Outputs(), combine=rule).predictions[0] for rule in ("batch", "stream")
        )
        assert torch.allclose(a.points_cam, b.points_cam, atol=1e-6) is same


@torch.inference_mode()
def test_one_stream_may_change_its_image_size(tiny_model):
    sizes = [(32, 48), (48, 32), (16, 64), (80, 48)]
    rollout = tiny_model.rollout([ViewInput(image(size=size)) for size in sizes], outputs=Outputs.all())
    assert [tuple(p.points_cam.shape[1:3]) for p in rollout.predictions] == sizes


@torch.inference_mode()
def test_a_rollout_in_two_parts_equals_one(tiny_linear):
    views = [ViewInput(image(seed=i)) for i in range(4)]
    whole = tiny_linear.rollout(views, outputs=Outputs(), keep_states=True)
    first = tiny_linear.rollout(views[:2], outputs=Outputs())
    second = tiny_linear.rollout(views[2:], outputs=Outputs(), state=first.states[-1])
    assert_same_state(second.states[-1], whole.states[-1])
    assert len(whole.states) == 5
    assert len(first.states) == 1


def test_a_size_that_is_no_multiple_of_the_patch_is_refused(tiny_linear):
    with pytest.raises(ValueError, match="33x48"):
        tiny_linear.encode(ViewInput(image(size=(33, 48))))


def test_a_view_without_anything_is_refused():
    with pytest.raises(ValueError, match="neither"):
        ViewInput()


def test_image_and_rays_of_different_sizes_are_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as in production, where shapes are not enforced
    with pytest.raises(ValueError, match="disagree"):
        ViewInput(image(), rays(size=(48, 32)))


def test_a_state_of_another_batch_size_is_refused(tiny_linear):
    view = ViewInput(image(2))
    with pytest.raises(ValueError, match="state holds 1 streams but the view has 2"):
        tiny_linear.step(tiny_linear.initial_state(1), view, tiny_linear.encode(view), Outputs())


def test_an_empty_rollout_is_refused(tiny_linear):
    with pytest.raises(ValueError, match="at least one view"):
        tiny_linear.rollout([], outputs=Outputs())


def test_inference_first_does_not_break_training_afterwards(tiny_linear):
    view = ViewInput(image(size=(64, 48)))
    with torch.inference_mode():  # fills the position caches
        tiny_linear.rollout([view], outputs=Outputs.all())
    tiny_linear.rollout([view], outputs=Outputs.all()).predictions[0].points_world.sum().backward()


@pytest.mark.gpu
@torch.inference_mode()
def test_the_gpu_agrees_with_the_cpu(tiny_model):
    views = [ViewInput(image(seed=i)) for i in range(3)]
    on_cpu = tiny_model.rollout(views, outputs=Outputs.all()).predictions[-1]
    tiny_model.cuda()
    on_gpu = tiny_model.rollout([ViewInput(v.image.cuda()) for v in views], outputs=Outputs.all()).predictions[-1]
    torch.testing.assert_close(on_gpu.points_world.cpu(), on_cpu.points_world, atol=1e-3, rtol=1e-3)
