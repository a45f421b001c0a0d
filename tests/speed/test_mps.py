"""Everything that a stream does, on a forged `mps`: the CPU's numbers, and nothing that a Mac's GPU would refuse."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.geometry.cameras import pinhole
from cut3r.inference.chunks import ResetConfig
from cut3r.inference.given import GivenConfig
from cut3r.inference.keyframes import KeyframeConfig
from cut3r.inference.result import PointSource
from cut3r.inference.session import Session
from cut3r.io.frames import Frame
from cut3r.model import rope
from cut3r.model.prediction import Outputs
from cut3r.rules import RULES
from cut3r.speed.device import check_device
from cut3r.speed.precision import fastest_dtype
from cut3r.weights.checkpoint import load, save
from tests.conftest import make_tiny
from tests.speed.fake_mps import OnMps, fake_mps, is_written_for_mps


@pytest.fixture(autouse=True)
def forget_tables():
    """Those of rotary angles stay in caches by their device."""
    yield
    rope._grid_angles.cache_clear()
    rope._state_angles.cache_clear()


@pytest.fixture
def weights(tmp_path, request):
    path = tmp_path / "net.safetensors"
    save(make_tiny(getattr(request, "param", "linear")), path)
    return path


def frames(count, **known):
    rng = np.random.default_rng(0)
    for k in range(count):
        rgb = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        yield replace(Frame(rgb, k, k / 30, f"clip#{k}"), **{name: value[k] for name, value in known.items()})


def numbers(result):
    """All that a result says, on the host."""
    tensors = [result.points_world, result.confidence, result.depth, result.world_from_cam, result.intrinsics]
    assert not any(isinstance(each, OnMps) for each in tensors)
    return torch.cat([each.double().flatten() for each in tensors])


def stream(model, count=5, *, known=None, **options):
    session = Session(model, **options)
    return session, [numbers(result) for result in session.stream(frames(count, **(known or {})))]


def check(monkeypatch, weights, count=5, **options):
    """The same stream on both devices."""
    _, expected = stream(load(weights), count, **options)
    with fake_mps(monkeypatch) as device:
        model = load(weights, device=check_device("auto"), dtype=None)
        assert model.device.type == "mps" and model.dtype is torch.float32
        _, found = stream(model, count, **options)
    assert {"aten.linear.default", "aten.scaled_dot_product_attention.default"} <= device.operators
    torch.testing.assert_close(torch.stack(found), torch.stack(expected), rtol=0, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("weights", ["dpt", "linear"], indirect=True)
def test_a_stream_with_all_heads(monkeypatch, weights):
    check(monkeypatch, weights, count=3, outputs=Outputs.all(), source=PointSource.world, shared_focal=True)


@pytest.mark.parametrize("rule", [*RULES, "memix+frame+ttt3r"])
def test_every_rule(monkeypatch, weights, rule):
    check(monkeypatch, weights, 2, update=rule)


def test_parity_with_the_original(monkeypatch, weights):
    check(monkeypatch, weights, 2, parity=True)


def test_chunks_and_keyframes(monkeypatch, weights):
    resets = ResetConfig(every=3, overlap=1)
    check(monkeypatch, weights, 5, resets=resets, keyframes=KeyframeConfig.of_text("overlap"))


@pytest.mark.parametrize("condition", [False, True])
def test_given_cameras_depth_and_masks(monkeypatch, weights, condition):
    poses = np.tile(np.eye(4), (4, 1, 1))
    poses[:, 2, 3] = np.arange(4)
    mask, depth = np.ones((48, 64), bool), np.full((48, 64), 2.0, np.float32)
    mask[:20] = False
    lens = pinhole((48, 64), 60.0).double().numpy()
    known = {"world_from_cam": poses, "mask": [mask] * 4, "depth": [depth] * 4, "intrinsics": [lens] * 4}
    check(monkeypatch, weights, 4, known=known, given=GivenConfig(condition=condition))


@pytest.mark.parametrize("update", [None, "memix+ttt3r"])
def test_a_session_is_kept_saved_loaded_asked_and_reset(monkeypatch, weights, tmp_path, update):
    camera, lens = torch.eye(4, dtype=torch.float64), pinhole((48, 64), 60.0)

    def all_of_it(model, path):
        resets = ResetConfig(every=3, overlap=1)
        session = Session(model, update=update, resets=resets)
        found = [numbers(result) for result in session.stream(frames(3))]
        before = session.snapshot()
        found += [numbers(session.push(frame)) for frame in frames(2)]
        session.restore(before)
        session.save(path)
        resumed = Session(model, update=update, resets=resets)
        resumed.load(path)
        found += [numbers(result) for result in resumed.stream(frames(4))]
        asked = resumed.query(camera, lens, (48, 64))
        found += [torch.cat([asked.points_world.double().flatten(), asked.prediction.rgb.double().flatten()])]
        resumed.settle()
        resumed.reset()
        located = resumed.push(next(frames(1)), update=False)
        assert all(not isinstance(value, OnMps) for value in resumed.update_values().values())
        return [*found, numbers(located)]

    expected = all_of_it(load(weights), tmp_path / "cpu.safetensors")
    with fake_mps(monkeypatch):
        found = all_of_it(load(weights, device="mps"), tmp_path / "mps.safetensors")
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6, equal_nan=True)
    again = Session(load(weights), update=update, resets=ResetConfig(every=3, overlap=1))
    again.load(tmp_path / "mps.safetensors")  # on another machine
    assert again.frames_seen == 3


def test_absorbed_frames(monkeypatch, weights):
    with fake_mps(monkeypatch):
        session = Session(load(weights, device="mps"))
        assert len(list(session.absorb_stream(frames(3)))) == 3


def test_auto_stays_in_float32():
    assert fastest_dtype("mps") is torch.float32


def test_the_forgery_is_as_strict_as_the_device(monkeypatch):
    with fake_mps(monkeypatch):
        there, here = torch.ones(3, device="mps"), torch.ones(3)
        assert there.device.type == "mps" and there.cpu().tolist() == there.tolist() == [1, 1, 1]
        assert (there[1:].add_(1).cpu() == 2).all() and there.tolist() == [1, 2, 2], "views share their memory"
        with pytest.raises(TypeError, match="float64"):
            there.double()
        with pytest.raises(TypeError, match="float64"):
            torch.zeros(2, dtype=torch.float64, device="mps")
        with pytest.raises(RuntimeError, match="same device"):
            there + here
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        with pytest.raises(AssertionError, match="does not wait"):
            there.to("cpu", non_blocking=True)
        with pytest.raises(NotImplementedError, match="not currently implemented"):
            there.mode()
    assert is_written_for_mps(torch.ops.aten.cumsum.default)  # by the operator that it delegates to
