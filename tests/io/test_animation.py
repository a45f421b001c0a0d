import numpy as np
import pytest
from PIL import Image

from cut3r.io import animation
from cut3r.io.animation import AnimationCapture
from cut3r.io.frames import FrameOptions, open_frames
from cut3r.io.images import page_count


def pages(count=5):
    return [Image.new("RGB", (12, 8), (40 * k, 10, 200)) for k in range(count)]


def animate(path, images, **options):
    images[0].save(path, save_all=True, append_images=images[1:], **options)
    return path


def drain(capture):
    return [(stamp, capture.retrieve()) for stamp in iter(capture.grab, None)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.gif", {"duration": 200}),
        ("a.webp", {"duration": 200, "lossless": True}),
        ("a.png", {"duration": 200}),
        ("a.apng", {"duration": 200, "format": "PNG"}),
    ],
)
def test_all_frames_of_an_animation_come_with_their_times(tmp_path, name, options):
    path = animate(tmp_path / name, pages(), **options)
    assert page_count(path) == 5
    frames = drain(AnimationCapture(path))
    assert [stamp.time_s for stamp, _ in frames] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert [int(rgb[0, 0, 0]) for _, rgb in frames] == pytest.approx([0, 40, 80, 120, 160], abs=3)


def test_pages_of_a_tiff_may_differ_in_size_and_depth(tmp_path):
    deep = np.linspace(0, 65535, 30).reshape(6, 5)
    deep[0, 0] = 200 * 257
    images = [Image.new("L", (12, 8), 100), Image.fromarray(deep.astype(np.uint16))]
    frames = drain(AnimationCapture(animate(tmp_path / "a.tif", images)))
    assert [rgb.shape for _, rgb in frames] == [(8, 12, 3), (6, 5, 3)]
    assert [int(rgb[0, 0, 0]) for _, rgb in frames] == [100, 200]


def test_reduced_copies_inside_a_tiff_are_no_pages(tmp_path):
    images = [Image.new("L", (12, 8), 100), Image.new("L", (6, 4), 100)]
    images[1].encoderinfo = {"tiffinfo": {254: 1}}
    path = animate(tmp_path / "a.tif", images)
    assert page_count(path) == 1


def test_what_is_no_animation_has_one_page(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "b.gif").write_bytes(b"GIF89a and then nothing")
    for name in ("a.png", "b.gif", "missing.gif"):
        assert page_count(tmp_path / name) == 1


def test_frames_of_an_absurd_size_are_refused(tmp_path, monkeypatch):
    path = animate(tmp_path / "a.gif", pages(), duration=100)
    monkeypatch.setattr(animation, "MAX_PIXELS", 90)
    with pytest.raises(ValueError, match=r"a\.gif have 12x8 pixels, expected at most 90"):
        AnimationCapture(path)


def test_transparent_parts_lie_over_the_background(tmp_path):
    images = [Image.new("RGBA", (4, 4), (255, 0, 0, alpha)) for alpha in (255, 0)]
    path = animate(tmp_path / "a.webp", images, duration=100, lossless=True)
    pixels = [rgb[0, 0].tolist() for _, rgb in drain(AnimationCapture(path, background=(0, 0, 9)))]
    assert pixels == [[255, 0, 0], [0, 0, 9]]


def test_a_gif_is_selected_like_a_video(tmp_path):
    path = animate(tmp_path / "a.gif", pages(), duration=100)
    assert open_frames(path).description == "a.gif, 5 frames of 12x8"
    for options, expected in (
        (FrameOptions(), [0, 1, 2, 3, 4]),
        (FrameOptions(every=2), [0, 2, 4]),
        (FrameOptions(max_frames=2), [0, 4]),
        (FrameOptions(fps=5.0), [0, 2, 4]),
    ):
        stream = open_frames(path, options)
        assert stream.expected == len(expected)
        frames = list(stream)
        assert [frame.index for frame in frames] == expected
        assert frames[-1].name == "a.gif#000004"


def test_an_animation_that_breaks_off_is_a_bad_frame(tmp_path):
    path = animate(tmp_path / "a.png", [Image.effect_noise((32, 32), 90) for _ in range(4)], duration=100)
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(ValueError, match=r"frame [23] of a\.png cannot be decoded.*--skip-bad"):
        list(open_frames_of(path))
    assert 0 < len(list(open_frames_of(path, skip_bad=True))) < 4


def open_frames_of(path, **options):
    """As soon as `find_images` gives the path of an animated PNG, `open_frames` does the same."""
    from cut3r.io.frames import _BadFrames, _capture_stream

    options = FrameOptions(**options)
    return _capture_stream(AnimationCapture(path), options, 0, _BadFrames(options.skip_bad, None))
