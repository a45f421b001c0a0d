"""Times of frames: decoding is no part of them, and what cannot be told apart is left out."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from cut3r.io.frames import Frame
from eval import clock as clocks
from eval.clock import Clock, cost_text, frame_times, total_cost
from eval.systems.base import FramePrediction


def picture(number: int, *, side: int = 2) -> Frame:
    return Frame(np.zeros((side, side, 3), np.uint8), number, None, f"{number}.png")


def slow_pictures(count: int, seconds: float) -> Iterator[Frame]:
    for number in range(count):
        time.sleep(seconds)
        yield picture(number)


def predictions(frames: Iterator[Frame], seconds: float) -> Iterator[FramePrediction]:
    for _ in frames:
        time.sleep(seconds)
        yield FramePrediction()


def test_slow_decoding_does_not_count_for_frames_but_for_the_whole():
    ticks = []
    clock = Clock(lambda: ticks.append(1))
    assert len(list(clock.watch(predictions(clock.read(slow_pictures(6, 0.02)), 0.001)))) == 6
    record = clock.record()
    assert record["frames_timed"] == 5  # all but the first
    decoding_ms = 1e3 * record["decoding_seconds"]
    assert record["frame_ms_median"] < decoding_ms / 6 and record["frame_ms_first"] < decoding_ms
    assert record["seconds"] > record["decoding_seconds"] >= 6 * 0.02
    assert len(ticks) == 6


def test_time_and_memory_are_followed_from_beginning_to_end():
    ms = np.array([np.nan, *np.arange(1.0, 240.0)])
    told = clocks.over_time(ms, np.arange(240.0))
    assert told["frame"] == list(range(4, 241, 4)) and len(told["ms"]) == clocks.PARTS
    assert told["ms"][:2] == [2.0, 5.5] and told["memory_mb"][:2] == [3.0, 7.0]
    short = clocks.over_time(np.array([np.nan, 5.0]), np.array([7.0, 8.0]))
    assert short == {"frame": [1, 2], "ms": [None, 5.0], "memory_mb": [7.0, 8.0]}
    clock = Clock(lambda: None)
    list(clock.watch(predictions(clock.read(slow_pictures(3, 0.0)), 0.0)))
    assert clock.record()["over_time"]["frame"] == [1, 2, 3]
    assert min(clock.record()["over_time"]["memory_mb"]) > 10


def test_pictures_come_in_order_and_in_batches_of_bounded_size(monkeypatch):
    monkeypatch.setattr(clocks, "BATCH_BYTES", 3 * 12)  # three pictures of 2 x 2
    asked = []

    def frames():
        for number in range(8):
            asked.append(number)
            yield picture(number)

    read = Clock(lambda: None).read(frames())
    assert asked == []
    assert next(read).index == 0
    assert asked == [0, 1, 2]
    assert [frame.index for frame in read] == [1, 2, 3, 4, 5, 6, 7]


def test_an_error_of_a_picture_comes_where_the_pictures_are_read():
    def frames():
        yield picture(0)
        raise OSError("damaged")

    with pytest.raises(OSError, match="damaged"):
        list(Clock(lambda: None).read(frames()))


def test_frames_during_which_pictures_were_decoded_are_left_out():
    frames = [(0.0, 2.5), (2.5, 3.5), (3.5, 4.5), (4.5, 7.5), (7.5, 8.5)]
    decoding = [(0.0, 1.0), (4.0, 6.0)]  # the second during the third and the fourth frame
    assert frame_times(frames, decoding) == {
        "frame_ms_median": pytest.approx(1000),
        "frame_ms_p90": pytest.approx(1000),
        "frame_ms_first": pytest.approx(1500),
        "frames_timed": 2,
    }


def test_the_percentile_is_over_the_timed_frames():
    frames = [(float(k), k + (0.1 if k < 10 else 0.9)) for k in range(12)]
    times = frame_times(frames, [])
    assert times["frame_ms_median"] == pytest.approx(100)
    assert times["frame_ms_p90"] == pytest.approx(900)  # two of eleven
    assert times["frames_timed"] == 11


def test_a_single_frame_has_no_median():
    assert frame_times([(0.0, 1.0)], [])["frame_ms_median"] is None
    assert frame_times([], []) == {}


def test_costs_of_sequences_are_put_together():
    one = {"frames": 5, "seconds": 1.0, "frame_ms_median": 10.0, "frame_ms_p90": 12.0, "frame_ms_first": 50.0,
           "peak_memory_mb": 900.0, "peak_gpu_memory_mb": None}  # fmt: skip
    total = total_cost([one, {**one, "frame_ms_median": 20.0, "peak_memory_mb": 1000.0}, {**one, "frames": 1}])
    assert (total["frames"], total["seconds"], total["frame_ms_median"]) == (11, 3.0, 10.0)
    assert total["peak_memory_mb"] == 1000
    assert cost_text(total) == (
        "10.0 ms per frame without decoding (90 %: 12.0, first: 50.0); at most 1000 MB of memory"
    )
    assert total_cost([]) == {} and cost_text({}) == ""
