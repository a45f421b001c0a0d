import numpy as np
import pytest
import torch

from cut3r.data import synthetic
from cut3r.data.synthetic import SyntheticRooms, plan_walk, synthetic_walk
from cut3r.data.textures import pyramids
from cut3r.data.walks import WalkConfig

CONFIG = WalkConfig(size=(48, 64), frames=5, moving=1)


def rooms(**options) -> SyntheticRooms:
    return SyntheticRooms(**({"scenes": 3, "walk": CONFIG, "sizes": [(48, 64)], "num_views": 3, "seed": 7} | options))


def test_a_walk_has_the_shapes_and_types_of_its_fields():
    walk = synthetic_walk(0, 0, CONFIG)
    assert walk.rgb.shape == (5, 48, 64, 3) and walk.rgb.dtype == torch.uint8
    assert walk.depth.shape == (5, 48, 64) and (walk.depth > 0).all()
    assert walk.intrinsics.shape == (5, 3, 3) and walk.world_from_cam.shape == (5, 4, 4)


def test_walks_are_bit_identical_in_any_order():
    first, second = synthetic_walk(1, 0, CONFIG), synthetic_walk(1, 1, CONFIG)
    second_again, first_again = synthetic_walk(1, 1, CONFIG), synthetic_walk(1, 0, CONFIG)
    for walk, again in ((first, first_again), (second, second_again)):
        assert all(torch.equal(value, vars(again)[name]) for name, value in vars(walk).items())


@pytest.mark.parametrize(("seed", "index"), [(1, 1), (2, 0)])
def test_other_seeds_and_indices_give_other_rooms(seed, index):
    assert not torch.equal(plan_walk(1, 0, CONFIG).room.size, plan_walk(seed, index, CONFIG).room.size)


def test_motion_does_not_change_the_room():
    quick = WalkConfig(size=(48, 64), frames=5, moving=1, speed_m=0.5, turn_deg=20.0)
    assert torch.equal(plan_walk(1, 0, CONFIG).room.solids.center, plan_walk(1, 0, quick).room.solids.center)


def test_moving_objects_are_off_by_default():
    assert all((plan_walk(3, index, WalkConfig()).room.solids.swing == 0).all() for index in range(3))


def test_noise_differs_between_frames_and_walks():
    clean, noisy = (
        torch.stack([synthetic_walk(1, index, quiet(noise)).rgb.float() / 255 for index in range(12)])
        for noise in (0.0, 0.02)
    )
    noise = (noisy - clean).flatten(2)  # walks, frames, values
    deviations = noise.std(dim=(1, 2))
    assert deviations.max() < 0.042 and 0.01 < deviations.mean() < 0.03 and deviations.std() > 0.005
    assert abs(torch.corrcoef(noise[0])[0, 1]) < 0.05


def test_walks_are_blurred_by_different_amounts():
    sharp = torch.stack([synthetic_walk(1, index, quiet(0.0)).rgb.float() for index in range(8)])
    blurred = torch.stack([synthetic_walk(1, index, quiet(0.0, blur_px=1.0)).rgb.float() for index in range(8)])
    kept = blurred.diff(dim=-2).abs().mean(dim=(1, 2, 3, 4)) / sharp.diff(dim=-2).abs().mean(dim=(1, 2, 3, 4))
    assert (kept <= 1.001).all() and kept.max() > 0.9 and kept.min() < 0.75


def quiet(noise, blur_px=0.0):
    return WalkConfig(size=(48, 64), frames=2, noise=noise, blur_px=blur_px)


def test_the_dataset_reads_the_frames_of_the_walks():
    dataset = rooms()
    walk = synthetic_walk(7, 2, CONFIG)
    for number in (4, 0):
        frame = dataset.read(dataset.scenes[2], number)
        assert (frame.depth == walk.depth[number].numpy()).all()
        assert abs(frame.rgb.astype(int) - walk.rgb[number].numpy().astype(int)).max() <= 1
        assert (frame.world_from_cam == walk.world_from_cam[number].double().numpy()).all()


def test_frames_do_not_depend_on_what_was_read_before():
    dataset, other = rooms(), rooms()
    other.read(other.scenes[0], 3)
    ours, theirs = dataset.read(dataset.scenes[1], 2), other.read(other.scenes[1], 2)
    assert (ours.rgb == theirs.rgb).all() and (ours.depth == theirs.depth).all()


@pytest.mark.parametrize("cached", [False, True])
def test_frames_read_together_are_those_read_alone(tmp_path, cached):
    dataset = rooms(cache=tmp_path / "frames" if cached else None)
    scene, frames = dataset.scenes[1], [4, 0, 4, 3]
    if cached:
        dataset.read(scene, 0)
    together = list(dataset.read_many(scene, frames))
    for frame, name in zip(together, frames, strict=True):
        alone = rooms().read(scene, name)
        assert all(np.array_equal(value, vars(alone)[field]) for field, value in vars(frame).items())


def test_a_sample_is_one_plan_and_one_call_of_the_renderer(monkeypatch):
    calls = []
    for name in ("plan_walk", "render"):
        monkeypatch.setattr(synthetic, name, counted(getattr(synthetic, name), name, calls))
    rooms(num_views=4)[0]
    assert calls == ["plan_walk", "render"]


def counted(function, name, calls):
    def call(*args):
        calls.append(name)
        return function(*args)

    return call


def test_samples_are_metric_and_seen_everywhere():
    sample = rooms()[4]
    assert len(sample) == 3 and sample[0].image.shape == (3, 48, 64)
    assert all(view.metric and view.valid.all() and not view.sky.any() for view in sample)
    assert sample[0].label.startswith("synthetic/0000")


def test_frames_are_rendered_at_a_size_that_covers_all_sizes():
    dataset = rooms(sizes=[(32, 64), (48, 48)])
    assert dataset.read(dataset.scenes[0], 0).size == (48, 64)


def test_patterns_are_drawn_before_workers_are_forked():
    pyramids.cache_clear()
    rooms()
    before = pyramids.cache_info().misses
    pyramids(torch.device("cpu"))
    assert pyramids.cache_info().misses == before
