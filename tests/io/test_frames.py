import logging
import os
import threading

import cv2
import numpy as np
import pytest
from PIL import Image

from cut3r.io import frames, video, webcam
from cut3r.io.frames import Frame, FrameOptions, SortOrder, open_frames
from cut3r.io.images import write_image
from tests.io.pictures import STORED, FakeCamera, encode, save, walk, write_video


def photos(folder, count=5, bad=()):
    """Photo k is grey of level k."""
    for index in range(count):
        write_image(folder / f"{index}.png", np.full((4, 6, 3), index, np.uint8))
        if index in bad:
            (folder / f"{index}.png").write_bytes(b"broken")
    return folder


def indices(stream):
    return [frame.index for frame in stream]


def test_photos_come_with_index_name_and_pixels_but_no_time(tmp_path):
    for index, frame in enumerate(open_frames(photos(tmp_path))):
        assert isinstance(frame, Frame)
        assert (frame.index, frame.name, frame.time_s) == (index, f"{index}.png", None)
        assert (frame.rgb == index).all()


@pytest.mark.parametrize("as_source", [lambda path: path, str, lambda path: [path], lambda path: [str(path)]])
def test_one_photo_is_a_stream_of_one_frame(tmp_path, as_source):
    stream = open_frames(as_source(photos(tmp_path) / "3.png"))
    assert stream.expected == 1
    assert [frame.name for frame in stream] == ["3.png"]


def test_photos_are_upright(tmp_path):
    scene = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    save(tmp_path / "a.png", STORED[8](scene), 8)
    assert np.array_equal(next(open_frames(tmp_path)).rgb, scene)


def test_photos_may_differ_in_size(tmp_path):
    save(tmp_path / "a.png", np.zeros((4, 6, 3), np.uint8))
    save(tmp_path / "b.png", np.zeros((8, 2, 3), np.uint8))
    assert [frame.rgb.shape[:2] for frame in open_frames(tmp_path)] == [(4, 6), (8, 2)]


def test_options_reach_the_decoder(tmp_path):
    save(tmp_path / "a.png", Image.new("RGBA", (1, 1), (255, 0, 0, 0)))
    assert next(open_frames(tmp_path)).rgb.tolist() == [[[255, 255, 255]]]
    assert next(open_frames(tmp_path, FrameOptions(background=(0, 0, 9)))).rgb.tolist() == [[[0, 0, 9]]]
    assert next(open_frames(tmp_path, FrameOptions(parity=True))).rgb.tolist() == [[[255, 0, 0]]]


def test_a_broken_photo_stops_the_stream_only_when_its_turn_comes(tmp_path):
    stream = open_frames(photos(tmp_path, bad=[3]))
    assert [next(stream).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match=r"3\.png is not a picture.*--skip-bad"):
        next(stream)
    assert list(stream) == []


def test_no_photo_is_decoded_before_it_is_asked_for(tmp_path, monkeypatch):
    decoded = []
    read_image = frames.read_image
    monkeypatch.setattr(
        frames, "read_image", lambda path, **how: (decoded.append(path.name), read_image(path, **how))[1]
    )
    stream = open_frames(photos(tmp_path))
    assert decoded == []
    next(stream)
    next(stream)
    assert decoded == ["0.png", "1.png"]


def test_skip_bad_counts_and_names_what_it_skips(tmp_path, caplog):
    stream = open_frames(photos(tmp_path, bad=[1, 3]), FrameOptions(skip_bad=True))
    assert indices(stream) == [0, 2, 4]
    assert [entry.split(":")[0] for entry in stream.skipped] == ["1.png", "3.png"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


def test_a_missing_file_of_a_list_is_a_bad_frame(tmp_path):
    photos(tmp_path, 2)
    (tmp_path / "list.txt").write_text("0.png\nlost.png\n1.png\n")
    with pytest.raises(ValueError, match=r"lost\.png.*--skip-bad"):
        list(open_frames(tmp_path / "list.txt"))
    stream = open_frames(tmp_path / "list.txt", FrameOptions(skip_bad=True))
    assert [frame.name for frame in stream] == ["0.png", "1.png"]
    assert len(stream.skipped) == 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (FrameOptions(start=3), [3, 4, 5, 6, 7, 8, 9, 10]),
        (FrameOptions(end=2), [0, 1]),
        (FrameOptions(start=1, end=9, every=3), [1, 4, 7]),
        (FrameOptions(max_frames=5), [0, 2, 5, 8, 10]),
        (FrameOptions(every=2, max_frames=3), [0, 4, 10]),
        (FrameOptions(max_frames=1), [0]),
        (FrameOptions(max_frames=99), list(range(11))),
        (FrameOptions(end=99), list(range(11))),
    ],
)
def test_photos_and_videos_are_selected_alike(tmp_path, options, expected):
    stream = open_frames(photos(tmp_path / "photos", 11), options)
    assert stream.expected == len(expected)
    assert indices(stream) == expected
    stream = open_frames(write_video(tmp_path / "a.mp4", 11), options)
    assert stream.expected == len(expected)
    assert indices(stream) == expected


