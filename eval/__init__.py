"""Evaluation with the published protocols: python -m eval video_depth dataset=sintel weights=512-dpt."""

import os

from cut3r.speed.machine import SLEEPY_THREADS

os.environ.update(SLEEPY_THREADS | os.environ)
