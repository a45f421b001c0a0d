"""What a benchmark leaves behind: a table for people, and one line of JSON that says how to repeat it."""

import argparse
import json
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

import torch

from cut3r.files.atomic import atomic_path
from cut3r.speed.machine import commit, cpu_name, load_average, now

RESULTS = Path(__file__).parent / "results"
DEFAULT_NAME = Path()  # what `--out` without a file stands for


def add_out_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        nargs="?",
        const=DEFAULT_NAME,
        metavar="FILE",
        help="keep the record; without FILE as benchmarks/results/DATE-BENCHMARK-MACHINE.json",
    )


def environment(device: torch.device) -> dict[str, Any]:
    """Describe the machine and the program, and how busy the machine was with other things before the run."""
    return {
        "date": now(),
        "command": " ".join(("python", *sys.argv)),
        "commit": commit(RESULTS.parent),
        "system": platform.platform(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load_average": load_average(),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Lay out rows with the same keys as a Markdown table that is readable as it is."""
    cells = [list(rows[0]), *([_text(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    rule = "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def finish(name: str, record: dict[str, Any], out: Path | None) -> Path | None:
    """Print the record as the last line, and write it to `out` if there is one; return the file's path."""
    if out is not None:
        out = RESULTS / _default_name(name, record["environment"]) if out == DEFAULT_NAME else out
        with atomic_path(out) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n")
        print(f"wrote {out}")
    print(json.dumps(record))
    return out


def _default_name(name: str, environment: dict[str, Any]) -> str:
    machine = environment["gpu"] or f"{environment['cpu']}-{environment['cores']}-cores"
    return f"{environment['date'][:10]}-{name}-{re.sub('[^a-z0-9]+', '-', machine.lower())}.json"


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)
