"""The reconstruction protocol agrees with the recorded chain, step by step."""

import numpy as np
import pytest
import torch

from cut3r.data.transforms import fit
from cut3r.data.view import RawFrame
from cut3r.geometry.cameras import unproject
from cut3r.geometry.poses import invert, transform
from eval.protocols.clouds import icp, normals, voxel_means
from eval.protocols.mv_recon import (
    MultiViewReconstruction,
    ReconAlignment,
    ReconOptions,
    compare,
    match_medians,
    median_size,
    picture_size,
)
from eval.sequences import open_set
from tests.eval.recordings import Oracle, write_recordings


@pytest.fixture(params=["a", "b"])
def chain(request, golden):
    recorded = dict(np.load(golden / f"eval/recon_chain_{request.param}.npz"))
    depth, intrinsics, world_from_cam, predicted = (
        torch.from_numpy(recorded[name]) for name in ("depth", "K", "c2w", "pred_world")
    )
    true = transform(invert(world_from_cam[0]) @ world_from_cam, unproject(depth, intrinsics.expand(len(depth), 3, 3)))
    return recorded, predicted, true, depth > 0, world_from_cam[0]


def cropped(recorded, points):
    half, (h, w) = int(recorded["crop_half"]), points.shape[1:3]
    return points[:, h // 2 - half : h // 2 + half, w // 2 - half : w // 2 + half]


def test_recorded_medians_and_points(chain):
    recorded, predicted, true, valid, world_from_first = chain
    matched, true, facts = match_medians(predicted, true, valid)
    for name, value in facts.items():
        assert value == pytest.approx(float(recorded[name]), rel=1e-5), name
    for points, name in ((matched, "aligned_first_view"), (true, "gt_first_view")):
        world = cropped(recorded, transform(world_from_first, points))[0]
        np.testing.assert_allclose(world.numpy(), recorded[name], atol=1e-5)


def test_recorded_registration_and_scores(chain):
    recorded, predicted, true, valid, world_from_first = chain
    matched, true, _ = match_medians(predicted, true, valid)
    keep = cropped(recorded, valid)
    clouds = [
        cropped(recorded, transform(world_from_first, points))[keep].double().numpy() for points in (matched, true)
    ]
    registration = icp(*clouds)
    np.testing.assert_allclose(registration.transformation, recorded["icp_transformation"], atol=1e-5)
    assert registration.fitness == pytest.approx(float(recorded["icp_fitness"]), abs=1e-5)
    assert registration.rmse_m == pytest.approx(float(recorded["icp_rmse"]), abs=1e-5)
    metrics, _ = compare(*clouds, voxel_m=0.0, notes={})
    found = {
        "accuracy": [metrics[name] for name in ("acc", "acc_med", "nc1", "nc1_med")],
        "completion": [metrics[name] for name in ("comp", "comp_med", "nc2", "nc2_med")],
        "nc": [metrics["nc"], metrics["nc_med"]],
    }
    for name, numbers in found.items():
        np.testing.assert_allclose(numbers, recorded[name], atol=1e-5)


def test_recorded_joint_medians(golden):
    recorded = np.load(golden / "eval/recon_joint_medians.npz")
    points, mask = torch.from_numpy(recorded["points"]), torch.from_numpy(recorded["masks"])
    shift = points[mask][:, 2].median()
    assert float(shift) == float(recorded["shift_z"][0])
    shifted = points - shift * torch.tensor([0, 0, 1.0])
    np.testing.assert_array_equal(points[mask].median(dim=0).values.numpy(), recorded["center"])
    assert float(median_size(shifted[mask])) == pytest.approx(float(recorded["scale"][0]), rel=1e-6)


def test_recorded_normals(golden):
    recorded = np.load(golden / "eval/recon_normals_knn30.npz")
    assert np.abs((normals(recorded["points"]) * recorded["normals"]).sum(axis=1)).min() > 1 - 1e-9


def test_recorded_grid(golden):
    recorded = np.load(golden / "eval/recon_voxel.npz")
    means = voxel_means(recorded["points"], float(recorded["voxel_size"]))
    np.testing.assert_allclose(means[np.lexsort(means.T[::-1])], recorded["down_points_sorted"], atol=1e-12)


@pytest.mark.parametrize("case", [0, 1, 2, 3])
def test_recorded_crops(golden, case):
    recorded = np.load(golden / "eval/recon_crop_resize.npz")
    w, h = recorded[f"size_in{case}"]
    target = tuple(int(side) for side in recorded[f"res{case}"][::-1])
    has_pictures = f"rgb_in{case}" in recorded
    frame = RawFrame(
        rgb=recorded[f"rgb_in{case}"] if has_pictures else np.zeros((h, w, 3), np.uint8),
        depth=recorded[f"depth_in{case}"] if has_pictures else np.zeros((h, w), np.float32),
        intrinsics=recorded[f"K_in{case}"].astype(np.float64),
        world_from_cam=np.eye(4),
    )
    made = fit(frame, target)
    assert made.size == tuple(recorded[f"size_out{case}"][::-1])
    np.testing.assert_allclose(made.intrinsics, recorded[f"K_out{case}"], atol=1e-4)
    if has_pictures:
        np.testing.assert_array_equal(made.depth, recorded[f"depth_out{case}"])
        assert np.abs(made.rgb.astype(int) - recorded[f"rgb_out{case}"].astype(int)).max() <= 2


def test_upright_pictures_get_upright_views():
    assert picture_size((480, 640), 512) == (384, 512)
    assert picture_size((640, 480), 512) == (512, 384)
    assert picture_size((480, 480), 512) == (384, 512)


def test_the_small_network_sees_the_inner_square_of_the_published_picture(tmp_path):
    write_recordings(tmp_path, names=("only",), frames=2)
    (sequence,) = open_set("mv_recon", "rgbd", tmp_path)
    small = MultiViewReconstruction(ReconOptions([ReconAlignment.published]), size=224).view(sequence, 1)
    large = MultiViewReconstruction(ReconOptions([ReconAlignment.published]), size=512).view(sequence, 1)
    np.testing.assert_array_equal(small.rgb, large.rgb[80:304, 144:368])
    np.testing.assert_allclose(small.intrinsics[:2, 2], large.intrinsics[:2, 2] - (144, 80))


def test_points_below_the_confidence_and_points_that_are_none_are_left_out_and_counted(tmp_path):
    write_recordings(tmp_path, names=("only",), frames=2)
    sequences = open_set("mv_recon", "rgbd", tmp_path)
    protocol = MultiViewReconstruction(ReconOptions([ReconAlignment.sim3], conf_thresh=2.0), size=64)
    oracle = Oracle(sequences)

    class Predictions:
        def __init__(self):
            self.frames = list(
                oracle.predict(lambda: (protocol.frame(sequences[0], n) for n in range(2)), protocol.wanted)
            )

        def points(self, number):
            points = self.frames[number].points_world.copy()
            points[0] = np.nan
            points[1] += 100
            return points

        def confidence(self, number):
            confidence = np.full((48, 64), 3.0, np.float32)
            confidence[1] = 1.5
            return confidence

    score, _ = protocol.score(sequences[0], Predictions())
    assert (score.notes["failed_pixels"], score.notes["low_confidence_pixels"]) == (128, 128)
    assert score.groups["sim3"][0].metrics["acc"] < 1e-3
