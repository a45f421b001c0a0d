"""What moves is left out, what stands still and what was hidden is not."""

from dataclasses import replace

import numpy as np
import torch

from cut3r.geometry.cameras import pinhole, unproject
from cut3r.inference.preprocess import PixelMap
from cut3r.inference.result import FrameResult
from cut3r.io.frame import Frame
from cut3r.model.prediction import Prediction
from cut3r.run.moving import SPACING, Moving

SIZE = (48, 64)
K = pinhole(SIZE, 60.0)


def result(number: int, *, left: int | None, chunk: int = 0) -> FrameResult:
    """A wall at 4 m, seen by a camera that moves a little, and a box at 2 m from column `left` on."""
    depth = torch.full(SIZE, 4.0)
    if left is not None:
        depth[20:40, left : left + 12] = 2.0
    pose = torch.eye(4)
    pose[0, 3] = 0.01 * number
    prediction = Prediction(
        points_cam=unproject(depth, K)[None], conf_cam=torch.full((1, *SIZE), 3.0), world_from_cam=pose[None]
    )
    rgb = np.zeros((*SIZE, 3), np.uint8)
    pixel_map = PixelMap(SIZE, SIZE, (1.0, 1.0), (0.0, 0.0))
    valid = torch.ones(SIZE, dtype=torch.bool)
    return FrameResult(Frame(rgb, number, None, str(number)), number, rgb, prediction, K, pixel_map, valid, chunk)


def test_a_box_that_walks_is_left_out_and_the_wall_behind_it_is_not():
    moving = Moving()
    for number in range(4 * SPACING):
        given = result(number, left=2 + 2 * number)
        found = moving.apply(given)
    gone = ~found.valid
    box = given.depth < 3
    assert (gone & box).sum() > 0.9 * box.sum() and not (gone & ~box)[:18].any()
    assert (gone & ~box).sum() < 60  # a seam, where every second column is looked at
    assert moving.dropped > 0.9 * box.sum() and moving.pixels == 4 * SPACING * given.valid.numel()


def test_what_stands_still_stays():
    moving = Moving()
    for number in range(4 * SPACING):  # the camera passes the box, which is at 2 m
        moving.apply(result(number, left=round(40 - 0.01 * number * 60 / 2)))
    assert moving.dropped < 0.01 * moving.pixels


def test_a_box_that_has_gone_uncovers_what_stays():
    moving = Moving()
    for number in range(3 * SPACING):
        moving.apply(result(number, left=30))
    assert moving.apply(result(3 * SPACING, left=None)).valid.all()


def test_a_new_chunk_is_not_compared_with_the_one_before():
    moving = Moving()
    for number in range(3 * SPACING):
        moving.apply(result(number, left=None))
    arrived = result(3 * SPACING, left=30)
    assert not moving.apply(arrived).valid.all()
    assert moving.apply(replace(arrived, chunk=1)).valid.all()
