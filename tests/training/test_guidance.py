"""Guidance: what it reads, what it says of right and wrong answers, and that it gets a network off the plateau."""

from dataclasses import replace

import pytest
import torch

from cut3r.geometry.cameras import pinhole, unproject
from cut3r.geometry.poses import transform
from cut3r.model.config import DecoderConfig, EncoderConfig, HeadKind, ModelConfig, StateConfig, StatePositions
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs
from cut3r.training.correspondence import correspond, soft_labels
from cut3r.training.guidance import Guidance, position_alone, require_state_grid
from cut3r.training.loss_config import GuidanceConfig, LossConfig
from cut3r.training.losses import ReconstructionLoss
from cut3r.training.optim import OptimConfig, make_optimizer, set_learning_rate
from cut3r.training.own_place import start_at_own_place
from cut3r.training.precision import Precision, recompute_blocks
from cut3r.training.rollout import Batch, RolloutConfig, TrainingStep, chunk_plan, merge_details, run_chunks
from tests.training.fake_feed import random_views, small_network, weights, with_rays

CPU = torch.device("cpu")
EVERYTHING = GuidanceConfig(matching=1.0, attention=0.6, flow=2.0)
POSE_ONLY = LossConfig(pose_weight=5.0, cam_weight=0.0, world_weight=0.0, rgb_weight=0.0, ground_truth_scale=True)


def guided_step(config: GuidanceConfig = EVERYTHING, model: Cut3r | None = None) -> TrainingStep:
    model = small_network() if model is None else model
    return TrainingStep(model, Precision.fp32, guidance=Guidance(model, config))


def run(step: TrainingStep, views, rollout: RolloutConfig | None = None):
    """The pieces' totals, summed, and their details."""
    plan = chunk_plan(len(views), rollout or RolloutConfig())
    pieces = list(run_chunks(step, Batch.make(views, CPU), plan, ReconstructionLoss(LossConfig())))
    details = merge_details([(piece.chunk.start, piece.details) for piece in pieces])
    return sum(piece.total for piece in pieces), details


def test_the_losses_are_added_with_their_weights():
    views = random_views(0)
    plain, _ = run(TrainingStep(small_network(), Precision.fp32), views)
    total, details = run(guided_step(), views)
    added = details["matching"] + 0.6 * (details["attention"] + details["write"]) + 2 * details["flow"]
    torch.testing.assert_close(total - plain, added, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "reached"),
    [
        ("matching", "model.encoder.image.blocks.0.attn.qkv.weight"),
        ("attention", "model.decoder.image_blocks.1.cross.k.weight"),
        ("attention", "model.decoder.state_blocks.0.cross.q.weight"),
        ("flow", "model.decoder.image_blocks.3.mlp.fc1.weight"),
    ],
)
def test_each_loss_teaches_its_part_of_the_network(name, reached):
    step = guided_step(GuidanceConfig(**{name: 1.0}))
    with step.guidance.recording():
        step.model.rollout(Batch.make(random_views(0), CPU).inputs, outputs=Outputs.none())
    views = random_views(0)
    step.guidance(views, views[0], begins=True)[0].backward()
    assert step.get_parameter(reached).grad.abs().sum() > 0


def test_later_chunks_are_guided_by_the_first_view_of_the_sequence():
    whole = run(guided_step(GuidanceConfig(attention=1.0, flow=1.0)), random_views(0, views=4))[1]
    chunks = RolloutConfig(chunked=True, chunk_views=2)
    step = guided_step(GuidanceConfig(attention=1.0, flow=1.0))
    pieces = list(
        run_chunks(
            step,
            Batch.make(random_views(0, views=4), CPU),
            chunk_plan(4, chunks),
            ReconstructionLoss(LossConfig()),
        )
    )
    flows = [piece.details["flow"] for piece in pieces]
    torch.testing.assert_close((flows[0] + 2 * flows[1]) / 3, whole["flow"], atol=0.05, rtol=0)  # heads differ by luck
    assert "write" not in pieces[1].details


def test_a_chunk_of_the_first_view_alone_can_be_guided():
    total, details = run(guided_step(), random_views(0, views=2), RolloutConfig(chunked=True, chunk_views=1))
    assert total.isfinite()
    assert {"write", "attention", "flow"} <= details.keys()


def test_a_view_without_image_is_no_lesson():
    step = guided_step()
    _, details = run(step, with_rays(random_views(0, views=2), 1))
    assert details["attention"] == details["matching"] == details["flow"] == 0


def test_judging_names_the_losses_and_does_not_add_them():
    views = random_views(0)
    with torch.no_grad():
        batch, loss = Batch.make(views, CPU), ReconstructionLoss(LossConfig())
        total, details, *_ = guided_step()(batch, None, loss, views[0].world_from_cam)
        plain, *_ = TrainingStep(small_network(), Precision.fp32)(batch, None, loss, views[0].world_from_cam)
    assert total == plain
    assert details["attention"] > 0


