"""What does the rotary embedding cost: as it is defined, compiled by torch.compile, and as our CUDA kernel?

Turns queries and keys, views of a projection as in the network, for one image of 512x384 pixels. `encoder` stands for
the 24 blocks of the encoder, `image` and `state` for the two streams of the decoder, self- and cross-attention of 12
layers each; `ms_per_frame` is all 24 calls. `forward` runs without gradients, as a stream does, `training` forward and
backward. Between two looks at the clock there are --calls calls, because a GPU is still busy with one while the next is
being prepared: `ms` is the slower of the two. `gb_s` counts each number read once and written once per direction.

    python benchmarks/rope.py --device cuda --out
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from einops import rearrange
from report import add_out_flag, environment, finish, table
from timing import time_ms
from torch import Tensor

from cut3r.model.rope import Angles, curope, grid_angles, rotate

Turn = Callable[[Tensor, Tensor, Angles, Angles], tuple[Tensor, Tensor]]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PASSES = ("forward", "training")
PATHS = ("plain", "compiled", "kernel")
GRID = (24, 32)  # patches of an image of 384x512 (h x w)


@dataclass(frozen=True)
class Stream:
    """Attention of the published networks: heads, channels per head, with or without the pose token."""

    heads: int
    head_dim: int
    pose_token: bool = False
    calls_per_frame: int = 24


STREAMS = {"encoder": Stream(16, 64), "image": Stream(12, 64, pose_token=True), "state": Stream(16, 48)}


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--stream", choices=STREAMS, action="append", help="repeat (default: all)")
    add("--dtype", choices=DTYPES, action="append", help="of queries and keys; repeat (default: fp32 and bf16)")
    add("--pass", choices=PASSES, action="append", dest="passes", help="repeat (default: both)")
    add("--path", choices=PATHS, action="append", help="repeat (default: all that this machine has)")
    add("--batch", type=int, default=1, help="images at once (default: %(default)s)")
    add("--device", type=torch.device, default=torch.device("cpu"), help="cpu, cuda, cuda:1")
    add("--calls", type=int, help="calls per timed sample (default: 1 on a CPU, else 50)")
    add("--repeats", type=int, help="timed samples per row (default: 10 on a CPU, else 50)")
    add("--warmup", type=int, default=3, help="samples before that (default: %(default)s)")
    add("--threads", type=int, help="of a CPU (default: as torch chooses)")
    add_out_flag(parser)
    args = parser.parse_args(arguments)
    on_cpu, has_kernel = args.device.type == "cpu", curope.rope_2d is not None and args.device.type == "cuda"
    if "kernel" in (args.path or ()) and not has_kernel:
        parser.error("--path kernel needs --device cuda and the built kernel; see docs/curope.md")
    args.path = args.path or [path for path in PATHS if path != "kernel" or has_kernel]
    args.stream, args.passes = args.stream or list(STREAMS), args.passes or list(PASSES)
    args.dtype = args.dtype or ["fp32", "bf16"]
    args.calls, args.repeats = args.calls or (1 if on_cpu else 50), args.repeats or (10 if on_cpu else 50)
    return args


def main() -> None:
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    machine = environment(args.device)
    rows = []
    for stream, dtype, direction in product(args.stream, args.dtype, args.passes):
        print(f"measuring {stream}, {dtype}, {direction}", file=sys.stderr)
        group = [measure(stream, dtype, direction, path, args) for path in args.path]
        plain = next((row["ms"] for row in group if row["path"] == "plain"), None)
        rows += [row | {"speedup": plain and plain / row["ms"]} for row in group]
    print(f"{args.batch} image(s) at once on {machine['gpu'] or machine['cpu']}")
    if "kernel" not in args.path:
        print("without the kernel: it was not asked for, is not built, or this is no GPU of NVIDIA (docs/curope.md)")
    print(f"\n{table(rows)}\n")
    record = {"benchmark": "rope", "batch": args.batch, "calls": args.calls, "repeats": args.repeats}
    finish("rope", record | {"warmup": args.warmup, "rows": rows, "environment": machine}, args.out)


def measure(name: str, dtype: str, direction: str, path: str, args: argparse.Namespace) -> dict[str, Any]:
    """Make one row of the table."""
    stream, turn = STREAMS[name], make_turn(path)
    q, k, angles = inputs(stream, args.batch, DTYPES[dtype], args.device)
    once = forward if direction == "forward" else training

    def run() -> None:
        for _ in range(args.calls):
            once(turn, q, k, angles)

    timing = time_ms(run, repeats=args.repeats, warmup=args.warmup, device=args.device)
    ms = timing.median / args.calls
    moved = 2 * 2 * q.numel() * q.element_size() * (1 if direction == "forward" else 2)  # q and k, in and out
    pairs = zip(once(turn, q, k, angles), once(plain, q, k, angles), strict=True)
    return {
        "stream": name,
        "dtype": dtype,
        "pass": direction,
        "path": path,
        "ms": ms,
        "ms_p10": timing.p10 / args.calls,
        "ms_p90": timing.p90 / args.calls,
        "cpu_ms": timing.cpu / args.calls,
        "ms_per_frame": ms * stream.calls_per_frame,
        "gb_s": 1e-6 * moved / ms,
        "error": max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs),
    }


def plain(q: Tensor, k: Tensor, q_angles: Angles, k_angles: Angles) -> tuple[Tensor, Tensor]:
    """The definition."""
    return rotate(q, q_angles), rotate(k, k_angles)


def make_turn(path: str) -> Turn:
    if path == "compiled":
        torch.compiler.reset()  # else the ninth variant of a function is not compiled any more
        return torch.compile(plain, dynamic=False)
    turn = curope.rope_2d if path == "kernel" else plain
    assert turn is not None
    return turn


def inputs(stream: Stream, batch: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Angles]:
    """Make queries and keys, [b, heads, n, c], in memory where a projection leaves them, and their angles."""
    angles = grid_angles(GRID, stream.head_dim, 100.0, device, pose_token=stream.pose_token)
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(batch, angles[0].shape[2], 3 * stream.heads * stream.head_dim, generator=generator)
    qkv = qkv.to(device, dtype).requires_grad_()
    q, k, _ = rearrange(qkv, "b n (three heads c) -> three b heads n c", three=3, heads=stream.heads)
    return q, k, angles


@torch.inference_mode()
def forward(turn: Turn, q: Tensor, k: Tensor, angles: Angles) -> tuple[Tensor, ...]:
    return turn(q, k, angles, angles)


def training(turn: Turn, q: Tensor, k: Tensor, angles: Angles) -> tuple[Tensor, ...]:
    """Return the gradients, of a loss whose own gradient costs nothing."""
    turned = turn(q, k, angles, angles)
    return torch.autograd.grad(turned, (q, k), (q.detach(), k.detach()))


if __name__ == "__main__":
    main()
