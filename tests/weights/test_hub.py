"""`torch.hub.load`: the entries of hubconf.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import hubconf
from cut3r.weights import checkpoint, zoo

ROOT = Path(__file__).parents[2]


def test_the_bundled_network_comes_from_the_hub():
    model = torch.hub.load(str(ROOT), "cut3r_tiny", source="local")
    assert model.config == checkpoint.load("tiny").config and not model.training


def test_a_project_elsewhere_gets_a_session_from_a_checkout_that_is_not_installed(tmp_path):
    code = f"""
import numpy, torch
model = torch.hub.load({str(ROOT)!r}, "cut3r_tiny", source="local")
import cut3r
print(cut3r.Session(model).push(numpy.zeros((96, 128, 3), numpy.uint8)).depth.shape)
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.stdout.strip() == "torch.Size([96, 128])", run.stderr


def test_every_network_of_the_zoo_has_an_entry_that_names_it(monkeypatch):
    asked = []
    monkeypatch.setattr(checkpoint, "load", lambda name, **how: asked.append((name, how)))
    entries = [name for name in dir(hubconf) if name.startswith("cut3r_")]
    for entry in entries:
        torch.hub.load(str(ROOT), entry, source="local", device="cpu", dtype=torch.float32)
    assert sorted(name for name, _ in asked) == sorted(zoo.NAMES)
    assert all(how == {"device": "cpu", "dtype": torch.float32} for _, how in asked)
    with pytest.raises(RuntimeError, match="cut3r_huge"):
        torch.hub.load(str(ROOT), "cut3r_huge", source="local")
