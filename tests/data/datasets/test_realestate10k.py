import shutil

import numpy as np
import pytest

from cut3r.data.datasets.realestate10k import LAYOUT, RealEstate10K
from datasets_preprocess.realestate10k import CONVERTER, convert
from datasets_preprocess.runner import LeftOut, RawScene, Writer, run
from tests.data.datasets.raw_fixtures import save_image, textured
from tests.data.datasets.recorded import unpack

TIMES = (1000000, 1033333, 1066666, 1099999)


def make_clip(raw, times=TIMES):
    """Section 7 of the dataset's file."""
    lines = ["https://www.youtube.com/watch?v=abc"]
    for number, time in enumerate(times):
        save_image(raw / "frames" / "abc" / f"{time}.png", textured(36, 64, number))
        lines.append(f"{time} 0.5 0.9 0.5 0.5 0 0 1 0 0 {number} 0 1 0 0 0 0 1 0")
    (raw / "info").mkdir(exist_ok=True)
    (raw / "info" / "abc.txt").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("parity", [False, True])
def test_cameras_are_those_of_the_camera_file(tmp_path, parity):
    make_clip(tmp_path / "raw")
    assert run(CONVERTER, tmp_path / "raw", tmp_path / "out", parity=parity).complete
    with np.load(tmp_path / "out" / "abc" / "cam" / "1066666.npz") as camera:
        center = (32, 18) if parity else (31.5, 17.5)
        expected = [[32, 0, center[0]], [0, 32.4, center[1]], [0, 0, 1]]
        np.testing.assert_allclose(camera["intrinsics"], expected, rtol=1e-12)
        np.testing.assert_allclose(camera["pose"][:3, 3], [-2, 0, 0])
    dataset = RealEstate10K(tmp_path / "out", num_views=4, sizes=[(24, 40)])
    frame = dataset.read(dataset.scenes[0], 0)
    assert frame.intrinsics[0, 2] == pytest.approx(31.5), "whichever converter wrote it"
    assert all(view.camera_only and (view.depth == 1).all() and not view.metric for view in dataset[0])


def test_a_clip_of_one_frame_is_converted(tmp_path):
    # the original takes its only line for a list of numbers
    make_clip(tmp_path / "raw", times=TIMES[:1])
    assert convert(tmp_path / "raw", RawScene("abc"), Writer(tmp_path / "out", LAYOUT)) == ["1000000"]


def test_frames_are_in_the_order_of_time(tmp_path):
    make_clip(tmp_path / "raw", times=(999000, 1033333))
    run(CONVERTER, tmp_path / "raw", tmp_path / "out")
    dataset = RealEstate10K(tmp_path / "out", num_views=2, sizes=[(24, 40)])
    assert list(dataset.scenes[0].frames) == ["999000", "1033333"]


def test_what_cannot_be_used_is_left_out_by_name(tmp_path):
    raw = unpack("realestate10k", "raw", tmp_path)
    with pytest.raises(LeftOut, match=r"no .*info/3333333333333333\.txt"):
        convert(raw, RawScene("3333333333333333"), Writer(tmp_path / "out", LAYOUT))
    info = raw / "info" / "ffee000011112222.txt"
    lines = info.read_text().splitlines()
    first = lines[1].split()
    lines[1] = " ".join([*first[:7], *["0"] * 12])
    info.write_text("\n".join(lines[:-1]) + "\n")
    writer = Writer(tmp_path / "out", LAYOUT)
    assert len(convert(raw, RawScene("ffee000011112222"), writer)) == 3
    assert "line 2: its pose is no rigid motion" in writer.left_out[first[0]]
    assert "has no line of this frame" in next(text for name, text in writer.left_out.items() if name != first[0])
    writer = Writer(tmp_path / "out", LAYOUT)
    convert(raw, RawScene("0a1b2c3d4e5f6789"), writer)
    assert list(writer.left_out) == ["1165835"], "the picture that the recording lacks"


def test_a_folder_without_pictures_is_passed_over(tmp_path):
    make_clip(tmp_path / "raw")
    run(CONVERTER, tmp_path / "raw", tmp_path / "out")
    shutil.copytree(tmp_path / "out" / "abc" / "cam", tmp_path / "out" / "abd" / "cam")
    dataset = RealEstate10K(tmp_path / "out", num_views=2, sizes=[(24, 40)])
    assert [scene.name for scene in dataset.scenes] == ["abc"]


def test_parity_gives_a_clip_up_of_which_a_picture_cannot_be_read(tmp_path):
    root = unpack("realestate10k", "processed", tmp_path)
    (root / "0a1b2c3d4e5f6789" / "rgb" / "1099101.png").write_bytes(b"no picture")
    dataset = RealEstate10K(root, num_views=4, sizes=[(24, 40)], parity=True, seed=42)
    policy, rng = RealEstate10K.policy, np.random.default_rng(42)
    assert 3 in policy.walk(0, 7, 4, rng).positions, "the damaged picture"
    drawn = [int(rng.integers(len(dataset))) for _ in range(3)]
    assert max(drawn[:2]) < 4 <= drawn[2], "the clip is drawn again, and passed over"
    expected = policy.walk(drawn[2] - 4, 5, 4, rng).positions
    views = dataset[0]
    names = list(dataset.scenes[1].frames)
    assert [view.label.rsplit("/", 1)[1] for view in views] == [names[position] for position in expected]