def test_fps_selects_by_the_videos_clock(tmp_path):
    stream = open_frames(write_video(tmp_path / "a.mp4", 12, fps=10), FrameOptions(fps=4.0))
    assert stream.expected == 5
    assert [round(frame.time_s, 3) for frame in stream] == [0, 0.3, 0.5, 0.8, 1.0]


def test_fps_of_photos_is_refused_with_a_way_out(tmp_path):
    with pytest.raises(ValueError, match="photos do not have; use --every N or --max-frames N"):
        open_frames(photos(tmp_path), FrameOptions(fps=1.0))


def test_a_selection_beyond_the_end_is_refused(tmp_path):
    with pytest.raises(ValueError, match="starts at frame 7, but there are only 5 photos"):
        open_frames(photos(tmp_path / "photos"), FrameOptions(start=7))
    with pytest.raises(ValueError, match=r"starts at frame 12, but a\.mp4 has only 12"):
        list(open_frames(write_video(tmp_path / "a.mp4", 12), FrameOptions(start=12)))


@pytest.mark.parametrize("options", [FrameOptions(), FrameOptions(every=2), FrameOptions(max_frames=4)])
@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_resumed_run_gets_the_frames_it_has_not_seen(tmp_path, options, skip_bad):
    options.skip_bad = skip_bad
    for source in (photos(tmp_path / "photos", 12), write_video(tmp_path / "a.mp4", 12)):
        whole = indices(open_frames(source, options))
        resumed = open_frames(source, options, skip=3)
        assert resumed.expected == len(whole) - 3
        assert indices(resumed) == whole[3:]


def test_resuming_counts_only_the_frames_that_were_given(tmp_path):
    stream = open_frames(photos(tmp_path, 6, bad=[1]), FrameOptions(skip_bad=True), skip=2)
    assert indices(stream) == [3, 4, 5]  # the first run gave 0 and 2


def test_skipped_photos_are_not_decoded(tmp_path):
    assert indices(open_frames(photos(tmp_path, 4, bad=[0, 1]), skip=2)) == [2, 3]


def test_skipping_everything_gives_an_empty_stream(tmp_path):
    stream = open_frames(photos(tmp_path), skip=9)
    assert stream.expected == 0
    assert list(stream) == []


def test_negative_skip_is_refused(tmp_path):
    with pytest.raises(ValueError, match="skip is -1"):
        open_frames(photos(tmp_path), skip=-1)


def test_video_frames_come_with_time_and_a_numbered_name(tmp_path):
    frame = list(open_frames(write_video(tmp_path / "kitchen.mp4", fps=10)))[7]
    assert (frame.index, frame.name) == (7, "kitchen.mp4#000007")
    assert frame.time_s == pytest.approx(0.7)
    assert abs(int(frame.rgb[-1, 0, 0]) - 140) <= 6


def test_a_video_that_breaks_off_gives_what_it_has_and_a_warning_with_both_counts(tmp_path, caplog):
    path = write_video(tmp_path / "a.avi", 12, codec="MJPG")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    count = len(list(open_frames(path)))
    assert 0 < count < 12
    assert f"a.avi announces 12 frames but only {count} could be decoded" in caplog.text


def test_a_whole_video_ends_without_a_warning(tmp_path, caplog):
    for options in (FrameOptions(), FrameOptions(end=5), FrameOptions(max_frames=3)):
        list(open_frames(write_video(tmp_path / "a.mp4"), options))
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_max_frames_of_a_video_trusts_the_frames_and_not_the_header(tmp_path, monkeypatch):
    class Boasting(video.SequentialCapture):
        def __init__(self, target, **how):
            super().__init__(target, **how)
            self.frame_count = 1000

    monkeypatch.setattr(frames, "SequentialCapture", Boasting)
    assert indices(open_frames(write_video(tmp_path / "a.mp4", 11), FrameOptions(max_frames=3))) == [0, 5, 10]


