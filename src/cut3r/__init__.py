"""Streaming 3D reconstruction: frames in, metric points, cameras and depth out.

The names below are imported on first use, so that `import cut3r` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "ExportConfig": "cut3r.export.config",
    "ExportSink": "cut3r.export.sink",
    "FILT3R": "cut3r.rules.filt3r",
    "FitConfig": "cut3r.inference.preprocess",
    "FitMode": "cut3r.inference.preprocess",
    "Frame": "cut3r.io.frame",
    "FrameGate": "cut3r.rules.frame_gate",
    "FrameOptions": "cut3r.io.selection",
    "FramesAgain": "cut3r.export.kept_frames",
    "FrameResult": "cut3r.inference.result",
    "KeptFrames": "cut3r.export.kept_frames",
    "KeyframeConfig": "cut3r.inference.keyframes",
    "MeMix": "cut3r.rules.memix",
    "Outputs": "cut3r.model.prediction",
    "PointSource": "cut3r.inference.result",
    "ReCal3R": "cut3r.rules.recal3r",
    "Reconstruction": "cut3r.inference.reconstruction",
    "ResetConfig": "cut3r.inference.chunks",
    "Session": "cut3r.inference.session",
    "Similarity": "cut3r.geometry.registration",
    "Sink": "cut3r.inference.sink",
    "Sinks": "cut3r.inference.sink",
    "SortOrder": "cut3r.io.selection",
    "StreamLoops": "cut3r.alignment.stream_loops",
    "TTSA3R": "cut3r.rules.ttsa3r",
    "TTT3R": "cut3r.rules.ttt3r",
    "View": "cut3r.inference.view",
    "Write": "cut3r.inference.policy",
    "align": "cut3r.alignment.library",
    "load": "cut3r.weights.checkpoint",
    "open_frames": "cut3r.io.frames",
}
__all__ = [
    "ExportConfig",
    "ExportSink",
    "FILT3R",
    "FitConfig",
    "FitMode",
    "Frame",
    "FrameGate",
    "FrameOptions",
    "FrameResult",
    "FramesAgain",
    "KeptFrames",
    "KeyframeConfig",
    "MeMix",
    "Outputs",
    "PointSource",
    "ReCal3R",
    "Reconstruction",
    "ResetConfig",
    "Session",
    "Similarity",
    "Sink",
    "Sinks",
    "SortOrder",
    "StreamLoops",
    "TTSA3R",
    "TTT3R",
    "View",
    "Write",
    "__version__",
    "align",
    "load",
    "open_frames",
]

if TYPE_CHECKING:
    from cut3r.alignment.library import align as align
    from cut3r.alignment.stream_loops import StreamLoops as StreamLoops
    from cut3r.export.config import ExportConfig as ExportConfig
    from cut3r.export.kept_frames import FramesAgain as FramesAgain
    from cut3r.export.kept_frames import KeptFrames as KeptFrames
    from cut3r.export.sink import ExportSink as ExportSink
    from cut3r.geometry.registration import Similarity as Similarity
    from cut3r.inference.chunks import ResetConfig as ResetConfig
    from cut3r.inference.keyframes import KeyframeConfig as KeyframeConfig
    from cut3r.inference.policy import Write as Write
    from cut3r.inference.preprocess import FitConfig as FitConfig
    from cut3r.inference.preprocess import FitMode as FitMode
    from cut3r.inference.reconstruction import Reconstruction as Reconstruction
    from cut3r.inference.result import FrameResult as FrameResult
    from cut3r.inference.result import PointSource as PointSource
    from cut3r.inference.session import Session as Session
    from cut3r.inference.sink import Sink as Sink
    from cut3r.inference.sink import Sinks as Sinks
    from cut3r.inference.view import View as View
    from cut3r.io.frame import Frame as Frame
    from cut3r.io.frames import open_frames as open_frames
    from cut3r.io.selection import FrameOptions as FrameOptions
    from cut3r.io.selection import SortOrder as SortOrder
    from cut3r.model.prediction import Outputs as Outputs
    from cut3r.rules.filt3r import FILT3R as FILT3R
    from cut3r.rules.frame_gate import FrameGate as FrameGate
    from cut3r.rules.memix import MeMix as MeMix
    from cut3r.rules.recal3r import ReCal3R as ReCal3R
    from cut3r.rules.ttsa3r import TTSA3R as TTSA3R
    from cut3r.rules.ttt3r import TTT3R as TTT3R
    from cut3r.weights.checkpoint import load as load


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'cut3r' has no attribute {name!r}; it has {sorted(_HOME)}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
