import io
import logging
import sqlite3
import sys
import tracemalloc
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from cut3r.io.frames import FrameOptions, open_frames
from cut3r.io.sources import find_images

pytest.importorskip("rosbags", reason="no bags without rosbags")
pytest.importorskip("mcap", reason="no .mcap without mcap")

from rosbags.rosbag2 import StoragePlugin

from tests.io import bags
from tests.io.bags import ROS1, ROS2, camera_info, compressed, image, rgb_of, write_bag1, write_bag2, write_mcap

COUNT = 7
NAME = "/camera/image_raw"


def bag1(folder, topics=None):
    return write_bag1(folder / "drive.bag", topics or {NAME: [image(ROS1, i) for i in range(COUNT)]})


def bag2(folder, topics=None, plugin=StoragePlugin.SQLITE3):
    return write_bag2(folder / "drive", topics or {NAME: [image(ROS2, i) for i in range(COUNT)]}, plugin)


def mcap(folder, topics=None, **how):
    store = ROS1 if how.get("first") else ROS2
    return write_mcap(folder / "drive.mcap", topics or {NAME: [image(store, i) for i in range(COUNT)]}, **how)


FORMATS = {
    "ROS 1 bag": bag1,
    "ROS 2 bag": bag2,
    "ROS 2 bag of mcap": lambda folder: bag2(folder, plugin=StoragePlugin.MCAP),
    "db3": lambda folder: bag2(folder) / "drive.db3",
    "mcap": mcap,
    "mcap of ROS 1": lambda folder: mcap(folder, first=True),
}


@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
def test_pictures_come_with_the_times_at_which_they_were_taken(tmp_path, write):
    path = write(tmp_path)
    with open_frames(path) as stream:
        frames = list(stream)
        assert stream.expected == COUNT and not stream.live and len(stream.fingerprint) == 64
    assert [frame.time_s for frame in frames] == pytest.approx(0.1 * np.arange(COUNT), abs=1e-6)
    assert [frame.name for frame in frames] == [f"{path.name}#{i:06d}" for i in range(COUNT)]
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.rgb, rgb_of(number))


@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
def test_a_selection_and_a_resumed_run_see_the_same_frames_as_of_a_video(tmp_path, write):
    path = write(tmp_path)
    chosen = {"start": 1, "every": 2}
    assert [frame.index for frame in open_frames(path, FrameOptions(**chosen))] == [1, 3, 5]
    assert [frame.index for frame in open_frames(path, FrameOptions(**chosen), skip=2)] == [5]
    assert [frame.index for frame in open_frames(path, FrameOptions(max_frames=3))] == [0, 3, 6]
    assert [frame.index for frame in open_frames(path, FrameOptions(fps=5.0))] == [0, 2, 4, 6]
    with pytest.raises(ValueError, match="starts at frame 9"):
        list(open_frames(path, FrameOptions(start=9)))


def test_a_suffix_does_not_count(tmp_path):
    path = mcap(tmp_path).rename(tmp_path / "drive.bin")
    assert find_images(path, FrameOptions()) == path
    assert len(list(open_frames(path))) == COUNT


def test_another_recording_has_another_fingerprint(tmp_path):
    path = bag2(tmp_path)
    with open_frames(path) as stream:
        assert [file.name for file in stream.files] == ["metadata.yaml", "drive.db3"]
        before = stream.fingerprint
    (path / "metadata.yaml").write_text((path / "metadata.yaml").read_text() + "\n")
    with open_frames(path) as stream:
        assert stream.fingerprint != before


def mosaic(rgb, pattern):
    """What a sensor with this filter sees, given row by row from the top left."""
    values = np.zeros(rgb.shape[:2], rgb.dtype)
    for place, colour in enumerate(pattern):
        row, column = divmod(place, 2)
        values[row::2, column::2] = rgb[row::2, column::2, "rgb".index(colour)]
    return values


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("deep", [False, True])
def test_colours_behind_a_bayer_filter_are_the_right_ones(tmp_path, pattern, deep):
    rgb = np.full((16, 16, 3), (220, 120, 30), np.uint8)
    values = mosaic(rgb.astype(np.uint16) << 8 if deep else rgb, pattern)
    message = image(ROS2, 0, values, f"bayer_{pattern}{16 if deep else 8}")
    frame = next(open_frames(mcap(tmp_path, {NAME: [message]})))
    np.testing.assert_array_equal(frame.rgb[4:12, 4:12], rgb[4:12, 4:12])


