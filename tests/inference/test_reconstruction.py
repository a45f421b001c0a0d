from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.geometry.poses import transform
from cut3r.inference.cameras import CAMERA
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.result import PointSource
from cut3r.io.glb import read_glb
from cut3r.io.ply import read_ply
from cut3r.io.trajectory import read_kitti, read_tum
from tests.inference.results import SIZE, filled, lost_result, make_result

FINE = 1e-4  # metres: every pixel gets a voxel of its own


def rows(points: np.ndarray) -> np.ndarray:
    """In an order that does not depend on the order of the points."""
    return points[np.lexsort(points.T)]


def test_points_are_the_cameras_points_moved_by_its_pose():
    result = make_result(0)
    scene = Reconstruction(voxel_size=FINE, confidence=1.0)
    scene.add(result)
    expected = transform(result.prediction.world_from_cam[0], result.prediction.points_cam[0]).reshape(-1, 3).numpy()
    np.testing.assert_array_equal(rows(scene.points), rows(expected))


def test_the_world_head_places_the_points_when_the_result_says_so():
    scene = Reconstruction(voxel_size=FINE)
    scene.add(make_result(0, source=PointSource.world))
    assert len(scene) == SIZE[0] * SIZE[1]
    assert scene.points.max() < -18


def test_each_point_keeps_its_colour_confidence_and_frame():
    results = [make_result(number) for number in range(3)]
    scene = filled(3, voxel_size=FINE, confidence=1.0)
    pixels = {
        tuple(point): (tuple(color), confidence, result.number)
        for result in results
        for point, color, confidence in zip(
            result.points_world.reshape(-1, 3).tolist(),
            result.image.reshape(-1, 3).tolist(),
            result.confidence.flatten().tolist(),
            strict=True,
        )
    }
    columns = (scene.points, scene.colors, scene.confidences, scene.frame_numbers)
    for point, color, confidence, frame in zip(*(column.tolist() for column in columns), strict=True):
        assert pixels[tuple(point)] == (tuple(color), confidence, frame)
    assert len(scene) == len(pixels)


def test_only_valid_finite_points_above_the_confidence_are_taken():
    result = make_result(0)
    result.prediction.conf_cam[0, :] = 1.5
    result.prediction.conf_cam[0, 0, :5] = 1.6
    result.valid[0, 0] = False
    result.prediction.points_cam[0, 0, 1] = torch.nan
    result.prediction.points_cam[0, 0, 2, 0] = torch.inf
    scene = Reconstruction(voxel_size=FINE, confidence=1.5)
    scene.add(result)
    np.testing.assert_array_equal(rows(scene.points), rows(result.points_world[0, 3:5].numpy()))


def test_the_stride_takes_every_nth_row_and_column():
    result = make_result(0)
    scene = Reconstruction(voxel_size=FINE, confidence=1.0, stride=3)
    scene.add(result)
    np.testing.assert_array_equal(rows(scene.points), rows(result.points_world[::3, ::3].reshape(-1, 3).numpy()))


@pytest.mark.parametrize("voxel_size", [0.01, None])
def test_two_hundred_frames_leave_no_more_than_the_maximum(voxel_size):
    scene = Reconstruction(voxel_size=voxel_size, max_points=500, confidence=1.0)
    for number in range(200):
        scene.add(make_result(number))
        assert len(scene) <= 500
    arrays = scene.state_arrays()
    assert {len(values) for name, values in arrays.items() if name.startswith("points/")} == {len(scene)}
    assert len(scene.cameras) == 200


def test_only_the_cameras_grow_by_170_bytes_per_frame():
    scene, sizes = Reconstruction(voxel_size=None, max_points=40), []
    for number in range(30):
        scene.add(make_result(number))
        sizes.append(sum(values.nbytes for name, values in scene.state_arrays().items() if name[-4:] != "name"))
    assert CAMERA.itemsize == 170
    assert abs((sizes[29] - sizes[9]) / 20 - 170) < 10  # the settings are text, whose numbers grow by digits


