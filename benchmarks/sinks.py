"""How much of the driving thread do the sinks take, and how many frames per second do they sustain?

Streams frames of 512x384 through everything that the demo does around the network: session, progress, files of each
frame, reconstruction, resume points, two files of `--save`, and the page. The network is replaced by predictions that
are made beforehand (a camera walks along a wavy wall), and so is the focal estimate, so what is left is what the
driving thread, which feeds the network, spends on other things: `driving_ms`, of the processor. The other threads are
`files_and_scene_ms`, `viewer_ms` and `drawing_ms`; `cpu_ms` is the whole process, reading included.

`fps` is by a clock on the wall, until the last file is written. `fps_by_cpu` is the bound that processor times set: no
thread can be faster than its own time, nor all of them together than the cores. Other programs on the machine change it
much less.

    python benchmarks/sinks.py --out
"""

import argparse
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from networks import random_network, tiny
from report import add_out_flag, environment, finish, table
from torch import Tensor

from cut3r.inference.engine import Encoded, Engine
from cut3r.inference.frame_folder import FrameFolder
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.saved_file import SavedFile
from cut3r.inference.session import Session
from cut3r.inference.sink import Sinks
from cut3r.io.frames import Frame
from cut3r.model.encoder import Tokens
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Prediction
from cut3r.model.state import StreamState
from cut3r.run.flags import SOME
from cut3r.run.output_folder import OutputFolder, RunState
from cut3r.run.progress import Progress
from cut3r.run.resume import ResumePoint
from cut3r.run.writer import RunWriter
from cut3r.viewer.app import Viewer

SIZE = (384, 512)  # (h, w)
FOCAL = 440.0  # pixels
DIFFERENT = 8  # walls; the camera moves on at each frame
STEP_M = 0.02  # of the camera per frame
SAVES = ("scene.ply", "traj.tum")
EVERY = {"none": 0, "some": SOME, "all": 1}
WARMUP = 5  # frames that are not timed: libraries are loaded, memory is allocated
NAMES = {"run writer": "files_and_scene_ms", "the viewer": "viewer_ms", "viewer": "drawing_ms"}  # of threads: columns


class Ready:
    """A prediction that is there already."""

    def __init__(self, prediction: Prediction) -> None:
        self._prediction = prediction

    def wait(self) -> tuple[Prediction, Tensor]:
        return self._prediction, torch.tensor(FOCAL)


class NoNetwork(Engine):
    """Gives predictions that are made beforehand, and takes no time for it."""

    def __init__(self, model: Cut3r) -> None:
        super().__init__(model)
        self._walls = [wall(number) for number in range(DIFFERENT)]
        self._number = 0

    def encode(self, images: UInt8[Tensor, "k h w 3"]) -> list[Encoded]:
        return [Encoded(Tokens(torch.empty(1, 1, 1), (1, 1))) for _ in images]

    def step(self, state: StreamState, *_args: object, **_options: object) -> tuple[Any, StreamState]:
        pose = torch.eye(4)[None].clone()
        pose[0, 0, 3] = STEP_M * self._number
        prediction = replace(self._walls[self._number % DIFFERENT], world_from_cam=pose)
        self._number += 1
        return Ready(prediction), state


def wall(number: int) -> Prediction:
    """A smooth surface 2 to 4 m away with millimetres of noise, and a confidence that varies over the picture."""
    h, w = SIZE
    v, u = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    noise = torch.randn(SIZE, generator=torch.Generator().manual_seed(number))
    z = 3 + 0.6 * torch.sin(u / 90) + 0.4 * torch.cos(v / 70) + 0.002 * noise
    points = torch.stack(((u - w / 2) * z / FOCAL, (v - h / 2) * z / FOCAL, z), dim=-1)
    confidence = 4 + 2 * torch.sin(u / 40 + number) * torch.cos(v / 30)
    return Prediction(points_cam=points[None], conf_cam=confidence[None])


