import av
import numpy as np
import pytest

from cut3r.io.depth_video import read_depth_video


def write_depth_video(path, frames, codec="ffv1", pixels="gray16le", rate=15):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape
        stream.pix_fmt = pixels
        for values in frames:
            frame = av.VideoFrame.from_ndarray(values, format="gray16le").reformat(format=pixels)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 2**16, (36, 64), dtype=np.uint16) for _ in range(5)]


def test_every_bit_comes_back(tmp_path, frames):
    found = list(read_depth_video(write_depth_video(tmp_path / "depth.avi", frames)))
    assert len(found) == 5 and all(np.array_equal(ours, true) for ours, true in zip(found, frames, strict=True))


def test_other_pictures_and_files_are_refused(tmp_path, frames):
    path = write_depth_video(tmp_path / "depth.avi", frames, "mpeg4", "yuv420p")
    with pytest.raises(ValueError, match=r"depth\.avi is coded as yuv420p; expected 16-bit grey"):
        next(read_depth_video(path))
    path.write_bytes(b"nothing" * 100)
    with pytest.raises(ValueError, match=r"depth\.avi cannot be read"):
        next(read_depth_video(path))
    with pytest.raises(FileNotFoundError):
        next(read_depth_video(tmp_path / "other.avi"))


@pytest.mark.parametrize("where", [0.25, 0.5])
def test_frames_that_are_lost_are_noticed(tmp_path, frames, where):
    path = write_depth_video(tmp_path / "depth.avi", frames)
    whole = bytearray(path.read_bytes())
    start = int(where * len(whole))
    whole[start : start + 2000] = bytes(2000)
    path.write_bytes(bytes(whole))
    with pytest.raises(ValueError, match=r"depth\.avi is damaged: .* of its 5 frames"):
        list(read_depth_video(path))
