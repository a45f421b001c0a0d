"""Orientation, square pixels, colour: a decoded frame and the same one as it is meant to be seen."""

import logging
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from cut3r.io import hdr
from cut3r.io.frames import FrameOptions, open_frames
from tests.io.pictures import encode, overwrite, walk

# a b c d of the display matrix (ISO 14496-12: x' = a x + c y, y' = b x + d y) and what it does to a picture
ORIENTATIONS = {
    (1, 0, 0, 1): lambda a: a,
    (-1, 0, 0, 1): lambda a: a[:, ::-1],
    (1, 0, 0, -1): lambda a: a[::-1],
    (-1, 0, 0, -1): lambda a: a[::-1, ::-1],
    (0, 1, -1, 0): lambda a: np.rot90(a, -1),
    (0, -1, 1, 0): lambda a: np.rot90(a, 1),
    (0, 1, 1, 0): lambda a: a.swapaxes(0, 1),
    (0, -1, -1, 0): lambda a: a[::-1, ::-1].swapaxes(0, 1),
}


def set_matrix(path, a, b, c, d):
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd") + 4 + 40  # in version 0 of the box
    values = [round(65536 * value) for value in (a, b, 0, c, d, 0)]
    data[at : at + 24] = b"".join(value.to_bytes(4, "big", signed=True) for value in values)
    path.write_bytes(data)
    return path


def first(path, **options):
    with open_frames(path, FrameOptions(**options)) as stream:
        return next(stream).rgb


@pytest.mark.parametrize("matrix", ORIENTATIONS)
def test_the_whole_display_matrix_is_applied(tmp_path, matrix):
    """A mirrored picture stood on its head."""
    path = encode(tmp_path / "a.mp4", walk(1))
    coded = first(path)
    assert np.array_equal(first(set_matrix(path, *matrix)), ORIENTATIONS[matrix](coded))


def test_an_odd_angle_goes_to_the_nearest_right_one(tmp_path, caplog):
    path = encode(tmp_path / "a.mp4", walk(1))
    coded = first(path)
    assert np.array_equal(first(set_matrix(path, 0.3, 0.95, -0.95, 0.3)), np.rot90(coded, -1))
    assert "a.mp4 is to be shown at an odd angle" in caplog.text


def test_the_description_gives_the_upright_size(tmp_path):
    path = set_matrix(encode(tmp_path / "a.mp4", walk(1)), 0, 1, -1, 0)
    assert open_frames(path).description == "a.mp4, 96x128 at 10 fps"


@pytest.mark.parametrize(
    ("aspect", "size"), [("40:27", (96, 190)), ("1:2", (192, 128)), ("1:1", (96, 128)), ("1000:999", (96, 128))]
)
def test_pixels_become_square(tmp_path, caplog, aspect, size):
    caplog.set_level(logging.INFO)
    ratio = Fraction(*map(int, aspect.split(":")))
    path = encode(tmp_path / "a.mkv", walk(3), sample_aspect_ratio=ratio)
    frames = list(open_frames(path))
    assert {frame.rgb.shape[:2] for frame in frames} == {size}
    wide = cv2.resize(walk(1)[0], size[::-1], interpolation=cv2.INTER_CUBIC)
    assert np.abs(frames[0].rgb.astype(int) - wide).mean() < 8
    h, w = size
    told = f"a.mkv has pixels that are not square: 128x96 are shown as {w}x{h}, and intrinsics_original means those"
    assert caplog.text.count(told) == (size != (96, 128))


def test_square_pixels_come_before_the_rotation(tmp_path):
    path = encode(tmp_path / "a.mp4", walk(1), sample_aspect_ratio=Fraction(2))
    wide = first(path)
    assert wide.shape == (96, 256, 3)
    assert np.array_equal(first(set_matrix(path, 0, 1, -1, 0)), np.rot90(wide, -1))


def test_an_absurd_aspect_is_ignored(tmp_path, caplog):
    path = encode(tmp_path / "a.mp4", walk(1), sample_aspect_ratio=Fraction(2))
    box = path.read_bytes().find(b"pasp")  # pixel aspect: two numbers of 32 bits
    overwrite(path, box + 7, 1, b"\x96")
    assert first(path).shape == (96, 128, 3)
    assert "a pixel is 150 times as wide as high, which is taken for a mistake" in caplog.text


