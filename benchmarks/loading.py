"""How much memory does loading a network take, beside the program?

Writes a network of random weights in float32 as an official file (`.pth`) and in our own format (`.safetensors`), and
loads each in a process of its own, in every --dtype. `rss` is the most memory that the process had at a time (the
system's own high-water mark, pages of the mapped file counted as if they were its own), `anon` the most that no file
backs, looked at every millisecond; both less what the process had with all modules imported and a small network loaded.
`model` is the size of the network's tensors, `over` is rss / model.

    python benchmarks/loading.py --config 512-dpt --dtype fp32 --dtype bf16 --out
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch
from networks import CONFIGS, random_network
from report import add_out_flag, environment, finish, table
from timing import peak_memory_mb, start_peak_memory, status_mb

from cut3r.speed.precision import PRECISIONS
from cut3r.weights.checkpoint import export_official, load, save

CPU = torch.device("cpu")
WRITERS = {".pth": export_official, ".safetensors": save}
MB = 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", choices=CONFIGS, default="512-dpt", help="the network (default: %(default)s)")
    parser.add_argument("--dtype", choices=("fp32", "bf16"), action="append", help="repeat (default: bf16)")
    parser.add_argument(
        "--folder", type=Path, help="for the files, twice the network's size (default: a temporary one)"
    )
    parser.add_argument("--load", nargs=2, metavar=("FILE", "DTYPE"), help=argparse.SUPPRESS)  # in a process of its own
    add_out_flag(parser)
    args = parser.parse_args()
    if args.load:
        print(json.dumps(loaded(Path(args.load[0]), args.load[1])))
        return
    rows = []
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for suffix, write in WRITERS.items():
            file = Path(folder) / f"network{suffix}"
            write(random_network(CONFIGS[args.config](), CPU), file)
            for dtype in args.dtype or ["bf16"]:
                command = [sys.executable, __file__, "--load", str(file), dtype]
                told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                rows.append({"file": suffix, "file_mb": file.stat().st_size / MB, "dtype": dtype} | json.loads(told))
                print(table(rows[-1:]), file=sys.stderr)
            file.unlink()
    print(table(rows) + "\n")
    machine = environment(CPU)
    finish("loading", {"benchmark": "loading", "config": args.config, "rows": rows, "environment": machine}, args.out)


def loaded(file: Path, dtype: str) -> dict[str, Any]:
    """Load a file and watch; in MB and seconds."""
    load("tiny")  # what the program itself needs for loading, whatever the size
    before, before_anon = status_mb("VmRSS"), status_mb("RssAnon")
    assert before is not None and before_anon is not None, "Linux tells, other systems do not"
    anon, done = [before_anon], threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            anon.append(status_mb("RssAnon") or 0.0)

    watching = threading.Thread(target=watch)
    watching.start()
    start_peak_memory(CPU)
    start, cpu_start = time.perf_counter(), time.process_time()
    network = load(file, dtype=PRECISIONS[dtype])
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    peak = peak_memory_mb(CPU)
    done.set()
    watching.join()
    tensors = [*network.parameters(), *network.buffers()]
    size = sum(tensor.nbytes for tensor in tensors) / MB
    exact = sum(tensor.nbytes for tensor in tensors if tensor.dtype is torch.float32) / MB
    assert peak is not None
    return {
        "program_mb": before,
        "model_mb": size,
        "of_it_float32_mb": exact,
        "rss_mb": peak - before,
        "anon_mb": max(anon) - before_anon,
        "left_mb": (status_mb("VmRSS") or 0.0) - before,
        "over": (peak - before) / size,
        "seconds": seconds,
        "cpu_s": cpu_seconds,
    }


if __name__ == "__main__":
    main()
