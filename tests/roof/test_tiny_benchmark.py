"""What the benchmark of the bundled network says of motion and confidence, and its moving picture."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks.calibration import kept_parts, rank_correlation
from benchmarks.walk_pairs import control_parts, network_parts, path_parts, starts
from cut3r.geometry.poses import pose_from_encoding
from cut3r.metrics.pooling import pooled
from cut3r.model.network import Cut3r
from cut3r.weights.checkpoint import save

ROOT = Path(__file__).parents[2]


def walk(views: int) -> torch.Tensor:
    """A camera that goes ahead and turns, faster and faster."""
    steps = torch.arange(float(views))
    encoding = torch.zeros(views, 7)
    encoding[:, 2], encoding[:, 3], encoding[:, 5] = 0.1 * steps**2, 1, 0.01 * steps**2
    return pose_from_encoding(encoding)


def pictures(views: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (views, 48, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("frames", "expected"), [(40, [0, 18, 36]), (6, [0, 1, 2]), (4, [0]), (3, [])], ids=["long", "tight", "one", "none"]
)
def test_pairs_are_spread_over_the_sequence(frames, expected):
    assert starts(frames, 3, 3) == expected


def test_a_true_path_explains_its_pairs_and_a_steady_one_does_not():
    steady = torch.stack([torch.linalg.matrix_power(walk(12)[1].double(), k) for k in range(12)])
    found = pooled([path_parts(walk(12), walk(12), 4)])
    assert {name for name, value in found.items() if not math.isnan(value)} == {
        f"{axis}_{gap}" for axis in ("yaw", "sideways", "forward") for gap in (1, 3, 9)
    }
    assert found["forward_9"] == pytest.approx(1)
    assert pooled([path_parts(steady, walk(12), 4)])["forward_9"] < 0.9


def test_each_pair_is_a_stream_of_its_own(tiny_linear: Cut3r):
    """The same two frames give the same motion, whatever lies between and beside them."""
    images, path = pictures(4), walk(4)
    two = network_parts(tiny_linear, images[[0, 3]], path[[0, 3]], 1)
    four = network_parts(tiny_linear, images, path, 1)
    assert four["forward_3"] == pytest.approx(two["forward_1"], rel=1e-4)
    assert set(two) == {"yaw_1", "sideways_1", "forward_1"}


def test_the_control_changes_the_first_frame_and_nothing_else(tiny_linear: Cut3r):
    images, path = pictures(4), walk(4)
    own = control_parts(tiny_linear, images[0], images, path, 1)
    assert own["forward_3"] == pytest.approx(network_parts(tiny_linear, images, path, 1)["forward_3"], rel=1e-4)
    assert control_parts(tiny_linear, pictures(1, seed=1)[0], images, path, 1)["forward_3"] != own["forward_3"]
    assert control_parts(tiny_linear, images[0], images[:3], path[:3], 1) == {}


def test_what_a_threshold_keeps_is_counted_where_the_depth_is_known():
    true = torch.tensor([[[1.0, 2.0, 4.0, 0.0]]])
    depth = torch.tensor([[[1.1, 2.0, 6.0, 9.0]]])
    confidence = torch.tensor([[[1.6, 3.5, 1.0, 9.0]]])
    found = pooled([kept_parts(confidence, depth, true)])
    assert [found[f"share_{limit}"] for limit in (1.5, 2.0, 3.0)] == pytest.approx([2 / 3, 1 / 3, 1 / 3])
    assert [found["abs_rel_all"], found["abs_rel_1.5"], found["abs_rel_3.0"]] == pytest.approx([0.2, 0.05, 0])


def test_ranks_say_whether_confident_pixels_are_the_better_ones():
    true = torch.ones(1, 1, 5)
    depth = torch.tensor([[[1.0, 1.1, 1.2, 1.3, 1.4]]])
    confidence = torch.tensor([[[9.0, 5.0, 4.0, 3.0, 1.0]]])
    assert rank_correlation(confidence, depth, true) == pytest.approx(-1)
    assert rank_correlation(confidence.flip(-1), depth, true) == pytest.approx(1)
    assert rank_correlation(torch.ones(1, 1, 5), depth, true) is None


def test_equal_confidences_share_a_rank():
    true, depth = torch.ones(1, 1, 4), torch.tensor([[[1.0, 1.1, 1.2, 1.3]]])
    confidence = torch.tensor([[[2.0, 2.0, 1.0, 1.0]]])
    assert rank_correlation(confidence, depth, true) == pytest.approx(-2 / math.sqrt(5))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["walk.gif", "walk.mp4"])
def test_a_walk_becomes_a_moving_picture(tmp_path, tiny_linear: Cut3r, name):
    save(tiny_linear, tmp_path / "net.safetensors")
    sizes = ["--walks", "1", "--frames", "5", "--mean_walks", "1", "--workers", "0", "--threads", "1"]
    files = ["--model_path", str(tmp_path / "net.safetensors"), "--movie", str(tmp_path / name)]
    command = [sys.executable, "benchmarks/tiny.py", *sizes, *files]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert 0 < (tmp_path / name).stat().st_size <= 1_500_000
    if name.endswith(".gif"):
        with Image.open(tmp_path / name) as movie:
            assert movie.n_frames == 5


def test_a_movie_of_another_kind_is_refused():
    command = [sys.executable, "benchmarks/tiny.py", "--movie", "walk.avi"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "must end in .gif or .mp4" in run.stderr
