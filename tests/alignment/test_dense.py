"""Dense refinement against the original's recorded results, and against planted truth."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from benchmarks.planted_walk import PlantedWalk
from cut3r.alignment.camera_step import Cameras
from cut3r.alignment.dense import DenseConfig, Refined, refine
from cut3r.alignment.dense_scene import DenseScene, first_dense_scene
from cut3r.alignment.graphs import window
from cut3r.alignment.links import links_of
from cut3r.alignment.objective import Objective, Scene
from cut3r.alignment.pairs import Pairs, Predictions
from cut3r.alignment.pose_graph import solve_pose_graph
from cut3r.alignment.samples import Grid, Samples
from cut3r.alignment.tree import first_scene
from cut3r.geometry.cameras import pinhole
from cut3r.geometry.focal import estimate_focal
from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import pose_from_parts
from cut3r.geometry.registration import Similarity
from cut3r.metrics.motion import ate_sim3
from tests.alignment.golden_cases import Case
from tests.alignment.walls import Hall

AS_RECORDED = DenseConfig(world_scale=0.5)


def as_predictions(pairs: Pairs) -> Predictions:
    """Each frame's own points once; a frame that leads no pair has none."""
    h, w = pairs.size
    own, conf = torch.zeros(pairs.frames, h, w, 3), torch.zeros(pairs.frames, h, w)
    own[pairs.ends[:, 0]], conf[pairs.ends[:, 0]] = pairs.points_first, pairs.conf_first
    images = torch.zeros(pairs.frames, h, w, 3, dtype=torch.uint8)
    return Predictions(images, own, conf, pairs.ends, pairs.points_second, pairs.conf_second)


def samples_of(predictions: Predictions, *, stride: int = 1, least: float = 0.0) -> Samples:
    pairs = torch.arange(len(predictions.ends))
    return Samples.of(predictions, Grid(predictions.size, stride), pairs, least=least)


def graph_start(predictions: Predictions, intrinsics: Tensor, **known) -> DenseScene:
    graph = solve_pose_graph(predictions.frames, links_of(predictions)[0], **known)
    return first_dense_scene(samples_of(predictions), graph.world_from_frame, intrinsics)


def tree_start(pairs: Pairs) -> DenseScene:
    scene = first_scene(pairs)
    fit = scene.world_from_pair
    place = Similarity(fit.rotation.double(), fit.translation.double(), fit.scale.double())
    cameras = Cameras(scene.world_from_cam.double(), scene.intrinsics.double())
    return DenseScene(cameras, scene.depth.flatten(1), place)


def focals_of(predictions: Predictions, principal_point: tuple[float, float] | None = None) -> Tensor:
    focals = estimate_focal(predictions.points_self, principal_point=principal_point)
    return pinhole(predictions.size, focals, principal_point)


@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_the_recorded_cases_end_as_well_as_the_original(golden, name):
    case = Case(golden, name)
    predictions = as_predictions(case.pairs)
    h, w = predictions.size
    start = graph_start(predictions, focals_of(predictions, (w / 2, h / 2)))
    refined = refine(samples_of(predictions), start, AS_RECORDED)
    cameras, said = refined.scene.cameras, case.said
    assert refined.losses[-1] <= 1.005 * said["final_loss"]
    assert case.ate(cameras.world_from_cam.float()) <= 1.15 * said["final"]["ate"] + 0.003
    assert case.focal_error(cameras.intrinsics[:, 0, 0]) <= said["final"]["focal_rel_mean"] + 1e-3


def test_two_views_are_enough_for_a_loss_as_low_as_the_originals(golden):
    case = Case(golden, "D")
    refined = refine(samples_of(as_predictions(case.pairs)), tree_start(case.pairs), AS_RECORDED)
    assert refined.losses[-1] <= case.said["final_loss"]
    assert refined.scene.cameras.world_from_cam.isfinite().all()
    assert refined.scene.cameras.intrinsics.isfinite().all()


