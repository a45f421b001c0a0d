"""Streaming 3D reconstruction: frames in, metric points, cameras and depth out.

The names below are imported on first use, so that `import cut3r` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "load": "cut3r.weights.checkpoint",
    "Session": "cut3r.inference.session",
    "Reconstruction": "cut3r.inference.reconstruction",
    "open_frames": "cut3r.io.frames",
}
__all__ = ["Reconstruction", "Session", "__version__", "load", "open_frames"]

if TYPE_CHECKING:
    from cut3r.inference.reconstruction import Reconstruction as Reconstruction
    from cut3r.inference.session import Session as Session
    from cut3r.io.frames import open_frames as open_frames
    from cut3r.weights.checkpoint import load as load


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'cut3r' has no attribute {name!r}; it has {sorted(_HOME)}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
