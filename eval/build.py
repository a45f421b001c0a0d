"""From settings to a run: which sequences, which system, which protocol, which folder."""

import logging
from collections.abc import Callable
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
from eval.protocols.mv_recon import PUBLISHED_SIZE, MultiViewReconstruction, ReconAlignment, ReconOptions, usual_grid
from eval.protocols.pose_pairs import PosePairs
from eval.protocols.query import Query
from eval.protocols.relpose import RelativePose
from eval.run import EvaluationRun
from eval.sequences import PROTOCOLS, Sequence, open_set
from eval.systems.ours import Ours
from eval.systems.reference import ReferencePredictions
from eval.systems.saved import Predictions, SavedPredictions

logger = logging.getLogger(__name__)

RESULTS = Path("eval_results")
EVERY_RECON = (ReconAlignment.published, ReconAlignment.uncropped, ReconAlignment.sim3)


def make_run(
    protocol: str,
    config: EvalConfig,
    device: torch.device,
    *,
    digest: Callable[[Path], str] = sha256,
    tick: Callable[[], None] = lambda: None,
) -> EvaluationRun:
    """Open the set, load the network, name the folder.

    Args:
        digest: Of the weights' file; of several processes one may read it for all.

    Raises:
        ValueError: Settings that do not go together, or a name that does not exist.
        FileNotFoundError: The set, the weights or the predictions are not there.
    """
    every = open_set(protocol, config.dataset, config.root, parity=config.parity, complete=config.complete)
    sequences = chosen(every, config)
    system, find, label = None, None, ""
    facts = facts_of(config)
    size = config.size or PUBLISHED_SIZE
    if config.weights is not None:
        path = resolve(config.weights)
        model = load(path, device=device, dtype=apply_precision(config.dtype.value))
        pack(model)
        size = config.size or trained_size(model)
        facts["weights"] = {"given": config.weights, "file": path.name, "sha256": digest(path)}
        system = Ours(
            model,
            size=config.size,
            passes=config.revisit,
            freeze=config.freeze,
            solve_pose=config.solve_pose,
            parity=config.parity,
            rule=rule_of(config.update),
            digest=facts["weights"]["sha256"],
        )
        label = path.stem
    else:
        assert config.predictions is not None
        if not config.predictions.is_dir():
            raise FileNotFoundError(
                f"there is no folder {config.predictions}; predictions=... names finished predictions"
            )
        find = finder(config.predictions, config.layout)
        label = config.predictions.resolve().name
    return EvaluationRun(
        folder=config.out or RESULTS / protocol / f"{set_label(config)}_{label}",
        protocol=make_protocol(protocol, config, size, max(map(len, sequences), default=0)),
        sequences=sequences,
        system=system,
        find=find,
        dataset=config.dataset,
        name=config.name or label,
        parity=config.parity,
        facts=facts,
        keep=config.keep.value,
        tick=tick,
    )


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
        "revisit": config.revisit,
        "freeze": config.freeze,
        "dtype": config.dtype.value,
        "root": str(config.root),
        "layout": config.layout.value,
        "predictions": None if config.predictions is None else str(config.predictions),
    }
