"""Processed files of ours against those that the original's converter wrote."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from cut3r.io.depth import read_depth

PICTURE = 1  # grey levels that another JPEG library may differ by


def compare_file(ours: Path, theirs: Path, *, rtol: float = 1e-6) -> None:
    """Demand that a file holds the same.

    Raises:
        AssertionError: It does not, by name.
    """
    {".jpg": _picture, ".png": _exact, ".npy": _array, ".npz": _arrays, ".json": _json, ".exr": _depth}.get(
        theirs.suffix.lower(), _bytes
    )(ours, theirs, rtol)


def _picture(ours: Path, theirs: Path, rtol: float) -> None:
    first, second = _pixels(ours), _pixels(theirs)
    assert first.shape == second.shape, f"{ours}: {first.shape}, recorded {second.shape}"
    assert np.abs(first.astype(int) - second).max() <= PICTURE, f"{ours} shows something else"


def _exact(ours: Path, theirs: Path, rtol: float) -> None:
    first, second = _pixels(ours), _pixels(theirs)
    assert first.dtype == second.dtype, f"{ours}: {first.dtype}, recorded {second.dtype}"
    assert np.array_equal(first, second), f"{ours} holds other numbers"


def _array(ours: Path, theirs: Path, rtol: float) -> None:
    _same(np.load(ours), np.load(theirs), ours, 0.0)


def _arrays(ours: Path, theirs: Path, rtol: float) -> None:
    """All arrays of numbers and texts; dictionaries that the original pickles have no counterpart."""
    with np.load(ours) as first, np.load(theirs, allow_pickle=True) as second:
        names = {name for name in second.files if second[name].dtype.kind != "O"}
        assert names <= set(first.files), f"{ours} lacks {names - set(first.files)}"
        for name in names:
            _same(first[name], second[name], f"{ours}, {name}", rtol)


def _depth(ours: Path, theirs: Path, rtol: float) -> None:
    _same(read_depth(ours), read_depth(theirs), ours, rtol)


def _json(ours: Path, theirs: Path, rtol: float) -> None:
    assert json.loads(ours.read_text()) == json.loads(theirs.read_text()), ours


def _bytes(ours: Path, theirs: Path, rtol: float) -> None:
    assert ours.read_bytes() == theirs.read_bytes(), ours


def _same(first: np.ndarray, second: np.ndarray, what: object, rtol: float) -> None:
    assert first.shape == second.shape, f"{what}: {first.shape}, recorded {second.shape}"
    if second.dtype.kind in "US":
        assert first.tolist() == second.tolist(), what
        return
    np.testing.assert_allclose(first, second, rtol=rtol, atol=rtol, err_msg=str(what))


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)