def test_a_full_cloud_says_that_its_voxels_grew():
    scene = filled(20, voxel_size=0.01, max_points=100)
    assert scene.voxel_size > 0.01
    assert scene.summary() == (
        f"{len(scene)} points of 20 frames: one per {100 * scene.voxel_size:.3g} cm voxel, at most 100"
    )


def test_a_sample_says_what_it_is_a_sample_of():
    assert filled(4, voxel_size=None, max_points=50, confidence=1.0).summary() == (
        "50 points of 4 frames: a uniform sample of 192, at most 50"
    )


def test_cameras_are_kept_as_the_results_have_them():
    scene = filled(3)
    cameras, last = scene.cameras, make_result(2)
    np.testing.assert_array_equal(cameras.world_from_cam[2], last.world_from_cam.numpy())
    np.testing.assert_array_equal(cameras.intrinsics[2], last.intrinsics.numpy())
    np.testing.assert_array_equal(cameras.intrinsics_original[2], last.intrinsics_original.numpy())
    assert (cameras.image_sizes[2].tolist(), cameras.original_sizes[2].tolist()) == ([6, 8], [14, 20])
    assert (cameras.time_s.tolist(), cameras.indices.tolist()) == ([0, 0.25, 0.5], [0, 10, 20])
    assert (cameras.chunks.tolist(), cameras.names) == ([2, 2, 2], ("0.jpg", "1.jpg", "2.jpg"))


@pytest.mark.parametrize("voxel_size", [0.05, None])
def test_a_stored_reconstruction_continues_exactly_like_the_original(tmp_path, voxel_size):
    original = filled(5, voxel_size=voxel_size, max_points=60, confidence=1.2, stride=2)
    original.save(tmp_path / "scene.npz")
    with np.load(tmp_path / "scene.npz", allow_pickle=False) as arrays:
        restored = Reconstruction.from_state_arrays(dict(arrays))
    for number in range(5, 12):
        original.add(make_result(number))
        restored.add(make_result(number))
    expected, actual = original.state_arrays(), restored.state_arrays()
    assert expected.keys() == actual.keys()
    for name in expected:
        np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)


@pytest.mark.parametrize("voxel_size", [0.05, None])
def test_an_empty_reconstruction_can_be_stored_and_saved(tmp_path, voxel_size):
    scene = Reconstruction.from_state_arrays(Reconstruction(voxel_size=voxel_size).state_arrays())
    for suffix in (".ply", ".glb", ".tum", ".kitti", ".npz"):
        scene.save(tmp_path / f"scene{suffix}")
    assert (len(scene), len(scene.cameras), scene.voxel_size) == (0, 0, voxel_size)


def test_the_suffix_chooses_the_writer(tmp_path):
    scene = filled(3)
    for suffix in (".ply", ".GLB", ".tum", ".kitti"):
        scene.save(tmp_path / f"scene{suffix}")
    np.testing.assert_array_equal(read_ply(tmp_path / "scene.ply").frame, scene.frame_numbers)
    glb = read_glb(tmp_path / "scene.GLB")
    np.testing.assert_array_equal(glb.cloud.points, scene.points)
    assert len(glb.frusta) == 3
    world_from_cams, times_s = read_tum(tmp_path / "scene.tum")
    np.testing.assert_allclose(world_from_cams, scene.cameras.world_from_cam, atol=1e-6)
    assert times_s.tolist() == [0, 0.25, 0.5]
    np.testing.assert_allclose(read_kitti(tmp_path / "scene.kitti"), scene.cameras.world_from_cam)


def test_an_unknown_suffix_lists_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"'.obj'.* \.ply, \.glb, \.tum, \.kitti, \.npz"):
        Reconstruction().save(tmp_path / "scene.obj")


def test_a_stride_below_one_is_refused():
    with pytest.raises(ValueError, match="stride is 0"):
        Reconstruction(stride=0)