def test_its_loss_is_the_originals_objective(golden):
    pairs = Case(golden, "A").pairs
    start = tree_start(pairs)
    refined = refine(samples_of(as_predictions(pairs)), start, replace(AS_RECORDED, sweeps=0))
    assert refined.losses[0] == pytest.approx(float(Objective(pairs)(first_scene(pairs))), rel=1e-5)
    swept = refine(samples_of(as_predictions(pairs)), start, replace(AS_RECORDED, sweeps=3))
    scene, h, w = swept.scene, *pairs.size
    fit = Similarity.from_matrix(scene.world_from_pair.matrix().float())
    cameras = scene.cameras.world_from_cam.float(), scene.cameras.intrinsics[:, 0, 0].float()
    again = Scene(*cameras, scene.depth.unflatten(1, (h, w)), fit)
    assert swept.losses[-1] == pytest.approx(float(Objective(pairs)(again)), rel=1e-5)


def ate(hall: Hall | PlantedWalk, refined: Refined) -> float:
    return float(ate_sim3(refined.scene.cameras.world_from_cam, hall.world_from_cam))


def errors_m(hall: Hall, refined: Refined) -> Tensor:
    """Of the cameras' places, without any alignment; the hall's first camera is at the origin of the refined world."""
    truth = torch.linalg.inv(hall.world_from_cam[0]) @ hall.world_from_cam
    return (refined.scene.cameras.world_from_cam - truth)[:, :3, 3].norm(dim=-1)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_exact_data_gives_the_exact_scene(stride):
    hall = Hall(6)
    predictions = hall.predictions()
    start = graph_start(predictions, hall.intrinsics)
    samples = samples_of(predictions, stride=stride)
    start = replace(start, depth=samples.points_self[:, 2])
    refined = refine(samples, start)
    assert refined.losses[-1] < 1e-4 and ate(hall, refined) < 1e-4
    assert float(errors_m(hall, refined).max()) < 1e-3, "the network's metres are kept"
    torch.testing.assert_close(refined.scene.cameras.intrinsics, hall.intrinsics, atol=0.01, rtol=0)
    depth = samples.grid.take(hall.depth).flatten(1).float()
    torch.testing.assert_close(refined.scene.depth, depth, atol=1e-3, rtol=0)
    assert float(refined.residuals.max()) < 1e-3


def test_a_poor_focal_length_is_mended():
    hall = Hall(6, noise=0.01)
    predictions = hall.predictions()
    start = graph_start(predictions, pinhole(hall.size, torch.full((6,), 11.0)))
    refined = refine(samples_of(predictions), start)
    torch.testing.assert_close(refined.scene.cameras.intrinsics, hall.intrinsics, atol=0.3, rtol=0)
    assert refined.losses[-1] < 0.7 * refined.losses[0]


def test_it_knows_more_than_the_pose_graph():
    hall = Hall(10, (18, 24), focal=21.0, noise=0.05, turn=0.03)
    predictions = hall.predictions()
    start = graph_start(predictions, focals_of(predictions))
    refined = refine(samples_of(predictions), start)
    assert refined.losses[-1] < 0.95 * refined.losses[0]
    assert ate(hall, refined) < 1.2 * float(ate_sim3(start.cameras.world_from_cam, hall.world_from_cam))

    def off(scene: DenseScene) -> tuple[float, float]:
        """Usual errors of focal lengths and, up to one scale, of depths."""
        focals = (scene.cameras.intrinsics[:, 0, 0] / 21.0).log().abs().mean()
        ratio = (scene.depth / hall.depth.flatten(1)).log()
        return float(focals), float((ratio - ratio.median()).abs().mean())

    before, after = off(start), off(refined.scene)
    assert after[0] < 0.7 * before[0] and after[1] < 0.8 * before[1]


def test_the_loss_falls_with_every_sweep():
    """It rose from the third on where scales were free: noise shrinks pairs, and the world was blown up again."""
    hall = Hall(10, noise=0.1, turn=0.03)
    predictions = hall.predictions()
    start = graph_start(predictions, hall.intrinsics)
    losses = refine(samples_of(predictions), start).losses
    assert len(losses) > 4
    assert all(after <= before * (1 + 1e-5) for before, after in pairwise(losses))


