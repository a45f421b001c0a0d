"""The README's moving picture: it is of a run's own files, and points appear with their frames."""

import numpy as np
import pytest
from PIL import Image

import demo
from benchmarks import moving_picture
from cut3r.run.finished import FinishedRun

pytestmark = pytest.mark.slow


def test_a_run_becomes_a_moving_picture_that_grows(tmp_path, monkeypatch):
    flags = ["--max_frames", "4", "--no-viewer", "--device", "cpu"]
    assert demo.main(["--output_dir", str(tmp_path / "out"), *flags]) == 0  # the example, by the bundled network
    monkeypatch.setattr(moving_picture, "STEPS", 4)
    moving_picture.main([str(tmp_path / "out"), str(tmp_path / "walk.webp")])
    with Image.open(tmp_path / "walk.webp") as picture:
        assert (picture.n_frames, picture.size) == (6, (806, 366))  # two of four frames, four looks in the end

    first, second, *looks = moving_picture.pictures(FinishedRun(tmp_path / "out"))
    drawn = [float((sheet[:, 250:].min(axis=-1) < 250).mean()) for sheet in (first, second, *looks)]
    assert 0.05 < drawn[0] < drawn[1]
    aside, ahead = (np.abs(look.astype(int) - second).mean() for look in looks[:2])
    assert ahead < 0.5 * aside  # the last frame adds its points
