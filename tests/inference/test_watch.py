"""Evidence that a stream does not hold together any more."""

import math
from dataclasses import replace

import pytest
import torch

from cut3r.inference.watch import COLLAPSED, CUT_OFF, HISTORY, JUMPED, WEAK_FRAMES, WINDOW, Glance, Watch


def glance(number: int, trust: float = 4.0, *, aside: float = 0.0, place: float = 0.0) -> Glance:
    """A camera that goes one centimetre per frame, two metres before a wall."""
    pose = torch.eye(4)
    pose[0, 3] = 0.01 * number + aside
    return Glance(trust, 2.0, pose, torch.tensor([math.cos(place), math.sin(place)]))


def steady(frames: int) -> Watch:
    watch = Watch()
    for number in range(frames):
        assert watch.broken(glance(number)) == ""
        watch = watch.after(glance(number), written=True)
    return watch


def test_confidence_that_stays_low_is_a_collapse_and_a_dip_is_none():
    watch, reasons = steady(20), []
    for number in range(20, 20 + WEAK_FRAMES):
        weak = glance(number, 0.5 * 4.0)
        reasons.append(watch.broken(weak))
        watch = watch.after(weak, written=True)
    assert reasons == [""] * (WEAK_FRAMES - 1) + [COLLAPSED]
    assert steady(20).after(glance(20, 2.0), written=True).after(glance(21), written=True).weak == 0


def test_frames_without_numbers_are_weak_too():
    lost = replace(glance(20), trust=math.nan, depth_m=math.nan)
    watch = steady(20)
    for _ in range(WEAK_FRAMES - 1):
        assert watch.broken(lost) == ""
        watch = watch.after(lost, written=True)
    assert watch.broken(lost) == COLLAPSED and watch.share(lost) == 0.0


@pytest.mark.parametrize(("aside", "reason"), [(0.3, ""), (0.5, JUMPED)])
def test_a_jump_is_many_usual_steps_and_a_part_of_the_depth(aside, reason):
    assert steady(20).broken(glance(20, aside=aside)) == reason


@pytest.mark.parametrize(("place", "reason"), [(0.9, ""), (1.1, CUT_OFF)])
def test_a_cut_is_another_place_altogether(place, reason):
    assert steady(1).broken(glance(1, place=place)) == reason


def test_nothing_is_unusual_in_a_chunk_that_has_just_begun():
    watch = steady(HISTORY - 1)
    assert watch.broken(glance(HISTORY, 0.1, aside=5.0)) == ""


def test_what_is_remembered_is_bounded():
    watch = steady(3 * WINDOW)
    assert len(watch.trusts) == len(watch.steps) == WINDOW
