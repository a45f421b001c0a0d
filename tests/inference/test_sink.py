"""Sinks in threads of their own: all in order, none lost by another's error, and no more memory than is said."""

import logging
import threading
import weakref

import pytest

from cut3r.inference.frame_folder import FrameFolder, read_frame_folder
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.sink import Sink, Sinks
from tests.inference.results import filled, make_result


class Recorder(Sink):
    """Notes what it gets, and fails at the frames (or at the end) that it is told to."""

    def __init__(self, *, fails_at: object = None) -> None:
        self.calls: list[object] = []
        self.fails_at = fails_at

    def begin(self, first: int = 0) -> None:
        self._note(f"begin {first}")

    def add(self, result) -> None:
        self._note(result.number)

    def finish(self) -> None:
        self._note("finish")

    def _note(self, call: object) -> None:
        if call == self.fails_at:
            raise ZeroDivisionError("its own mistake")
        self.calls.append(call)


def run(sinks: dict[str, Sink], count: int, *, error: Exception | None = None) -> None:
    with Sinks(sinks) as running:
        for number in range(count):
            running.add(make_result(number))
        if error is not None:
            raise error


def test_each_sink_gets_everything_in_order():
    recorders = {name: Recorder() for name in "ab"}
    sinks = Sinks(recorders)
    sinks.begin(first=3)
    for number in range(3, 30):
        sinks.add(make_result(number))
    assert sinks.finish() == sinks.finish() == []
    assert all(each.calls == ["begin 3", *range(3, 30), "finish"] for each in recorders.values())


def test_files_and_scene_are_those_that_one_after_the_other_gives(tmp_path):
    scene, folder = Reconstruction(), FrameFolder(tmp_path)
    run({"files": folder, "scene": scene}, 6)
    assert scene.points.tobytes() == filled(6).points.tobytes()
    assert [frame.number for frame in read_frame_folder(tmp_path)] == list(range(6))


def test_a_sink_that_fails_is_named_with_its_frame_and_the_others_get_everything(caplog):
    good, bad = Recorder(), Recorder(fails_at=2)
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(RuntimeError, match=r"^bad failed at frame 2 \(2\.jpg\).*Zero.*mistake") as raised,
    ):
        run({"bad": bad, "good": good}, 9)
    assert good.calls == ["begin 0", *range(9), "finish"]
    assert bad.calls == ["begin 0", 0, 1, "finish"], "no later frame, but it may close what it opened"
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert caplog.text.count("bad failed at frame 2") == 1


@pytest.mark.parametrize("call", ["begin 0", "finish"])
def test_a_sink_that_cannot_begin_or_finish_is_told_as_well(call):
    good, bad = Recorder(), Recorder(fails_at=call)
    with (
        pytest.raises(RuntimeError, match=r"^bad could not (begin|be finished) .*Zero"),
        Sinks({"bad": bad, "good": good}) as sinks,
    ):
        sinks.add(make_result(0))
    assert good.calls == ["begin 0", 0, "finish"]


def test_the_error_of_the_stream_is_not_hidden_by_that_of_a_sink():
    with pytest.raises(KeyError, match="of the stream"):
        run({"bad": Recorder(fails_at=0)}, 1, error=KeyError("of the stream"))


def test_a_slow_sink_holds_no_more_results_than_may_wait():
    """However fast results come and whichever sink is slow: memory is bounded."""
    alive: list[weakref.ref] = []
    most_alive: list[int] = []
    turn = threading.Semaphore(0)

    class Slow(Sink):
        def add(self, result) -> None:
            turn.acquire(timeout=10)
            most_alive.append(sum(seen() is not None for seen in alive))

    with Sinks({"slow": Slow(), "fast": Recorder()}, waiting=3) as sinks:
        releases = threading.Timer(0.2, turn.release, [40])
        releases.start()
        for number in range(40):
            result = make_result(number)
            alive.append(weakref.ref(result))
            sinks.add(result)
            del result
    assert max(most_alive) <= 3 + 2  # waiting, the one at work, the one that is being handed over
    assert sum(seen() is not None for seen in alive) == 0


def test_a_sink_needs_only_add():
    class Counter(Sink):
        count = 0

        def add(self, result) -> None:
            self.count += 1

    counter = Counter()
    run({"counter": counter}, 1)
    assert counter.count == 1


def test_a_scene_can_be_looked_at_while_it_grows():
    scene = Reconstruction(voxel_size=0.01, max_points=500)
    with Sinks({"scene": scene}) as sinks:
        for number in range(60):
            sinks.add(make_result(number))
            cloud = scene.cloud()
            assert len(cloud.points) == len(cloud.frame) <= 500
            assert len(scene) <= 500
    one_by_one = Reconstruction(voxel_size=0.01, max_points=500)
    for number in range(60):
        one_by_one.add(make_result(number))
    assert scene.points.tobytes() == one_by_one.points.tobytes()
