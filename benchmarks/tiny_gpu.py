"""How far does the bundled network come in a few minutes of one GPU?

Other processes render walks into a ring in the memory of the GPU, so no step waits for data. Stages go by the clock:
pairs at half size, pairs, four views, eight views, with guidance that becomes weaker. Every minute the averaged weights
are judged on held-out pairs (see `cut3r.training.gate`) and written beside the others, in parts of at most 16 MiB. It
ends by itself in time; `--from` goes on from what an earlier run has written.

    python -m benchmarks.tiny_gpu --minutes 8 --out runs/tiny_gpu
    python -m benchmarks.tiny_gpu --minutes 8 --out runs/more --from runs/tiny_gpu --begin 0.56 --seed 1
    python -m cut3r.weights.parts runs/more/ema tiny.safetensors            the parts become one file
    python -m benchmarks.tiny_gpu --minutes 2 --out runs/toy --device cpu --toy          a rehearsal

It needs PyTorch, NumPy, einops, jaxtyping, safetensors and accelerate, nothing else.
"""

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from cut3r.data.synthetic import synthetic_walk
from cut3r.data.walk_ring import Draw, Renderers, WalkRing, walk_fields
from cut3r.data.walks import WalkConfig
from cut3r.model.config import DecoderConfig, EncoderConfig, HeadKind, ModelConfig, StateConfig
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs
from cut3r.training.gate import attention_by_position, gate_scores
from cut3r.training.loss_config import GuidanceConfig, LossConfig
from cut3r.training.own_place import start_at_own_place
from cut3r.training.parallel import start_processes
from cut3r.training.pictures import picture
from cut3r.training.plain_pictures import curves_svg, png
from cut3r.training.precision import Precision, count_parameters
from cut3r.training.rollout import Batch
from cut3r.training.staged import Stage, StagedTraining
from cut3r.training.time_box import SmallFiles, TimeBox
from cut3r.weights.checkpoint import load
from cut3r.weights.parts import join, write_parts

HELD_OUT_SEED, MOST_SEEDS = 20_000, 100  # as in clips.py: trainings use seeds below 100
RENDERED_HERE = 10_000_000  # number of the first walk that the device makes itself
TELL_S, KEEP_S = 10.0, 60.0
PICTURED = 6  # held-out pairs
TOLD = ("loss", "pose", "matching", "attention", "flow")
PANELS = {
    "loss against minutes": ("train", ["loss"]),
    "attention, nats": ("gate", ["attention", "position_alone"]),
    "R2, held-out pairs": ("gate", ["yaw", "tx", "tz"]),
    "R2, another first view": ("gate", ["other_yaw", "other_tx", "other_tz"]),
    "AbsRel": ("gate", ["abs_rel"]),
}

POSE = LossConfig(pose_weight=5.0, cam_weight=0.0, world_weight=0.0, rgb_weight=0.0, ground_truth_scale=True)
ALL = LossConfig(pose_weight=5.0, relative=True)
GUIDANCE = GuidanceConfig(matching=1.0, attention=0.6, flow=2.0)


@dataclass(frozen=True)
class Recipe:
    """A network, its data, and what it learns when."""

    model: ModelConfig
    walk: WalkConfig
    stages: tuple[Stage, ...]
    capacity: int  # walks in the ring: 2.4 MB each at 40 frames of 96x128
    first_walks: int  # that learning waits for
    held_out: int  # walks, of which as many pairs are drawn as there are frames in them
    lr: float = 1e-3
    average: float = 0.999


def with_batches(stages: Sequence[Stage], batches: Sequence[int]) -> tuple[Stage, ...]:
    """Change how many samples a batch has, stage by stage."""
    return tuple(
        replace(stage, draw=replace(stage.draw, batch=batch)) for stage, batch in zip(stages, batches, strict=True)
    )


