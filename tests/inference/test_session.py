"""The session: constant memory, snapshots, files, queries, and the results it gives."""

import gc
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from cut3r.geometry.cameras import pinhole
from cut3r.geometry.poses import transform
from cut3r.inference.preprocess import FitConfig, FitMode
from cut3r.inference.result import FrameResult, PointSource
from cut3r.inference.session import Session
from cut3r.io.frames import Frame
from cut3r.model import heads
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs


def frame(number: int, size: tuple[int, int] = (48, 64)) -> Frame:
    rgb = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Frame(rgb, number, number / 30, f"clip#{number:06d}")


def push_all(session: Session, numbers: range) -> list[FrameResult]:
    return [session.push(frame(number)) for number in numbers]


def assert_same(a: FrameResult, b: FrameResult) -> None:
    assert torch.equal(a.prediction.points_cam, b.prediction.points_cam)
    assert torch.equal(a.prediction.pose_encoding, b.prediction.pose_encoding)
    assert torch.equal(a.intrinsics, b.intrinsics)
    assert (a.number, a.chunk) == (b.number, b.chunk)


def live_tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())


def test_a_result_holds_what_files_and_viewers_need(tiny_model):
    result = Session(tiny_model).push(frame(0, (96, 128)))
    assert result.image.shape == (48, 64, 3)
    assert result.depth.shape == result.confidence.shape == result.valid.shape == (48, 64)
    torch.testing.assert_close(result.points_world, transform(result.world_from_cam, result.prediction.points_cam[0]))
    torch.testing.assert_close(result.intrinsics_original[0, 0], 2 * result.intrinsics[0, 0])
    assert (result.confidence >= 1).all()
    assert not (result.valid & (result.depth <= 0)).any()
    assert result.prediction.points_world is None, "a head nobody asked for"


def test_world_points_can_come_from_the_world_head(tiny_linear):
    result = Session(tiny_linear, source=PointSource.world).push(frame(0))
    assert torch.equal(result.points_world, result.prediction.points_world[0])
    assert torch.equal(result.confidence, result.prediction.conf_world[0])


def test_the_number_of_live_tensors_does_not_grow(tiny_linear):
    session = Session(tiny_linear)
    for number in range(6):
        session.push(frame(number))
    after_5 = live_tensors()
    for number in range(6, 51):
        session.push(frame(number))
    assert live_tensors() == after_5


PEAK_MEMORY = """
import resource, sys
import numpy as np, torch
sys.path.insert(0, {tests!r})
from conftest import make_tiny
from cut3r.inference.session import Session
from cut3r.inference.preprocess import FitConfig
from cut3r.io.frames import Frame

session = Session(make_tiny("linear"), fit=FitConfig(size=256))
rgb = np.zeros((192, 256, 3), dtype=np.uint8)
peaks = []
for number in range(200):
    session.push(Frame(rgb + np.uint8(number), number, None, "frame"))
    if number in (19, 199):
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
print(*peaks)
"""


@pytest.mark.slow
def test_peak_host_memory_is_the_same_for_20_and_200_frames(request):
    script = PEAK_MEMORY.format(tests=str(request.config.rootpath / "tests"))
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd="/")
    after_20, after_200 = map(int, run.stdout.split())
    one_frame = 192 * 256 * (3 + 4 * (3 + 1) + 1 + 4 * 3)  # picture, points and confidence, mask, network input
    assert after_200 - after_20 < one_frame, f"{(after_200 - after_20) / one_frame:.2f} frames' worth of growth"


@pytest.mark.gpu
def test_peak_device_memory_is_the_same_for_20_and_60_frames(tiny_model):
    session = Session(tiny_model.cuda())
    push_all(session, range(10))
    peaks = []
    for numbers in (range(10, 20), range(20, 60)):
        torch.cuda.reset_peak_memory_stats()
        push_all(session, numbers)
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[0] == peaks[1]


def test_going_back_to_a_snapshot_repeats_the_stream_exactly(tiny_linear):
    session = Session(tiny_linear)
    push_all(session, range(3))
    snapshot = session.snapshot()
    first = push_all(session, range(3, 6))
    session.restore(snapshot)
    for a, b in zip(first, push_all(session, range(3, 6)), strict=True):
        assert_same(a, b)


RESUMED = """
import sys
import numpy as np, torch
sys.path[:0] = [{tests!r}, {here!r}]
from conftest import make_tiny
from test_session import push_all
from cut3r.inference.session import Session

torch.set_num_threads(1)
session = Session(make_tiny({head!r}))
session.load({saved!r})
results = push_all(session, range(3, 5))
np.savez({out!r}, points=np.stack([r.prediction.points_cam.numpy() for r in results]), number=results[0].number,
         pose=np.stack([r.prediction.pose_encoding.numpy() for r in results]))
"""


