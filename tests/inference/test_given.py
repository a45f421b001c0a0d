"""Poses, depth and distances that are given take the place of what the network says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.geometry.cameras import ray_map
from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import pose_from_parts, transform
from cut3r.geometry.registration import Similarity
from cut3r.inference.chunk_file import read_places, write_chunks
from cut3r.inference.chunks import ResetConfig
from cut3r.inference.frame_folder import FrameFolder, read_frame_folder
from cut3r.inference.given import Given, GivenConfig, ScaleFrom, first_camera, follow
from cut3r.inference.known_distance import KnownDistance
from cut3r.inference.places import Places
from cut3r.inference.preprocess import to_tensor
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.session import Session
from cut3r.model.config import RayDirection
from cut3r.model.encoder import ViewInput
from cut3r.model.prediction import Outputs
from tests.inference.results import make_result
from tests.inference.test_stream import frame

EXACT = {"rtol": 1e-6, "atol": 1e-6}


def cameras(count: int) -> np.ndarray:
    """On an arc, turning."""
    turns = torch.arange(count)[:, None] * torch.tensor([[0.02, 0.05, -0.01]], dtype=torch.float64)
    places = torch.stack([torch.tensor([3.0 + 0.4 * k, -1.0, 0.05 * k * k], dtype=torch.float64) for k in range(count)])
    return pose_from_parts(rotation_from_vector(turns), places).numpy()


def posed(count: int, known=lambda number: True):
    return [
        replace(frame(number), world_from_cam=pose if known(number) else None)
        for number, pose in enumerate(cameras(count))
    ]


def run(session: Session, frames) -> tuple[Reconstruction, list]:
    scene = Reconstruction(confidence=0.0, edges=None)
    results = []
    for result in session.stream(frames):
        scene.add(result)
        results.append(result)
    for chunk, place in session.settle().items():
        scene.move(chunk, place)
    return scene, results


@pytest.mark.parametrize("resets", [None, ResetConfig(4, evidence=False, overlap=2)])
def test_given_poses_are_those_of_results_files_and_scenes(tiny_linear, tmp_path, resets):
    session, folder = Session(tiny_linear, resets=resets), FrameFolder(tmp_path)
    scene, results = run(session, posed(10))
    for result in results:
        folder.add(result)
    write_chunks(tmp_path, session.snapshot().course, 10)
    for result, pose in zip(results, cameras(10), strict=True):
        np.testing.assert_allclose(result.world_from_cam, pose, **EXACT)
    np.testing.assert_allclose(scene.cameras.world_from_cam, cameras(10), **EXACT)
    saved = list(read_frame_folder(tmp_path))
    np.testing.assert_allclose([each.world_from_cam for each in saved], cameras(10), **EXACT)
    assert all(each.given_pose and not each.given_intrinsics for each in saved)


def test_a_stream_without_anything_given_is_as_it_was(tiny_linear):
    session = Session(tiny_linear)
    _, results = run(session, [frame(number) for number in range(3)])
    assert all(result.world_from_chunk is None and not result.pose_is_given for result in results)
    assert not session.places


def test_frames_between_given_ones_go_on_from_them(tiny_linear):
    _, plain = run(Session(tiny_linear), [frame(number) for number in range(6)])
    _, results = run(Session(tiny_linear), posed(6, known=lambda number: number == 0))
    first_from_world = np.linalg.inv(plain[0].world_from_cam.double().numpy())
    for result, said in zip(results, plain, strict=True):
        expected = cameras(1)[0] @ first_from_world @ said.world_from_cam.double().numpy()
        np.testing.assert_allclose(result.world_from_cam, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("resets", [None, ResetConfig(4, evidence=False, overlap=2)])
def test_depth_scales_the_whole_stream(tiny_linear, resets):
    plain, said = run(Session(tiny_linear, resets=resets), [frame(number) for number in range(7)])
    session = Session(tiny_linear, resets=resets)
    scaled, _ = run(session, [with_depth(frame(k), result, 2.5) for k, result in enumerate(said)])
    if resets is None:  # merged chunks have other voxels
        assert len(scaled) == len(plain)
        np.testing.assert_allclose(scaled.points, 2.5 * plain.points, rtol=0.02, atol=1e-3)
    centres = [scene.cameras.world_from_cam[:, :3, 3] for scene in (scaled, plain)]
    np.testing.assert_allclose(centres[0], 2.5 * centres[1], rtol=0.02, atol=1e-5)


def with_depth(given, result, factor: float):
    """What the network says of the frame's depth, times a factor, in the frame's pixels."""
    v, u = np.mgrid[: given.rgb.shape[0], : given.rgb.shape[1]]
    at = result.pixel_map.pixels_to_image(torch.from_numpy(np.stack((u, v), axis=-1)).float()).round().long()
    h, w = result.depth.shape
    inside = (at >= 0).all(dim=-1) & (at[..., 0] < w) & (at[..., 1] < h)
    depth = result.depth[at[..., 1].clamp(0, h - 1), at[..., 0].clamp(0, w - 1)] * factor
    return replace(given, depth=depth.where(inside, torch.tensor(0.0)).numpy())


@pytest.mark.parametrize("resets", [None, ResetConfig(4, evidence=False, overlap=2)])
def test_a_known_distance_is_exact(tiny_linear, resets):
    config = GivenConfig(KnownDistance("1", "8", 1.7))
    frames = [replace(frame(number), name=f"{number}.png") for number in range(10)]
    scene, _ = run(Session(tiny_linear, resets=resets, given=config), frames)
    centres = scene.cameras.world_from_cam[:, :3, 3]
    assert np.linalg.norm(centres[1] - centres[8]) == pytest.approx(1.7, rel=1e-6)


def test_a_distance_that_no_frame_has_is_said(tiny_linear, caplog):
    config = GivenConfig(KnownDistance("0", "nobody", 1.7))
    run(Session(tiny_linear, given=config), [replace(frame(number), name=f"{number}.png") for number in range(2)])
    assert "no frame was called nobody" in caplog.text


def test_a_distance_and_held_poses_contradict_each_other(tiny_linear):
    session = Session(tiny_linear, given=GivenConfig(KnownDistance("a", "b", 1.0)))
    with pytest.raises(ValueError, match="only one of both"):
        session.push(posed(1)[0])


def test_going_on_from_a_file_gives_the_same(tiny_linear, tmp_path):
    resets = ResetConfig(4, evidence=False, overlap=2)
    whole, part, rest = (Session(tiny_linear, resets=resets) for _ in range(3))
    frames = posed(10, known=lambda number: number % 3 != 2)
    _, expected = run(whole, frames)
    for each in frames[:6]:
        part.push(each)
    part.save(tmp_path / "session")
    rest.load(tmp_path / "session")
    for each, result in zip(frames[6:], expected[6:], strict=True):
        again = rest.push(each)
        assert torch.equal(again.world_from_cam, result.world_from_cam)
        assert torch.equal(again.points_world, result.points_world)


def walk(count: int, unit: float, true_pose, bend: float = 0.0):
    """Results of a network with a unit of its own on a straight walk, with the true poses."""
    for number in range(count):
        said = torch.eye(4)
        said[0, 3] = 0.3 * number / unit
        result = make_result(number)
        prediction = replace(
            result.prediction, world_from_cam=said[None], points_cam=result.prediction.points_cam / unit
        )
        yield replace(
            result, chunk=0, prediction=prediction, frame=replace(result.frame, world_from_cam=true_pose(number))
        )


def true_pose(number: int) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    pose[:3, 3] = (5, 0.3 * number, 1)
    return pose


def followed(config: GivenConfig, results):
    """Drive `follow` as a session does, without a network."""
    given, places, scene, last = Given(), Places(), Reconstruction(confidence=0.0, edges=None), []
    place = Similarity.identity()
    for result in results:
        places = places.placed(0, place)
        given, step, result = follow(config, given, replace(result, world_from_chunk=place), places)
        if step is not None:
            place = Similarity.from_matrix(step.matrix() @ place.matrix())
        result = replace(result, world_from_chunk=place)
        scene.add(result)
        last.append(result)
    return scene, last, given


def test_given_poses_say_how_large_points_are_and_early_frames_follow():
    unit = 4.0
    results = list(walk(12, unit, true_pose))
    scene, _, given = followed(GivenConfig(), results)
    assert given.scale * given.factor == pytest.approx(unit, rel=1e-6)
    np.testing.assert_allclose(scene.cameras.world_from_cam, [true_pose(k) for k in range(12)], **EXACT)
    points = {int(number): scene.points[scene.frame_numbers == number] for number in range(12)}
    for number in (0, 1, 2, 11):  # the first ones came before anybody knew the scale
        assert results[number].prediction.points_cam is not None
        camera = torch.from_numpy(true_pose(number)).float()
        truth = transform(camera, unit * results[number].prediction.points_cam[0]).reshape(-1, 3).numpy()
        nearest = np.abs(points[number][:, None] - truth[None]).max(axis=-1).min(axis=1)
        assert len(nearest) and nearest.max() < 1e-3, number


def test_poses_that_only_give_the_scale_leave_the_cameras():
    scene, _, given = followed(GivenConfig(ScaleFrom.poses, hold_poses=False), walk(12, 4.0, true_pose))
    assert given.scale == pytest.approx(4.0, rel=1e-6)
    centres = scene.cameras.world_from_cam[:, :3, 3]
    np.testing.assert_allclose(centres[:, 0], 0.3 * np.arange(12), atol=1e-5)
    assert not centres[:, 1].any()


def test_base_lines_that_contradict_each_other_leave_points_as_large_as_they_are():
    def uneven(number: int) -> np.ndarray:
        pose = true_pose(number)
        pose[1, 3] *= 1 + number % 4
        return pose

    scene, _, given = followed(GivenConfig(), walk(30, 4.0, uneven))
    assert given.votes.seen > 10 and given.scale * given.factor == 1
    np.testing.assert_allclose(scene.cameras.world_from_cam, [uneven(k) for k in range(30)], **EXACT)


def test_one_wrong_pose_changes_no_scale():
    def disturbed(number: int) -> np.ndarray:
        pose = true_pose(number)
        pose[:3, 3] += 50 * (number == 7)
        return pose

    _, _, given = followed(GivenConfig(), walk(30, 4.0, disturbed))
    assert given.scale * given.factor == pytest.approx(4.0, rel=0.03)


def test_places_of_a_moved_stream_are_in_its_file(tiny_linear, tmp_path):
    session = Session(tiny_linear)
    run(session, posed(3))
    write_chunks(tmp_path, session.snapshot().course, 3)
    assert torch.equal(read_places(tmp_path)[0].matrix(), session.places[0].matrix())


def with_camera(count: int):
    camera = np.array([[50.0, 0, 31], [0, 52, 23], [0, 0, 1]])
    return [replace(each, intrinsics=camera) for each in posed(count)]


def test_a_network_that_is_shown_given_cameras_gets_image_and_ray_map(tiny_linear):
    frames = with_camera(2)
    plain, shown = Session(tiny_linear), Session(tiny_linear, given=GivenConfig(condition=True))
    first, first_shown = (session.push(frames[0]) for session in (plain, shown))
    assert torch.equal(first.depth, first_shown.depth)  # the first view's camera is the world
    state = shown.snapshot().state
    result = shown.push(frames[1])
    first_from_cam = np.linalg.inv(cameras(1)[0]) @ cameras(2)[1]
    intrinsics = result.pixel_map.intrinsics_to_image(torch.from_numpy(frames[1].intrinsics)).float()
    translation = tiny_linear.config.ray_direction is RayDirection.point_at_unit_depth
    rays = ray_map(
        torch.from_numpy(first_from_cam).float(), intrinsics, result.depth.shape, include_translation=translation
    )
    view = ViewInput(to_tensor(result.image), rays[None])
    with torch.inference_mode():
        expected, _ = tiny_linear.step(state, view, tiny_linear.encode(view), Outputs(pose=True, points_cam=True))
    scale = shown.snapshot().given.scale
    torch.testing.assert_close(result.depth, scale * expected.points_cam[0, ..., 2], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(plain.push(frames[1]).depth, result.depth, rtol=1e-3)


def test_after_a_joint_ray_maps_are_seen_from_the_first_frame_of_the_overlap(tiny_linear):
    session = Session(tiny_linear, resets=ResetConfig(4, evidence=False, overlap=2), given=GivenConfig(condition=True))
    for each in with_camera(5):
        session.push(each)
    now = session.snapshot()
    first = first_camera(now.given, now.chunk, now.course)
    assert now.chunk == 1 and torch.equal(first, torch.from_numpy(cameras(5)[2]))
