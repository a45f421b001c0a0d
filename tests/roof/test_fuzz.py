"""2,000 damaged and hostile files of four kinds: one sentence or something valid for each, soon, and never a crash."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EACH = 1000


@pytest.mark.parametrize("first", [0, EACH])
def test_every_damaged_file_is_refused_in_one_sentence_or_valid(first):
    command = [sys.executable, "benchmarks/fuzz.py", "--first", str(first), "--count", str(EACH), "--chunk", str(EACH)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.stdout, run.stderr
    record = json.loads(run.stdout.splitlines()[-1])
    assert record["failures"] == []
    assert run.returncode == 0
    assert [(row["kind"], row["mutations"]) for row in record["rows"]] == [
        (kind, EACH // 4) for kind in ("config", "checkpoint", "session", "resume")
    ]
    assert all(row["refused"] > 0.6 * row["mutations"] for row in record["rows"]), "most damage does harm"