TINY = Recipe(
    model=ModelConfig(
        head=HeadKind.linear,
        image_size=(96, 128),
        patch_size=8,
        encoder=EncoderConfig(width=192, depth=6, heads=6, ray_depth=1, ray_heads=6),
        decoder=DecoderConfig(width=144, depth=6, heads=6, state_heads=6),
        state=StateConfig(tokens=256, memory_slots=16, memory_depth=1),
        head_blocks=1,
    ),
    walk=WalkConfig(size=(96, 128), frames=40),
    stages=(
        Stage(0.31, Draw(batch=256, views=2, apart=4, halved=True), POSE, guidance=1.0),
        Stage(0.56, Draw(batch=256, views=2, apart=8), ALL, guidance=1.0),
        Stage(0.83, Draw(batch=128, views=4, apart=4), ALL, guidance=0.3),
        Stage(1.0, Draw(batch=64, views=8, apart=4), ALL, guidance=0.1),
    ),
    capacity=26_000,
    first_walks=400,
    held_out=32,
)
TOY = Recipe(
    model=ModelConfig(
        head=HeadKind.linear,
        image_size=(48, 64),
        patch_size=8,
        encoder=EncoderConfig(width=32, depth=2, heads=2, ray_depth=1, ray_heads=2),
        decoder=DecoderConfig(width=32, depth=2, heads=2, state_heads=2),
        state=StateConfig(tokens=64, memory_slots=4, memory_depth=1),
        head_blocks=1,
    ),
    walk=WalkConfig(size=(48, 64), frames=12),
    stages=with_batches(TINY.stages, (32, 16, 8, 4)),
    capacity=200,
    first_walks=4,
    held_out=8,
    lr=1.5e-3,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--minutes", type=float, required=True, help="from the start of the program to its end")
    add("--out", type=Path, required=True, metavar="DIR", help="for weights, log.jsonl, pairs.png and curves.svg")
    add("--from", type=Path, dest="source", metavar="PATH", help="DIR of an earlier run, or a network's file")
    add("--begin", type=float, default=0.0, help="share of the recipe to begin at; 0.56: four views (default: 0)")
    add("--seed", type=int, default=0, help="of the rooms; another one for a continued training (default: 0)")
    add("--device", default="auto", choices=("auto", "cuda", "cpu"))
    add("--precision", type=Precision, help="fp32, bf16 (default: bf16 on a GPU)")
    add("--workers", type=int, help="processes that render (default: all cores but two; beside a CPU 1)")
    add("--capacity", type=int, help="walks in the ring")
    add("--first_walks", type=int, help="walks to wait for before the first step")
    add("--render_here", action="store_true", help="until then, render on the device too")
    add("--lr", type=float, help="highest learning rate")
    add("--batch_scale", type=float, default=1.0, help="times the batches of all stages (default: 1)")
    add("--threads", type=int, help="of a CPU")
    add("--toy", action="store_true", help="a network that learns something on one core in two minutes")
    args = parser.parse_args()
    if not 0 <= args.begin < 1 or args.minutes <= 0 or args.batch_scale <= 0 or not 0 <= args.seed < MOST_SEEDS:
        parser.error("--begin is a share below 1, --minutes and --batch_scale are above 0, --seed is 0 to 99")
    return args


def main() -> None:
    args = parse_args()
    box = TimeBox(args.minutes)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.set_float32_matmul_precision("high")
    torch.manual_seed(args.seed)
    recipe, accelerator = recipe_of(args), start_processes(args.device)
    workers = args.workers or workers_beside(accelerator.device)
    tell(f"{name_of(accelerator.device)}, torch {torch.__version__}, {workers} renderers, batches {batches_of(recipe)}")
    files = SmallFiles(args.out, anew=args.source is None)
    with box.watching(), rendering(workers, args.seed, recipe) as renderers:
        judge = Judge(recipe, accelerator.device, files)  # renders its own walks meanwhile
        ring = WalkRing(recipe.walk, recipe.capacity, accelerator.device)
        wait_for_walks(ring, renderers, recipe.first_walks, box, here=args.seed if args.render_here else None)
        training = StagedTraining(
            *(network(recipe, args.source), ring, recipe.stages, GUIDANCE, accelerator),
            precision=args.precision or (Precision.bf16 if accelerator.device.type == "cuda" else Precision.fp32),
            lr=recipe.lr,
            length_s=max(1.0, box.left_s),
            begin=args.begin,
            average=recipe.average,
            seed=args.seed,
        )
        train(training, renderers, judge, box)
    files.close()
    print(json.dumps(files.rows[-1]))


def recipe_of(args: argparse.Namespace) -> Recipe:
    recipe = TOY if args.toy else TINY
    given = {name: getattr(args, name) for name in ("capacity", "first_walks", "lr") if getattr(args, name) is not None}
    batches = [max(2, round(stage.draw.batch * args.batch_scale)) for stage in recipe.stages]
    return replace(recipe, stages=with_batches(recipe.stages, batches), **given)


def network(recipe: Recipe, source: Path | None) -> Cut3r:
    """Begin anew, or with the weights of an earlier run (not their average, which starts again)."""
    if source is not None:
        return join(source / "raw") if source.is_dir() else load(source)
    model = Cut3r(recipe.model)
    start_at_own_place(model)
    return model


@contextmanager
def rendering(workers: int, seed: int, recipe: Recipe) -> Iterator[Renderers]:
    renderers = Renderers(workers, seed, recipe.walk)
    try:
        yield renderers
    finally:
        renderers.close()


def wait_for_walks(ring: WalkRing, renderers: Renderers, count: int, box: TimeBox, *, here: int | None) -> None:
    """Begin when there are some.

    Args:
        here: Render walks of this seed on the device meanwhile, and tell how fast that is.
    """
    began, own = time.monotonic(), 0
    while len(ring) < count and box.goes_on:
        if here is not None:
            ring.put(walk_fields(synthetic_walk(here, RENDERED_HERE + own, ring.config, ring.device)))
            own += 1
        renderers.hand_over(ring, wait_s=0.5 if here is None else 0.0)
    if not len(ring):
        raise SystemExit("no walk was rendered in time; give more --minutes")
    tell(f"{ring.taken} walks in {time.monotonic() - began:.1f} s, {own} of them made by the device itself")


def train(training: StagedTraining, renderers: Renderers, judge: "Judge", box: TimeBox) -> None:
    """Learn until the time is over, tell now and then, judge and write every minute and at the end."""
    tell(f"{count_parameters(training.model)[0] / 1e6:.1f} M weights, {training.step.precision.name}")
    told, kept = -TELL_S, training.seconds
    while box.goes_on:
        renderers.hand_over(training.ring)
        training.learn()
        if training.seconds - told >= TELL_S:
            report(training, judge.files, box)
            told = training.seconds
        if training.seconds - kept >= KEEP_S:
            keep(training, judge)
            kept = training.seconds
    keep(training, judge)


def report(training: StagedTraining, files: SmallFiles, box: TimeBox) -> None:
    values = training.interval.take(training.accelerator)
    rows = [row for row in files.rows if row["kind"] == "train"]
    values["steps_per_s"] = (training.state.progress.step - (rows[-1]["step"] if rows else 0)) / values.pop("seconds")
    on_gpu = training.accelerator.device.type == "cuda"
    values["gpu_gb"] = torch.cuda.max_memory_allocated() / 1e9 if on_gpu else 0.0
    files.log("train", training.position() | values | {"walks": training.ring.taken})
    tell(
        f"{training.seconds:5.0f} s, step {training.state.progress.step}: {shown(values, TOLD)}, "
        f"{values['steps_per_s']:.1f} steps/s, {values['samples_per_s']:.0f} samples/s, "
        f"{training.state.progress.samples} seen, {training.ring.taken} walks, {values['gpu_gb']:.1f} GB, "
        f"{box.left_s:.0f} s left"
    )


def keep(training: StagedTraining, judge: "Judge") -> None:
    """Write the weights and their average, and judge the average."""
    moment = training.state.progress.step
    judge.write_weights("raw", training.model, moment)
    training.average.swap(training.state.parameters())
    try:
        judge.write_weights("ema", training.model, moment)
        judge(training)
    finally:
        training.average.swap(training.state.parameters())
    training.interval.clock.lap(None)


class Judge:
    """Looks at the network on pairs of rooms that no training sees, and writes what it finds."""

    def __init__(self, recipe: Recipe, device: torch.device, files: SmallFiles) -> None:
        config = replace(recipe.walk, frames=12)
        ring = WalkRing(config, recipe.held_out, device)
        for index in range(recipe.held_out):
            ring.put(walk_fields(synthetic_walk(HELD_OUT_SEED, index, config)))
        pairs = ring.draw(np.random.default_rng(0), Draw(batch=12 * recipe.held_out, views=2, apart=4))
        self.views, self.files = [view.to(device) for view in pairs], files
        self.alone = attention_by_position(self.views, recipe.model)
        tell(f"attention by position alone: {self.alone:.3f}")

    def __call__(self, training: StagedTraining) -> None:
        outputs = Outputs() if training.stage.loss.cam_weight else None
        scores = gate_scores(training.model, training.guidance, self.views, outputs)
        self.files.log("gate", training.position() | scores | {"position_alone": self.alone})
        tell(f"        {shown(scores, scores)}")
        self.files.write("pairs.png", png(self.draw_pairs(training.model).numpy()))
        self.files.write("curves.svg", self.draw_curves().encode())

    def write_weights(self, name: str, model: Cut3r, moment: int) -> None:
        write_parts(model.state_dict(), model.config, self.files.folder / name, self.files.scratch, moment=moment)

    @torch.no_grad()
    def draw_pairs(self, model: Cut3r) -> UInt8[Tensor, "h w 3"]:
        views = [view.map(lambda tensor: tensor[:PICTURED]) for view in self.views]
        said = model.rollout(Batch.make(views, views[0].depth.device).inputs, outputs=Outputs()).predictions
        return torch.cat([picture(views, said, sample) for sample in range(PICTURED)], dim=1)

    def draw_curves(self) -> str:
        curves = {
            title: {name: self.files.curve(kind, name) for name in names} for title, (kind, names) in PANELS.items()
        }
        return curves_svg(curves, low={"R2, held-out pairs": -0.5, "R2, another first view": -2.0})


def workers_beside(device: torch.device) -> int:
    """All cores but two; a CPU that learns itself keeps all but one."""
    return max(1, (os.cpu_count() or 1) - 2) if device.type == "cuda" else 1


def batches_of(recipe: Recipe) -> str:
    return ", ".join(f"{stage.draw.batch} x {stage.draw.views}" for stage in recipe.stages)


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def shown(values: Mapping[str, float], names: Iterable[str]) -> str:
    return " ".join(f"{name} {values[name]:.3f}" for name in names if name in values)


def tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
