"""Which frames are visible, and where an onlooker stands."""

import numpy as np
import pytest

from cut3r.viewer.config import ViewerConfig
from cut3r.viewer.look import Look, ShowMode, up_of, view_from_behind


@pytest.mark.parametrize(
    ("mode", "visible"),
    [(ShowMode.all, [0, 1, 2, 3, 4]), (ShowMode.up_to_current, [0, 1, 2]), (ShowMode.current, [2])],
)
def test_the_mode_says_which_frames_are_visible(mode, visible):
    look = Look(mode=mode, current=2)
    assert [index for index in range(5) if look.shows_frame(index)] == visible


def test_every_third_camera_and_the_current_one():
    look = Look(camera_every=3, current=4)
    assert [index for index in range(8) if look.shows_camera(index)] == [0, 3, 4, 6]


def test_no_cameras_when_they_are_off():
    assert not any(Look(cameras=False).shows_camera(index) for index in range(8))


def test_the_onlooker_is_behind_and_above_and_looks_ahead(room):
    pose = room.pose(7).double().numpy()
    position, look_at = view_from_behind(pose, 3.0)
    x, y, z = pose[:3, :3].T @ (position - pose[:3, 3])
    assert (abs(x) < 1e-6, y < 0, z < 0) == (True, True, True)  # y points down
    assert np.allclose(pose[:3, :3].T @ (look_at - pose[:3, 3]), [0, 0, 3])


def test_the_distance_scales_with_the_scene(room):
    near, far = (view_from_behind(room.pose(0).double().numpy(), depth)[0] for depth in (1.0, 10.0))
    assert np.allclose(10 * near, far)


def test_up_of_the_first_camera_is_minus_y(room):
    assert up_of(room.pose(0).double().numpy()).tolist() == [0, -1, 0]


@pytest.mark.parametrize("wrong", [{"point_size": 0.0}, {"points_per_frame": 0}, {"max_frames": 1}])
def test_a_senseless_configuration_is_refused(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        ViewerConfig(**wrong)
