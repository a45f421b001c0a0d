"""The benchmarks' drifting oracle for tests: walks through the real session, without a network."""

import importlib
import sys
from pathlib import Path

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
if BENCHMARKS not in sys.path:  # they import one another by their bare names, as scripts do
    sys.path.append(BENCHMARKS)

_oracle, _accuracy = (importlib.import_module(name) for name in ("drifting_oracle", "long_accuracy"))
SIZE, Drift, DriftingOracle, PlantedWalk = _oracle.SIZE, _oracle.Drift, _oracle.DriftingOracle, _oracle.PlantedWalk
BY_COUNT, Way, believed, run = _accuracy.BY_COUNT, _accuracy.Way, _accuracy.believed, _accuracy.run
