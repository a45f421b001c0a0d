"""Does every damaged or hostile file of ours get one sentence, soon, and never a crash, a hang or a wrong answer?

Descriptions of networks, checkpoints, saved sessions and resume files are damaged in ways that follow from a seed
(`mutations.py`) and read in child processes with limits on time and memory, so that a crash or a hang is counted too.

    python benchmarks/fuzz.py --count 100000 --out
    python benchmarks/fuzz.py --kind resume --first 4711 --count 1        once more what a record names
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from fuzz_subjects import DEADLINE_S, attempt, subjects
from report import add_out_flag, environment, finish, table

KINDS = ("config", "checkpoint", "session", "resume")
FINE = ("refused", "accepted")
MOST_FAILURES = 50  # described in the record; all are counted
READY = "ready\n"  # the child's first line
MEMORY = 12 << 30  # bytes of addresses that a child may use; PyTorch alone takes several GB
EXTRA_MB = 256.0  # that reading damaged files may add to a child's memory


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--kind", choices=KINDS, action="append", help="repeat for several (default: all)")
    add("--count", type=int, default=2000, help="mutations, of the kinds in turn (default: %(default)s)")
    add("--first", type=int, default=0, help="the first seed (default: %(default)s)")
    add("--chunk", type=int, default=500, help="mutations per child process (default: %(default)s)")
    add("--threads", type=int, default=1, help="per child (default: %(default)s)")
    add("--child", action="store_true", help=argparse.SUPPRESS)  # read the files here and report line by line
    add_out_flag(parser)
    args = parser.parse_args(arguments)
    if args.count < 1 or args.chunk < 1:
        parser.error("--count and --chunk must be at least 1")
    args.kind = args.kind or list(KINDS)
    return args


def main() -> None:
    args = parse_args()
    if args.child:
        read_here(args)
        return
    machine, start = environment(torch.device("cpu")), time.perf_counter()
    results = []
    for result in measure(args):
        results.append(result)
        if result["outcome"] not in FINE:
            print(describe(result), file=sys.stderr)
        if len(results) % args.chunk == 0:
            failed = sum(each["outcome"] not in FINE for each in results)
            print(f"{len(results):,} of {args.count:,}, {failed} failures", file=sys.stderr)
    rows = [row(kind, [each for each in results if each["kind"] == kind]) for kind in args.kind]
    failures = [each for each in results if each["outcome"] not in FINE]
    print(table([each for each in rows if each["mutations"]]) + "\n")
    for failure in failures[:MOST_FAILURES]:
        print(describe(failure))
    record = {"benchmark": "fuzz", "count": args.count, "first": args.first, "kinds": args.kind, "rows": rows}
    record |= {"failures": failures[:MOST_FAILURES], "failed": len(failures), "deadline_s": DEADLINE_S}
    record |= {"seconds": time.perf_counter() - start, "environment": machine}
    finish("fuzz", record, args.out)
    sys.exit(bool(failures))


def row(kind: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    """Make one row of the table."""
    outcomes = Counter(result["outcome"] for result in results)
    return {
        "kind": kind,
        "mutations": len(results),
        "refused": outcomes["refused"],
        "accepted, valid": outcomes["accepted"],
        "failures": sum(outcomes.values()) - outcomes["refused"] - outcomes["accepted"],
        "slowest_cpu_s": max((result["cpu_s"] for result in results), default=0.0),
        "extra_mb": max((result["extra_mb"] for result in results), default=0.0),
    }


def describe(failure: dict[str, Any]) -> str:
    return "{kind} {seed} ({mutation} of {subject}): {outcome}: {detail}".format(**failure)


def measure(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield a result for each seed; a child that crashed is replaced by one that goes on after the seed it was at."""
    seed, end = args.first, args.first + args.count
    while seed < end:
        for result in run_child(args.kind, seed, min(args.chunk, end - seed), args.threads):
            seed = result["seed"] + 1
            yield result


def run_child(kinds: list[str], first: int, count: int, threads: int) -> Iterator[dict[str, Any]]:
    """Yield a result for each seed that a child gets to; the last one is a failure if the child did not end well."""
    flags = ["--child", "--first", str(first), "--count", str(count), "--threads", str(threads)]
    flags += [flag for kind in kinds for flag in ("--kind", kind)]
    run = subprocess.Popen([sys.executable, __file__, *flags], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    if run.stdout.readline() != READY:
        raise SystemExit("error: the child process could not begin; its message is above")
    reached = first
    for line in run.stdout:
        result = json.loads(line)
        reached = result["seed"] + 1
        yield result
    if run.wait() or reached < first + count:
        crash = {"kind": kinds[reached % len(kinds)], "seed": reached, "subject": "?", "mutation": "?", "cpu_s": 0.0}
        yield crash | {"outcome": "crashed", "detail": f"the child ended with {run.returncode}", "extra_mb": 0.0}


def read_here(args: argparse.Namespace) -> None:
    """Read damaged files in this process and print a line of JSON for each."""
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        candidates = subjects(Path(folder))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        before = _peak_mb()
        print(READY, end="", flush=True)
        for seed in range(args.first, args.first + args.count):
            _limit_cpu(10 * DEADLINE_S)
            kind = args.kind[seed % len(args.kind)]
            result = asdict(attempt(kind, candidates[kind], seed, Path(folder)))
            result["extra_mb"] = _peak_mb() - before
            if result["outcome"] in FINE and result["extra_mb"] > EXTRA_MB:
                result["outcome"] = "greedy"
            print(json.dumps(result), flush=True)


def _limit_cpu(seconds: float) -> None:
    """Let the system end this process if the next file keeps it busy longer."""
    used = time.process_time()
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 1, hard))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
