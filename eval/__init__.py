"""Evaluation with the published protocols: python -m eval.video_depth dataset=sintel weights=512-dpt."""

import os

# Threads that wait for each other by spinning take the processor from those they wait for, as soon as any other program
# runs: eight times slower, measured. It must be said before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
