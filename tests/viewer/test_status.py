"""What the page says: how long still, how well it tracks, since when it does not."""

from dataclasses import replace

import torch

from cut3r.inference.quality import Quality, Trust
from cut3r.viewer.status import Status, Tracking, clock


def judged(result, trust: Trust, time_s: float | None, *, doubtful: bool = False):
    quality = Quality(1.0, 0.1, float("nan"), doubtful, trust, True)
    return replace(result, quality=quality, frame=replace(result.frame, time_s=time_s))


def test_tracking_is_lost_and_found_again_and_both_are_said(small_room):
    tracking, result = Tracking(), small_room.result(0)
    tracking.add(judged(result, Trust.good, 70.0))
    assert tracking.text() == "Tracking **good**"
    tracking.add(judged(result, Trust.lost, 72.4))
    tracking.add(judged(result, Trust.lost, 73.0))
    assert tracking.text() == "Tracking **lost** since 1:12"
    tracking.add(judged(result, Trust.good, 75.0))
    assert tracking.text() == "Tracking **good**; lost at 1:12"


def test_a_frame_without_numbers_is_lost_also_where_nobody_judges(small_room):
    tracking, result = Tracking(), small_room.result(3)
    tracking.add(result)
    assert tracking.text() == "Every frame has a camera"
    tracking.add(replace(result, valid=torch.zeros_like(result.valid)))
    assert tracking.text() == "Tracking **lost** since frame 3"


def test_chunks_that_may_stand_wrong_are_counted(small_room):
    tracking = Tracking()
    tracking.add(judged(small_room.result(0, chunk=1), Trust.good, None, doubtful=True))
    assert tracking.text() == "Tracking **good**; 1 chunk may stand wrong"


def test_the_status_says_rate_time_left_and_memory():
    status = Status(frames=12, expected=80, points=345_678, fps=0.5, seconds_left=136.0, memory="3.9 GB host")
    assert status.text() == "**Running** · 12 of 80 frames · 0.5 fps · 0:02:16 left · 345,678 points · 3.9 GB host"
    assert "left" not in replace(status, finished=True).text()


def test_moments_are_said_as_players_do():
    assert [clock(seconds) for seconds in (0.0, 72.9, 3725.0)] == ["0:00", "1:12", "1:02:05"]
