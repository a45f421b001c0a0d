"""What an evaluation can be told. `eval/runner.py` fills it from configs/eval/ and the command line."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from cut3r.metrics.depth_alignment import DepthAlignment
from cut3r.rules import rule_of, text_of
from eval.evaluate import Stage
from eval.mv_recon import ReconAlignment


class Layout(Enum):
    """How the folder that `predictions` names is laid out."""

    saved = "saved"  # ours: docs/evaluation.md
    reference = "reference"  # what the original's scripts write: depth and camera paths


class Precision(Enum):
    fp32 = "fp32"
    bf16 = "bf16"


class Kept(Enum):
    float32 = "float32"
    float16 = "float16"  # half the disk; depth is off by up to 0.05 %


@dataclass
class EvalConfig:
    """One run: one system on one set by one protocol.

    Attributes:
        dataset: Name of the set; `root` is the folder that holds all sets.
        complete: False scores what is there of an incomplete set, and the report says so.
        every: Keep every n-th frame of each sequence.
        only: Names of the sequences to run; empty for all.
        weights: A checkpoint or a name of the zoo. Instead, `predictions` is a folder of finished predictions.
        name: Of the system in tables; by default that of the file or folder.
        parity: Exactly the published scripts, quirks included; by default what is right, with more detail.
        size: Longer side of the network's pictures; by default as it was trained.
        update: The rule by which a frame changes the state, NAME or NAME:constant=value,...; overwrite is the
            original's.
        revisit, freeze: Passes over each sequence; with freeze only the first one changes the state.
        solve_pose: Camera from the two point maps instead of the pose head.
        out: Folder of the run; by default eval_results/PROTOCOL/DATASET_WEIGHTS, of recordings (rgbd)
            with the name of `root`.
        keep: Of predictions on disk.
        stage: predict leaves the scoring to a later run with stage=score (or all) in the same folder.
        overwrite: Start anew where the folder holds a run of other settings.
        depth_alignments, recon_alignments: Which groups of numbers; empty for the protocol's own.
    """

    dataset: str = ""
    root: Path = Path("data")
    complete: bool = True
    every: int = 1
    only: list[str] = field(default_factory=list)
    weights: str | None = None
    name: str | None = None
    predictions: Path | None = None
    layout: Layout = Layout.saved
    parity: bool = False
    size: int | None = None
    update: str = "overwrite"
    revisit: int = 1
    freeze: bool = False
    solve_pose: bool = False
    dtype: Precision = Precision.fp32
    device: str = "auto"
    out: Path | None = None
    keep: Kept = Kept.float32
    overwrite: bool = False
    stage: Stage = Stage.all
    depth_alignments: list[DepthAlignment] = field(default_factory=list)
    recon_alignments: list[ReconAlignment] = field(default_factory=list)
    conf_thresh: float = 0.0
    voxel_m: float = 0.0

    def __post_init__(self) -> None:
        if not self.dataset:
            raise ValueError("name a data set, such as dataset=sintel")
        if (self.weights is None) == (self.predictions is None):
            raise ValueError("give weights=FILE|NAME to run our network, or predictions=FOLDER to score what is there")
        if self.predictions is not None and self.stage is Stage.predict:
            raise ValueError("stage=predict has nothing to do for predictions=FOLDER; leave one of the two out")
        if self.layout is Layout.reference and self.predictions is None:
            raise ValueError("layout=reference describes the folder of predictions=..., which is not given")
        self.update = text_of(rule_of(self.update))
        if self.revisit < 1 or (self.freeze and self.revisit == 1):
            raise ValueError(f"revisit is {self.revisit}; give at least 1, and at least 2 with freeze=true")
        if self.every < 1:
            raise ValueError(f"every is {self.every}; 1 keeps every frame, 2 every second one")
        if self.conf_thresh < 0 or self.voxel_m < 0:
            raise ValueError(
                f"conf_thresh {self.conf_thresh} and voxel_m {self.voxel_m} must not be negative; 0 is off"
            )
