"""Full depth maps from what pairs say, and the whole way from the pose graph to them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from cut3r.alignment.align_config import AlignConfig
from cut3r.alignment.by_full import by_full
from cut3r.alignment.camera_step import Cameras
from cut3r.alignment.dense import DenseConfig
from cut3r.alignment.full import Full, refine_fully
from cut3r.alignment.links import links_of
from cut3r.alignment.merge import merge
from cut3r.alignment.pairs import Predictions
from cut3r.alignment.pose_graph import solve_pose_graph
from cut3r.alignment.taken import take
from cut3r.geometry.registration import Similarity
from cut3r.inference.preprocess import FitConfig
from cut3r.io.frame import Frame
from cut3r.speed.live_bytes import LiveBytes
from tests.alignment.walls import Hall


def as_they_are(hall: Hall, predictions: Predictions, pairs: Tensor | None = None) -> list[tuple[Tensor, Tensor]]:
    """Merged with the true cameras."""
    pairs = torch.arange(len(predictions.ends)) if pairs is None else pairs
    world_from_pair = Similarity.from_matrix(hall.world_from_cam[predictions.ends[pairs, 0]])
    cameras = Cameras(hall.world_from_cam, hall.intrinsics)
    return list(merge(predictions, cameras, pairs, world_from_pair, torch.ones(len(hall))))


def test_exact_pairs_give_the_exact_depth():
    hall = Hall(5)
    for (depth, conf), truth in zip(as_they_are(hall, hall.predictions()), hall.depth, strict=True):
        torch.testing.assert_close(depth, truth.float(), atol=1e-4, rtol=0)
        assert (conf == 5).all()


def test_many_say_it_better_than_one():
    hall = Hall(6, noise=0.05)
    predictions = hall.predictions()
    merged = torch.stack([depth for depth, _ in as_they_are(hall, predictions)])
    own = predictions.points_self[..., 2]
    assert float((merged - hall.depth).abs().mean()) < 0.8 * float((own - hall.depth).abs().mean())


def test_one_that_is_far_off_has_little_say():
    hall = Hall(5)
    predictions = hall.predictions()
    wrong = (predictions.ends == torch.tensor((1, 2))).all(dim=1).nonzero()[0, 0]
    predictions.points_pair[wrong] *= 2
    torch.testing.assert_close(as_they_are(hall, predictions)[2][0], hall.depth[2].float(), atol=0.02, rtol=0)


def test_confidence_is_the_largest_and_excluded_pixels_have_none():
    hall = Hall(4)
    predictions = hall.predictions()
    to_last = predictions.ends[:, 1] == 3
    predictions.conf_pair[to_last, 0] = 9.0
    mask = torch.zeros(4, *hall.size, dtype=torch.bool)
    mask[3, -2:] = True
    conf = as_they_are(hall, predictions.without(mask))[3][1]
    assert (conf[0] == 9).all() and (conf[1:-2] == 5).all() and (conf[-2:] == 0).all()


def test_a_frame_in_no_pair_keeps_what_it_sees():
    hall = Hall(3, noise=0.05)
    predictions = hall.predictions([(0, 1)])
    depth, conf = as_they_are(hall, predictions)[2]
    assert torch.equal(depth, predictions.points_self[2, ..., 2]) and torch.equal(conf, predictions.conf_self[2])


def test_only_the_pairs_that_show_a_frame_are_read_and_only_those_that_count():
    hall = Hall(8, noise=0.02)
    predictions = hall.predictions()
    before = as_they_are(hall, predictions)[2][0]
    touching = (predictions.ends == 2).any(dim=1)
    predictions.points_pair[~touching] = torch.nan
    assert torch.equal(as_they_are(hall, predictions)[2][0], before)
    believed = touching.nonzero()[1:, 0]
    predictions.points_pair[touching.nonzero()[0, 0]] = torch.nan
    assert as_they_are(hall, predictions, believed)[2][0].isfinite().all()


class Largest(TorchDispatchMode):
    """Notes the most numbers in a new tensor."""

    most = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and not result._is_view():
            self.most = max(self.most, result.numel())
        return result


def test_memory_is_that_of_one_frames_pairs():
    most = {}
    for frames in (8, 12):
        hall = Hall(frames)
        predictions = hall.predictions()
        with Largest() as largest:
            as_they_are(hall, predictions)
        most[frames] = largest.most
    pixels = math.prod(hall.size)
    assert most[8] == most[12] <= 3 * 8 * pixels, "two neighbours on each side, both ways"


def test_how_many_rows_are_merged_at_once_changes_nothing(monkeypatch):
    hall = Hall(6, noise=0.05)
    predictions = hall.predictions()
    predictions.conf_pair[:, 3, 5], predictions.conf_self[:, 3, 5] = 0.0, 0.0
    whole = as_they_are(hall, predictions)
    monkeypatch.setattr("cut3r.alignment.merge.POINTS", 2 * 8 * hall.size[1])  # a frame in the middle is in 8 pairs
    for (depth, conf), (depth_whole, conf_whole) in zip(as_they_are(hall, predictions), whole, strict=True):
        torch.testing.assert_close(depth, depth_whole, atol=1e-6, rtol=1e-6)
        assert torch.equal(conf, conf_whole)


def from_the_graph(hall: Hall, predictions: Predictions, **settings) -> Full:
    links, _ = links_of(predictions)
    solved = solve_pose_graph(len(hall), links)
    pairs = torch.arange(len(predictions.ends))
    place = solved.world_from_frame
    return refine_fully(predictions, pairs, place, hall.intrinsics, groups=solved.groups, **settings)


def test_the_whole_way_gives_cameras_and_depth():
    hall, told = Hall(5), []
    full = from_the_graph(hall, hall.predictions(), on_progress=lambda *said: told.append(said))
    truth = torch.linalg.inv(hall.world_from_cam[0]) @ hall.world_from_cam
    torch.testing.assert_close(full.cameras.world_from_cam, truth, atol=1e-3, rtol=0)
    torch.testing.assert_close(full.depth, hall.depth.float(), atol=3e-3, rtol=0)
    assert len(full.pairs) == len(full.refined.residuals) == 14
    assert full.cleaned == int((~full.kept).sum())
    ends = {stage: (done, total) for stage, done, total in told}
    assert ends == {"refining cameras and depth": (15, 15), "merging depth": (5, 5), "cleaning": (5, 5)}


def test_beside_the_predictions_a_frame_takes_few_bytes_of_a_pixel():
    """So that 1,000 pictures of 512x384 fit into 3 GB: depth, confidence before and after cleaning, what is kept."""
    peaks, size = {}, (96, 128)
    for frames in (6, 12):
        hall = Hall(frames, size, focal=110.0)
        said = hall.predictions()
        said = replace(said, **{name: value.half() for name, value in vars(said).items() if value.is_floating_point()})
        taken = take((Frame(np.zeros((*size, 3), np.uint8), k, None, f"{k}") for k in range(frames)), FitConfig(128))
        with LiveBytes(vars(said).values()) as alive:
            by_full(taken, said, AlignConfig(pixels=48), None)
        peaks[frames] = alive.peak
    assert (peaks[12] - peaks[6]) / 6 < 8 * math.prod(size)


def test_a_frame_alone_is_given_back():
    hall = Hall(1, noise=0.05)
    predictions = hall.predictions([])
    full = from_the_graph(hall, predictions)
    assert torch.equal(full.depth, predictions.points_self[..., 2])
    assert torch.equal(full.cameras.world_from_cam, torch.eye(4).double()[None])
    assert torch.equal(full.cameras.intrinsics, hall.intrinsics) and full.kept.all()


def test_a_pair_without_points_on_the_grid_is_left_out():
    hall = Hall(5)
    predictions = hall.predictions()
    lost = int((predictions.ends == torch.tensor((1, 2))).all(dim=1).nonzero()[0, 0])
    predictions.conf_pair[lost] = 0
    predictions.conf_self[1] = 0
    full = from_the_graph(hall, predictions)
    assert lost not in full.pairs.tolist() and len(full.pairs) == 13
    assert full.depth.isfinite().all() and full.cameras.world_from_cam.isfinite().all()


@pytest.mark.parametrize("pixels", [48, 192])
def test_what_hangs_in_the_air_is_cleaned(pixels):
    hall = Hall(4, arc=1e-6)  # all at one place, and so of one opinion
    hall.depth[:] = hall.depth[0]
    predictions = hall.predictions()
    predictions.points_self[0, 5, 5] *= 0.5
    predictions.points_pair[predictions.ends[:, 1] == 0, 5, 5] *= 0.5
    predictions.conf_self[0, 5, 5] = 2
    predictions.conf_pair[predictions.ends[:, 1] == 0, 5, 5] = 2
    full = from_the_graph(hall, predictions, config=DenseConfig(pixels=pixels))
    assert full.cleaned == 1 and not full.kept[0, 5, 5]
