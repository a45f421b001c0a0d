"""From settings to a run: which system, which sequences, which protocol, which folder."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cut3r.inference.session import trained_size
from cut3r.rules import rule_of
from cut3r.speed.packed import pack
from cut3r.speed.precision import apply_precision
from cut3r.weights.checkpoint import load, resolve
from cut3r.weights.zoo import sha256
from eval.config import EvalConfig, Layout
from eval.protocols.base import EvaluationProtocol
from eval.protocols.depth import MonoDepth, VideoDepth
from eval.protocols.mv_recon import (
    PUBLISHED_SIZE,
    SMALL_SIZE,
    MultiViewReconstruction,
    ReconAlignment,
    ReconOptions,
    usual_grid,
)
from eval.protocols.pose_pairs import PosePairs
from eval.protocols.query import Query
from eval.protocols.relpose import RelativePose
from eval.run import EvaluationRun
from eval.sequences import PROTOCOLS, Sequence, open_set
from eval.systems.base import System
from eval.systems.baselines import BASELINES, Baseline
from eval.systems.baselines import SIZE as BASELINE_SIZE
from eval.systems.ours import Ours
from eval.systems.reference import ReferencePredictions
from eval.systems.saved import Predictions, SavedPredictions
from eval.systems.truth import Truth, noise_of

logger = logging.getLogger(__name__)

RESULTS = Path("eval_results")
KINDS = ("depth", "cameras", "points")
STREAMS = ("relpose", "video_depth", "mv_recon")  # protocols that take one stream of pictures, and nothing else
EVERY_RECON = (ReconAlignment.published, ReconAlignment.uncropped, ReconAlignment.sim3)


@dataclass(frozen=True)
class Subject:
    """What is evaluated: a system, finished predictions, or a baseline.

    Attributes:
        size: Longer side of the network's pictures, and of the clouds of mv_recon.
        facts: What the report says of it.
        find: Gives finished predictions, also the baselines', which look at no picture.
        described: Everything that decides what `find` gives, if not its folder.
        says: Kinds of predictions, if not all.
    """

    label: str
    size: int
    facts: dict[str, Any] = field(default_factory=dict)
    system: System | None = None
    find: Callable[[Sequence], Predictions] | None = None
    described: dict[str, Any] | None = None
    says: tuple[str, ...] = KINDS


def open_subject(config: EvalConfig, device: torch.device, *, digest: Callable[[Path], str] = sha256) -> Subject:
    """Load the network, or find the predictions; for any number of runs.

    Args:
        digest: Of the weights' file; of several processes one may read it for all.

    Raises:
        ValueError: Settings that do not go together, or a name that does not exist.
        FileNotFoundError: The weights or the predictions are not there.
    """
    if (noise := noise_of(config.weights)) is not None:
        return open_baseline(config, partial(Truth, noise=noise), Truth.describe() | {"noise": noise}, Truth.says)
    if config.weights in BASELINES:
        kind = BASELINES[config.weights]
        return open_baseline(config, kind, kind.describe(), kind.says)
    if config.weights is not None:
        return open_network(config, config.weights, device, digest)
    assert config.predictions is not None
    if not config.predictions.is_dir():
        raise FileNotFoundError(f"there is no folder {config.predictions}; predictions=... names finished predictions")
    return Subject(
        config.predictions.resolve().name,
        config.size or PUBLISHED_SIZE,
        find=finder(config.predictions, config.layout),
    )


def open_network(config: EvalConfig, weights: str, device: torch.device, digest_of: Callable[[Path], str]) -> Subject:
    path = resolve(weights)
    model = load(path, device=device, dtype=apply_precision(config.dtype.value))
    pack(model)
    digest = digest_of(path)
    system = Ours(
        model,
        size=config.size,
        passes=config.revisit,
        freeze=config.freeze,
        solve_pose=config.solve_pose,
        parity=config.parity,
        rule=rule_of(config.update),
        resets=config.resets,
        keyframes=config.chosen_keyframes,
        loops=config.loops,
        digest=digest,
    )
    facts = {"weights": {"given": weights, "file": path.name, "sha256": digest}}
    label = ", ".join(word for word in (path.stem, config.way) if word)
    return Subject(label, config.size or trained_size(model), facts, system)


def open_baseline(
    config: EvalConfig, make: Callable[..., Baseline], described: dict[str, Any], says: tuple[str, ...]
) -> Subject:
    assert config.weights is not None
    size = config.size or BASELINE_SIZE
    shape = (SMALL_SIZE, SMALL_SIZE) if size == SMALL_SIZE else (size * 3 // 4, size)
    return Subject(
        config.weights.replace(":", "_"),
        size,
        {"weights": {"given": config.weights, "file": f"{config.weights} (a baseline)", "sha256": "none"}},
        find=lambda sequence: make(sequence, shape),
        described={**described, "size": size},
        says=says,
    )


def open_sequences(protocol: str, config: EvalConfig) -> list[Sequence]:
    """Open the set, and choose.

    Raises:
        ValueError: A name that does not exist.
        FileNotFoundError: The set is not there.
    """
    every = open_set(protocol, config.dataset, config.root, parity=config.parity, complete=config.complete)
    return chosen(every, config)


def make_run(
    protocol: str, config: EvalConfig, device: torch.device, *, digest: Callable[[Path], str] = sha256
) -> EvaluationRun:
    """Open the set, then what is evaluated, and put them together; raises what these raise."""
    return combine(protocol, config, open_sequences(protocol, config), open_subject(config, device, digest=digest))


def combine(protocol: str, config: EvalConfig, sequences: list[Sequence], subject: Subject) -> EvaluationRun:
    """Choose the protocol, name the folder.

    Raises:
        ValueError: The subject is silent about what is scored.
    """
    if config.weights is not None and protocol not in STREAMS and (config.resets or config.chosen_keyframes):
        raise ValueError(f"reset and keyframes are for {', '.join(STREAMS)}; {protocol} takes no long stream")
    scored = make_protocol(protocol, config, subject.size, max(map(len, sequences), default=0))
    silent = [kind for kind in KINDS if getattr(scored.wanted, kind) and kind not in subject.says]
    if silent:
        raise ValueError(f"{subject.label} says nothing of {silent[0]}, which {protocol} scores")
    return EvaluationRun(
        folder=config.out or RESULTS / protocol / f"{set_label(config)}_{folder_name(subject.label)}",
        protocol=scored,
        sequences=sequences,
        system=subject.system,
        find=subject.find,
        described=subject.described,
        dataset=config.dataset,
        name=config.name or subject.label,
        parity=config.parity,
        facts=facts_of(config) | subject.facts,
        keep=config.keep.value,
    )


def folder_name(label: str) -> str:
    """The name of a system as a part of a path."""
    return re.sub(r"[^\w.+-]+", "_", label)


def set_label(config: EvalConfig) -> str:
    """Name the set in the folder of its runs; recordings by the folder that holds them, because each has others."""
    return f"{config.dataset}_{config.root.resolve().name}" if config.dataset == "rgbd" else config.dataset


def make_protocol(name: str, config: EvalConfig, size: int, views: int) -> EvaluationProtocol:
    """Make a protocol of the settings; pictures have `size` pixels on their longer side, sequences at most `views`."""
    match name:
        case "monodepth":
            return MonoDepth(config.dataset, config.depth_alignments, parity=config.parity)
        case "video_depth":
            return VideoDepth(config.dataset, config.depth_alignments, parity=config.parity)
        case "relpose":
            return RelativePose(parity=config.parity)
        case "mv_recon":
            usual = [ReconAlignment.published] if config.parity else list(EVERY_RECON)
            voxel_m = usual_grid(views, size, parity=config.parity) if config.voxel_m is None else config.voxel_m
            options = ReconOptions(config.recon_alignments or usual, config.conf_thresh, voxel_m)
            return MultiViewReconstruction(options, size=size)
        case "pose_pairs":
            return PosePairs(parity=config.parity)
        case "query":
            return Query(config.hold_out)
    raise ValueError(f"there is no protocol '{name}'; choose from {', '.join(PROTOCOLS)}")


def finder(folder: Path, layout: Layout) -> Callable[[Sequence], Predictions]:
    """How to find a sequence's finished predictions."""
    if layout is Layout.reference:
        return lambda sequence: ReferencePredictions.find(folder, sequence)
    return lambda sequence: SavedPredictions(folder / sequence.name, sequence.stems, sequence.times_s)


def chosen(sequences: list[Sequence], config: EvalConfig) -> list[Sequence]:
    """The sequences that `only` names, or all."""
    names = [sequence.name for sequence in sequences]
    unknown = [name for name in config.only if name not in names]
    if unknown:
        raise ValueError(f"{config.dataset} has no sequence {', '.join(unknown)}; it has {', '.join(names)}")
    kept = [sequence for sequence in sequences if not config.only or sequence.name in config.only]
    return [sequence.every(config.every) for sequence in kept]


def facts_of(config: EvalConfig) -> dict[str, Any]:
    """What the report prints about a run, beside its protocol, set, system and mode."""
    return {
        "complete": config.complete,
        "every": config.every,
        "only": config.only,
        "lengths": config.lengths,
        "update": config.update,
        "reset": config.reset,
        "joint": config.joint.value,
        "overlap": config.overlap,
        "keyframes": config.keyframes,
        "loops": config.loops,
        "revisit": config.revisit,
        "freeze": config.freeze,
        "dtype": config.dtype.value,
        "root": str(config.root),
        "layout": config.layout.value,
        "predictions": None if config.predictions is None else str(config.predictions),
    }