def test_flying_pixels_are_left_out_unless_asked_for():
    result = make_result(0)
    assert result.prediction.points_cam is not None
    result.prediction.points_cam[0, ..., 2] = torch.tensor([1.0, 1, 1, 1, 4, 16, 16, 16])
    for options, columns in (({}, [0, 1, 2, 6, 7]), ({"edges": None}, range(8)), ({"edges": 1.0}, range(8))):
        scene = Reconstruction(voxel_size=FINE, confidence=1.0, **options)
        scene.add(result)
        expected = result.points_world[:, list(columns)].reshape(-1, 3).numpy()
        np.testing.assert_array_equal(rows(scene.points), rows(expected))


def test_the_depth_of_the_camera_decides_about_the_points_of_the_world_head():
    result = make_result(0, source=PointSource.world)
    assert result.prediction.points_cam is not None
    result.prediction.points_cam[0, 3:, :, 2] *= 10
    scene = Reconstruction(voxel_size=FINE)
    scene.add(result)
    assert len(scene) == 4 * 8


@pytest.mark.parametrize("edges", [0.0, -1.0, float("nan"), float("inf")])
def test_a_step_of_depth_is_positive(edges):
    with pytest.raises(ValueError, match=r"edges is .* None to keep all"):
        Reconstruction(edges=edges)


def test_a_lost_camera_gives_no_points_of_the_world_head_either():
    result = replace(lost_result(0), source=PointSource.world, valid=torch.ones(SIZE, dtype=torch.bool))
    scene = Reconstruction(voxel_size=FINE)
    scene.add(result)
    assert len(scene) == 0


def with_lost_cameras() -> Reconstruction:
    scene = Reconstruction(voxel_size=FINE, confidence=1.0)
    for result in (lost_result(0), make_result(1), lost_result(2), make_result(3)):
        scene.add(result)
    return scene


def test_a_camera_that_is_not_finite_keeps_its_place_and_is_counted():
    cameras = with_lost_cameras().cameras
    assert cameras.finite.tolist() == [False, True, False, True]
    assert np.isnan(cameras.world_from_cam[[0, 2]]).all()
    assert cameras.indices.tolist() == [0, 10, 20, 30]
    assert with_lost_cameras().summary().endswith("; 2 of the cameras are not finite")


def test_no_file_holds_a_number_that_is_not_finite(tmp_path):
    scene = with_lost_cameras()
    for suffix in (".ply", ".glb", ".tum", ".kitti", ".npz"):
        scene.save(tmp_path / f"scene{suffix}")
    assert np.isfinite(read_ply(tmp_path / "scene.ply").points).all()
    assert len(read_glb(tmp_path / "scene.glb").frusta) == 2
    assert read_tum(tmp_path / "scene.tum")[1].tolist() == [0.25, 0.75]
    assert len(read_kitti(tmp_path / "scene.kitti")) == 4
    with np.load(tmp_path / "scene.npz") as arrays:
        assert all(np.isfinite(arrays[name]).all() for name in arrays.files if arrays[name].dtype.kind == "f")
        restored = Reconstruction.from_state_arrays(dict(arrays))
    np.testing.assert_array_equal(restored.cameras.world_from_cam, scene.cameras.world_from_cam)


def test_points_of_both_infinities_are_left_out():
    result = make_result(0, source=PointSource.world)
    result.prediction.points_world[0, 0, :2] = torch.tensor([[torch.inf] * 3, [-torch.inf] * 3])
    scene = Reconstruction(confidence=0.0, voxel_size=None)
    scene.add(result)
    assert len(scene) == 6 * 8 - 2


def test_a_confidence_that_overflowed_is_no_point():
    result = make_result(0)
    assert result.prediction.conf_cam is not None
    result.prediction.conf_cam[0, 0, 0] = torch.inf
    scene = Reconstruction(voxel_size=FINE, confidence=1.0)
    scene.add(result)
    assert np.isfinite(scene.confidences).all()
    assert len(scene) == 47