def test_recomputed_blocks_give_the_same_gradients():
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(0)
        model = small_network()
        step = guided_step(model=model)
        if recompute:
            recompute_blocks(model)
        run(step, random_views(0))[0].backward()
        gradients.append([p.grad.clone() for p in step.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_attention_alone_has_no_weights_of_its_own():
    step = guided_step(GuidanceConfig(attention=1.0))
    assert not list(step.guidance.parameters())
    assert len(make_optimizer(step.model, OptimConfig(), step.guidance).param_groups) == 4


def test_weights_of_the_network_alone_know_nothing_of_it():
    model = small_network()
    before = set(weights(model))
    Guidance(model, EVERYTHING)
    assert set(weights(model)) == before


def test_attention_needs_state_tokens_where_the_patches_are():
    model = ModelConfig(image_size=(96, 128), state=StateConfig(tokens=48))
    with pytest.raises(ValueError, match=r"6x8 patches and the 48 state tokens lie in 6 columns; set .* to 64"):
        require_state_grid(model, [[96, 128]])
    require_state_grid(replace(model, state=StateConfig(tokens=64)), [[96, 128]])


def test_attention_needs_a_grid():
    model = ModelConfig(state=StateConfig(positions=StatePositions.line))
    with pytest.raises(ValueError, match="on a grid"):
        require_state_grid(model, [[96, 128]])


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match=r"guidance\.flow is -1"):
        GuidanceConfig(flow=-1.0)


# The gate: does the network look by content?

PATCH, GRID = 4, (3, 4)


def toy_network() -> Cut3r:
    torch.manual_seed(0)
    encoder = EncoderConfig(width=32, depth=1, heads=2, ray_depth=1, ray_heads=2)
    decoder = DecoderConfig(width=32, depth=2, heads=2, state_heads=2)
    state = StateConfig(tokens=16, memory_slots=2, memory_depth=1)
    size = (GRID[0] * PATCH, GRID[1] * PATCH)
    return Cut3r(
        ModelConfig(HeadKind.linear, size, PATCH, encoder=encoder, decoder=decoder, state=state, head_blocks=1)
    )


def toy_pair(seed: int, samples: int = 32):
    """A wall of coloured squares of a patch each, before a camera that steps by up to a square in both directions."""
    draw = torch.Generator().manual_seed(seed)
    rows, columns = GRID
    colours = torch.rand(samples, 3, rows + 2, columns + 2, generator=draw) * 2 - 1
    steps = torch.randint(-1, 2, (samples, 2), generator=draw)
    steps[:, 0] *= (torch.arange(samples) % 2).sub(0)  # half of them only to the side
    size, depth, focal = (rows * PATCH, columns * PATCH), 2.0, 8.0
    template = random_views(0, samples=samples, views=2, size=size)
    intrinsics = pinhole(size, focal).expand(samples, 3, 3).clone()
    views = []
    for view, step in zip(template, (torch.zeros_like(steps), steps), strict=True):
        crops = [
            c[:, 1 + y : 1 + y + rows, 1 + x : 1 + x + columns]
            for c, (y, x) in zip(colours, step.tolist(), strict=True)
        ]
        image = torch.stack(crops).repeat_interleave(PATCH, -1).repeat_interleave(PATCH, -2)
        pose = torch.eye(4).repeat(samples, 1, 1)
        pose[:, :2, 3] = step.flip(-1) * PATCH * depth / focal
        flat = torch.full((samples, *size), depth)
        points = transform(pose, unproject(flat, intrinsics))
        views.append(replace(view, image=image, depth=flat, points=points, intrinsics=intrinsics, world_from_cam=pose))
    return views


def attention_after(steps: int, guidance: GuidanceConfig, views) -> float:
    """The attention's cross-entropy on these new pairs, after a training with these weights of the losses."""
    model = toy_network()
    start_at_own_place(model)
    teacher, judge = Guidance(model, guidance), Guidance(model, EVERYTHING)
    step = TrainingStep(model, Precision.fp32, guidance=teacher, outputs=Outputs(points_cam=False))
    optimizer = make_optimizer(model, OptimConfig(), teacher if guidance.is_on else None)
    set_learning_rate(optimizer, 3e-3)
    loss, plan = ReconstructionLoss(POSE_ONLY), chunk_plan(2, RolloutConfig())
    for number in range(steps):
        (piece,) = run_chunks(step, Batch.make(toy_pair(number), CPU), plan, loss)
        optimizer.zero_grad()
        piece.total.backward()
        optimizer.step()
    with torch.no_grad(), judge.recording():
        model.rollout(Batch.make(views, CPU).inputs, outputs=Outputs.none())
        return float(judge(views, views[0], begins=True)[1]["attention"])


def test_with_guidance_attention_falls_below_position_alone_and_without_it_does_not():
    views = toy_pair(10**6, samples=256)
    found = correspond(views[1], views[0], PATCH)
    threshold = position_alone(soft_labels(found.place, GRID, columns=4, tokens=16), found.visible)
    assert attention_after(75, EVERYTHING, views) < 0.9 * threshold
    assert attention_after(75, GuidanceConfig(), views) > threshold


def test_a_guess_from_the_position_knows_what_is_always_so_and_nothing_else():
    always, visible = torch.eye(3).expand(8, 3, 3), torch.ones(8, 3, dtype=torch.bool)
    assert position_alone(always, visible) == 0
    either = torch.eye(2)[torch.arange(8) % 2].unsqueeze(1)  # of two tokens, each half of the time
    assert position_alone(either, visible[:, :1]) == pytest.approx(0.6931, abs=1e-4)
