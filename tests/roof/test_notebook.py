"""The notebook runs from its first cell to its last, without a network."""

import json
import sys
import types
from pathlib import Path

import matplotlib as mpl
import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"


def cells():
    notebook = json.loads(NOTEBOOK.read_text())
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


@pytest.mark.slow
def test_every_cell_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shown = []
    display = types.ModuleType("IPython.display")
    display.HTML, display.display = str, shown.append
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    backend = mpl.get_backend()
    mpl.use("Agg")
    names = {"__name__": "__main__"}
    try:
        for number, source in enumerate(cells()):
            lines = [line.replace("%pip", "pass  # %pip") for line in source.splitlines()]
            exec(compile("\n".join(lines), f"cell {number}", "exec"), names)
    finally:
        sys.modules["matplotlib.pyplot"].close("all")
        mpl.use(backend)
    assert {path.name for path in tmp_path.iterdir()} == {"scene.glb", "traj.tum", "scene.html"}
    assert "points of 12 frames" in capsys.readouterr().out
    assert len(shown) == 1 and "__VISER_EMBED_DATA__" in shown[0]
    assert names["said"].rgb is not None


def test_it_holds_no_outputs():
    notebook = json.loads(NOTEBOOK.read_text())
    assert not [cell for cell in notebook["cells"] if cell.get("outputs")]
