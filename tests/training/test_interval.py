import math
import time

import pytest
import torch
from accelerate import Accelerator

from cut3r.training.interval import Clock, Interval, speed_of


def values(**numbers):
    return {name: torch.tensor(number) for name, number in numbers.items()}


def test_an_interval_gives_means_by_name_and_begins_anew():
    interval = Interval()
    interval.add(values(loss=1.0, pose=4.0), samples=2)
    interval.add(values(loss=3.0), samples=2)
    taken = interval.take(Accelerator(cpu=True))
    assert (taken["loss"], taken["pose"]) == (2.0, 4.0)
    interval.add(values(loss=7.0))
    again = interval.take(Accelerator(cpu=True))
    assert again["loss"] == 7.0
    assert "pose" not in again


def test_what_is_not_finite_does_not_count():
    interval = Interval()
    for loss in (1.0, math.nan, math.inf, 2.0):
        interval.add(values(loss=loss))
    assert interval.take(Accelerator(cpu=True))["loss"] == 1.5


def test_an_interval_without_a_useful_number_says_nan():
    interval = Interval()
    interval.add(values(loss=math.nan))
    assert math.isnan(interval.take(Accelerator(cpu=True))["loss"])


def test_the_samples_of_all_processes_make_the_speed():
    speed = speed_of([{"learning": 1.5, "waiting": 0.5}, {"learning": 1.0, "saving": 1.0}], samples=16)
    assert speed["samples_per_s"] == 8
    assert (speed["waiting"], speed["saving"], speed["drawing"]) == (0.125, 0.25, 0)
    assert speed["seconds"] == 2


def test_a_clock_gives_time_to_the_part_that_ends():
    clock = Clock()
    time.sleep(0.02)
    clock.lap("waiting")
    time.sleep(0.05)
    clock.lap(None)
    clock.lap("saving")
    assert set(clock.seconds) == {"waiting", "saving"}
    assert clock.seconds["waiting"] >= 0.02
    assert sum(clock.seconds.values()) == pytest.approx(clock.seconds["waiting"], abs=0.02)
