"""Laws of the losses: what changes them, what must not, and that nothing makes a gradient nan."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.linalg import vector_norm

from cut3r.geometry.poses import encoding_from_pose, invert, pose_from_encoding, transform
from cut3r.training.loss_config import LossConfig, Normalization, PointLoss
from cut3r.training.losses import ReconstructionLoss, ValidationLoss
from cut3r.training.normalization import Units, normalize
from cut3r.training.point_losses import NEAREST
from cut3r.training.supervision import supervise
from tests.training.loss_cases import change, gradients, random_batch

seeds = st.integers(0, 2**31)
LOSSES = {
    "plain": ReconstructionLoss(LossConfig()),
    "by_kind": ReconstructionLoss(LossConfig(inner=PointLoss.by_kind)),
    "parity": ReconstructionLoss(LossConfig(inner=PointLoss.by_kind, parity=True)),
    "median": ReconstructionLoss(LossConfig(normalization=Normalization.median)),
    "root": ReconstructionLoss(LossConfig(normalization=Normalization.root_distance)),
    "per_sample": ReconstructionLoss(LossConfig(mean_per_sample=True)),
    "relative": ReconstructionLoss(LossConfig(relative=True)),
    "validation": ValidationLoss(),
}


def blown_up(predictions, factor):
    """Predictions of the same scene, `factor` times as large."""
    return [
        replace(
            prediction,
            points_cam=prediction.points_cam * factor,
            points_world=prediction.points_world * factor,
            pose_encoding=torch.cat((prediction.pose_encoding[:, :3] * factor, prediction.pose_encoding[:, 3:]), dim=1),
        )
        for prediction in predictions
    ]


def exact(views):
    """What a perfect network would say."""
    _, predictions = random_batch(len(views), len(views[0].metric), views[0].size)
    answers = []
    for view, prediction in zip(views, predictions, strict=True):
        world_from_dataset = invert(views[0].world_from_cam)
        answers.append(
            replace(
                prediction,
                points_cam=transform(invert(view.world_from_cam), view.points),
                points_world=transform(world_from_dataset, view.points),
                pose_encoding=encoding_from_pose(world_from_dataset @ view.world_from_cam),
                rgb=view.image.movedim(1, -1),
            )
        )
    return answers


@pytest.mark.parametrize("name", ["plain", "by_kind", "median", "root", "relative"])
@settings(max_examples=5)
@given(seed=seeds, factor=st.floats(0.2, 5.0))
def test_the_scale_of_a_prediction_is_free_where_the_dataset_has_none(name, seed, factor):
    views, predictions = random_batch(seed=seed)
    loss = LOSSES[name]
    torch.testing.assert_close(
        loss(views, blown_up(predictions, factor)).total, loss(views, predictions).total, rtol=1e-4, atol=1e-5
    )


def test_the_scale_of_a_prediction_counts_on_metric_samples():
    views, predictions = random_batch(metric=torch.tensor([True, True]))
    loss, free = LOSSES["plain"], ReconstructionLoss(LossConfig(metric_keeps_scale=False))
    assert loss(views, blown_up(predictions, 3.0)).total > 1.1 * loss(views, predictions).total
    torch.testing.assert_close(free(views, blown_up(predictions, 3.0)).total, free(views, predictions).total)


@pytest.mark.parametrize("name", ["plain", "by_kind", "validation", "relative"])
@settings(max_examples=5)
@given(seed=seeds)
def test_the_world_of_the_dataset_does_not_matter(name, seed):
    views, predictions = random_batch(seed=seed, metric=torch.tensor([True, False]))
    encoding = torch.randn(7, generator=torch.Generator().manual_seed(seed))
    new_from_old = pose_from_encoding(encoding)
    moved = [
        replace(
            view,
            points=transform(new_from_old, view.points),
            world_from_cam=new_from_old @ view.world_from_cam,
        )
        for view in views
    ]
    loss = LOSSES[name]
    torch.testing.assert_close(loss(moved, predictions).total, loss(views, predictions).total, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_perfect_prediction_has_no_error(name):
    views, _ = random_batch(metric=torch.tensor([True, False]))
    details = LOSSES[name](views, exact(views)).details
    errors = {key: value for key, value in details.items() if not key.startswith(("weighted", "pixels"))}
    assert max(errors.values()) < 1e-5


def test_relative_errors_are_shares_of_the_distance():
    views, _ = random_batch(metric=torch.tensor([True, True]))
    answers = exact(views)
    enlarged = [replace(answer, points_cam=1.1 * answer.points_cam) for answer in answers]
    details = LOSSES["relative"](views, enlarged).details
    for number in range(1, len(views) + 1):  # a tenth, wherever the points are
        torch.testing.assert_close(details[f"points_cam/{number}"], torch.tensor(0.1))
    moved = [replace(answer, points_world=answer.points_world + torch.tensor([0.0, 0.0, 0.3])) for answer in answers]
    distances = [
        torch.linalg.vector_norm(transform(invert(view.world_from_cam), view.points), dim=-1)[view.valid]
        for view in views
    ]
    details = LOSSES["relative"](views, moved).details
    for number, distance in enumerate(distances, 1):  # also in the world: of the distance from the view's own camera
        torch.testing.assert_close(details[f"points_world/{number}"], (0.3 / distance).mean(), rtol=1e-3, atol=1e-4)


def test_relative_errors_of_points_at_the_camera_are_finite():
    views, predictions = random_batch(metric=torch.tensor([True, True]))
    centre = views[0].world_from_cam[:, None, None, :3, 3]
    points = torch.cat((centre.expand(-1, -1, views[0].size[1], -1), views[0].points[:, 1:]), dim=1)  # the first row
    everywhere = torch.ones_like(views[0].valid)
    views[0] = replace(views[0], points=points, valid=everywhere, sky=~everywhere)
    result = LOSSES["relative"](views, predictions)
    assert all(torch.isfinite(value).all() for value in gradients(result, predictions).values())
    in_metres = ReconstructionLoss(LossConfig(relative=True, ground_truth_scale=True))  # so NEAREST is in metres
    answer = exact(views)[0]
    off = replace(answer, points_cam=answer.points_cam + torch.tensor([0.0, 0.0, 0.3]))
    expected = 0.3 / vector_norm(answer.points_cam, dim=-1).clamp_min(NEAREST)
    torch.testing.assert_close(in_metres(views[:1], [off]).details["points_cam/1"], expected.mean())
    assert expected.max() == 0.3 / NEAREST


def test_validation_measures_in_metres_what_was_trained_in_shares():
    views, predictions = random_batch(metric=torch.tensor([True, True]))
    relative, plain = (ValidationLoss.like(LossConfig(relative=relative)) for relative in (True, False))
    assert relative(views, predictions).total == plain(views, predictions).total


def test_a_chunk_is_compared_in_the_frame_of_the_sequence():
    views, _ = random_batch(v=4, metric=torch.tensor([True, True]))
    loss, first_camera = LOSSES["plain"], views[0].world_from_cam
    details = loss(views[2:], exact(views)[2:], first_camera=first_camera).details
    assert details["pose"] < 1e-5 and details["points_world/1"] < 1e-5
    assert loss(views[2:], exact(views)[2:]).details["pose"] > 0.1


def test_seen_distances_give_all_chunks_of_a_sequence_one_unit():
    views, predictions = random_batch(v=4)
    config, first_camera = LossConfig(), views[0].world_from_cam
    whole = normalize(supervise(views, predictions, config), config).seen
    loss = ReconstructionLoss(config)
    first = loss(views[:3], predictions[:3], first_camera=first_camera)
    last = loss(views[3:], predictions[3:], first_camera=first_camera, seen=first.seen)
    for name in ("points", "translations"):
        joint, chunked = Units.mean(getattr(whole, name)), Units.mean(getattr(last.seen, name))
        torch.testing.assert_close(chunked.target, joint.target)
        torch.testing.assert_close(chunked.predicted, joint.predicted)
    assert not last.seen.points.predicted.requires_grad
    alone = loss(views[3:], predictions[3:], first_camera=first_camera)
    assert abs(alone.total - last.total) > 1e-3


def test_a_median_cannot_be_continued():
    views, predictions = random_batch()
    seen = LOSSES["plain"](views, predictions).seen
    with pytest.raises(ValueError, match="median cannot continue"):
        LOSSES["median"](views, predictions, seen=seen)


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=6)
@given(seed=seeds, pixels=st.sampled_from(["none", "one", "some"]))
def test_gradients_are_finite_for_any_masks_and_facts(name, seed, pixels):
    generator = torch.Generator().manual_seed(seed)

    def coin(*shape, chance=0.5):
        return torch.rand(shape, generator=generator) < chance

    facts = {fact: coin(4) for fact in ("metric", "camera_only", "depth_only", "single_view")}
    views, predictions = random_batch(b=4, seed=seed, **facts)
    for number, view in enumerate(views):
        valid = coin(*view.valid.shape) & coin(4, chance=0.7).view(4, 1, 1)
        if pixels != "some":
            valid = torch.zeros_like(valid)
            valid[0, 0, 0] = pixels == "one"
        # what a dataset puts where it knows nothing: the centre of the camera
        centre = view.world_from_cam[:, None, None, :3, 3].expand_as(view.points)
        points = torch.where(valid.unsqueeze(-1), view.points, centre)
        views[number] = replace(view, valid=valid, sky=coin(*valid.shape), points=points, has_image=coin(4))
    result = LOSSES[name](views, predictions)
    assert result.total.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients(result, predictions).values())


@pytest.mark.parametrize("name", ["plain", "by_kind", "median", "root", "per_sample", "validation"])
def test_nan_points_where_nothing_is_known_change_nothing(name):
    kinds = {"single_view": torch.tensor([True, False]), "depth_only": torch.tensor([False, True])}
    views, predictions = random_batch(**kinds)
    hole = torch.zeros_like(views[0].valid)
    hole[:, 1, 2:] = True
    views = change(views, valid=~hole, sky=hole)
    poisoned = [replace(view, points=view.points.masked_fill(hole.unsqueeze(-1), torch.nan)) for view in views]
    expected = LOSSES[name](views, predictions)
    found = LOSSES[name](poisoned, predictions)
    assert torch.equal(found.total, expected.total)
    assert all(gradient.isfinite().all() for gradient in gradients(found, predictions).values())


def test_in_the_sky_only_the_confidence_learns():
    views, predictions = random_batch()
    sky = torch.zeros_like(views[0].valid)
    sky[:, :2] = True
    found = gradients(LOSSES["plain"](change(views, valid=~sky, sky=sky), predictions), predictions)
    assert found["points_cam"][:, sky].eq(0).all() and found["points_world"][:, sky].eq(0).all()
    assert found["conf_cam"][:, sky].gt(0).all()  # going downhill lowers it
    assert found["points_cam"][:, ~sky].ne(0).all()


def test_without_depth_only_the_directions_of_points_count():
    views, predictions = random_batch(camera_only=torch.tensor([True, True]))
    near = [replace(p, points_cam=p.points_cam.abs() + 0.5) for p in predictions]
    stretch = torch.rand(2, 6, 8, 1) + 0.5
    far = [replace(p, points_cam=p.points_cam * stretch, points_world=p.points_world + 7) for p in near]
    torch.testing.assert_close(LOSSES["plain"](views, far).total, LOSSES["plain"](views, near).total)


def test_the_best_confidence_is_alpha_over_the_error():
    views, predictions = random_batch(metric=torch.tensor([True, True]))
    config = LossConfig(alpha=0.7, ground_truth_scale=True)
    pair = supervise(views, predictions, config).points["cam"]
    best = 0.7 / (pair.predicted - pair.target).norm(dim=-1).detach()
    predictions = [replace(p, conf_cam=c.clone().requires_grad_()) for p, c in zip(predictions, best, strict=True)]
    assert gradients(ReconstructionLoss(config)(views, predictions), predictions)["conf_cam"].abs().max() < 1e-6


def test_the_old_pose_loss_stops_learning_above_its_clip():
    views, predictions = random_batch(metric=torch.tensor([True, True]))
    points_alone = ReconstructionLoss(LossConfig(pose_weight=0.0))(views, predictions).total
    old = ReconstructionLoss(LossConfig(pose_weight=5.0, pose_clip=0.3))
    result = old(views, predictions)
    assert result.details["pose"] > 0.3
    torch.testing.assert_close(result.total, points_alone + 5 * 0.3)
    assert gradients(result, predictions)["pose_encoding"].eq(0).all()
    close = [
        replace(p, pose_encoding=(e.pose_encoding + 0.01).requires_grad_())
        for p, e in zip(predictions, exact(views), strict=True)
    ]
    result = old(views, close)
    torch.testing.assert_close(result.total, points_alone + 5 * result.details["pose"])
    assert gradients(result, close)["pose_encoding"].ne(0).any()
