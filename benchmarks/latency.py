"""How long does one frame take, and how close is that to what the machine can do?

Times what happens to a frame in the middle of a stream: encode, step with the chosen heads, result to the host. Reading
and fitting the picture are not in it, except with --stream, which measures a session from files of pictures to results.
Every combination of --size, --heads, --dtype and --path gives a row. The first row of a size is the baseline: plain
float32 with all heads, which is the work that the original does. `speedup` is relative to it: it was measured in the
same process, so that results from different machines can be compared. Where other programs run too, compare `cpu_ms`,
the processor time of a frame.

Paths: plain (one kernel after the other, the definitions), fast (on a CPU: attention by heads, and packed weights in
bfloat16; on a GPU: recorded graphs), compiled (fast, with compiled blocks). tf32 is float32 with faster products.

    python benchmarks/latency.py --config 512-dpt --dtype fp32 --dtype bf16 --out
    python benchmarks/latency.py --config 512-dpt --device cuda --dtype fp32 --dtype tf32 --dtype bf16 \\
        --path plain --path fast --path compiled --stream 200 --out
"""

import argparse
import os
import sys
from dataclasses import dataclass
from typing import Any

from cut3r.speed.machine import SLEEPY_THREADS

os.environ.update(SLEEPY_THREADS | os.environ)  # as the demo does

import torch
from flops import gflop_per_frame
from jaxtyping import UInt8
from networks import CONFIGS, HEADS, random_network
from report import add_out_flag, environment, finish, table
from streams import frames_per_second
from timing import matrix_peak_gflops, peak_memory_mb, start_peak_memory, time_ms
from torch import Tensor

from cut3r.geometry.poses import rotation_angle
from cut3r.inference.engine import Engine
from cut3r.inference.session import default_size
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs, Prediction
from cut3r.model.state import StreamState
from cut3r.speed.attention import use_twins
from cut3r.speed.packed import pack
from cut3r.speed.precision import apply_precision, compile_blocks

DTYPES = ("fp32", "tf32", "bf16")
PATHS = ("plain", "fast", "compiled")
Variant = tuple[str, str, str]  # dtype, path, heads


@dataclass(frozen=True)
class Moment:
    """A stream after its first frame, with the next one at hand, and what it should give (plain, float32)."""

    state: StreamState
    image: UInt8[Tensor, "1 h w 3"]
    expected: Prediction

    @property
    def size(self) -> tuple[int, int]:
        return (self.image.shape[1], self.image.shape[2])


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--config", choices=CONFIGS, default="tiny", help="the network (default: %(default)s)")
    add("--size", type=parse_size, action="append", metavar="HxW", help="of the image in pixels; repeat")
    add("--heads", choices=HEADS, action="append", help="repeat (default: points)")
    add("--dtype", choices=DTYPES, action="append", help="of the matrix products; repeat (default: fp32)")
    add("--path", choices=PATHS, action="append", help="repeat (default: fast)")
    add("--baseline", choices=("plain", "none"), default="plain", help="plain float32, all heads, measured first")
    add("--stream", type=int, default=0, metavar="N", help="also time a session over so many pictures, end to end")
    add("--device", type=torch.device, default=torch.device("cpu"), help="cpu, cuda, cuda:1, mps")
    add("--repeats", type=int, help="timed frames per row (default: 3 on a CPU, else 50)")
    add("--warmup", type=int, help="frames before that (default: 1 on a CPU, else 10)")
    add("--threads", type=int, help="of a CPU (default: as torch chooses)")
    add_out_flag(parser)
    args = parser.parse_args(arguments)
    on_cpu = args.device.type == "cpu"
    args.repeats = args.repeats or (3 if on_cpu else 50)
    args.warmup = (1 if on_cpu else 10) if args.warmup is None else args.warmup
    args.heads, args.dtype, args.path = args.heads or ["points"], args.dtype or ["fp32"], args.path or ["fast"]
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
    variants = rows_to_measure(args.dtype, args.path, args.heads, baseline=args.baseline == "plain")
    peaks = {dtype: matrix_peak(dtype, args.device) for dtype in dict.fromkeys(dtype for dtype, _, _ in variants)}
    network: Cut3r | None = make(args, "fp32", "plain")
    assert network is not None
    sizes = args.size or [default_size(network)]
    moments = {size: prepare(network, size) for size in sizes}
    rows = []
    for (dtype, path), heads in by_network(variants).items():
        network = None  # one at a time: a second one in memory slows both
        network = make(args, dtype, path)
        for size in sizes:
            for head in heads:
                print(f"measuring {size[0]}x{size[1]}, {head}, {dtype}, {path}", file=sys.stderr)
                rows.append(measure(network, moments[size], (dtype, path, head), peaks[dtype], args))
    if args.baseline == "plain":
        add_speedup(rows)
    print(f"{args.config} on {machine['gpu'] or machine['cpu']}, {args.repeats} frames after {args.warmup}")
    print(f"matrix products reach {', '.join(f'{peak:.0f} GFLOP/s in {dtype}' for dtype, peak in peaks.items())}\n")
    print(table([row | {"size": "{}x{}".format(*row["size"])} for row in rows]) + "\n")
    record = {"benchmark": "latency", "config": args.config, "repeats": args.repeats, "warmup": args.warmup}
    record |= {"matrix_peak_gflops": peaks, "rows": rows, "environment": machine}
    finish(f"latency-{args.config}", record, args.out)


