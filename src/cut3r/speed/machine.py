"""The machine: what it is, for records that can be repeated, and how threads wait on it."""

import os
import platform
import re
import subprocess
from datetime import datetime, timezone
from pathlib import Path

# How OpenMP threads should wait for each other: microseconds awake, then asleep. By default they stay awake, which
# takes the processor from the thread they wait for as soon as any other program runs: eight times slower, measured.
# Asleep at once, waking them costs 3 % of a frame. To be set before torch is loaded:
#     os.environ.update(SLEEPY_THREADS | os.environ)
SLEEPY_THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "20000"}


def now() -> str:
    """The time in UTC, to the second, like 2026-11-26T09:05:38+00:00."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def commit(folder: Path) -> str | None:
    """The short hash, with a + when files differ from it; None outside a repository."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = re.findall(r"^model name\s*: (.+)$", info.read_text(), flags=re.MULTILINE)
        if names:
            return str(names[0])
    return platform.processor() or platform.machine()


def load_average() -> float | None:
    """How many programs wanted a processor over the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