COLOUR = np.full((4, 6, 3), (200, 100, 30), np.uint8)
CODED = {
    "bgr8": COLOUR[..., ::-1],
    "8UC3": COLOUR[..., ::-1],
    "rgba8": np.dstack([COLOUR, np.full((4, 6), 9, np.uint8)]),
    "bgra8": np.dstack([COLOUR[..., ::-1], np.full((4, 6), 9, np.uint8)]),
    "rgb16": COLOUR.astype(np.uint16) << 8,
    "bgr16": COLOUR[..., ::-1].astype(np.uint16) << 8,
}


@pytest.mark.parametrize("encoding", CODED)
def test_each_encoding_gives_the_same_picture(tmp_path, encoding):
    frame = next(open_frames(mcap(tmp_path, {NAME: [image(ROS2, 0, CODED[encoding], encoding)]})))
    np.testing.assert_array_equal(frame.rgb, COLOUR)


@pytest.mark.parametrize(("encoding", "order"), [("yuv422", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")])
def test_chroma_is_where_its_encoding_says(tmp_path, encoding, order):
    y, u, v = cv2.cvtColor(COLOUR, cv2.COLOR_RGB2YUV_I420).ravel()[[0, 24, 30]]
    pixels = np.tile([{"y": y, "u": u, "v": v}[each] for each in order], (4, 3)).reshape(4, 6, 2).astype(np.uint8)
    frame = next(open_frames(mcap(tmp_path, {NAME: [image(ROS2, 0, pixels, encoding)]})))
    np.testing.assert_allclose(frame.rgb.astype(int), COLOUR, atol=4)


def test_rows_may_be_padded(tmp_path):
    padded = np.zeros((6, 40), np.uint8)
    padded[:, :24] = rgb_of(3).reshape(6, 24)
    message = image(ROS2, 0, rgb_of(3))
    message = type(message)(message.header, 6, 8, "rgb8", 0, 40, padded.reshape(-1))
    np.testing.assert_array_equal(next(open_frames(mcap(tmp_path, {NAME: [message]}))).rgb, rgb_of(3))


def test_deep_grey_has_one_range_for_the_whole_recording(tmp_path, caplog):
    """As of a thermal camera: frames must not flicker, whichever comes first."""
    values = [np.full((6, 8), 30_000 + 100 * i, np.uint16) for i in range(COUNT)]
    path = mcap(tmp_path, {NAME: [image(ROS2, i, each, "mono16") for i, each in enumerate(values)]})
    with caplog.at_level(logging.WARNING):
        grey = [int(frame.rgb[0, 0, 0]) for frame in open_frames(path)]
    assert grey[0] == 0 and grey[-1] == 255 and np.all(np.diff(grey) > 30)
    assert grey[3:] == [int(frame.rgb[0, 0, 0]) for frame in open_frames(path, FrameOptions(start=3))]
    assert "more than 8 bits: 30000 becomes black and 30600 white" in caplog.text


def jpeg(rgb):
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=98)
    return file.getvalue()


def test_compressed_pictures_are_known_by_their_content(tmp_path):
    messages = [
        compressed(ROS2, i, jpeg(np.full((6, 8, 3), 30 * i, np.uint8)), "rgb8; jpeg compressed bgr8") for i in range(4)
    ]
    frames = list(open_frames(bag2(tmp_path, {f"{NAME}/compressed": messages})))
    assert [int(frame.rgb[0, 0, 0]) for frame in frames] == pytest.approx([0, 30, 60, 90], abs=2)


@pytest.mark.parametrize("name", ["RawImage", "CompressedImage"])
def test_foxglove_messages_in_json(tmp_path, name):
    facts = [
        {"data": rgb_of(i).tobytes(), "width": 8, "height": 6, "step": 24, "encoding": "rgb8"}
        if name == "RawImage"
        else {"data": jpeg(np.full((6, 8, 3), 40 * i, np.uint8)), "format": "jpeg"}
        for i in range(3)
    ]
    frames = list(open_frames(bags.write_json_mcap(tmp_path / "a.mcap", name, facts)))
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.2])
    if name == "RawImage":
        np.testing.assert_array_equal(frames[2].rgb, rgb_of(2))
    else:
        assert frames[2].rgb.mean() == pytest.approx(80, abs=2)


def test_foxglove_messages_in_protobuf(tmp_path):
    pictures = [jpeg(np.full((6, 8, 3), 40 * i, np.uint8)) for i in range(3)]
    frames = list(open_frames(bags.write_protobuf_mcap(tmp_path / "a.mcap", pictures)))
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.2])
    assert [float(frame.rgb.mean()) for frame in frames] == pytest.approx([0, 40, 80], abs=2)


