"""What does each rule of writing cost, beside overwriting?

One step of the network (encoder, decoder, write; no heads) with each rule in turn, again and again in one run: other
programs on the machine then disturb all of them alike. `ratio` is the median over the rounds of a rule's processor time
over that of overwriting in the same round. The networks: `tiny`, where what Python does weighs most, and `narrow`, the
published 512-dpt at its full width with a sixth of its layers. Counted in operations, a rule's share of such a step is
that of a whole frame with camera points and pose: 200 GFLOP for 2 layers, as 1,179 are for 12. `extra_mb` is what
the peak of the process's memory rises above that of overwriting, `buffers_mb` what the rule keeps between frames.

    python benchmarks/rules.py --config narrow --config tiny
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from networks import random_network, tiny
from report import add_out_flag, environment, finish, table
from timing import peak_memory_mb, start_peak_memory, time_ms

from cut3r.model.config import ModelConfig, published_512_dpt
from cut3r.model.encoder import ViewInput
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs
from cut3r.model.update import UpdateRule
from cut3r.rules import rule_of
from cut3r.speed.packed import pack

NAMES = ("overwrite", "ttt3r", "ttsa3r", "filt3r", "recal3r", "memix", "memix+ttt3r", "memix+recal3r", "frame+ttt3r")
BASELINE = "overwrite"
LAYERS = 2  # of the decoder of `narrow`; the encoder has twice as many


def narrow() -> ModelConfig:
    """The published network at full width, with few layers."""
    whole = published_512_dpt()
    encoder = replace(whole.encoder, depth=2 * LAYERS)
    return replace(whole, encoder=encoder, decoder=replace(whole.decoder, depth=LAYERS))


CONFIGS = {"narrow": (narrow, (384, 512)), "tiny": (tiny, (48, 64))}


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", action="append", choices=list(CONFIGS), help="default: both; may be repeated")
    parser.add_argument("--update", action="append", metavar="NAME", help="rules to measure; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="(default: %(default)s)")
    add_out_flag(parser)
    args = parser.parse_args(arguments)
    if args.rounds < 1:
        parser.error(f"--rounds is {args.rounds}; one at least is needed")
    return args


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    machine, rows = environment(args.device), []
    names = [BASELINE, *(name for name in args.update or NAMES if name != BASELINE)]
    for config in args.config or list(CONFIGS):
        make, size = CONFIGS[config]
        model = random_network(make(), args.device)
        pack(model)
        rows += [{"config": config, **row} for row in measure(model, size, names, args.rounds, args.device)]
    print(table(rows))
    finish("rules", {"benchmark": "rules", "rounds": args.rounds, "rows": rows, "environment": machine}, args.out)


@torch.inference_mode()
def measure(
    model: Cut3r, size: tuple[int, int], names: Sequence[str], rounds: int, device: torch.device
) -> list[dict[str, Any]]:
    """Time one frame of each rule in turn, so many rounds."""
    steps = {name: Stepping(model, rule_of(name), size, device) for name in names}
    for step in steps.values():
        step()  # the first frame fills caches, and is written whole
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, step in steps.items():
            start_peak_memory(device)
            timing = time_ms(step, repeats=1, warmup=0, device=device)
            peak = peak_memory_mb(device)
            used = timing.median if device.type == "cuda" else timing.cpu
            samples[name].append({"ms": timing.median, "used": used, "peak": float("nan") if peak is None else peak})
    base = samples[BASELINE]
    return [
        {
            "update": name,
            "ms": median(each["ms"] for each in of_rule),
            "cpu_ms": median(each["used"] for each in of_rule),
            "ratio": median(each["used"] / other["used"] for each, other in zip(of_rule, base, strict=True)),
            "extra_mb": median(each["peak"] - other["peak"] for each, other in zip(of_rule, base, strict=True)),
            "buffers_mb": steps[name].buffers_mb(),
        }
        for name, of_rule in samples.items()
    ]


class Stepping:
    """A stream of noise through a network that writes by a rule; each call is a frame."""

    def __init__(self, model: Cut3r, rule: UpdateRule, size: tuple[int, int], device: torch.device) -> None:
        self.model, self.rule = model, rule
        self._draw = torch.Generator().manual_seed(0)
        self._size, self._device = size, device
        self.state = model.initial_state(1, rule)

    def __call__(self) -> None:
        image = (2 * torch.rand(1, 3, *self._size, generator=self._draw) - 1).to(self._device)
        view = ViewInput(image=image)
        _, self.state = self.model.step(self.state, view, self.model.encode(view), Outputs.none(), self.rule)

    def buffers_mb(self) -> float:
        return sum(buffer.numel() * buffer.element_size() for buffer in self.state.buffers.values()) / 1e6


if __name__ == "__main__":
    main()