def test_where_a_scene_is_shallow_a_frame_knows_its_focal_length_from_what_it_sees_alone():
    """A longer lens further back sees nearly the same: focal lengths went off by 5 %, and cameras with them."""
    walk = PlantedWalk(40, laps=0.25)
    said = walk.look(window(40, 2))
    start = graph_start(said, walk.intrinsics.expand(40, 3, 3).clone())
    before = float(ate_sim3(start.cameras.world_from_cam, walk.world_from_cam))
    refined = refine(samples_of(said), start)
    focals = refined.scene.cameras.intrinsics[:, 0, 0] / walk.intrinsics[0, 0]
    assert float((focals - 1).abs().mean()) < 0.01
    assert ate(walk, refined) < 1.1 * before


def noisy(frames: int = 8) -> tuple[Hall, Predictions, DenseScene]:
    hall = Hall(frames, noise=0.02, turn=0.02)
    predictions = hall.predictions()
    return hall, predictions, graph_start(predictions, focals_of(predictions))


def same(first: Refined, second: Refined, tolerance: float = 1e-4) -> None:
    close = {"atol": tolerance, "rtol": tolerance}
    torch.testing.assert_close(first.scene.cameras.world_from_cam, second.scene.cameras.world_from_cam, **close)
    torch.testing.assert_close(first.scene.cameras.intrinsics, second.scene.cameras.intrinsics, **close)
    torch.testing.assert_close(first.scene.depth, second.scene.depth, **close)


@pytest.mark.parametrize("chunk", [1, 5])
def test_the_size_of_chunks_changes_nothing(chunk):
    _, predictions, start = noisy()
    samples = samples_of(predictions)
    same(
        refine(samples, start, DenseConfig(sweeps=4, chunk=1000)),
        refine(samples, start, DenseConfig(sweeps=4, chunk=chunk)),
    )


def test_the_order_of_pairs_changes_nothing():
    _, predictions, start = noisy()
    order = torch.randperm(len(predictions.ends), generator=torch.Generator().manual_seed(0))
    mixed = Samples.of(predictions, Grid(predictions.size), order, least=0.0)
    other = replace(start, world_from_pair=Similarity.from_matrix(start.world_from_pair.matrix()[order]))
    first, second = refine(samples_of(predictions), start), refine(mixed, other)
    same(first, second)
    torch.testing.assert_close(first.residuals[order], second.residuals, atol=1e-4, rtol=0)


def test_where_the_world_begins_changes_nothing():
    _, predictions, start = noisy()
    motion = Similarity(
        rotation_from_vector(torch.tensor((0.3, -1.0, 0.4)).double()),
        torch.tensor((3.0, -2.0, 1.0)).double(),
        torch.ones(()).double(),
    )
    pairs = Similarity.from_matrix(motion.matrix() @ start.world_from_pair.matrix())
    moved = replace(start.cameras, world_from_cam=motion.place(start.cameras.world_from_cam))
    samples = samples_of(predictions)
    same(refine(samples, start), refine(samples, DenseScene(moved, start.depth, pairs)))


def test_a_frame_alone_stays_as_it_is():
    hall = Hall(1)
    predictions = hall.predictions([])
    start = graph_start(predictions, hall.intrinsics)
    refined = refine(samples_of(predictions), start)
    assert not any(refined.losses) and len(refined.residuals) == 0
    assert torch.equal(refined.scene.cameras.world_from_cam, torch.eye(4).double()[None])
    assert torch.equal(refined.scene.cameras.intrinsics, hall.intrinsics)
    torch.testing.assert_close(refined.scene.depth, predictions.points_self[..., 2].flatten(1))


def test_each_group_of_frames_has_a_world_of_its_own(caplog):
    hall = Hall(7, noise=0.01)
    pairs = [(0, 1), (1, 0), (1, 2), (2, 1), (3, 4), (4, 3), (4, 5), (5, 4), (3, 5)]
    predictions = hall.predictions(pairs)
    start, groups = graph_start(predictions, hall.intrinsics), [[0, 1, 2], [3, 4, 5], [6]]
    assert "frames 0 to 2; frames 3 to 5; frame 6 alone" in caplog.text
    refined = refine(samples_of(predictions), start, groups=groups)
    found = refined.scene.cameras.world_from_cam
    for group in groups:
        truth = torch.linalg.inv(hall.world_from_cam[group[0]]) @ hall.world_from_cam[group]
        torch.testing.assert_close(found[group], truth, atol=0.05, rtol=0)
        torch.testing.assert_close(found[group[0]], torch.eye(4).double())