def test_a_frame_that_cannot_be_decoded_is_a_bad_frame(tmp_path, monkeypatch):
    class Spotted(video.SequentialCapture):
        def retrieve(self):
            return None if self.grabbed == 3 else super().retrieve()

    monkeypatch.setattr(frames, "SequentialCapture", Spotted)
    path = write_video(tmp_path / "a.mp4", 5)
    with pytest.raises(ValueError, match=r"frame 2 of a\.mp4 cannot be decoded.*--skip-bad"):
        list(open_frames(path))
    stream = open_frames(path, FrameOptions(skip_bad=True))
    assert indices(stream) == [0, 1, 3, 4]
    assert stream.skipped[0].startswith("a.mp4#000002")


def test_a_video_is_read_no_further_than_asked(tmp_path, monkeypatch):
    grabbed = []
    grab = video.SequentialCapture.grab
    monkeypatch.setattr(video.SequentialCapture, "grab", lambda self: (grabbed.append(1), grab(self))[1])
    stream = open_frames(write_video(tmp_path / "a.mp4"))
    assert len(grabbed) == 0
    next(stream)
    next(stream)
    assert len(grabbed) == 2


def test_nothing_is_grabbed_after_the_end_of_the_range(tmp_path, monkeypatch):
    grabbed = []
    grab = video.SequentialCapture.grab
    monkeypatch.setattr(video.SequentialCapture, "grab", lambda self: (grabbed.append(1), grab(self))[1])
    list(open_frames(write_video(tmp_path / "a.mp4"), FrameOptions(end=4)))
    assert len(grabbed) == 4


def test_a_closed_stream_is_at_its_end(tmp_path):
    with open_frames(write_video(tmp_path / "a.mp4")) as stream:
        next(stream)
    assert list(stream) == []


def test_opening_again_gives_the_same_frames(tmp_path):
    path = write_video(tmp_path / "a.mp4")
    for first, second in zip(open_frames(path), open_frames(path), strict=True):
        assert np.array_equal(first.rgb, second.rgb)


def test_streams_describe_themselves(tmp_path):
    assert open_frames(photos(tmp_path), FrameOptions(every=2)).description == f"3 of 5 photos from {tmp_path}"
    assert open_frames(write_video(tmp_path / "a.mp4")).description == "a.mp4, 64x48 at 10 fps"


def test_sorting_is_an_option(tmp_path):
    for name in ("f2.png", "f10.png"):
        write_image(tmp_path / name, np.zeros((2, 2, 3), np.uint8))
    assert [frame.name for frame in open_frames(tmp_path)] == ["f2.png", "f10.png"]
    assert [frame.name for frame in open_frames(tmp_path, FrameOptions(sort=SortOrder.name))] == ["f10.png", "f2.png"]


@pytest.fixture
def pipe(tmp_path, monkeypatch):
    """A pipe with a clip of five frames behind it."""
    path = tmp_path / "p.ts"
    os.mkfifo(path)
    clip = encode(tmp_path / "clip.ts", walk(5), container="mpegts").read_bytes()
    writer = threading.Thread(target=lambda: path.write_bytes(clip), daemon=True)
    writer.start()
    monkeypatch.setattr(frames, "find_images", lambda source, options: source)
    return path


def test_a_video_may_come_through_a_pipe(pipe):
    stream = open_frames(pipe, FrameOptions(every=2))
    assert stream.live
    assert stream.fingerprint is None
    assert stream.expected is None
    assert stream.description == "pipe p.ts, 128x96 at 10 fps"
    assert [frame.name for frame in stream] == ["p.ts#000000", "p.ts#000002", "p.ts#000004"]


@pytest.mark.parametrize(("options", "skip"), [(FrameOptions(), 3), (FrameOptions(max_frames=3), 0)])
def test_what_needs_a_second_reading_of_a_pipe_is_refused(pipe, options, skip):
    with pytest.raises(ValueError, match=r"p\.ts is a pipe and is read only once.*use --end or --every, or save it"):
        open_frames(pipe, options, skip=skip)


@pytest.fixture
def camera(monkeypatch):
    fake = FakeCamera()
    monkeypatch.setattr(webcam, "_open", lambda number: fake)
    return fake


