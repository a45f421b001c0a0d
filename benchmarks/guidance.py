"""What gets a network off the plateau where cameras do not move? Guidance, start and optimizer, each with and without.

Every setting trains a small network of the real architecture (1.5 M weights) from nothing, on pairs of 48x60 pixels of
synthetic rooms, with the pose loss and images alone, for as many processor minutes. It is judged on pairs of rooms that
no training sees, and the gate is passed when the attention of the first two layers looks by content: its cross-entropy
falls below that of a guess from the position alone. Then R2 (1 - error^2 / truth^2; "no motion" has 0) of yaw and
translation rises, and with the first view of another sample it must be below zero: the motion is read from the state.

    python benchmarks/guidance.py --out                                       all eight settings, about an hour
    python benchmarks/guidance.py --setting guided-own_place-muon --minutes 4
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from pairs import draw_pairs
from report import add_out_flag, environment, finish, table
from torch.nn.utils import clip_grad_norm_

from cut3r.data.synthetic import HELD_OUT_SEED, TRAINING_SEED, walk_file
from cut3r.data.view import View
from cut3r.data.walks import WalkConfig
from cut3r.files.atomic import atomic_path
from cut3r.model.config import DecoderConfig, EncoderConfig, HeadKind, ModelConfig, StateConfig
from cut3r.model.network import Cut3r
from cut3r.training.config import Start
from cut3r.training.gate import attention_by_position, gate_scores
from cut3r.training.guidance import Guidance
from cut3r.training.loss_config import GuidanceConfig, LossConfig
from cut3r.training.losses import ReconstructionLoss
from cut3r.training.optim import OptimConfig, OptimKind, make_optimizer, set_learning_rate
from cut3r.training.own_place import start_at_own_place
from cut3r.training.precision import Precision
from cut3r.training.rollout import Batch, Chunk, TrainingStep, run_chunks

matplotlib.use("agg")
from matplotlib import pyplot as plt

SIZE, PATCH, BATCH, CLIP = (48, 60), 12, 32, 1.0
WARM_UP, FALLS_FROM, END = 50, 0.75, 0.05  # steps; share of the time; share of the rate
RATES = {OptimKind.adamw: 1e-3, OptimKind.muon: 1.5e-3}
WEIGHTS = GuidanceConfig(matching=1.0, attention=0.6, flow=2.0)
LOSS = LossConfig(pose_weight=5.0, cam_weight=0.0, world_weight=0.0, rgb_weight=0.0, ground_truth_scale=True)
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Setting:
    guided: bool
    start: Start
    optimizer: OptimKind

    @property
    def name(self) -> str:
        return f"{'guided' if self.guided else 'alone'}-{self.start.name}-{self.optimizer.name}"


SETTINGS = {s.name: s for s in (Setting(*choice) for choice in product((True, False), Start, OptimKind))}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--setting", action="append", choices=SETTINGS, help="repeatedly (default: all)")
    add("--minutes", type=float, default=6.0, help="of the processor, for each setting (default: %(default)s)")
    add("--reports", type=int, default=8, help="judgements of each setting (default: %(default)s)")
    add("--walks", type=int, default=6000, help="training walks of 12 frames (default: %(default)s)")
    add("--pairs", type=int, default=384, help="held-out pairs (default: %(default)s)")
    add("--folder", type=Path, help="keeps the rendered walks for the next time")
    add("--threads", type=int, default=1, help="(default: %(default)s)")
    add_out_flag(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    machine = environment(CPU)
    with tempfile.TemporaryDirectory() as scratch:
        folder, config = args.folder or Path(scratch), WalkConfig(size=SIZE, frames=12)
        walks = walk_file(folder, TRAINING_SEED, config).first(args.walks)
        others = walk_file(folder, HELD_OUT_SEED, config).first(max(4, args.pairs // 4))
        held_out = draw_pairs(others, np.random.default_rng(0), args.pairs)
        curves = {
            name: list(progress(name, train(SETTINGS[name], walks, held_out, args.minutes, args.reports)))
            for name in args.setting or SETTINGS
        }
    alone = attention_by_position(held_out, network().config)
    rows = [{"setting": name} | rows[-1] for name, rows in curves.items()]
    print(
        f"\nattention by position alone: {alone:.3f}; after {args.minutes:g} processor minutes each:\n\n{table(rows)}"
    )
    record = {"benchmark": "guidance", "minutes": args.minutes, "walks": args.walks, "pairs": args.pairs}
    path = finish("guidance", record | {"position_alone": alone, "curves": curves, "environment": machine}, args.out)
    if path:
        draw(curves, alone, path.with_suffix(".png"))


def train(
    setting: Setting, walks: np.ndarray, held_out: list[View], minutes: float, reports: int
) -> Iterator[dict[str, Any]]:
    """Train from nothing; judge after equal shares of the processor time."""
    torch.manual_seed(0)
    model = network()
    if setting.start is Start.own_place:
        start_at_own_place(model)
    guidance, judge = Guidance(model, WEIGHTS) if setting.guided else None, Guidance(model, WEIGHTS)
    step = TrainingStep(model, Precision.fp32, guidance=guidance, outputs=LOSS.outputs())
    optimizer = make_optimizer(model, OptimConfig(kind=setting.optimizer, decay_tokens=False), guidance)
    rng, loss, chunks = np.random.default_rng(1), ReconstructionLoss(LOSS), [Chunk(0, 2, graded=True)]
    began, steps, spent, reported = time.process_time(), 0, 0.0, 0
    while reported < reports:
        set_learning_rate(optimizer, RATES[setting.optimizer] * share_of_rate(steps, spent / (60 * minutes)))
        (piece,) = run_chunks(step, Batch.make(draw_pairs(walks, rng, BATCH), CPU), chunks, loss)
        piece.total.backward()
        clip_grad_norm_(step.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        steps += 1
        spent = time.process_time() - began
        if spent >= 60 * minutes * (reported + 1) / reports:
            reported += 1
            yield {"minutes": spent / 60, "pairs": steps * BATCH} | gate_scores(model, judge, held_out)
            began = time.process_time() - spent  # judging is no training


def network() -> Cut3r:
    return Cut3r(
        ModelConfig(
            head=HeadKind.linear,
            image_size=SIZE,
            patch_size=PATCH,
            encoder=EncoderConfig(width=64, depth=2, heads=4, ray_depth=1, ray_heads=4),
            decoder=DecoderConfig(width=64, depth=3, heads=4, state_heads=4),
            state=StateConfig(tokens=36, memory_slots=16, memory_depth=1),
            head_blocks=1,
        )
    )


def share_of_rate(step: int, passed: float) -> float:
    """A short rise, then constant, then a straight fall."""
    falling = (1 - passed) / (1 - FALLS_FROM)
    return min(1.0, (step + 1) / WARM_UP, max(END, falling))


def progress(name: str, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        print(name, " ".join(f"{key} {value:.3g}" for key, value in row.items()), flush=True)
        yield row


def draw(curves: dict[str, list[dict[str, Any]]], alone: float, path: Path) -> None:
    """Attention and R2 of yaw against the pairs seen."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 3.5), layout="constrained")
    for name, rows in curves.items():
        for plot, key in zip(axes, ("attention", "yaw"), strict=True):
            plot.plot([row["pairs"] for row in rows], [row[key] for row in rows], ".-", label=name)
    axes[0].axhline(alone, color="black", linestyle="--", linewidth=1)
    axes[0].set(title="attention, nats (dashed: position alone)", xlabel="pairs")
    axes[1].set(title="R2 of yaw, held-out pairs", xlabel="pairs", ylim=(-0.5, 1))
    axes[0].legend(fontsize="x-small")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    main()
