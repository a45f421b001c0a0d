"""From frames to results, with a tiny random network: what is asked for is what comes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.alignment.align import AlignConfig, Graph, Loops, Method, align
from cut3r.alignment.links import links_of
from cut3r.alignment.pose_graph import solve_pose_graph
from cut3r.alignment.predict import predict
from cut3r.alignment.taken import take
from cut3r.geometry.cameras import pinhole
from cut3r.inference.preprocess import FitConfig
from cut3r.inference.reconstruction import Reconstruction
from cut3r.io.frame import Frame

FIT = FitConfig(size=64)


def frames(n: int, **known):
    pictures = np.random.default_rng(0).integers(0, 256, (n, 96, 128, 3), dtype=np.uint8)
    return [Frame(rgb, k, k / 30, f"clip#{k}", **known) for k, rgb in enumerate(pictures)]


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("n", [1, 2, 4])
def test_every_frame_gets_a_result_in_one_world(tiny_linear, method, n):
    aligned = align(tiny_linear, take(frames(n), FIT), AlignConfig(method, steps=10))
    results = list(aligned.results())
    assert [result.number for result in results] == list(range(n))
    torch.testing.assert_close(results[0].world_from_cam, torch.eye(4), atol=1e-4, rtol=0)
    scene = Reconstruction(confidence=0.0, edges=None)
    for result in results:
        assert result.camera_is_finite and result.points_world.shape == (48, 64, 3)
        scene.add(result)
    assert len(scene) > 0 and len(scene.cameras) == n
    assert json.loads(json.dumps(aligned.report))["loss_after"] <= aligned.report["loss_before"] < float("inf")


def test_points_of_the_results_are_scaled_as_the_graph_says(tiny_linear):
    aligned = align(tiny_linear, take(frames(4), FIT), AlignConfig(Method.graph))
    result = list(aligned.results())[2]
    torch.testing.assert_close(result.points_cam, aligned.points_cam[2].float() * aligned.scales[2])


@pytest.mark.parametrize("method", Method)
def test_where_frames_stood_before_is_a_placement(tiny_linear, method):
    before = align(tiny_linear, take(frames(3), FIT), AlignConfig(method, steps=5)).before
    assert before.translation.shape == (3, 3) and bool((before.scale > 0).all())
    torch.testing.assert_close(before.translation[0].double(), torch.zeros(3).double(), atol=1e-5, rtol=0)


def test_without_a_step_before_is_after(tiny_linear):
    still = align(tiny_linear, take(frames(3), FIT), AlignConfig(Method.original, steps=0))
    torch.testing.assert_close(still.before.translation, still.world_from_cam[:, :3, 3], atol=1e-5, rtol=0)
    torch.testing.assert_close(still.before.scale, torch.ones(3), atol=1e-5, rtol=0)


def test_before_the_pose_graph_points_had_the_scale_of_the_tree(tiny_linear):
    """`before` is relative to the results, whose points the graph has scaled."""
    taken = take(frames(4), FIT)
    predictions = predict(tiny_linear, taken.images, AlignConfig().stars(4))
    solved = solve_pose_graph(4, links_of(predictions, seed=0)[0])
    aligned = align(tiny_linear, taken, AlignConfig(Method.graph))
    torch.testing.assert_close(aligned.before.scale * aligned.scales, solved.start.scale, check_dtype=False)
    torch.testing.assert_close(aligned.before.translation, solved.start.translation)


def test_known_intrinsics_reproduce_themselves(tiny_linear):
    known = pinhole((96, 128), 150.0, (60.0, 50.0)).numpy()
    for result in align(tiny_linear, take(frames(3, intrinsics=known), FIT)).results():
        torch.testing.assert_close(result.intrinsics_original, torch.from_numpy(known))


def test_known_poses_stay(tiny_linear):
    camera = np.eye(4)
    camera[:3, 3] = (1, 2, 3)
    some = frames(3)
    some[1] = frames(2, world_from_cam=camera)[1]
    result = list(align(tiny_linear, take(some, FIT)).results())[1]
    assert torch.equal(result.world_from_cam.double(), torch.from_numpy(camera))


def test_intrinsics_in_the_networks_pixels_are_kept_to_the_last_bit(tiny_linear):
    taken = take(frames(3, intrinsics=pinhole((96, 128), 150.0, (60.0, 50.0)).numpy()), FIT)
    found = align(tiny_linear, taken, AlignConfig(sweeps=3)).intrinsics
    assert torch.equal(found, torch.stack([taken.intrinsics[k] for k in range(3)]))


def test_a_frame_of_which_a_mask_leaves_nothing_still_gets_a_camera(tiny_linear):
    taken = take(frames(3), FIT)
    taken.counts[2] = False
    result = list(align(tiny_linear, taken, AlignConfig(sweeps=2)).results())[2]
    assert result.camera_is_finite and not result.valid.any()


def test_masked_pixels_are_not_valid(tiny_linear):
    mask = np.ones((96, 128), dtype=bool)
    mask[:48] = False
    for result in align(tiny_linear, take(frames(2, mask=mask), FIT)).results():
        assert not result.valid[:24].any() and result.valid[24:].any()


def test_one_focal_length_for_all(tiny_linear):
    focals = align(tiny_linear, take(frames(4), FIT), AlignConfig(shared_focal=True)).intrinsics[:, 0, 0]
    assert len(focals.unique()) == 1


def test_the_one_camera_is_the_known_one(tiny_linear):
    known = pinhole((96, 128), 150.0, (60.0, 50.0)).numpy()
    some = frames(3)
    some[1] = frames(2, intrinsics=known)[1]
    for result in align(tiny_linear, take(some, FIT), AlignConfig(shared_focal=True)).results():
        torch.testing.assert_close(result.intrinsics_original, torch.from_numpy(known))


@pytest.mark.parametrize(
    ("config", "n", "count"),
    [
        (AlignConfig(), 5, 20),
        (AlignConfig(), 40, 2 * (39 + 38 + 37 + 36 + 32 + 12 + 2)),  # 1, 2, 3, 4, 8, 16 and 32 apart
        (AlignConfig(graph=Graph.window, width=1), 5, 8),
        (AlignConfig(graph=Graph.wide), 12, 2 * (11 + 10 + 9 + 8 + 4)),
        (AlignConfig(graph=Graph.first), 5, 4),
        (AlignConfig(Method.original, parity=True), 5, 10),
    ],
    ids=["few: all", "many: wide", "window", "wide", "first", "parity"],
)
def test_the_graph_that_is_asked_for(config, n, count):
    assert sum(len(star) - 1 for star in config.stars(n)) == count


@pytest.mark.parametrize(
    ("config", "n", "looks"),
    [
        (AlignConfig(), 30, False),
        (AlignConfig(), 31, True),
        (AlignConfig(graph=Graph.window), 10, True),
        (AlignConfig(graph=Graph.first), 99, False),
        (AlignConfig(loops=Loops.off), 99, False),
    ],
    ids=["few: all pairs", "many", "window", "one reference", "off"],
)
def test_loops_are_looked_for_where_only_neighbours_are_paired(config, n, looks):
    assert config.looks_for_loops(n) is looks


@pytest.mark.slow
def test_the_report_tells_of_loops_and_of_the_drift(tiny_linear):
    """The last frames are the first ones again."""
    some = frames(34)
    again = [replace(some[k], index=34 + k) for k in range(3)]
    report = align(tiny_linear, take(some + again, FIT), AlignConfig(graph=Graph.window, width=1)).report
    offered = report["loops"]["kept"] + report["loops"]["refused"]
    assert {(0, 34), (1, 35), (2, 36)} & {(loop["first"], loop["second"]) for loop in offered}
    assert all(loop["reason"] for loop in report["loops"]["refused"])
    assert set(report["scale_drift"]) == {"log_scale_per_100_frames", "log_scale_range", "loops"}
    without = align(tiny_linear, take(some, FIT), AlignConfig(graph=Graph.window, width=1, loops=Loops.off)).report
    assert "loops" not in without


def test_frames_of_two_shapes_are_refused():
    tall = Frame(np.zeros((128, 96, 3), np.uint8), 1, None, "tall.png")
    with pytest.raises(ValueError, match=r"tall\.png becomes 48x64 .* one shape"):
        take([frames(1)[0], tall], FIT)


def test_no_frames_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        take([], FIT)


def test_the_originals_optimiser_refuses_too_many_frames_and_known_cameras(tiny_linear):
    config = AlignConfig(Method.original)
    with pytest.raises(ValueError, match="at most 60"):
        align(tiny_linear, take(frames(61), FIT), config)
    with pytest.raises(ValueError, match="known cameras"):
        align(tiny_linear, take(frames(2, intrinsics=np.eye(3)), FIT), config)
