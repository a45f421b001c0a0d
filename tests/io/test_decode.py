"""What containers and decoders report, and what becomes of it."""

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from cut3r.io.decode import Decoder, SaidOnce
from cut3r.io.frames import FrameOptions, open_frames
from tests.io.pictures import encode, encode_tracks, overwrite, packets_of, walk


def decoded(path):
    decoder = Decoder(path, path.name, SaidOnce())
    pictures = list(iter(decoder.read, None))
    decoder.close()
    return pictures


def close_to(frames, pictures, tolerance=8):
    return all(
        frame.rgb.shape == rgb.shape and np.abs(frame.rgb.astype(int) - rgb).mean() < tolerance
        for frame, rgb in zip(frames, pictures, strict=True)
    )


@pytest.mark.parametrize(
    ("codec", "container", "pix_fmt"),
    [
        ("libx264", "mp4", "yuv420p"),
        ("libx264", "matroska", "yuv444p"),
        ("libx264", "matroska", "yuv422p10le"),
        ("libx265", "mp4", "yuv420p10le"),
        ("libsvtav1", "mp4", "yuv420p"),
        ("libvpx-vp9", "webm", "yuv420p"),
        ("mpeg2video", "mpegts", "yuv420p"),
        ("mpeg4", "avi", "yuv420p"),
        ("mjpeg", "avi", "yuvj420p"),
        ("prores_ks", "mov", "yuv422p10le"),
        ("ffv1", "matroska", "yuv444p12le"),
        ("rawvideo", "avi", "yuyv422"),
    ],
)
def test_all_frames_of_a_codec_come_in_their_order(tmp_path, codec, container, pix_fmt):
    options = {"libx265": {"x265-params": "log-level=none"}}.get(codec)
    path = encode(tmp_path / "a", walk(8), codec, pix_fmt, container=container, options=options)
    frames = list(open_frames(path))
    assert close_to(frames, walk(8), tolerance=14)
    assert [frame.time_s for frame in frames] == pytest.approx(np.arange(8) / 10, abs=1e-3)


@pytest.mark.parametrize(
    "name",
    [b"caf\xe9.mp4", b"12:30:45.mp4", b"-i.mp4", b"frame%03d.mp4", b"concat:a|b", b"http:a.mp4", b"a [1] 'b'.mp4"],
)
def test_a_file_may_have_any_name(tmp_path, monkeypatch, name):
    """Latin-1 ended the interpreter, a colon made a protocol of what stood before it, a percent sign a sequence."""
    encode(tmp_path / "a.mp4", walk(3)).rename(tmp_path / os.fsdecode(name))
    monkeypatch.chdir(tmp_path)
    frames = list(open_frames(os.fsdecode(name)))
    assert len(frames) == 3
    assert frames[0].name == name.decode(errors="replace") + "#000000"


def test_the_default_track_is_used_though_a_preview_comes_first(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    preview = {"pictures": walk(4, (48, 64)), "disposition": Disposition(0)}
    encode_tracks(tmp_path / "a.mp4", [preview, {"pictures": walk(4), "disposition": Disposition.default}])
    assert close_to(list(open_frames(tmp_path / "a.mp4")), walk(4))
    assert caplog.text.count("a.mp4 holds 2 video tracks; number 2 is used (128x96)") == 1


def test_the_largest_track_is_used_where_all_are_marked_alike(tmp_path):
    sizes = ((48, 64), (96, 128), (32, 48))
    encode_tracks(tmp_path / "a.mkv", [{"pictures": walk(4, s), "disposition": Disposition.default} for s in sizes])
    assert close_to(list(open_frames(tmp_path / "a.mkv")), walk(4))


def test_the_cover_of_an_album_is_no_footage(tmp_path):
    cover = {"codec": "mjpeg", "pix_fmt": "yuvj420p", "disposition": Disposition.attached_pic}
    encode_tracks(tmp_path / "a.mp4", [{"pictures": walk(1, (144, 192)), **cover}, {"pictures": walk(4)}])
    assert close_to(list(open_frames(tmp_path / "a.mp4")), walk(4))


def test_a_file_without_pictures_is_named(tmp_path):
    with av.open(str(tmp_path / "a.wav"), "w") as file:
        track = file.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        sound.sample_rate = 8000
        file.mux(track.encode(sound))
    with pytest.raises(ValueError, match=r"a\.wav holds no video track; name a video, or a folder of images"):
        open_frames(tmp_path / "a.wav")


def test_an_unknown_codec_is_refused_with_the_command_that_converts_it(tmp_path):
    path = encode(tmp_path / "a b.mp4", walk(2))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(ValueError, match=r"codec of a b\.mp4 is unknown.*ffmpeg -i 'a b\.mp4' -c:v libx264"):
        open_frames(path)


def test_a_title_that_is_not_utf8_does_no_harm(tmp_path):
    path = encode_tracks(tmp_path / "a.mp4", [{"pictures": walk(2)}], title="cafX")
    path.write_bytes(path.read_bytes().replace(b"cafX", b"caf\xe9"))
    assert len(list(open_frames(path))) == 2


def test_times_count_from_the_first_frame(tmp_path):
    path = encode(tmp_path / "a.mkv", walk(5), first_tick=50)
    assert [frame.time_s for frame in open_frames(path)] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4], abs=1e-3)