def flat(path, yuv, size=(96, 128), **tags):
    """One frame of one colour, losslessly."""
    frame = av.VideoFrame(size[1], size[0], "yuv420p")
    for plane, value in zip(frame.planes, yuv, strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    with av.open(str(path), "w") as file:
        track = file.add_stream("ffv1", rate=10)
        track.height, track.width = size
        for name, value in tags.items():
            setattr(track.codec_context, name, value)
            setattr(frame, name, value)
        file.mux(track.encode(frame))
        file.mux(track.encode())
    return path


def rgb_of(yuv, matrix, *, full=False):
    """Source: ITU-R BT.601, BT.709."""
    red, blue = {601: (0.299, 0.114), 709: (0.2126, 0.0722)}[matrix]
    y, u, v = (
        ((yuv[0] - 16) / 219, *(np.array(yuv[1:]) - 128) / 224) if not full else (np.array(yuv) - (0, 128, 128)) / 255
    )
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    return 255 * np.array((r, (y - red * r - blue * b) / (1 - red - blue), b))


@pytest.mark.parametrize(
    ("size", "tags", "matrix", "full"),
    [
        ((96, 128), {}, 601, False),
        ((720, 1280), {}, 709, False),
        ((576, 720), {}, 601, False),
        ((96, 128), {"colorspace": 1}, 709, False),
        ((720, 1280), {"colorspace": 5}, 601, False),
        ((96, 128), {"color_range": 2}, 601, True),
    ],
)
def test_colours_follow_the_tags_and_else_the_size(tmp_path, size, tags, matrix, full):
    yuv = (140, 110, 150)
    rgb = first(flat(tmp_path / "a.mkv", yuv, size, **tags))
    np.testing.assert_allclose(rgb[8, 8], rgb_of(yuv, matrix, full=full), atol=4)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_frames_are_those_of_opencv(tmp_path, codec):
    path = encode(tmp_path / "a.mp4", walk(6), codec)
    capture = cv2.VideoCapture(str(path))
    for frame in open_frames(path):
        assert np.array_equal(frame.rgb[..., ::-1], capture.read()[1])


@pytest.mark.parametrize(("size", "properties"), [((96, 128), {"sample_aspect_ratio": Fraction(2)}), ((720, 1280), {})])
def test_parity_gives_opencvs_frames_even_where_they_are_wrong(tmp_path, size, properties):
    """It takes pixels for square, and high definition without a tag for BT.601."""
    path = encode(tmp_path / "a.mp4", [np.resize(walk(1)[0], (*size, 3))], **properties)
    assert np.array_equal(first(path, parity=True)[..., ::-1], cv2.VideoCapture(str(path)).read()[1])


def test_parity_takes_hdr_numbers_as_they_are(tmp_path):
    pictures = walk(1)
    path = encode(tmp_path / "a.mp4", pictures, color_trc=16, color_primaries=9)
    assert np.abs(first(path, parity=True).astype(int) - pictures[0]).mean() < 8
    assert np.abs(first(path).astype(int) - pictures[0]).mean() > 30


@pytest.mark.parametrize(
    ("codec", "pix_fmt"),
    [
        ("ffv1", "gray"),
        ("ffv1", "gray16le"),
        ("ffv1", "yuv420p"),
        ("libx264", "yuv444p"),
        ("ffv1", "rgb48le"),
        ("qtrle", "rgb24"),
    ],
)
def test_odd_sizes_and_layouts_convert(tmp_path, codec, pix_fmt):
    path = encode(
        tmp_path / "a.mov", walk(1, (95, 127)), codec, pix_fmt, container="mov" if codec == "qtrle" else "matroska"
    )
    rgb = first(path)
    expected = walk(1, (95, 127))[0]
    if pix_fmt.startswith("gray"):
        expected = np.repeat(cv2.cvtColor(expected, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    assert rgb.shape == (95, 127, 3)
    assert np.abs(rgb.astype(int) - expected).mean() < 8


def test_transparent_pixels_lie_over_the_background(tmp_path):
    rgba = np.zeros((16, 32, 4), np.uint8)
    rgba[:, 16:] = (200, 100, 50, 255)
    rgba[8:, :16] = (255, 255, 255, 128)
    with av.open(str(tmp_path / "a.mov"), "w") as file:
        track = file.add_stream("qtrle", rate=10)
        track.height, track.width, track.pix_fmt = 16, 32, "argb"
        file.mux(track.encode(av.VideoFrame.from_ndarray(rgba, format="rgba")))
        file.mux(track.encode())
    rgb = first(tmp_path / "a.mov", background=(0, 0, 90))
    assert rgb[0, 0].tolist() == [0, 0, 90]
    assert rgb[0, 31].tolist() == [200, 100, 50]
    assert rgb[15, 0].tolist() == [128, 128, 173]


def interlaced(path, count=8):
    """Fields of two moments: odd rows are from half a frame later, when the bars have moved on by six pixels."""
    pictures = []
    for k in range(count):
        fields = [
            np.roll(np.repeat(np.arange(128) % 32 // 16 * 180 + 30, 96).reshape(128, 96).T, 12 * k + half, axis=1)
            for half in (0, 6)
        ]
        pictures.append(
            np.repeat(np.where(np.arange(96)[:, None] % 2, fields[1], fields[0])[..., None], 3, axis=2).astype(np.uint8)
        )
    encode(path, pictures, options={"x264-params": "interlaced=1:tff=1"})
    return pictures


def combing(rgb):
    """How much neighbouring rows differ."""
    return np.abs(np.diff(rgb.astype(int), axis=0)).mean()


def test_interlaced_frames_are_made_whole(tmp_path, caplog):
    """They came black."""
    caplog.set_level(logging.INFO)
    pictures = interlaced(tmp_path / "a.mkv")
    frames = list(open_frames(tmp_path / "a.mkv"))
    assert [frame.time_s for frame in frames] == pytest.approx(np.arange(8) / 10, abs=1e-3)
    assert caplog.text.count("a.mkv is interlaced; its half pictures are made whole") == 1
    for frame, coded in zip(frames, pictures, strict=True):
        assert abs(frame.rgb.mean() - coded.mean()) < 4
        assert combing(frame.rgb) < combing(coded) / 3


def test_interlaced_frames_may_be_thinned_and_chosen(tmp_path):
    interlaced(tmp_path / "a.mkv")
    whole = list(open_frames(tmp_path / "a.mkv"))
    for options in (FrameOptions(every=3), FrameOptions(max_frames=3), FrameOptions(start=7)):
        for frame in open_frames(tmp_path / "a.mkv", options):
            assert np.array_equal(frame.rgb, whole[frame.index].rgb)


def coded_light(rgb, curve):
    """SDR pixels as an HDR signal: light relative to reference white, BT.2020 primaries."""
    to_2020 = np.linalg.inv(
        np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
    )
    light = hdr.srgb_light(rgb / 255.0) @ to_2020.T
    signal = np.linspace(0, 1, 4096)
    return np.interp(light, curve(signal), signal)


@pytest.mark.parametrize(("curve", "trc", "told"), [(hdr.pq_light, 16, "PQ"), (hdr.hlg_light, 18, "HLG")])
def test_hdr_video_looks_like_its_sdr_version(tmp_path, caplog, curve, trc, told):
    caplog.set_level(logging.INFO)
    sdr = walk(2)
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as file:
        track = file.add_stream("libx264", rate=10, options={"qp": "4"})
        track.height, track.width, track.pix_fmt = 96, 128, "yuv444p10le"
        tags = {"colorspace": 9, "color_range": 1, "color_trc": trc, "color_primaries": 9}
        for rgb in sdr:
            signal = np.round(65535 * coded_light(rgb, curve)).astype(np.uint16)
            frame = av.VideoFrame.from_ndarray(signal, format="rgb48le")
            frame = frame.reformat(format="yuv444p10le", dst_colorspace="bt2020", dst_color_range="MPEG")
            for name, value in tags.items():
                setattr(track.codec_context, name, value)
                setattr(frame, name, value)
            file.mux(track.encode(frame))
        file.mux(track.encode())
    for frame, rgb in zip(open_frames(path), sdr, strict=True):
        assert np.abs(frame.rgb.astype(int) - rgb).mean() < 4
    assert caplog.text.count(f"a.mkv is {told} video with wide colour; converted to sRGB") == 1