def test_a_camera_is_live_and_has_no_expected_length(camera):
    with open_frames("camera:0") as stream:
        assert stream.live
        assert stream.expected is None
        frame = next(stream)
    assert frame.name == f"camera:0#{frame.index:06d}"
    assert frame.time_s is not None
    assert camera.released.wait(timeout=2)


def test_max_frames_of_a_camera_stops_after_so_many(camera):
    assert len(list(open_frames("camera:0", FrameOptions(max_frames=3)))) == 3
    assert camera.released.wait(timeout=2)


def test_fps_of_a_camera_is_by_the_clock(camera):
    times = [frame.time_s for frame in open_frames("camera:0", FrameOptions(fps=20.0, max_frames=4))]
    assert all(time_s >= 0.05 * tick - 0.002 for tick, time_s in enumerate(times))


def test_a_camera_that_is_unplugged_ends_with_a_warning(camera, caplog):
    camera.count = 3
    list(open_frames("camera:0"))
    assert "camera:0 ended after 3 frames" in caplog.text


def test_a_camera_that_delivers_nothing_is_an_error(camera):
    camera.count = 0
    with pytest.raises(ValueError, match="camera:0 was opened but no frame"):
        list(open_frames("camera:0"))


def test_a_live_source_cannot_be_resumed():
    with pytest.raises(ValueError, match="is live and cannot be resumed"):
        open_frames("rtsp://me:secret@host/a", skip=3)


@pytest.mark.footage
def test_the_example_video_has_65_frames_with_rising_times(footage):
    stream = open_frames(footage / "running.mp4")
    times = []
    for frame in stream:
        assert frame.rgb.shape == (480, 854, 3)
        times.append(frame.time_s)
    assert stream.expected == len(times) == 65
    np.testing.assert_allclose(times, np.arange(65) / 30, atol=1e-3)


@pytest.mark.footage
@pytest.mark.parametrize(
    ("source", "count", "size"),
    [
        ("outdoor_1920x1080", 13, (1080, 1920)),
        ("portrait_540x720", 4, (720, 540)),
        ("rgbd_room/*.color.jpg", 80, (480, 640)),
        ("rgbd_room", 80, (480, 640)),
    ],
)
def test_the_example_photos(footage, source, count, size):
    stream = open_frames(str(footage / source))
    assert stream.expected == count
    assert next(stream).rgb.shape[:2] == size


@pytest.mark.footage
def test_a_sequential_read_gives_opencvs_own_pixels(footage):
    capture = cv2.VideoCapture(str(footage / "running.mp4"))
    for frame in open_frames(footage / "running.mp4", FrameOptions(end=3)):
        assert np.array_equal(frame.rgb[..., ::-1], capture.read()[1])


def test_a_frame_that_the_caller_cannot_use_counts_as_unreadable(tmp_path):
    """A banner of 640x10 among photos ended the run, with and without skip_bad."""

    def check(frame: Frame) -> None:
        if frame.rgb.shape[0] < 16:
            raise ValueError(f"{frame.name} is too narrow")

    for number, h in enumerate((48, 10, 48)):
        write_image(tmp_path / f"{number}.png", np.full((h, 64, 3), number, np.uint8))
    with pytest.raises(ValueError, match=r"1\.png is too narrow; to go on without such frames use --skip-bad"):
        list(open_frames(tmp_path, check=check))
    stream = open_frames(tmp_path, FrameOptions(skip_bad=True), check=check)
    assert [frame.name for frame in stream] == ["0.png", "2.png"]
    assert stream.skipped == ["1.png: 1.png is too narrow"]
    resumed = open_frames(tmp_path, FrameOptions(skip_bad=True), check=check, skip=1)
    assert [frame.name for frame in resumed] == ["2.png"]


def test_the_fingerprint_changes_with_the_files(tmp_path):
    for name in ("b.png", "c.png"):
        write_image(tmp_path / name, np.zeros((48, 64, 3), np.uint8))
    first = open_frames(tmp_path).fingerprint
    assert open_frames(tmp_path).fingerprint == first
    write_image(tmp_path / "a.png", np.zeros((48, 64, 3), np.uint8))
    grown = open_frames(tmp_path).fingerprint
    write_image(tmp_path / "a.png", np.zeros((48, 96, 3), np.uint8))
    rewritten = open_frames(tmp_path).fingerprint
    (tmp_path / "a.png").unlink()
    assert len({first, grown, rewritten}) == 3
    assert open_frames(tmp_path).fingerprint == first
