"""HOI4D beyond its recording: which frames are kept, videos, and the original's draw of another sample."""

import av
import numpy as np
import pytest

from cut3r.data.dataset import Request
from cut3r.data.datasets.hoi4d import Hoi4d
from cut3r.data.layout import read_npz
from datasets_preprocess.hoi4d import CONVERTER, Hoi4dOptions
from datasets_preprocess.runner import read_records, run
from tests.data.datasets.left_out import left_out
from tests.data.datasets.recorded import case_of, open_parity, unpack
from tests.io.test_depth_video import write_depth_video

SEQUENCE = "ZY20210800001/H1/C1/N01/S1/s1/T1"
ALL = Hoi4dOptions(every=1)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return unpack("hoi4d", "raw", tmp_path_factory.mktemp("hoi4d"))


def frames_of(out, sequence=SEQUENCE):
    return next(record.frames for record in read_records(out) if record.scene == sequence)


def test_one_frame_per_second_is_kept_unless_told_otherwise(raw, tmp_path):
    run(CONVERTER, raw, tmp_path / "few")
    assert frames_of(tmp_path / "few") == ("00000",)
    run(CONVERTER, raw, tmp_path / "some", options=Hoi4dOptions(every=3))
    assert frames_of(tmp_path / "some") == ("00000", "00003")
    with pytest.raises(ValueError, match="1 keeps all frames"):
        Hoi4dOptions(every=0)


def test_what_is_missing_is_named(raw, tmp_path):
    (reason,) = left_out(CONVERTER, raw, tmp_path, SEQUENCE, ALL).items()
    assert reason[0] == "00002" and "align_depth/00002.png" in reason[1]
    (record,) = run(CONVERTER, raw, tmp_path / "all", options=ALL).left_out
    assert record.scene == "ZY20210800009/H2/C1/N01/S1/s1/T1" and "ZY20210800009/intrin.npy" in record.reason


def test_a_camera_that_cannot_be_fails_its_sequences(tmp_path):
    raw = unpack("hoi4d", "raw", tmp_path)
    np.save(raw / "CAMERA_PARAMS" / "ZY20210800001" / "intrin.npy", np.eye(4))
    assert sum("expected 3 x 3 intrinsics" in each.reason for each in run(CONVERTER, raw, tmp_path / "o").failures) == 2


def make_videos(raw, count=4, *, rate=15, highest=3000):
    """Write one sequence as videos: frame i is grey 40 * i, and 1 m + i mm away."""
    folder = raw / "HOI4D_release" / SEQUENCE
    for part in ("align_rgb", "align_depth"):
        (folder / part).mkdir(parents=True)
    depths = [np.full((48, 64), min(1000 + number, highest), np.uint16) for number in range(count)]
    write_depth_video(folder / "align_depth" / "depth_video.avi", depths)
    with av.open(str(folder / "align_rgb" / "image.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(count):
            grey = np.full((48, 64, 3), 40 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
    (raw / "CAMERA_PARAMS" / "ZY20210800001").mkdir(parents=True)
    np.save(raw / "CAMERA_PARAMS" / "ZY20210800001" / "intrin.npy", [[50.0, 0, 32], [0, 50, 24], [0, 0, 1]])
    return folder


def test_videos_are_decoded(tmp_path):
    make_videos(tmp_path / "raw")
    report = run(CONVERTER, tmp_path / "raw", tmp_path / "out", options=Hoi4dOptions(every=2))
    assert report.complete, str(report)
    dataset = Hoi4d(tmp_path / "out", num_views=2, sizes=[(30, 40)])
    (scene,) = dataset.scenes
    assert [frame[-5:] for frame in scene.frames] == ["00000", "00002"]
    for position, number in enumerate((0, 2)):
        frame = dataset.read(scene, position)
        np.testing.assert_array_equal(frame.depth, np.float32((1000 + number) / 1000))
        assert abs(frame.rgb.mean() - 40 * number) < 4
    (intrinsics,) = read_npz(dataset.file("camera", scene, 0), "intrinsics")
    np.testing.assert_allclose(intrinsics, [[500, 0, 324.5], [0, 500, 244.5], [0, 0, 1]], rtol=1e-6)


def test_pictures_beyond_the_end_of_the_depth_are_left_out(tmp_path):
    folder = make_videos(tmp_path / "raw")
    write_depth_video(folder / "align_depth" / "depth_video.avi", [np.full((48, 64), 900, np.uint16)] * 3)
    assert set(left_out(CONVERTER, tmp_path / "raw", tmp_path / "out", options=ALL)) == {"00003"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"rate": 30}, "has 30 frames per second; expected 15"), ({"highest": 200}, "it has lost its upper bits")],
)
def test_videos_of_another_kind_are_refused(tmp_path, options, reason):
    make_videos(tmp_path / "raw", **options)
    (failed,) = run(CONVERTER, tmp_path / "raw", tmp_path / "out").failures
    assert reason in failed.reason


def test_parity_draws_a_whole_sample_again_if_one_picture_is_broken(tmp_path):
    """The first images of a failed draw have consumed random numbers of the crop before."""
    out, case = unpack("hoi4d", "processed", tmp_path), case_of("hoi4d", "margin")
    (out / "ZY20210800001_H1_C1_N01_S1_s1_T1" / "depth" / "00001.npy").write_bytes(b"nothing")
    dataset = open_parity("hoi4d", out, case)
    (scene,) = dataset.scenes
    broken = list(scene.frames).index("ZY20210800001_H1_C1_N01_S1_s1_T1/00001")
    again = 0
    for index in range(7):
        rng = np.random.default_rng(case["seed"] + index)
        own = np.random.default_rng(int(rng.integers(0, 2**32)) + index)
        while broken in (drawn := own.choice(7, 4, replace=False).tolist()):
            again += 1
            rng.integers(0, 16, drawn.index(broken))
        margins = rng.integers(0, 16, 4)
        views = dataset.compact(Request(index, dataset.sizes[0], 4))
        assert [view.label.partition("/all/")[2] for view in views] == [scene.frames[position] for position in drawn]
        focal = [float(view.intrinsics[0, 0]) for view in views]
        assert np.argsort(focal).tolist() == np.argsort(margins).tolist() or len(set(margins)) < 4
    assert again, "no sample met the broken picture"
