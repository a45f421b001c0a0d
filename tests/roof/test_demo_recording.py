"""demo.py on the recording of a robot."""

import json

import numpy as np
import pytest

import demo
from cut3r.inference.frame_folder import read_frame_folder
from cut3r.io.known_cameras import Lens
from cut3r.io.undistort import undistortion
from cut3r.run.finished import FinishedRun
from cut3r.run.known import Known
from cut3r.run.run import Run
from tests.roof.demo_runs import run_demo, written

pytest.importorskip("rosbags", reason="no bags without rosbags")
pytest.importorskip("mcap", reason="no .mcap without mcap")

from tests.io.bags import ROS2, camera_info, image, write_mcap

SIZE, BENT = (48, 64), (0.05, -0.02, 0.001, 0.0, 0.0)


@pytest.fixture
def recording(tmp_path):
    noise = np.random.default_rng(0)
    pictures = noise.integers(0, 256, (5, *SIZE, 3), np.uint8)
    topics = {
        "/left/image_raw": [image(ROS2, i, each) for i, each in enumerate(pictures)],
        "/left/camera_info": [camera_info(ROS2, SIZE, BENT, focal=60.0)],
        "/right/image_raw": [image(ROS2, i, each) for i, each in enumerate(pictures[::-1])],
    }
    return write_mcap(tmp_path / "drive.mcap", topics)


def test_a_run_stops_goes_on_and_is_read_back_with_the_calibration_of_the_recording(
    weights, recording, tmp_path, monkeypatch
):
    def run(out, *flags):
        return run_demo(recording, "--topic", "/left/image_raw", "--model_path", weights, "--output_dir", out, *flags)

    assert run(tmp_path / "whole") == 0
    take_in = Run._take_in

    def stop_early(self, progress, stop):
        add = self.writer.add

        def counted(result):
            add(result)
            stop.asked = result.number == 2

        self.writer.add = counted
        take_in(self, progress, stop)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_take_in", stop_early)
        run(tmp_path / "part")
    assert len(list((tmp_path / "part" / "camera").glob("*.npz"))) == 3
    assert run(tmp_path / "part", "--resume") == 0
    assert written(tmp_path / "part") == written(tmp_path / "whole")

    straight = undistortion(Lens.of(60.0, 60.0, 31.5, 23.5, SIZE, BENT), SIZE)
    frames = list(read_frame_folder(tmp_path / "whole"))
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    for frame in frames:
        np.testing.assert_allclose(frame.intrinsics_original, straight.intrinsics, rtol=1e-6)
        assert frame.given_intrinsics
    said = json.loads((tmp_path / "whole" / "cut3r.json").read_text())["settings"]
    assert said["what was given"] == "intrinsics of /left/camera_info of drive.mcap"
    wanted = [(frame.index, frame.name) for frame in frames]
    originals = FinishedRun(tmp_path / "whole").original_frames(wanted, Known(), who="a test")
    pictures = np.random.default_rng(0).integers(0, 256, (5, *SIZE, 3), np.uint8)
    for original, raw in zip(originals, pictures, strict=True):
        np.testing.assert_array_equal(original.rgb, straight.picture(raw))


def test_a_calibration_that_is_given_takes_the_place_of_the_recorded_one(weights, recording, tmp_path):
    flags = ["--topic", "left/image_raw", "--intrinsics", "50,51,30,20", "--max-frames", 2]
    assert run_demo(recording, *flags, "--model_path", weights, "--output_dir", tmp_path / "out") == 0
    for frame in read_frame_folder(tmp_path / "out"):
        np.testing.assert_allclose(frame.intrinsics_original, [[50, 0, 30], [0, 51, 20], [0, 0, 1]], rtol=1e-6)


def test_several_cameras_are_refused_before_the_network_is_loaded(recording, tmp_path, no_network, capsys):
    assert run_demo(recording, "--output_dir", tmp_path / "out") == demo.WRONG_ARGUMENTS
    said = capsys.readouterr().err
    assert "choose one with --topic: /left/image_raw" in said and said.count("\n") == 1
