"""Frames per second of a session, from pictures in files to results, everything included."""

import logging
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from cut3r.inference.engine import Engine
from cut3r.inference.session import Session
from cut3r.io.frames import open_frames
from cut3r.model.network import Cut3r

PICTURE_SIZE = (960, 1280)  # (h, w) of the files
DIFFERENT = 8  # pictures; the rest are links to them
UNTIMED = 10  # frames at the beginning: recordings, caches


def frames_per_second(network: Cut3r, engine: Engine, frames: int) -> float:
    """Stream JPEG files of noise and smooth gradients through a session."""
    logging.getLogger("cut3r").setLevel(logging.ERROR)  # noise has no focal length, and each frame would say so
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder), frames + UNTIMED)
        stream = Session(network, engine=engine).stream(open_frames(folder), lookahead=16)
        for _ in range(UNTIMED):
            next(stream)
        start = time.perf_counter()
        count = sum(1 for _ in stream)
        return count / (time.perf_counter() - start)


def write_pictures(folder: Path, count: int) -> None:
    h, w = PICTURE_SIZE
    slope = np.linspace(0, 200, w, dtype=np.float32)[None, :, None].repeat(h, axis=0).repeat(3, axis=2)
    for number in range(count):
        path = folder / f"{number:06d}.jpg"
        if number < DIFFERENT:
            noise = np.random.default_rng(number).normal(0, 12, (h, w, 3))
            Image.fromarray((slope + noise).clip(0, 255).astype(np.uint8)).save(path, quality=90)
        else:
            path.hardlink_to(folder / f"{number % DIFFERENT:06d}.jpg")
