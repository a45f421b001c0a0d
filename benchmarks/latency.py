"""How long does one frame take, and how close is that to what the machine can do?

Times what happens to a frame in the middle of a stream: encode, step with the chosen heads, result to the host. Reading
and fitting the image and finding the focal length are not in it. Every combination of --size, --heads and --dtype gives
a row. The first row of a size is the baseline, float32 with all heads, and `speedup` is relative to it: it was measured
in the same process, so that results from different machines can be compared. Where other programs run too, compare
`cpu_ms`, the processor time of a frame; `ms` is up to threads times less when the machine is ours alone.

    python benchmarks/latency.py --config 512-dpt --heads points --dtype bf16 --out
"""

import argparse
import sys
from dataclasses import dataclass
from typing import Any

import torch
from flops import gflop_per_frame
from jaxtyping import Float
from networks import CONFIGS, HEADS, random_network
from report import add_out_flag, environment, finish, table
from timing import matrix_peak_gflops, peak_memory_mb, start_peak_memory, time_ms
from torch import Tensor

from cut3r.inference.session import default_size
from cut3r.model.encoder import ViewInput
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs, Prediction
from cut3r.model.state import StreamState

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Moment:
    """A stream after its first frame, with the next one at hand, and the points it should give (float32)."""

    state: StreamState
    view: ViewInput
    points_cam: Float[Tensor, "b h w 3"]


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--config", choices=CONFIGS, default="tiny", help="the network (default: %(default)s)")
    add("--size", type=parse_size, action="append", metavar="HxW", help="of the image in pixels; repeat")
    add("--heads", choices=HEADS, action="append", help="repeat (default: points)")
    add("--dtype", choices=DTYPES, action="append", help="of the matrix products; repeat (default: fp32)")
    add("--baseline", choices=("plain", "none"), default="plain", help="plain: float32 and all heads, measured first")
    add("--device", type=torch.device, default=torch.device("cpu"), help="cpu, cuda, cuda:1, mps")
    add("--repeats", type=int, help="timed frames per row (default: 3 on a CPU, else 50)")
    add("--warmup", type=int, help="frames before that (default: 1 on a CPU, else 10)")
    add("--threads", type=int, help="of a CPU (default: as torch chooses)")
    add_out_flag(parser)
    args = parser.parse_args(arguments)
    on_cpu = args.device.type == "cpu"
    args.repeats = args.repeats or (3 if on_cpu else 50)
    args.warmup = (1 if on_cpu else 10) if args.warmup is None else args.warmup
    args.heads, args.dtype = args.heads or ["points"], args.dtype or ["fp32"]
    return args


def parse_size(text: str) -> tuple[int, int]:
    try:
        h, w = (int(side) for side in text.lower().split("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; expected HxW in pixels, such as 384x512") from error
    if h <= 0 or w <= 0 or h % 16 or w % 16:
        raise argparse.ArgumentTypeError(f"{text!r}: both sides must be positive multiples of 16, such as 384x512")
    return h, w


def main() -> None:
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    machine = environment(args.device)
    wanted = rows_to_measure(args.heads, args.dtype, baseline=args.baseline == "plain")
    dtypes = list(dict.fromkeys(dtype for dtype, _ in wanted))
    peaks = {dtype: matrix_peak_gflops(DTYPES[dtype], args.device) for dtype in dtypes}
    model = random_network(CONFIGS[args.config](), args.device)
    sizes = args.size or [default_size(model)]
    moments = {size: prepare(model, size) for size in sizes}
    rows = []
    for dtype in dtypes:  # the outer loop: float32 weights do not come back from bfloat16
        model.to_dtype(DTYPES[dtype])
        for size in sizes:
            for heads in [heads for other, heads in wanted if other == dtype]:
                print(f"measuring {size[0]}x{size[1]}, {heads}, {dtype}", file=sys.stderr)
                rows.append(measure(model, moments[size], dtype, heads, peaks[dtype], args))
    if args.baseline == "plain":
        add_speedup(rows)
    print(
        f"{args.config} on {machine['gpu'] or machine['cpu']}, {args.repeats} frames after {args.warmup} for warming up"
    )
    print(f"matrix products reach {', '.join(f'{peak:.0f} GFLOP/s in {dtype}' for dtype, peak in peaks.items())}\n")
    print(table([row | {"size": "{}x{}".format(*row["size"])} for row in rows]) + "\n")
    record = {"benchmark": "latency", "config": args.config, "repeats": args.repeats, "warmup": args.warmup}
    record |= {"matrix_peak_gflops": peaks, "rows": rows, "environment": machine}
    finish(f"latency-{args.config}", record, args.out)


def rows_to_measure(heads: list[str], dtypes: list[str], *, baseline: bool) -> list[tuple[str, str]]:
    """List the pairs of (dtype, heads) of each size, each once: float32 first, and the baseline before all."""
    pairs = [(dtype, head) for dtype in sorted(set(dtypes), key=list(DTYPES).index) for head in heads]
    return list(dict.fromkeys([("fp32", "all"), *pairs] if baseline else pairs))


@torch.inference_mode()
def prepare(model: Cut3r, size: tuple[int, int]) -> Moment:
    """Show a float32 network one picture of noise and remember what it makes of the next."""
    first, second = (ViewInput(image=torch.rand(1, 3, *size, device=model.device) * 2 - 1) for _ in range(2))
    _, state = model.step(model.initial_state(), first, model.encode(first), Outputs.none())
    points_cam = next_frame(model, state, second, Outputs()).points_cam
    assert points_cam is not None
    return Moment(state, second, points_cam)


@torch.inference_mode()
def next_frame(model: Cut3r, state: StreamState, view: ViewInput, outputs: Outputs) -> Prediction:
    """Do what a session does for a frame between its image and its result."""
    prediction, _ = model.step(state, view, model.encode(view), outputs)
    return prediction.to("cpu", torch.float32)


def measure(
    model: Cut3r, moment: Moment, dtype: str, heads: str, peak_gflops: float, args: argparse.Namespace
) -> dict[str, Any]:
    """Make one row of the table."""
    outputs, size = HEADS[heads], moment.view.size
    start_peak_memory(model.device)
    last: list[Prediction] = []

    def run() -> None:
        last[:] = [next_frame(model, moment.state, moment.view, outputs)]

    timing = time_ms(run, repeats=args.repeats, warmup=args.warmup, device=model.device)
    gflop = gflop_per_frame(model.config, size, outputs)
    gflops = 1e3 * gflop / timing.median
    return {
        "size": size,
        "heads": heads,
        "dtype": dtype,
        "ms": timing.median,
        "ms_p10": timing.p10,
        "ms_p90": timing.p90,
        "cpu_ms": timing.cpu,
        "fps": 1e3 / timing.median,
        "gflop": gflop,
        "gflops": gflops,
        "of_peak": gflops / peak_gflops,
        "peak_memory_mb": peak_memory_mb(model.device),
        "error": relative_error(last[0].points_cam, moment.points_cam),
    }


def relative_error(points: Tensor | None, reference: Tensor) -> float | None:
    """Distance to the float32 points over their distance from the camera: the median pixel."""
    if points is None:
        return None
    return float(((points - reference).norm(dim=-1) / reference.norm(dim=-1)).median())


def add_speedup(rows: list[dict[str, Any]]) -> None:
    """Say how many times faster than the baseline of the same size each row is."""
    baseline = {row["size"]: row["ms"] for row in rows if (row["dtype"], row["heads"]) == ("fp32", "all")}
    for row in rows:
        row["speedup"] = baseline[row["size"]] / row["ms"]


if __name__ == "__main__":
    main()
