"""The table of machines in docs/speed.md is what `cut3r doctor` would say on them."""

import re
from pathlib import Path

import pytest
import torch

from cut3r.model import rope
from cut3r.run import doctor
from cut3r.run.doctor import NAMES, NETWORKS, Verdict
from cut3r.speed.memory import CARDS, HOSTS, memory_of_frame, usually_free

SPEED = Path(__file__).parents[2] / "docs" / "speed.md"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
MACHINES = [("host", gib) for gib in HOSTS] + [("card", gib) for gib in CARDS]


def rows() -> dict[tuple[str, str], list[str]]:
    """By network and precision: weights, a frame, frames ahead, on a host, on a card, then a mark for each machine."""
    found = {}
    for line in SPEED.read_text().splitlines():
        if match := re.match(r"\| `([\w-]+)`, \d+×\d+, (\w+) \|", line):
            found[match[1], match[2]] = [cell.strip() for cell in line.strip("|").split("|")][1:]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_table_is_what_the_doctor_says(name, monkeypatch):
    for cached in (
        rope._grid_angles,
        rope._state_angles,
    ):  # angles of the same picture are counted only when they are new
        cached.cache_clear()
    needs = {dtype: memory_of_frame(*NETWORKS[name], dtype) for dtype in NAMES}
    monkeypatch.setattr(doctor, "memory_of_frame", lambda config, _size, dtype: needs[dtype])
    table = rows()
    for precision, dtype in DTYPES.items():
        need, cells = needs[dtype], table[name, precision]
        counted = [need.weights, need.frame, need.ahead, need.on_host(), need.on_gpu()]
        assert cells[:5] == [f"{amount / 1e9:.{2 if k < 3 else 1}f}" for k, amount in enumerate(counted)]
        fits = [
            need.needs(on_gpu=kind == "card") <= usually_free(gib, of_card=kind == "card") for kind, gib in MACHINES
        ]
        assert [cell == "yes" for cell in cells[5:12]] == fits
        for fit, (kind, gib) in zip(fits, MACHINES, strict=True):
            free = usually_free(gib, of_card=kind == "card")
            said = doctor._fits(name, NETWORKS[name][1], needs, free, on_gpu=kind == "card")
            only = Verdict.note if dtype is torch.bfloat16 else Verdict.good
            assert (said.verdict in (Verdict.good, only)) == fit