def rows_to_measure(dtypes: list[str], paths: list[str], heads: list[str], *, baseline: bool) -> list[Variant]:
    """List each variant once: the baseline before all."""
    variants = [(dtype, path, head) for dtype in dtypes for path in paths for head in heads]
    return list(dict.fromkeys([("fp32", "plain", "all"), *variants] if baseline else variants))


def by_network(variants: list[Variant]) -> dict[tuple[str, str], list[str]]:
    """Group the heads by what needs a network of its own."""
    groups: dict[tuple[str, str], list[str]] = {}
    for dtype, path, head in variants:
        groups.setdefault((dtype, path), []).append(head)
    return groups


def make(args: argparse.Namespace, dtype: str, path: str) -> Cut3r:
    network = random_network(CONFIGS[args.config](), args.device).to_dtype(use(dtype))
    if path == "compiled":
        compile_blocks(network)
    if path == "fast":
        use_twins(network)
        pack(network)
    return network


def matrix_peak(dtype: str, device: torch.device) -> float:
    return matrix_peak_gflops(use(dtype), device)


def use(dtype: str) -> torch.dtype:
    """Set the switches for this precision and give the type of its products."""
    chosen = apply_precision(dtype)
    assert chosen is not None, "auto is not measured"
    return chosen


@torch.inference_mode()
def prepare(network: Cut3r, size: tuple[int, int]) -> Moment:
    """Show a plain float32 network one picture of noise and remember what it makes of the next."""
    first, second = (torch.randint(0, 256, (1, *size, 3), dtype=torch.uint8) for _ in range(2))
    engine = Engine(network, graphs=False)
    (encoded,) = engine.encode(first)
    _, state = engine.step(network.initial_state(), encoded, Outputs.none(), update=True, measure=nothing)
    return Moment(state, second, next_frame(engine, Moment(state, second, Prediction()), Outputs()))


def next_frame(engine: Engine, moment: Moment, outputs: Outputs) -> Prediction:
    """Do what a session does for a frame between its picture and its result."""
    (encoded,) = engine.encode(moment.image)
    pending, _ = engine.step(moment.state, encoded, outputs, update=True, measure=nothing)
    return pending.wait()[0]


def nothing(_prediction: Prediction, _mask: Tensor | None) -> Tensor:
    return torch.zeros(())


def measure(
    network: Cut3r, moment: Moment, variant: Variant, peak_gflops: float, args: argparse.Namespace
) -> dict[str, Any]:
    """Make one row of the table."""
    dtype, path, heads = variant
    outputs = HEADS[heads]
    engine = Engine(network, graphs=network.device.type == "cuda" and path != "plain")
    start_peak_memory(network.device)
    last: list[Prediction] = []

    def run() -> None:
        last[:] = [next_frame(engine, moment, outputs)]

    use(dtype)
    timing = time_ms(run, repeats=args.repeats, warmup=args.warmup, device=network.device)
    fps = frames_per_second(network, engine, args.stream) if args.stream and heads == "points" else None
    gflop = gflop_per_frame(network.config, moment.size, outputs)
    gflops = 1e3 * gflop / timing.median
    return {
        "size": moment.size,
        "heads": heads,
        "dtype": dtype,
        "path": path,
        "ms": timing.median,
        "ms_p10": timing.p10,
        "ms_p90": timing.p90,
        "cpu_ms": timing.cpu,
        "fps": 1e3 / timing.median,
        "stream_fps": fps,
        "gflop": gflop,
        "gflops": gflops,
        "of_peak": gflops / peak_gflops,
        "peak_memory_mb": peak_memory_mb(network.device),
        "error": relative_error(last[0], moment.expected),
        "pose_deg": pose_error_deg(last[0], moment.expected),
    }


def relative_error(prediction: Prediction, expected: Prediction) -> float | None:
    """Distance to the plain float32 points over their distance from the camera: the median pixel."""
    points, reference = prediction.points_cam, expected.points_cam
    if points is None or reference is None:
        return None
    return float(((points - reference).norm(dim=-1) / reference.norm(dim=-1)).median())


def pose_error_deg(prediction: Prediction, expected: Prediction) -> float | None:
    if prediction.world_from_cam is None or expected.world_from_cam is None:
        return None
    angle = rotation_angle(prediction.world_from_cam[:, :3, :3], expected.world_from_cam[:, :3, :3])
    return float(angle.rad2deg())


def add_speedup(rows: list[dict[str, Any]]) -> None:
    """Say how many times faster than the baseline of the same size each row is."""
    baseline = {
        row["size"]: row["ms"] for row in rows if (row["dtype"], row["path"], row["heads"]) == ("fp32", "plain", "all")
    }
    for row in rows:
        row["speedup"] = baseline[row["size"]] / row["ms"]


if __name__ == "__main__":
    main()
