"""Importing does nothing that anybody could notice."""

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "cut3r"
MODULES = sorted(
    ".".join(("cut3r", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in PACKAGE.glob("*/**/*.py")
)

WATCH = """
import importlib, random, sys
import numpy as np
import torch

def switches():
    return (
        torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.backends.cuda.matmul.allow_tf32,
        torch.get_float32_matmul_precision(), torch.initial_seed(), tuple(torch.get_rng_state().tolist()),
        random.getstate(), tuple(np.random.get_state()[1].tolist()), torch.cuda.is_initialized(),
    )

before = switches()
for name in {modules!r}:
    importlib.import_module(name)
    assert switches() == before, f"importing {{name}} changed a global switch"
assert "torchvision" not in sys.modules
"""


def test_importing_everything_prints_nothing_and_changes_nothing():
    run = subprocess.run([sys.executable, "-c", WATCH.format(modules=MODULES)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == ""
    assert run.stderr == ""


@pytest.mark.parametrize("forbidden", ["torch", "numpy", "cv2", "viser"])
def test_the_public_face_costs_nothing_until_it_is_used(forbidden):
    code = f"import sys, cut3r; assert cut3r.__version__; assert {forbidden!r} not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_public_face_shows_what_it_says():
    import cut3r

    for name in cut3r.__all__:
        assert getattr(cut3r, name) is not None
    assert set(cut3r.__all__) == set(dir(cut3r))
    with pytest.raises(AttributeError, match="has no attribute 'reconstruct'"):
        cut3r.reconstruct  # noqa: B018
