"""A reconstruction, which has no pictures, is moved by what is known of its cameras."""

import numpy as np
import pytest
import torch

import cut3r
from cut3r.inference.reconstruction import Reconstruction
from cut3r.io.known_cameras import KnownCamera, KnownCameras, Lens
from cut3r.metrics.motion import ate_sim3
from tests.alignment.test_of_stream import N, drifting, walk  # noqa: F401


@pytest.fixture
def scene(walk) -> Reconstruction:  # noqa: F811
    scene = Reconstruction(confidence=1.0, edges=None, voxel_size=0.05)
    for view in drifting(walk):
        scene.add(view)
    return scene


def known_of(walk, every: int) -> KnownCameras:  # noqa: F811
    cameras = [KnownCamera(f"clip#{k}", None, None, walk.world_from_cam[k].numpy()) for k in range(0, N, every)]
    return KnownCameras("given", tuple(cameras))


def test_known_poses_move_cameras_and_points(walk, scene):  # noqa: F811
    aligned = cut3r.align(scene, known=known_of(walk, 30))
    before, after = (
        float(ate_sim3(torch.from_numpy(each.cameras.world_from_cam).double(), walk.world_from_cam))
        for each in (scene, aligned)
    )
    assert after < 0.4 * before
    assert aligned.cameras.names == scene.cameras.names
    np.testing.assert_allclose(aligned.cameras.world_from_cam[60], walk.world_from_cam[60].numpy(), atol=1e-5)
    np.testing.assert_allclose(aligned.cameras.intrinsics_original, scene.cameras.intrinsics_original, rtol=1e-4)
    assert aligned.confidence == scene.confidence and aligned.voxel_size == scene.voxel_size
    of_frame = aligned.points[aligned.frame_numbers == 60] - walk.world_from_cam[60, :3, 3].numpy()
    distance = np.median(np.linalg.norm(of_frame, axis=1))
    truth = np.median(np.linalg.norm(walk.alone.points_self[60].float().numpy().reshape(-1, 3), axis=1))
    assert 0.7 * truth < distance < 1.3 * truth


def test_without_anything_known_nothing_moves(scene):
    aligned = cut3r.align(scene)
    np.testing.assert_allclose(aligned.cameras.world_from_cam, scene.cameras.world_from_cam, atol=5e-3)
    assert len(aligned) == pytest.approx(len(scene), rel=0.02)


def test_known_intrinsics_reproduce_themselves(scene):
    lens = Lens.of(30.0, 31.0, 15.0, 11.0, (24, 32))
    known = KnownCameras("given", (KnownCamera(None, None, lens, None),), for_all=True)
    aligned = cut3r.align(scene, known=known)
    np.testing.assert_allclose(aligned.cameras.intrinsics_original[7], lens.intrinsics, rtol=1e-5)


def test_a_frame_without_points_keeps_its_camera(walk):  # noqa: F811
    scene = Reconstruction(confidence=1.0, edges=None)
    for number, view in enumerate(drifting(walk)[:12]):
        if number == 5:
            view.valid[:] = False
        scene.add(view)
    aligned = cut3r.align(scene)
    assert len(aligned.cameras) == 12
    np.testing.assert_allclose(aligned.cameras.world_from_cam, scene.cameras.world_from_cam, atol=5e-3)


def test_what_a_scene_cannot_give_is_one_sentence(scene):
    with pytest.raises(ValueError, match="keeps no depth maps"):
        cut3r.align(scene, align="full")
    with pytest.raises(ValueError, match="leave out ba and scene"):
        cut3r.align(scene, ba=True)