def test_pictures_that_change_size_keep_their_own(tmp_path, caplog):
    """They were squeezed into the first size."""
    parts = [encode(tmp_path / f"{w}.ts", walk(6, (h, w)), container="mpegts") for h, w in ((96, 128), (128, 96))]
    path = tmp_path / "a.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = list(open_frames(path))
    assert close_to(frames, walk(6) + walk(6, (128, 96)))
    assert "the coded size of a.ts changes from 128x96 to 96x128 at frame 6" in caplog.text
    assert all(np.diff([frame.time_s for frame in frames]) > 0)


@pytest.fixture
def damaged(tmp_path):
    """The second key frame, frame 6 of 18, is half overwritten."""
    path = encode(tmp_path / "a.mp4", walk(18), options={"bf": "0", "x264-params": "scenecut=0"})
    start, size = packets_of(path)[6]
    return overwrite(path, start + size // 3, size // 2)


def test_damage_is_marked_until_the_next_key_frame(damaged):
    assert [index for index, picture in enumerate(decoded(damaged)) if picture.damaged] == [6, 7, 8, 9, 10, 11]


def test_damaged_frames_are_used_with_a_warning_and_their_count(damaged, caplog):
    assert len(list(open_frames(damaged))) == 18
    assert "frame a.mp4#000006 is damaged and used all the same; --skip-bad leaves such frames out" in caplog.text
    assert "6 frames of a.mp4 are damaged and were used all the same" in caplog.text


def test_skip_bad_leaves_damaged_frames_out(damaged):
    stream = open_frames(damaged, FrameOptions(skip_bad=True))
    frames = list(stream)
    assert [frame.index for frame in frames] == [*range(6), *range(12, 18)]
    assert close_to(frames, walk(18)[:6] + walk(18)[12:])
    assert len(stream.skipped) == 6
    assert stream.skipped[0] == "a.mp4#000006: frame a.mp4#000006 is damaged"


def test_a_resumed_run_counts_damaged_frames_as_the_first_run_did(damaged):
    for options in (FrameOptions(), FrameOptions(skip_bad=True)):
        whole = [frame.index for frame in open_frames(damaged, options)]
        assert [frame.index for frame in open_frames(damaged, options, skip=8)] == whole[8:]


def test_packets_that_cannot_be_decoded_do_not_end_the_video(tmp_path, caplog):
    path = encode(tmp_path / "a.mp4", walk(18), options={"bf": "0", "x264-params": "scenecut=0"})
    overwrite(path, packets_of(path)[7][0], 4, b"\xff")  # says how long its first part is
    frames = list(open_frames(path))
    assert len(frames) == 17
    assert frames[-1].time_s == pytest.approx(1.7)
    assert "1 packets of a.mp4 could not be decoded; their frames are missing" in caplog.text
    kept = [frame.index for frame in open_frames(path, FrameOptions(skip_bad=True))]
    assert kept == [*range(7), *range(11, 17)]  # 8 to 11 built on the lost one


def test_what_a_transport_stream_knows_to_be_cut_off_is_damaged(tmp_path):
    path = encode(tmp_path / "a.ts", walk(12), "mpeg2video", container="mpegts")
    packets = [path.read_bytes()[at : at + 188] for at in range(0, path.stat().st_size, 188)]
    inside = [at for at, packet in enumerate(packets) if packet[1:3] == b"\x01\x00"]  # of a picture, not its start
    del packets[inside[len(inside) * 3 // 10]]
    path.write_bytes(b"".join(packets))
    assert any(picture.damaged for picture in decoded(path))


def test_a_pipe_is_read_once(tmp_path):
    os.mkfifo(tmp_path / "p.ts")
    clip = encode(tmp_path / "clip.ts", walk(5), container="mpegts").read_bytes()
    writer = threading.Thread(target=lambda: (tmp_path / "p.ts").write_bytes(clip), daemon=True)
    writer.start()
    decoder = Decoder(tmp_path / "p.ts", "p.ts", SaidOnce())
    assert sum(1 for _ in iter(decoder.read, None)) == 5
    decoder.close()
    writer.join(timeout=5)


def test_closing_while_another_thread_reads_is_safe(tmp_path):
    """In a process of its own: it used to be one that dies."""
    path = encode(tmp_path / "a.mp4", walk(40))
    program = f"""
import threading
from pathlib import Path
from cut3r.io.video import SequentialCapture
for attempt in range(20):
    capture = SequentialCapture(Path({str(path)!r}))
    reader = threading.Thread(target=lambda: [capture.retrieve() for _ in iter(capture.grab, None)])
    reader.start()
    capture.close()
    assert capture.grab() is None
    reader.join()
unread = SequentialCapture(Path({str(path)!r}))
unread.grab()
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_stream_that_is_forgotten_releases_its_file(tmp_path):
    open_files = Path("/proc/self/fd")
    if not open_files.is_dir():
        pytest.skip("only Linux lists the open files of a process")
    path = encode(tmp_path / "a.mp4", walk(3))
    before = len(list(open_files.iterdir()))
    for _ in range(5):
        next(open_frames(path))
    assert len(list(open_files.iterdir())) <= before + 1
