import numpy as np
import pytest
import torch

from cut3r.geometry.cameras import pinhole
from cut3r.geometry.poses import transform
from cut3r.inference.preprocess import PixelMap
from cut3r.inference.reconstruction import CAMERA, Reconstruction
from cut3r.inference.result import FrameResult, PointSource
from cut3r.io.frames import Frame
from cut3r.io.glb import read_glb
from cut3r.io.ply import read_ply
from cut3r.io.trajectory import read_kitti, read_tum
from cut3r.model.prediction import Prediction

SIZE = (6, 8)
PIXEL_MAP = PixelMap(original_size=(14, 20), image_size=SIZE, scale=(0.5, 0.5), offset=(1.0, 0.5))
FINE = 1e-4  # metres: every pixel gets a voxel of its own


def make_result(number: int, *, source: PointSource = PointSource.self) -> FrameResult:
    """A frame whose points are all valid, with confidences from 1 to 5, seen from 10 m beside the origin."""
    generator = torch.Generator().manual_seed(number)
    world_from_cam = torch.tensor([[0.0, -1, 0, 10], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    prediction = Prediction(
        points_cam=torch.rand((1, *SIZE, 3), generator=generator) + 0.5,
        conf_cam=1 + 4 * torch.rand((1, *SIZE), generator=generator),
        points_world=torch.rand((1, *SIZE, 3), generator=generator) - 20,
        conf_world=torch.full((1, *SIZE), 3.0),
        world_from_cam=world_from_cam[None],
    )
    image = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    frame = Frame(np.zeros((14, 20, 3), np.uint8), index=10 * number, time_s=number / 4, name=f"{number}.jpg")
    valid = torch.ones(SIZE, dtype=torch.bool)
    return FrameResult(frame, number, image, prediction, pinhole(SIZE, 9.0), PIXEL_MAP, valid, chunk=2, source=source)


def filled(count: int, **options: object) -> Reconstruction:
    scene = Reconstruction(**options)  # type: ignore[arg-type]
    for number in range(count):
        scene.add(make_result(number))
    return scene


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


def test_only_the_cameras_grow_by_168_bytes_per_frame():
    scene, sizes = Reconstruction(voxel_size=None, max_points=40), []
    for number in range(30):
        scene.add(make_result(number))
        sizes.append(sum(values.nbytes for name, values in scene.state_arrays().items() if name[-4:] != "name"))
    assert CAMERA.itemsize == 168
    assert abs((sizes[29] - sizes[9]) / 20 - 168) < 10  # the settings are text, whose numbers grow by digits


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
