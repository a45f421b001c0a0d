"""One command for a machine with a GPU: verify and measure what only a GPU can show, within a time box.

Runs the steps below in order of value, each as a program of its own with a part of the time, and writes what each has
found before it begins the next: `check.json` (all records) and `check.log` (all output). A step that fails, hangs
or lacks a package is named, and the next one runs. What time is left trains the bundled network (`tiny_gpu.py`).

    make gpu-check                                          as in the next line, 8 minutes
    python benchmarks/gpu_check.py --minutes 8 --out runs/gpu_check
    python benchmarks/gpu_check.py --minutes 1 --out runs/rehearsal --device cpu --toy      without a GPU

It needs PyTorch alone; the steps say what they lack.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cut3r.files.atomic import atomic_path

ROOT = Path(__file__).parents[1]
KILL_AFTER_S = 5.0  # between asking a step to end and ending it
LAST_LINES = 20  # of a step's output, in its record
SHORTEST_S = 10.0  # a step that has less is left out


@dataclass(frozen=True)
class Step:
    """A program and the seconds that it may take at most, of a box of 8 minutes."""

    name: str
    command: tuple[str, ...]
    seconds: float


def steps(device: str, out: Path, *, toy: bool) -> list[Step]:
    """List what is run, the most valuable first; the last one takes what is left."""
    latency = ("benchmarks/latency.py", "--device", device)
    if toy:
        size = ("--config", "tiny", "--size", "48x64", "--repeats", "1", "--warmup", "1")
        training = ("-m", "benchmarks.tiny_gpu", "--device", device, "--toy", "--out", str(out / "tiny"))
        return [
            Step("latency", (*latency, *size), 120),
            Step("long stream", ("benchmarks/long_stream.py", "--frames", "12", "--device", device), 60),
            Step("training", training, 480),
        ]
    paths = ("--path", "plain", "--path", "compiled", "--path", "fast")
    types = ("--dtype", "fp32", "--dtype", "tf32", "--dtype", "bf16")
    published = ("--config", "512-dpt", "--size", "384x512", "--heads", "points", "--heads", "all")
    step = ("tiny", f"run.device={device}", "run.precision=bf16", "data.loader.num_workers=8")
    return [
        Step("tests", ("-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests"), 90),
        Step("latency", (*latency, *published, *types, *paths, "--stream", "60"), 110),
        Step("rope", ("benchmarks/rope.py", "--device", device), 25),
        Step("long stream", ("benchmarks/long_stream.py", "--frames", "2000", "--device", device), 45),
        Step("sinks", ("benchmarks/sinks.py",), 40),
        Step("train step", ("benchmarks/train_step.py", *step), 40),
        Step("training", ("-m", "benchmarks.tiny_gpu", "--device", device, "--out", str(out / "tiny")), 480),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="everything together (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu_check"), help="(default: %(default)s)")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for a rehearsal (default: %(default)s)")
    parser.add_argument("--toy", action="store_true", help="few steps, small networks: a rehearsal")
    args = parser.parse_args(arguments)
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch finds no CUDA device here; --device cpu --toy rehearses without one")
    check(steps(args.device, args.out, toy=args.toy), args.minutes, args.out, torch.device(args.device))


def check(todo: Sequence[Step], minutes: float, out: Path, device: torch.device) -> list[dict[str, Any]]:
    """Run the steps within the box; the last one gets what is left. Returns their records."""
    from report import environment  # beside this file

    began, records = time.monotonic(), []
    out.mkdir(parents=True, exist_ok=True)
    (out / "check.log").unlink(missing_ok=True)
    for number, step in enumerate(todo):
        is_last = number == len(todo) - 1
        left = 60 * minutes - (time.monotonic() - began) - (KILL_AFTER_S if is_last else 0)
        seconds = left if is_last else min(left, step.seconds * minutes / 8)
        record = run(step, seconds, out / "check.log") if seconds >= SHORTEST_S else left_out(step, seconds)
        records.append(record)
        print(f"{step.name:12} {record['ended']:10} {record['seconds']:6.1f} s", flush=True)
        summary = {"benchmark": "gpu-check", "minutes": minutes, "steps": records, "environment": environment(device)}
        with atomic_path(out / "check.json") as temporary:
            temporary.write_text(json.dumps(summary, indent=1) + "\n")
    return records


def run(step: Step, seconds: float, log: Path) -> dict[str, Any]:
    """Run a step for at most so long, its output appended to the log."""
    command = [sys.executable, *step.command]
    if "benchmarks.tiny_gpu" in command:  # it ends by itself, with files that are complete
        command += ["--minutes", f"{(seconds - KILL_AFTER_S) / 60:.3f}"]
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    began, ended = time.monotonic(), "ok"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        output.write(f"\n===== {step.name}: {' '.join(command)}\n".encode())
        output.flush()
        start = output.tell()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            ended = "timed out"
        end_group(process)
    if ended == "ok" and process.returncode:
        ended = "failed"
    lines = log.read_bytes()[start:].decode(errors="replace").splitlines()
    return {
        "step": step.name,
        "ended": ended,
        "seconds": round(time.monotonic() - began, 1),
        "command": " ".join(step.command),
        "record": last_record(lines),
        "output": lines[-LAST_LINES:] if ended != "ok" or last_record(lines) is None else [],
    }


def end_group(process: "subprocess.Popen[bytes]") -> None:
    """End a step with all processes that it has started: politely, then not."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(KILL_AFTER_S)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def left_out(step: Step, seconds: float) -> dict[str, Any]:
    why = f"{max(0.0, seconds):.0f} s were left, and it needs {SHORTEST_S:.0f}"
    return {"step": step.name, "ended": "left out", "seconds": 0.0, "command": " ".join(step.command), "output": [why]}


def last_record(lines: Sequence[str]) -> dict[str, Any] | None:
    """The JSON that a benchmark prints as its last line."""
    for line in reversed(lines):
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                return None
            return found if isinstance(found, dict) else None
    return None


if __name__ == "__main__":
    main()
