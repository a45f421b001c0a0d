"""The network that comes with the project: it is there, small, and knows something about rooms it has never seen."""

from itertools import islice

import numpy as np
import pytest
import torch

import cut3r
import demo
from cut3r.geometry.poses import invert
from cut3r.inference.session import Session
from cut3r.weights.zoo import BUNDLED
from tests.roof.demo_runs import run_demo

EVERY = 10  # of the example's 90 frames
TYPICAL_M = 2.65  # the median depth of synthetic rooms


@pytest.fixture(scope="module")
def tiny():
    return cut3r.load("tiny")


def test_it_is_small_enough_to_clone():
    assert BUNDLED["tiny"].stat().st_size <= 25e6


def test_it_sees_more_in_a_room_than_how_deep_rooms_are(tiny):
    """On the example clip, whose room no training has seen, without any alignment."""
    truth = np.load(demo.BUNDLED_CLIP.with_name("example_ground_truth.npz"))["depth_mm"][::EVERY] / 1000
    session = Session(tiny)
    frames = islice(cut3r.open_frames(demo.BUNDLED_CLIP), 0, None, EVERY)
    depth = torch.stack([session.push(frame).depth for frame in frames]).numpy()
    assert depth.shape == truth.shape == (9, 96, 128)
    error = np.abs(depth - truth) / truth
    of_a_guess = np.abs(TYPICAL_M - truth) / truth
    assert error.mean() < 0.75 * of_a_guess.mean()


def test_it_sees_the_camera_move(tiny):
    """Between frames 3 apart, each pair a stream of its own: R2 of the motion, 0 for no motion."""
    frames = list(cut3r.open_frames(demo.BUNDLED_CLIP))
    world_from_cam = torch.from_numpy(
        np.load(demo.BUNDLED_CLIP.with_name("example_ground_truth.npz"))["world_from_cam"]
    )
    said, true = [], []
    for start in range(0, len(frames) - 3, 6):
        session = Session(tiny)
        session.push(frames[start])
        said.append(session.push(frames[start + 3]).world_from_cam)
        true.append(invert(world_from_cam[start]) @ world_from_cam[start + 3])
    moved, truly = torch.stack(said), torch.stack(true)
    for name, of, least in (("yaw", (0, 2), 0.8), ("forward", (2, 3), 0.2)):
        ours, theirs = moved[:, of[0], of[1]], truly[:, of[0], of[1]]
        explained = 1 - (ours - theirs).square().sum() / theirs.square().sum()
        assert explained > least, name


def test_the_demo_without_arguments_reconstructs_the_example_with_it(tmp_path):
    assert run_demo("--max_frames", 3, "--output_dir", tmp_path, "--save", tmp_path / "scene.ply") == 0
    assert len(list((tmp_path / "depth").glob("*.npy"))) == 3
    assert (tmp_path / "scene.ply").stat().st_size > 1000
