"""Walks in a device's memory: what goes in comes out, views belong together, and renderers fill them."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.data.synthetic import synthetic_walk
from cut3r.data.walk_ring import Draw, Renderers, SharedWalks, WalkRing, halve_colors, halve_depth, walk_fields
from cut3r.data.walks import WalkConfig
from cut3r.geometry.cameras import camera_rays, pinhole, project
from cut3r.geometry.poses import invert, transform

CONFIG = WalkConfig(size=(12, 16), frames=6)


@pytest.fixture(scope="module")
def ring() -> WalkRing:
    ring = WalkRing(CONFIG, capacity=3)
    for index in range(2):
        ring.put(walk_fields(synthetic_walk(3, index, CONFIG)))
    return ring


def draw(ring: WalkRing, what: Draw, seed: int = 0) -> list:
    return [view.to("cpu") for view in ring.draw(np.random.default_rng(seed), what)]


def test_a_view_is_a_frame_of_the_walk(ring):
    views = ring.draw(np.random.default_rng(0), Draw(batch=4, views=2, apart=2))
    frames = {tuple(rgb.flatten().tolist()) for index in range(2) for rgb in synthetic_walk(3, index, CONFIG).rgb}
    assert all(tuple(rgb.flatten().tolist()) in frames for view in views for rgb in view.rgb)


def test_points_of_a_later_view_lie_where_the_first_camera_sees_them(ring):
    first, _, last = draw(ring, Draw(batch=4, views=3, apart=2))
    assert first.world_from_cam[:, :3, 3].abs().max() == 0
    pixels, depth = project(transform(invert(last.world_from_cam), last.points), last.intrinsics)
    torch.testing.assert_close(depth, last.depth, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(pixels[0, 5, 7], torch.tensor([7.0, 5.0]), atol=1e-2, rtol=0)


def test_the_first_view_is_the_origin_of_the_others(ring):
    views = ring.draw(np.random.default_rng(0), Draw(batch=2, views=2, apart=2))
    torch.testing.assert_close(views[0].first_from_cam, torch.eye(4).expand(2, 4, 4), atol=1e-5, rtol=0)
    expected = invert(views[0].world_from_cam) @ views[1].world_from_cam
    torch.testing.assert_close(views[1].first_from_cam, expected, atol=1e-5, rtol=0)


def test_frames_are_no_farther_apart_than_wanted_and_time_runs_both_ways(ring):
    numbers = ring._frames(np.random.default_rng(0), Draw(batch=200, views=3, apart=2))
    steps = np.diff(numbers, axis=1)
    assert numbers.min() == 0 and numbers.max() == CONFIG.frames - 1
    assert set(np.abs(steps).flatten()) == {1, 2}
    assert set(np.sign(steps[:, 0])) == {-1, 1}
    assert (np.sign(steps) == np.sign(steps[:, :1])).all()


def test_many_views_of_a_short_walk_stand_closer(ring):
    numbers = ring._frames(np.random.default_rng(0), Draw(batch=5, views=6, apart=4))
    assert (np.abs(np.diff(numbers, axis=1)) == 1).all()


def test_too_many_views_are_refused(ring):
    with pytest.raises(ValueError, match="7 views are to be drawn out of 2 walks of 6 frames"):
        draw(ring, Draw(batch=1, views=7, apart=1))


def test_an_empty_ring_gives_nothing():
    with pytest.raises(ValueError, match="wait until there are walks"):
        draw(WalkRing(CONFIG, capacity=1), Draw(batch=1, views=2, apart=1))


def test_new_walks_take_the_place_of_the_oldest():
    ring, walks = WalkRing(CONFIG, capacity=2), [walk_fields(synthetic_walk(3, index, CONFIG)) for index in range(3)]
    for walk in walks:
        ring.put(walk)
    assert (len(ring), ring.taken) == (2, 3)
    assert torch.equal(ring._fields["rgb"][0], walks[2]["rgb"])
    assert torch.equal(ring._fields["rgb"][1], walks[1]["rgb"])


def test_the_flags_stay_on_the_host():
    ring = WalkRing(CONFIG, capacity=1, device="meta")
    ring.taken = 1
    (view,) = ring.draw(np.random.default_rng(0), Draw(batch=1, views=1, apart=1))
    assert (view.depth.device.type, view.has_image.device.type) == ("meta", "cpu")


def test_halving_keeps_the_depth_of_a_plane():
    intrinsics, (h, w) = pinhole((12, 16), focal=14.0), (12, 16)
    normal, distance = torch.tensor([0.3, -0.2, 1.0]), 2.0

    def plane(camera: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return distance / (camera_rays(camera, size) @ normal)

    half = torch.tensor([[7.0, 0, 3.5], [0, 7.0, 2.5], [0, 0, 1]])
    torch.testing.assert_close(halve_depth(plane(intrinsics, (h, w))), plane(half, (h // 2, w // 2)), rtol=1e-5, atol=0)


def test_halving_takes_the_nearer_of_two_surfaces_and_knows_what_is_unknown():
    depth = torch.tensor([[1.0, 4.0, 2.0, 0.0], [1.0, 4.0, 2.0, 2.0]])
    assert halve_depth(depth).tolist() == [[1.0, 0.0]]


def test_halving_averages_colours():
    rgb = torch.tensor([[[0, 0, 8], [10, 0, 8]], [[20, 0, 8], [10, 4, 8]]], dtype=torch.uint8)
    assert halve_colors(rgb).tolist() == [[[10, 1, 8]]]


def test_halved_views_fit_their_cameras(ring):
    first, second = draw(ring, Draw(batch=3, views=2, apart=1, halved=True))
    assert first.size == (6, 8)
    pixels, _ = project(transform(invert(second.world_from_cam), second.points), second.intrinsics)
    torch.testing.assert_close(pixels[0, 4, 3], torch.tensor([3.0, 4.0]), atol=1e-2, rtol=0)
    whole = draw(ring, Draw(batch=3, views=2, apart=1))[0]
    torch.testing.assert_close(first.intrinsics[:, 0, 0], whole.intrinsics[:, 0, 0] / 2)
    torch.testing.assert_close(first.intrinsics[:, 0, 2], torch.full((3,), 3.5))


def test_shared_memory_holds_all_fields_apart():
    from multiprocessing import get_context

    tensors = SharedWalks.make(get_context("spawn"), CONFIG, slots=2).open()
    for number, values in enumerate(tensors.values(), start=1):
        values.fill_(number)
    assert [int(values.flatten()[-1]) for values in tensors.values()] == [1, 2, 3, 4]
    assert all(bool((values == values.flatten()[0]).all()) for values in tensors.values())


@pytest.mark.slow
def test_renderers_fill_the_ring_with_the_walks_of_the_seed():
    config, ring = replace(CONFIG, frames=2), WalkRing(replace(CONFIG, frames=2), capacity=20)
    renderers = Renderers(1, 3, config, first=5)
    try:
        ends = time.monotonic() + 120
        while len(ring) < 6 and time.monotonic() < ends:  # more than there are slots: they are used again
            renderers.hand_over(ring, wait_s=0.5)
    finally:
        renderers.close()
    assert torch.equal(ring._fields["rgb"][4], synthetic_walk(3, 9, config).rgb)


@pytest.mark.slow
def test_a_renderer_that_ends_by_itself_is_told():
    renderers = Renderers(1, 3, CONFIG)
    renderers.close()
    with pytest.raises(RuntimeError, match="1 renderers have ended"):
        renderers.hand_over(WalkRing(CONFIG, capacity=1))
