"""What a teacher says of footage comes back as training samples."""

import numpy as np
import pytest

from cut3r.data.dataset import NoScenesError
from cut3r.data.taught import Taught, TaughtFootage, TaughtFrame, read_frame, segment_names, write_segment
from cut3r.data.view import RawFrame
from cut3r.geometry.cameras import pinhole


def taught_frame(number, *, size=(32, 48), confidence=2.0):
    """A wall that comes nearer, one colour per frame."""
    pose = np.eye(4)
    pose[2, 3] = 0.1 * number
    depth = np.full(size, 3 - 0.1 * number, np.float32)
    depth[0, 0] = 0
    rgb = np.full((*size, 3), 10 * number, np.uint8)
    frame = RawFrame(rgb, depth, pinhole(size, 40.0).double().numpy(), pose)
    return TaughtFrame(f"clip.mp4#{number:06d}", frame, np.full(size, confidence, np.float32))


def write(folder, number, frames):
    path = folder / f"clip/{number:06d}.safetensors"
    write_segment(path, frames)
    return path


def footage(folder, segments, **options):
    options = {"num_views": 2, "sizes": [(32, 48)], "confidence": 1.5} | options
    return TaughtFootage(Taught(folder, segments, options.pop("confidence")), **options)


def test_a_segment_gives_back_its_frames(tmp_path):
    frames = [taught_frame(0), taught_frame(1, size=(48, 32))]
    path = write(tmp_path, 0, frames)
    for written, name in zip(frames, segment_names(path), strict=True):
        read = read_frame(path, name)
        assert read.name == written.name
        np.testing.assert_array_equal(read.frame.rgb, written.frame.rgb)
        np.testing.assert_allclose(read.frame.depth, written.frame.depth, rtol=1e-3)
        np.testing.assert_array_equal(read.frame.world_from_cam, written.frame.world_from_cam)
        np.testing.assert_array_equal(read.confidence, written.confidence)


def test_confidence_beyond_float16_stays_finite(tmp_path):
    path = write(tmp_path, 0, [taught_frame(0, confidence=1e9)])
    assert np.isfinite(read_frame(path, segment_names(path)[0]).confidence).all()


def test_a_damaged_segment_is_named(tmp_path):
    path = write(tmp_path, 0, [taught_frame(0)])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"000000\.safetensors is damaged"):
        segment_names(path)


def test_pictures_are_kept_as_small_as_the_training_needs_and_no_smaller():
    assert taught_frame(0, size=(64, 96)).shrunk((32, 32)).frame.size == (32, 48)
    assert taught_frame(0, size=(32, 48)).shrunk((64, 64)).frame.size == (32, 48)


def test_where_the_teacher_is_unsure_the_student_learns_to_be_unsure(tmp_path):
    unsure = taught_frame(0)
    unsure.confidence[:16] = 1.2
    first, second = footage(tmp_path, [write(tmp_path, 0, [unsure, taught_frame(1)])])[0]
    assert bool(first.sky[1:16].all())
    assert bool(first.valid[16:].all())
    assert not first.valid[0, 0]
    assert not first.sky[0, 0], "without a depth there is nothing to say, not even that it is unknown"
    assert bool(second.valid.flatten()[1:].all())


def test_poses_and_points_are_the_teachers(tmp_path):
    first, second = footage(tmp_path, [write(tmp_path, 0, [taught_frame(0), taught_frame(1)])])[0]
    assert float(second.world_from_cam[2, 3] - first.world_from_cam[2, 3]) == pytest.approx(0.1)
    assert float(second.points[second.valid][:, 2].mean()) == pytest.approx(3.0, abs=2e-3)
    assert bool(first.metric)


def test_held_out_segments_are_not_trained_on(tmp_path):
    segments = [write(tmp_path, number, [taught_frame(k) for k in range(4 + number % 3)]) for number in range(12)]
    training, held_out = (footage(tmp_path, segments, split=split) for split in ("train", "test"))
    names = [{scene.name for scene in dataset.scenes} for dataset in (training, held_out)]
    assert not names[0] & names[1]
    assert [len(some) for some in names] == [10, 2]
    pairs = footage(tmp_path, segments, num_views=5, split="test")
    assert {scene.name for scene in pairs.scenes} <= names[1], "whatever the number of views"


def test_too_few_segments_to_hold_one_out_are_judged_on_themselves_and_it_says_so(tmp_path, caplog):
    segments = [write(tmp_path, 0, [taught_frame(k) for k in range(4)])]
    assert footage(tmp_path, segments, split="test").scenes == footage(tmp_path, segments).scenes
    assert "too few to hold one out" in caplog.text


def test_segments_that_are_too_short_are_refused(tmp_path):
    with pytest.raises(NoScenesError, match="none of the 1 scenes"):
        footage(tmp_path, [write(tmp_path, 0, [taught_frame(0)])])


def test_the_share_of_truth_is_that_of_sure_pixels(tmp_path):
    half = taught_frame(0)
    half.confidence[:16] = 1.0
    half.frame.depth[0, 0] = 3.0
    assert Taught(tmp_path, [write(tmp_path, 0, [half])], 1.5).share_of_truth() == pytest.approx(0.5)
    assert Taught(tmp_path, [], 1.5).share_of_truth() == 0
