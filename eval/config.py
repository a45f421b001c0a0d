"""What an evaluation can be told. `eval/settings.py` fills it from the command line."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from cut3r.inference.chunks import ResetConfig
from cut3r.inference.joints import JointKind
from cut3r.inference.keyframes import KeyframeConfig
from cut3r.metrics.depth_alignment import DepthAlignment
from cut3r.rules import create, rule_of, text_of
from eval.protocols.mv_recon import ReconAlignment
from eval.systems.baselines import BASELINES
from eval.systems.truth import noise_of


class Stage(Enum):
    all = "all"
    predict = "predict"
    score = "score"


class Layout(Enum):
    """How the folder that `predictions` names is laid out."""

    saved = "saved"
    reference = "reference"


class Precision(Enum):
    fp32 = "fp32"
    bf16 = "bf16"


class Kept(Enum):
    float32 = "float32"
    float16 = "float16"


@dataclass
class EvalConfig:
    """One run: one system on one set by one protocol. `python -m eval PROTOCOL --help` prints what follows.

    Attributes:
        dataset: Name of the set.
        root: Folder that holds all sets; of rgbd also the recording itself.
        complete: False scores what is there of an incomplete set, and the report says so.
        every: Keep every n-th frame of each sequence.
        lengths: Score also the first so many frames of each sequence of a long set, such as [50,100,200]: one run,
            a table for each length.
        only: Names of the sequences to run; empty for all.
        weights: A checkpoint or a name of the zoo; or a baseline that looks at no picture: mean_depth, no_motion,
            constant_velocity; or truth, which must have no errors, and truth:0.05, whose errors theory knows.
        name: Of the system in tables; by default that of the file or folder.
        predictions: Instead of weights, a folder of finished predictions.
        layout: Of the folder of predictions: saved is ours (docs/evaluation.md), reference is what the original's
            scripts write (depth and camera paths).
        parity: Exactly the published scripts, quirks included; by default what is right, with more detail.
        size: Longer side of the network's pictures; by default as it was trained.
        update: The rule by which a frame changes the state, NAME or NAME:constant=value,...; overwrite is the
            original's.
        reset: Forget the state after so many written frames, and join the pieces: a number; auto, also on evidence;
            or off.
        joint: How these pieces are joined.
        overlap: Frames that two of them have in common.
        keyframes: Which frames change the state: all, every:N, fps:F, motion or overlap. Every frame is predicted, and
            scored.
        loops: With reset, look for places that are seen again, and put the pieces where these say. Predictions are
            those of the end of a sequence, which is taken twice.
        ways: Instead of one run, one for each of these ways to take a long stream, into one folder and one report. A
            way is an update rule and settings, such as [overwrite,ttt3r,"ttt3r reset=100 loops=true"].
        revisit: Passes over each sequence; the last one is scored.
        freeze: Of several passes only the first one changes the state.
        solve_pose: Camera from the two point maps instead of the pose head.
        dtype: Of the network: fp32, or bf16, which is faster on GPUs.
        device: auto, cpu, cuda or cuda:1; one that is not there is refused.
        workers: Processes of this machine that share the sequences.
        dask: Instead, a Dask cluster: tcp://HOST:8786, or local:4 to start one of four processes here. Where some of
            its workers have the resource GPU, these do the work.
        out: Folder of the run; by default eval_results/PROTOCOL/DATASET_WEIGHTS, of recordings (rgbd) with the name
            of `root`.
        keep: Of predictions on disk: float16 needs half the room, and depth is off by up to 0.05 %.
        overwrite: Start anew where the folder holds a run of other settings.
        stage: predict (on the machine with the GPU) leaves the scoring to a later run with stage=score, or all, in
            the same folder.
        depth_alignments: Which groups of numbers the depth protocols give; empty for the protocol's own.
        recon_alignments: The same for mv_recon.
        conf_thresh: mv_recon leaves out points with less confidence; 0 is off.
        hold_out: query does not show one of so many frames, and asks for it.
        voxel_m: mv_recon thins both clouds to a grid of this size before it compares them, metres; 0 is off. By default
            off up to 100 views and in parity mode, else 0.01.
    """

    dataset: str = ""
    root: Path = Path("data")
    complete: bool = True
    every: int = 1
    lengths: list[int] = field(default_factory=list)
    only: list[str] = field(default_factory=list)
    weights: str | None = None
    name: str | None = None
    predictions: Path | None = None
    layout: Layout = Layout.saved
    parity: bool = False
    size: int | None = None
    update: str = "overwrite"
    reset: str = "off"
    joint: JointKind = JointKind.se3
    overlap: int = 8
    keyframes: str = "all"
    loops: bool = False
    ways: list[str] = field(default_factory=list)
    revisit: int = 1
    freeze: bool = False
    solve_pose: bool = False
    dtype: Precision = Precision.fp32
    device: str = "auto"
    workers: int = 1
    dask: str | None = None
    out: Path | None = None
    keep: Kept = Kept.float32
    overwrite: bool = False
    stage: Stage = Stage.all
    depth_alignments: list[DepthAlignment] = field(default_factory=list)
    recon_alignments: list[ReconAlignment] = field(default_factory=list)
    conf_thresh: float = 0.0
    voxel_m: float | None = None
    hold_out: int = 5

    def __post_init__(self) -> None:
        if not self.dataset:
            raise ValueError("name a data set, such as dataset=sintel")
        if (self.weights is None) == (self.predictions is None):
            raise ValueError("give weights=FILE|NAME to run our network, or predictions=FOLDER to score what is there")
        if self.predictions is not None and self.stage is Stage.predict:
            raise ValueError("stage=predict has nothing to do for predictions=FOLDER; leave one of the two out")
        if (self.weights in BASELINES or noise_of(self.weights) is not None) and self.stage is Stage.predict:
            raise ValueError(f"stage=predict has nothing to do for weights={self.weights}; leave it out")
        if self.layout is Layout.reference and self.predictions is None:
            raise ValueError("layout=reference describes the folder of predictions=..., which is not given")
        self.update = text_of(rule_of(self.update))
        if (self.resets or self.chosen_keyframes) and self.revisit > 1:
            raise ValueError("reset and keyframes are decided by results, which the first of several passes has not")
        if self.ways and self.weights is None:
            raise ValueError("ways are of our network; give weights=FILE|NAME, too")
        if self.loops and self.resets is None:
            raise ValueError("loops=true puts pieces elsewhere, and there are none without reset=100 or reset=auto")
        if self.revisit < 1 or (self.freeze and self.revisit == 1):
            raise ValueError(f"revisit is {self.revisit}; give at least 1, and at least 2 with freeze=true")
        if self.workers < 1 or (self.workers > 1 and self.dask is not None):
            raise ValueError(f"workers is {self.workers}; give at least 1, and leave it out with dask=ADDRESS")
        if self.every < 1:
            raise ValueError(f"every is {self.every}; 1 keeps every frame, 2 every second one")
        if self.hold_out < 2:
            raise ValueError(f"hold_out is {self.hold_out}; 5 holds out one of five frames, and 2 is the least")
        if self.conf_thresh < 0 or (self.voxel_m or 0) < 0:
            raise ValueError(
                f"conf_thresh {self.conf_thresh} and voxel_m {self.voxel_m} must not be negative; 0 is off"
            )

    @property
    def resets(self) -> ResetConfig | None:
        """Raises ValueError, as `chosen_keyframes` does, where there is no such thing."""
        return ResetConfig.of_text(self.reset, joint=self.joint.value, overlap=self.overlap)

    @property
    def chosen_keyframes(self) -> KeyframeConfig | None:
        return KeyframeConfig.of_text(self.keyframes)

    @property
    def way(self) -> str:
        """How long streams are taken, in few words; empty for the original's way."""
        name, _, constants = self.update.partition(":")
        usual = text_of(create(name)).partition(":")[2].split(",")
        changed = [constant for constant in constants.split(",") if constant not in usual]
        rule = name + (":" + ",".join(changed) if changed and constants else "")
        said = [] if rule == "overwrite" else [rule]
        if self.resets is not None:
            said += [f"reset {self.reset}"]
            said += [f"joint {self.joint.value}"] if self.joint is not JointKind.se3 else []
            said += [f"overlap {self.overlap}"] if self.overlap != 8 else []
        said += [f"keyframes {self.keyframes}"] if self.keyframes != "all" else []
        return ", ".join(said + (["loops"] if self.loops else []))
