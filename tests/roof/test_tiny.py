"""The network that comes with the project: it is there, small, and knows something about rooms it has never seen."""

from itertools import islice

import numpy as np
import pytest
import torch

import cut3r
import demo
from cut3r.inference.session import Session
from cut3r.weights.zoo import BUNDLED
from tests.roof.demo_runs import run_demo

EVERY = 10  # of the example's 90 frames


@pytest.fixture(scope="module")
def tiny():
    return cut3r.load("tiny")


def test_it_is_small_enough_to_clone():
    assert BUNDLED["tiny"].stat().st_size <= 25e6


def test_it_sees_more_in_a_room_than_its_mean_depth(tiny):
    """On the example clip, whose room no training has seen, without any alignment."""
    truth = np.load(demo.BUNDLED_CLIP.with_name("example_ground_truth.npz"))["depth_mm"][::EVERY] / 1000
    session = Session(tiny)
    frames = islice(cut3r.open_frames(demo.BUNDLED_CLIP), 0, None, EVERY)
    depth = torch.stack([session.push(frame).depth for frame in frames]).numpy()
    assert depth.shape == truth.shape == (9, 96, 128)
    error = np.abs(depth - truth) / truth
    of_the_mean = np.abs(truth.mean() - truth) / truth  # which knows the room's mean depth
    assert error.mean() < 0.75 * of_the_mean.mean()


def test_the_demo_without_arguments_reconstructs_the_example_with_it(tmp_path):
    assert run_demo("--max_frames", 3, "--output_dir", tmp_path, "--save", tmp_path / "scene.ply") == 0
    assert len(list((tmp_path / "depth").glob("*.npy"))) == 3
    assert (tmp_path / "scene.ply").stat().st_size > 1000
