"""Where chunks stand, and which frames of the past are kept to recognise places."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from cut3r.inference.joints import Sight
from cut3r.inference.places import MOST, SPACING, Anchor, Places

SIGHT = Sight(torch.zeros(1, 3), torch.ones(1), torch.eye(4))
ANCHOR = Anchor(0, 0, np.zeros((1, 1, 3), np.uint8), torch.zeros(2), SIGHT)


def after(frames: int, *, every: int = 1) -> Places:
    """Of a stream in chunks of 60 frames that are written, which is one of `every`."""
    places = Places()
    for number in range(0, frames, every):
        places = places.noted(replace(ANCHOR, number=number, chunk=number // (60 * every)))
    return places


def test_of_a_short_stream_every_fifth_frame_is_kept():
    anchors = after(600).anchors
    assert [anchor.number for anchor in anchors] == list(range(0, 600, SPACING))
    assert [anchor.order for anchor in anchors] == list(range(120))


@pytest.mark.parametrize("every", [1, 20])  # the second: of keyframes
def test_of_a_long_stream_few_frames_are_kept_but_with_their_neighbours(every):
    """A place is looked at again by some frames in a row: alone, they would have nothing in common."""
    frames = 6000 * every
    anchors = after(frames, every=every).anchors
    assert MOST - 10 <= len(anchors) <= MOST
    gap = max(every, SPACING)
    near = [b.number - a.number == gap for a, b in pairwise(anchors)]
    assert sum(near) > 0.7 * len(near)
    for quarter in range(4):
        begin = quarter * frames // 4
        assert sum(begin <= anchor.number < begin + frames // 4 for anchor in anchors) > MOST // 8, "not spread evenly"
    assert [anchor.number for anchor in anchors[-5:]] == [
        frames - every - (frames - every) % gap - gap * k for k in range(4, -1, -1)
    ]