@pytest.mark.slow
def test_a_saved_session_goes_on_bit_exactly_in_a_new_process(tiny_model, tmp_path, request):
    session = Session(tiny_model)
    push_all(session, range(3))
    session.save(tmp_path / "session.safetensors")
    expected = push_all(session, range(3, 5))
    tests = request.config.rootpath / "tests"
    script = RESUMED.format(
        tests=str(tests),
        here=str(tests / "inference"),
        head=tiny_model.config.head.value,
        saved=str(tmp_path / "session.safetensors"),
        out=str(tmp_path / "out.npz"),
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    resumed = np.load(tmp_path / "out.npz")
    assert resumed["number"] == 3
    assert np.array_equal(resumed["points"], np.stack([r.prediction.points_cam.numpy() for r in expected]))
    assert np.array_equal(resumed["pose"], np.stack([r.prediction.pose_encoding.numpy() for r in expected]))


def test_a_session_of_another_network_is_refused(tiny_linear, tmp_path):
    Session(tiny_linear).save(tmp_path / "session.safetensors")
    other = Cut3r(tiny_linear.config)
    with pytest.raises(ValueError, match="another network"):
        Session(other).load(tmp_path / "session.safetensors")


def test_a_file_that_is_no_session_is_refused(tiny_linear, tmp_path):
    (tmp_path / "notes.txt").write_text("not a session")
    with pytest.raises(ValueError, match="not a saved session"):
        Session(tiny_linear).load(tmp_path / "notes.txt")
    with pytest.raises(FileNotFoundError, match="no saved session"):
        Session(tiny_linear).load(tmp_path / "missing.safetensors")


def test_after_a_reset_the_stream_is_new(tiny_linear):
    session = Session(tiny_linear)
    fresh = push_all(session, range(3))
    session.reset()
    again = push_all(session, range(3))
    assert [r.chunk for r in again] == [1, 1, 1]
    assert [r.number for r in again] == [3, 4, 5]
    for a, b in zip(fresh, again, strict=True):
        assert torch.equal(a.prediction.points_cam, b.prediction.points_cam)


def test_pushing_without_update_changes_nothing_but_the_count(tiny_linear):
    session = Session(tiny_linear)
    push_all(session, range(2))
    tokens = session.snapshot().state.tokens
    session.push(frame(9), update=False)
    assert session.snapshot().state.tokens is tokens
    assert session.frames_seen == 3


def test_absorbing_changes_the_state_as_pushing_does(tiny_linear):
    pushed, absorbed = Session(tiny_linear), Session(tiny_linear)
    for number in range(2):
        pushed.push(frame(number))
        absorbed.absorb(frame(number))
    assert torch.equal(pushed.snapshot().state.tokens, absorbed.snapshot().state.tokens)
    assert absorbed.frames_seen == 0


def test_a_query_sees_without_being_seen(tiny_model):
    session = Session(tiny_model)
    push_all(session, range(2))
    before = session.snapshot()
    pose = torch.eye(4)
    pose[2, 3] = 0.5
    result = session.query(pose, pinhole((48, 64), 60.0), (48, 64))
    assert session.snapshot() is before
    assert result.points_world.shape == (48, 64, 3)
    assert result.rgb.shape == (48, 64, 3)
    assert result.rgb.dtype == np.uint8
    torch.testing.assert_close(result.points_world, transform(pose, result.prediction.points_cam[0]))
    degrees, metres = result.pose_error
    assert degrees >= 0
    assert metres >= 0


def test_the_pose_error_of_a_query_is_measured(tiny_linear):
    session = Session(tiny_linear)
    push_all(session, range(1))
    result = session.query(torch.eye(4), pinhole((48, 64), 60.0), (48, 64))
    turned = torch.eye(4)[None].clone()
    turned[0, :2, :2] = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    turned[0, 0, 3] = 2.0
    degrees, metres = replace(result, prediction=replace(result.prediction, world_from_cam=turned)).pose_error
    assert degrees == pytest.approx(90, abs=1e-3)
    assert metres == pytest.approx(2)


def test_a_query_before_the_first_frame_is_refused(tiny_linear):
    with pytest.raises(ValueError, match="push a frame first"):
        Session(tiny_linear).query(torch.eye(4), pinhole((48, 64), 60.0), (48, 64))


def test_frames_of_different_sizes_are_one_stream(tiny_model):
    session = Session(tiny_model)
    shapes = [session.push(frame(i, size)).image.shape[:2] for i, size in enumerate([(48, 64), (64, 48), (30, 64)])]
    assert shapes == [(48, 64), (64, 48), (16, 64)]


def test_a_shared_focal_length_is_the_median_so_far(tiny_linear):
    own = [float(r.intrinsics[0, 0]) for r in push_all(Session(tiny_linear), range(5))]
    shared = [float(r.intrinsics[0, 0]) for r in push_all(Session(tiny_linear, shared_focal=True), range(5))]
    assert shared == pytest.approx([float(np.median(own[: i + 1])) for i in range(5)])


def test_a_size_the_network_was_not_trained_at_is_warned_about(tiny_linear, caplog):
    from cut3r.inference.preprocess import FitConfig

    Session(tiny_linear, fit=FitConfig(size=128))
    assert "trained at 64" in caplog.text


def test_heads_asked_for_are_given(tiny_linear):
    result = Session(tiny_linear, Outputs.all()).push(frame(0))
    assert result.prediction.rgb is not None
    assert result.prediction.points_world is not None


def test_a_query_from_another_thread_waits_for_the_frame(tiny_linear, monkeypatch):
    session = Session(tiny_linear)
    push_all(session, range(1))
    alone, at_once, step = threading.Lock(), [], tiny_linear.step

    def watched(*arguments):
        at_once.append(not alone.acquire(blocking=False))
        time.sleep(0.02)
        result = step(*arguments)
        if not at_once[-1]:
            alone.release()
        return result

    monkeypatch.setattr(tiny_linear, "step", watched)
    asking = [
        threading.Thread(target=session.query, args=(torch.eye(4), pinhole((48, 64), 60.0), (48, 64))) for _ in range(3)
    ]
    for thread in asking:
        thread.start()
    push_all(session, range(1, 4))
    for thread in asking:
        thread.join()
    assert at_once == [False] * 6


def test_a_picture_may_be_pushed_as_it_is(tiny_linear):
    rgb = frame(0).rgb
    assert_same(Session(tiny_linear).push(rgb), Session(tiny_linear).push(frame(0)))


@pytest.mark.parametrize(
    ("picture", "what"),
    [
        (np.zeros((48, 64), np.uint8), r"uint8 \(48, 64\)"),
        (np.zeros((48, 64, 4), np.uint8), r"uint8 \(48, 64, 4\)"),
        (np.zeros((48, 64, 3), np.float32), r"float32 \(48, 64, 3\)"),
        (np.zeros((0, 64, 3), np.uint8), r"uint8 \(0, 64, 3\)"),
        ("picture.png", "str"),
    ],
)
def test_a_frame_says_what_is_wrong_with_its_picture(picture, what):
    made = object.__new__(Frame)  # in tests, the check of annotations would come first
    for name, value in {"rgb": picture, "index": 3, "time_s": None, "name": "clip#3"}.items():
        object.__setattr__(made, name, value)
    with pytest.raises(ValueError, match=rf"the picture of clip#3 is {what}, expected .* shape \(h, w, 3\)"):
        made.__post_init__()


def test_a_pose_that_is_not_finite_makes_its_frame_invalid_and_is_said_once(tiny_linear, monkeypatch, caplog):
    session = Session(tiny_linear)
    monkeypatch.setattr(heads, "pose_from_encoding", lambda encoding: torch.full((1, 4, 4), torch.nan))
    results = push_all(session, range(3))
    assert not any(result.valid.any() for result in results)
    assert session.not_finite == 3
    assert caplog.text.count("its pose is not finite") == 1


def test_points_that_are_not_finite_are_invalid_and_said_once(tiny_linear, monkeypatch, caplog):
    plain = Session(tiny_linear).push(frame(0)).valid
    to_points = heads.to_points

    def overflowing(raw: Tensor) -> Tensor:
        points = to_points(raw)
        points[:, :2, :3] = torch.inf
        return points

    monkeypatch.setattr(heads, "to_points", overflowing)
    session = Session(tiny_linear)
    results = push_all(session, range(2))
    assert not results[0].valid[:2, :3].any()
    assert torch.equal(results[0].valid[2:], plain[2:])
    assert session.not_finite == 2
    assert caplog.text.count("6 of its points are not finite") == 1


@pytest.mark.parametrize(("mode", "votes"), [(FitMode.pad, 40 * 64), (FitMode.crop, 32 * 64)])
def test_padding_has_no_say_in_the_focal_length(tiny_linear, monkeypatch, mode, votes):
    """At size 224, padding is 44 % of the network's picture of a wide frame."""
    weights = []

    def watched(points_cam: Tensor, **options: Tensor) -> Tensor:
        weights.append(options["weights"])
        return torch.tensor(60.0)

    monkeypatch.setattr("cut3r.inference.focal.estimate_focal", watched)
    monkeypatch.setattr(heads, "to_confidence", lambda raw: torch.full_like(raw, 2.0))
    result = Session(tiny_linear, fit=FitConfig(64, mode)).push(frame(0, (40, 64)))
    inside = result.pixel_map.inside()
    assert int(inside.sum()) == votes
    assert torch.equal(weights[0] > 0, inside)