def pictures(frames: int) -> Iterator[Frame]:
    """A window that moves over smooth waves with the noise of a camera."""
    h, w = SIZE
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:h, 0 : 2 * w].astype(np.float32)
    waves = [120 + 100 * np.sin(x / a) * np.cos(y / b) for a, b in ((31, 47), (53, 29), (71, 37))]
    scene = np.stack(waves, axis=-1) + rng.normal(0, 2, (h, 2 * w, 3))
    scene = scene.clip(0, 255).astype(np.uint8)
    for index in range(frames):
        left = 7 * index % w
        yield Frame(np.ascontiguousarray(scene[:, left : left + w]), index, index / 30, f"walk#{index:06d}")


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=150, help="that are timed (default: %(default)s)")
    modes = "of the demo; repeat (default: each)"
    parser.add_argument("--save-frames", choices=tuple(EVERY), action="append", help=modes)
    parser.add_argument("--no-viewer", action="store_true", help="without the page")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch; with one, no work hides in others")
    add_out_flag(parser)
    args = parser.parse_args(arguments)
    if args.frames < 1:
        parser.error(f"--frames is {args.frames}; at least 1 is needed")
    return args


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    logging.basicConfig(level=logging.ERROR)
    machine = environment(torch.device("cpu"))
    rows = [measure(mode, args.frames, viewer=not args.no_viewer) for mode in args.save_frames or EVERY]
    print(table(rows))
    record = {"benchmark": "sinks", "size": "512x384", "frames": args.frames, "viewer": not args.no_viewer}
    finish("sinks", record | {"rows": rows, "environment": machine}, args.out)


def measure(mode: str, frames: int, *, viewer: bool) -> dict[str, Any]:
    """Stream frames as the demo does with `--save-frames MODE`, and say what they cost, per frame."""
    model = random_network(replace(tiny(), image_size=SIZE), torch.device("cpu"))
    session = Session(model, engine=NoNetwork(model))
    with tempfile.TemporaryDirectory() as place, OutputFolder(Path(place) / "out") as output:
        files = FrameFolder(output.folder, every=EVERY[mode]) if EVERY[mode] else None
        resume = ResumePoint(output.resume_path, {})
        scene = Reconstruction()
        saves = {name: SavedFile(scene, Path(place) / name) for name in SAVES}
        writer = RunWriter(session, scene, output, files, saving=Sinks(saves), resume=resume, version="", settings={})
        page = open_page() if viewer else None
        row = {"save_frames": mode} | drive(session, writer, Sinks({"the viewer": page} if page else {}), frames)
        if page:
            with redirect_stdout(StringIO()):
                page.close()
    return row


def open_page() -> Viewer:
    with redirect_stdout(StringIO()):  # viser prints its address
        return Viewer(port=0)


def drive(session: Session, writer: RunWriter, watching: Sinks, frames: int) -> dict[str, Any]:
    """The demo's loop, timed."""
    from rich.console import Console

    watching.begin()
    with Progress(Console(file=StringIO()), frames) as progress:
        for result in session.stream(pictures(WARMUP + frames)):
            if result.number == WARMUP:
                writer.drain()
                before = clocks()
            writer.add(result)
            watching.add(result)
            progress.advance()
        writer.drain()
        after = clocks()
    failures = [*writer.finish(RunState.finished), *watching.finish()]
    assert not failures, failures
    return per_frame({name: after[name] - before[name] for name in after}, frames)


def per_frame(seconds: dict[str, float], frames: int) -> dict[str, Any]:
    ms = {name: 1e3 * value / frames for name, value in seconds.items()}
    threads = {name: ms[name] for name in ("driving_ms", *NAMES.values()) if name in ms}
    slowest = max(*threads.values(), ms["cpu_ms"] / (os.cpu_count() or 1))
    return {**threads, "cpu_ms": ms["cpu_ms"], "fps": 1e3 / ms["wall_ms"], "fps_by_cpu": 1e3 / slowest}


def clocks() -> dict[str, float]:
    """Seconds: on the wall, of the processor for the whole process, and of each thread that is of interest."""
    times = {"wall_ms": time.perf_counter(), "cpu_ms": time.process_time(), "driving_ms": time.thread_time()}
    if not hasattr(time, "pthread_getcpuclockid"):
        return times
    for thread in threading.enumerate():
        if thread.name in NAMES and thread.ident is not None:
            times[NAMES[thread.name]] = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    return times


if __name__ == "__main__":
    main()
