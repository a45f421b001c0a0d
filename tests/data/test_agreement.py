import numpy as np
import torch

from cut3r.data.agreement import Seen, agreeing_views, agrees

INTRINSICS = np.array([[20.0, 0, 15.5], [0, 20, 11.5], [0, 0, 1]])
WALL = np.full((24, 32), 4, np.float32)


def moved(x: float) -> np.ndarray:
    pose = np.eye(4)
    pose[0, 3] = x
    return pose


def test_agreement_needs_the_same_depth_in_the_same_place():
    view = Seen(WALL, INTRINSICS, np.eye(4))
    # a metre is five pixels
    count = agreeing_views(view, [Seen(WALL, INTRINSICS, moved(1.0)), Seen(1.2 * WALL, INTRINSICS, np.eye(4))], 0.05)
    assert (count[:, 5:] == 1).all() and not count[:, :5].any()


def test_a_slanted_floor_agrees_with_itself_though_depth_changes_from_pixel_to_pixel():
    # 1.5 m below cameras that stand 0.7 m behind each other; from pixel to pixel depth changes by 2 to 7 %
    intrinsics = np.array([[100.0, 0, 19.5], [0, 100, 59.5], [0, 0, 1]])
    rows = np.arange(120) - 59.5
    depth = np.where(rows > 2, 150 / np.maximum(rows, 1), 0)[:, None].repeat(40, 1).astype(np.float32)
    pose = np.eye(4)
    pose[2, 3] = 0.7
    count = agreeing_views(Seen(depth, intrinsics, np.eye(4)), [Seen(depth, intrinsics, pose)], 0.01, 1.0)
    assert count[:, 10:30][((depth > 3.5) & (depth < 10))[:, 10:30]].all()


def test_the_other_view_s_point_has_to_appear_near_the_pixel():
    view, other = Seen(WALL, INTRINSICS, np.eye(4)), Seen(np.float32(1.1) * WALL, INTRINSICS, moved(2.0))
    # 10 % of a depth at which two metres are ten pixels: nearly one pixel
    assert agreeing_views(view, [other], 0.2)[:, 12:].all()
    assert agreeing_views(view, [other], 0.2, 1.5)[:, 12:].all()
    assert not agreeing_views(view, [other], 0.2, 0.5).any()


def test_unknown_depth_agrees_with_nothing():
    unknown = np.zeros_like(WALL)
    view, blank = Seen(WALL, INTRINSICS, np.eye(4)), Seen(unknown, INTRINSICS, np.eye(4))
    assert not agreeing_views(view, [blank], 0.05).any() and not agreeing_views(blank, [view], 0.05).any()


def test_points_agree_as_pixels_do():
    view = Seen(WALL, INTRINSICS, np.eye(4))
    points = torch.tensor([[0.0, 0.0, 4.0], [0.0, 0.0, 4.3], [9.0, 0.0, 4.0], [0.0, 0.0, -4.0]], dtype=torch.float64)
    assert agrees(points, view, 0.05).tolist() == [True, False, False, False]
