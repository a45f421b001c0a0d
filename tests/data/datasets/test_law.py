"""The law of every dataset: a synthetic walk, written in its raw format, comes back through converter and reader."""

import importlib
import pkgutil

import numpy as np
import pytest
import torch

from cut3r.data.datasets import PROCESSED
from cut3r.data.view import RawFrame
from cut3r.geometry.cameras import project, unproject
from cut3r.geometry.poses import invert
from datasets_preprocess import CONVERTERS
from datasets_preprocess.runner import run
from datasets_preprocess.verify import verify
from tests.data.datasets import raw_walks

WALKS = sorted(module.name for module in pkgutil.iter_modules(raw_walks.__path__))


@pytest.mark.parametrize("slug", WALKS)
def test_a_walk_comes_back(slug, tmp_path):
    rules = importlib.import_module(f"{raw_walks.__name__}.{slug}")
    truth = rules.write(tmp_path / "raw")
    report = run(CONVERTERS[slug], tmp_path / "raw", tmp_path / "out", options=getattr(rules, "OPTIONS", None))
    assert report.complete, str(report)
    split = getattr(rules, "SPLIT", "all")
    dataset = PROCESSED[slug](tmp_path / "out", split=split, num_views=2, sizes=[(32, 32)])
    scenes = {scene.name: scene for scene in dataset.scenes}
    assert set(scenes) == set(truth)
    for name, known in truth.items():
        frames = [known[frame] for frame in scenes[name].frames] if isinstance(known, dict) else known
        assert len(frames) == len(known)
        assert len(scenes[name].frames) == len(frames), "frames are lost, or too many"
        read = [dataset.read(scenes[name], position) for position in range(len(frames))]
        scale = scale_of(read, frames) if getattr(rules, "UP_TO_SCALE", False) else 1.0
        for frame, true in zip(read, frames, strict=True):
            check_camera_frame(frame, true, scale, rules, camera_only=dataset.camera_only)
        check_poses(read, frames, scale, getattr(rules, "POSE", 1e-4))
    verification = verify(slug, tmp_path / "out", converter=CONVERTERS[slug], compared=1)
    assert verification.problems == [], "what is right must pass"


def check_camera_frame(frame: RawFrame, true: RawFrame, scale: float, rules, *, camera_only: bool) -> None:
    """What a stored pixel shows and how far it is must be what is true along its ray, in the same camera."""
    known = frame.depth > 0
    assert known.mean() >= getattr(rules, "KNOWN", 0.5), f"only {known.mean():.1%} of the pixels have depth"
    intrinsics = torch.from_numpy(frame.intrinsics)
    points = unproject(torch.from_numpy(frame.depth).double(), intrinsics).numpy()[known]
    pixels, _ = project(torch.from_numpy(points), torch.from_numpy(true.intrinsics))
    column, row = pixels.numpy().round().astype(int).T
    h, w = true.size
    inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
    assert inside.mean() > 0.95, "pixels lie outside of the true picture: the intrinsics are wrong"
    column, row = column[inside], row[inside]
    if not camera_only:
        there = true.depth[row, column]
        seen = there > 0
        error = np.abs(points[inside, 2][seen] / scale - there[seen]) / there[seen]
        assert np.median(error) <= getattr(rules, "DEPTH", 0.002), f"median error of depth {np.median(error):.2%}"
    colours = np.abs(frame.rgb[known][inside].astype(int) - true.rgb[row, column])
    limit = getattr(rules, "PICTURE", 6)
    assert np.median(colours) <= limit, f"the picture is another one: {np.median(colours)} of 255"


def check_poses(read: list[RawFrame], frames: list[RawFrame], scale: float, limit: float) -> None:
    """Poses relative to the first camera; the world is the dataset's affair."""
    ours, theirs = ([relative(each, all_[0]) for each in all_] for all_ in (read, frames))
    for number, (pose, true) in enumerate(zip(ours, theirs, strict=True)):
        moved = np.linalg.norm(pose[:3, 3] / scale - true[:3, 3])
        turned = np.arccos(np.clip((np.trace(pose[:3, :3].T @ true[:3, :3]) - 1) / 2, -1, 1))
        assert moved <= limit * (1 + np.abs(true[:3, 3]).max()), f"frame {number} is {moved} m from its place"
        assert turned <= max(limit, 2e-3 if limit >= 1e-3 else 1e-3), f"frame {number} is turned by {turned}"


def relative(frame: RawFrame, first: RawFrame) -> np.ndarray:
    return invert(torch.from_numpy(first.world_from_cam)).numpy() @ frame.world_from_cam


def scale_of(read: list[RawFrame], frames: list[RawFrame]) -> float:
    ratios = [
        np.median(frame.depth[frame.depth > 0]) / np.median(true.depth)
        for frame, true in zip(read, frames, strict=True)
    ]
    return float(np.median(ratios))