def test_known_intrinsics_stay_exactly():
    hall, predictions, start = noisy()
    known = hall.intrinsics[2].clone()
    known[0, 0] = 15.0  # not square, and not quite true
    start.cameras.intrinsics[2] = known
    found = refine(samples_of(predictions), start, known_focals=[2]).scene.cameras.intrinsics
    assert torch.equal(found[2], known)
    assert not torch.equal(found[1], start.cameras.intrinsics[1])


def test_three_known_poses_fix_the_metric_frame():
    hall = Hall(12, noise=0.01, turn=0.003)
    predictions = hall.predictions()
    truth = hall.world_from_cam.clone()
    truth[:, :3, 3] = 3 * truth[:, :3, 3] + torch.tensor((5.0, -1.0, 2.0)).double()
    known = {k: truth[k] for k in (1, 5, 10)}
    start = graph_start(predictions, hall.intrinsics, known=known)
    scene = refine(samples_of(predictions), start, known_poses=list(known)).scene
    for k, camera in known.items():
        assert torch.equal(scene.cameras.world_from_cam[k], camera)
    assert float((scene.cameras.world_from_cam - truth)[:, :3, 3].norm(dim=-1).max()) < 0.15, "of 6.6 m"
    torch.testing.assert_close(scene.depth.median() / hall.depth.median(), torch.tensor(3.0).double(), atol=0.1, rtol=0)


def test_one_known_pose_says_where_but_not_how_large():
    hall = Hall(6)
    predictions = hall.predictions()
    motion = pose_from_parts(rotation_from_vector(torch.tensor((0.0, 1.0, 0.0))), torch.tensor((9.0, 0.0, 0.0)))
    truth = motion.double() @ hall.world_from_cam
    start = graph_start(predictions, hall.intrinsics, known={4: truth[4]})
    found = refine(samples_of(predictions), start, known_poses=[4]).scene.cameras.world_from_cam
    assert torch.equal(found[4], truth[4])
    torch.testing.assert_close(found, truth, atol=1e-3, rtol=0)


def test_a_shared_focal_length_is_one_and_better():
    hall, predictions, start = noisy()
    usual = start.cameras.intrinsics[:, 0, 0].median().item()
    start.cameras.intrinsics.copy_(pinhole(hall.size, torch.full((8,), usual)))
    own = refine(samples_of(predictions), start)
    shared = refine(samples_of(predictions), start, DenseConfig(shared_focal=True))
    focals = shared.scene.cameras.intrinsics[:, 0, 0]
    assert len(focals.unique()) == 1 and float(focals[0]) != usual
    error = (own.scene.cameras.intrinsics[:, 0, 0] - 14.0).abs().mean()
    assert float((focals[0] - 14.0).abs()) <= float(error)


def test_without_scales_pairs_are_as_large_as_the_network_says():
    _, predictions, start = noisy()
    scale = refine(samples_of(predictions), start, DenseConfig(with_scale=False)).scene.world_from_pair.scale
    torch.testing.assert_close(scale, torch.ones_like(scale), atol=1e-5, rtol=0)


def test_points_that_coincide_do_no_harm():
    hall, predictions, start = noisy()
    predictions.points_pair[3] = 1.0
    predictions.conf_self[predictions.ends[3, 0]] = 0.0
    refined = refine(samples_of(predictions), start)
    assert refined.scene.cameras.world_from_cam.isfinite().all() and ate(hall, refined) < 0.2


def test_the_grid_is_every_so_many_pixels():
    assert Grid.about((384, 512)).stride == 8 and Grid.about((24, 32)).stride == 1
    full = pinhole((30, 41), 25.0, (19.0, 16.0))
    for stride in (1, 2, 5):
        grid = Grid((30, 41), stride)
        column = torch.arange(41.0).expand(1, 30, 41)
        taken = grid.take(column)
        assert taken.shape[1:] == grid.size
        small = grid.intrinsics(full)
        here = torch.arange(grid.size[1])
        torch.testing.assert_close((here - small[0, 2]) / small[0, 0], (taken[0, 0] - full[0, 2]) / full[0, 0])


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="make no sense"):
        DenseConfig(chunk=0)