def test_video_in_messages_is_decoded_from_its_beginning(tmp_path):
    """Skipped frames, too: the others build on them."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 48, "yuv420p", Fraction(1, 10)
    encoder.options = {"tune": "zerolatency", "preset": "ultrafast"}
    facts = []
    for i in range(6):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * i, np.uint8), format="rgb24")
        frame.pts = i
        facts += [{"data": bytes(packet), "format": "h264"} for packet in encoder.encode(frame)]
    path = bags.write_json_mcap(tmp_path / "a.mcap", "CompressedVideo", facts)
    frames = list(open_frames(path, FrameOptions(start=2, every=2)))
    assert [frame.index for frame in frames] == [2, 4]
    assert [float(frame.rgb.mean()) for frame in frames] == pytest.approx([80, 160], abs=4)


def test_a_calibration_beside_the_pictures_is_known(tmp_path):
    topics = {
        NAME: [image(ROS2, i) for i in range(2)],
        "/camera/camera_info": [camera_info(ROS2)] * 2,
        "/other/camera_info": [camera_info(ROS2, focal=5.0)],
    }
    with open_frames(bag2(tmp_path, topics)) as stream:
        lens = stream.cameras.only_lens()
    np.testing.assert_allclose(lens.intrinsics, [[9, 0, 3.5], [0, 9, 2.5], [0, 0, 1]])
    assert lens.size == (6, 8) and lens.is_straight
    assert stream.cameras.what == "/camera/camera_info of drive"


def test_elsewhere_the_coordinate_frame_says_whose_calibration_it_is(tmp_path):
    info = [camera_info(ROS1, frame="rear", focal=5.0)], [camera_info(ROS1, frame="camera", focal=7.0)]
    topics = {NAME: [image(ROS1, 0)], "/calibration/rear": info[0], "/calibration/front": info[1]}
    with open_frames(bag1(tmp_path, topics)) as stream:
        assert stream.cameras.only_lens().intrinsics[0, 0] == 7


@pytest.mark.parametrize(
    ("distortion", "model"), [((0.1, -0.05, 0.001, 0, 0), "plumb_bob"), ((0.1, 0, 0, 0), "equidistant")]
)
def test_distortion_is_known_too(tmp_path, distortion, model):
    topics = {NAME: [image(ROS2, 0)], "/camera/camera_info": [camera_info(ROS2, distortion=distortion, model=model)]}
    with open_frames(mcap(tmp_path, topics)) as stream:
        lens = stream.cameras.only_lens()
    assert not lens.is_straight and lens.distortion == pytest.approx(distortion)
    assert type(lens).__name__ == ("Lens" if model == "plumb_bob" else "Fisheye")


def test_rectified_pictures_have_the_other_matrix(tmp_path):
    topics = {
        "/camera/image_rect": [image(ROS2, 0)],
        "/camera/camera_info": [camera_info(ROS2, distortion=(0.1, 0, 0, 0, 0))],
    }
    with open_frames(mcap(tmp_path, topics)) as stream:
        lens = stream.cameras.only_lens()
    assert lens.is_straight and lens.intrinsics[0, 0] == 18


@pytest.mark.parametrize(
    ("info", "part"),
    [
        ({"focal": 0.0}, "the camera was not calibrated"),
        ({"size": (9, 9)}, "9x9"),
        ({"model": "omni"}, "xi is missing"),
    ],
)
def test_a_calibration_that_cannot_be_used_is_left_out_with_a_reason(tmp_path, info, part, caplog):
    topics = {NAME: [image(ROS2, 0)], "/camera/camera_info": [camera_info(ROS2, **info)]}
    with open_frames(mcap(tmp_path, topics)) as stream:
        assert stream.cameras is None
    assert "intrinsics are estimated" in caplog.text and part in caplog.text


def test_depth_and_compressed_copies_are_not_in_the_way(tmp_path):
    topics = {
        NAME: [image(ROS2, 0)],
        f"{NAME}/compressed": [compressed(ROS2, 0, jpeg(rgb_of(0)))],
        "/camera/depth/image_rect_raw": [image(ROS2, 0, np.zeros((6, 8), np.uint16), "16UC1")],
    }
    with open_frames(mcap(tmp_path, topics)) as stream:
        assert stream.description == f"{NAME} of drive.mcap, 1 pictures"
    with open_frames(tmp_path / "drive.mcap", FrameOptions(topic="camera/depth/image_rect_raw")) as stream:
        assert "depth" in stream.description


def refused(path, **options):
    with pytest.raises(ValueError, match=r"\w") as caught, open_frames(path, FrameOptions(**options)) as stream:
        next(stream)
    said = str(caught.value)
    assert "\n" not in said and path.name in said
    return said


@pytest.mark.parametrize("write", [bag1, bag2, mcap])
def test_several_cameras_are_listed(tmp_path, write):
    store = ROS1 if write is bag1 else ROS2
    path = write(tmp_path, {"/left": [image(store, 0)], "/right": [image(store, 1)], "/imu": [camera_info(store)]})
    said = refused(path)
    assert "choose one with --topic: /left (sensor_msgs/Image, 1), /right (sensor_msgs/Image, 1)" in said
    np.testing.assert_array_equal(next(open_frames(path, FrameOptions(topic="right"))).rgb, rgb_of(1))
    assert "did you mean /left?" in refused(path, topic="/lift")
    assert "/imu of " in refused(path, topic="/imu") and "sensor_msgs/CameraInfo" in refused(path, topic="/imu")


def test_a_recording_without_pictures_says_what_it_has(tmp_path):
    assert "no topic with pictures; it has /imu (sensor_msgs/CameraInfo, 1)" in refused(
        mcap(tmp_path, {"/imu": [camera_info(ROS2)]})
    )


@pytest.mark.parametrize(
    ("message", "part"),
    [
        (image(ROS2, 0, encoding="theora"), "its encoding 'theora' is not known; known are 16UC1, "),
        (image(ROS2, 0, rgb_of(0)[..., :1], "rgb8"), "6 rows of 24 bytes"),
        (compressed(ROS2, 0, b"\x00" * 40, "draco"), "its format 'draco' is no picture"),
    ],
)
def test_an_encoding_that_is_not_known_is_one_sentence(tmp_path, message, part):
    assert part in refused(mcap(tmp_path, {NAME: [message]}))


def test_a_damaged_picture_is_one_frame_and_not_the_end(tmp_path):
    good = jpeg(rgb_of(1, (64, 64)))
    data = [good, good[: len(good) // 2], good]
    path = mcap(tmp_path, {NAME: [compressed(ROS2, i, each) for i, each in enumerate(data)]})
    with open_frames(path, FrameOptions(skip_bad=True)) as stream:
        assert [frame.index for frame in stream] == [0, 2]
        assert len(stream.skipped) == 1
    with pytest.raises(ValueError, match=r"frame 1 of drive.mcap cannot be decoded"):
        list(open_frames(path))


@pytest.mark.parametrize("write", [bag1, lambda folder: bag2(folder) / "drive.db3", mcap], ids=["bag", "db3", "mcap"])
@pytest.mark.parametrize("kept", [20, 200])
def test_what_is_cut_off_near_its_beginning_is_one_sentence(tmp_path, write, kept):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    assert "copy it again" in refused(path)


def test_an_mcap_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path, caplog):
    """A robot that loses its power leaves no index."""
    path = mcap(tmp_path, {NAME: [image(ROS2, i) for i in range(25)]})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = list(open_frames(path))
    assert 0 < len(frames) < 25
    np.testing.assert_array_equal(frames[-1].rgb, rgb_of(len(frames) - 1))
    assert f"drive.mcap broke off after {len(frames)} pictures" in caplog.text


def test_a_folder_without_its_metadata_names_the_recordings_in_it(tmp_path):
    (bag2(tmp_path) / "metadata.yaml").unlink()
    assert "there are 1 recordings, name one of them (such as drive.db3)" in refused(tmp_path / "drive")


def test_damaged_metadata_is_one_sentence(tmp_path):
    path = bag2(tmp_path)
    (path / "metadata.yaml").write_text("rosbag2_bagfile_information: {version: 9}\n")
    assert "ros2 bag reindex" in refused(path)
    (path / "metadata.yaml").write_text("rosbag2_bagfile_information: [\n")
    assert "ros2 bag reindex" in refused(path)


def test_another_database_is_no_bag(tmp_path):
    with sqlite3.connect(tmp_path / "notes.sqlite") as database:
        database.execute("create table a (b)")
    database.close()
    assert "let its name end in .db3" in refused(tmp_path / "notes.sqlite")


def test_a_topic_is_for_recordings(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert "chooses a stream of a recording" in refused(tmp_path / "a.png", topic="/left")


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    path = mcap(tmp_path)
    monkeypatch.delitem(sys.modules, "cut3r.io.mcap_file", raising=False)
    monkeypatch.setitem(sys.modules, "mcap.reader", None)
    with pytest.raises(ValueError, match=r"pip install 'cut3r\[ros\]'"):
        open_frames(path)


def test_memory_does_not_grow_with_the_recording(tmp_path):
    """Messages are read one at a time: of 30 MB, a few are in memory."""
    noise = np.random.default_rng(0)
    pictures = (noise.integers(0, 255, (200, 500, 3), np.uint8) for _ in range(100))
    path = mcap(tmp_path, {NAME: [image(ROS2, i, each) for i, each in enumerate(pictures)]}, chunk_size=1 << 20)
    assert path.stat().st_size > 29e6
    with open_frames(path) as stream:
        next(stream)
        tracemalloc.start()
        assert sum(1 for _ in stream) == 99
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 10e6
