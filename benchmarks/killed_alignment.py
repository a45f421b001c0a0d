"""Does `demo_ga.py --align full --ba` go on after it is killed in any stage, and end as if nothing had happened?

A rendered walk that comes back (40 frames there and back, so that loops are looked for) goes through the program. Once
per stage the process gets a SIGKILL, which nothing can catch, when the stage is half done; then the same command with
--resume runs to its end. Cameras, depth and report are compared with those of a run that nobody killed. Seconds are
those of the processor: what a resumed run takes says how much it did again.

    python benchmarks/killed_alignment.py --out
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from report import add_out_flag, environment, finish, table

from cut3r.data.synthetic import synthetic_walk
from cut3r.data.walks import WalkConfig
from cut3r.inference.frame_folder import read_frame_folder

ROOT = Path(__file__).parents[1]
WRITING = "writing"
STAGES = (
    "predicting pairs",
    "looking for loops",
    "pose graph",
    "refining cameras and depth",
    "merging depth",
    "cleaning",
    "finding points in pictures",
    "bundle adjustment",
    WRITING,
)
SAME = 1e-5  # metres, radians: predictions in other batches differ by rounding
PROGRAM = """
import os, signal, sys
from cut3r.inference.frame_folder import FrameFolder
from cut3r.run.stages import Stages
kill_in, call, add, written = sys.argv.pop(1), Stages.__call__, FrameFolder.add, []

def at(stage, done, total):
    if stage == kill_in and 2 * done >= total - 1:
        os.kill(os.getpid(), signal.SIGKILL)

def told(self, stage, done, total):
    call(self, stage, done, total)
    at(stage, done, total)

def adding(self, result):
    add(self, result)
    written.append(result.number)
    at("writing", len(written), FRAMES)

Stages.__call__, FrameFolder.add = told, adding
import demo_ga
sys.exit(demo_ga.main())
"""


def main() -> None:
    args = parse_args()
    machine, rows = environment(torch.device("cpu")), []
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        draw(pictures, args.frames)
        whole = Path(folder) / "whole"
        code, seconds = run(pictures, whole, args.frames)
        if code:
            sys.exit(f"the run that nobody kills ended with {code}")
        for stage in args.stages:
            out = Path(folder) / stage.replace(" ", "_")
            killed, before = run(pictures, out, args.frames, "--kill", stage)
            resumed, after = run(pictures, out, args.frames, "--resume")
            rows.append(
                {
                    "killed in": stage,
                    "by": signal.Signals(-killed).name if killed < 0 else f"not killed: {killed}",
                    "resumed": resumed,
                    "same": resumed == 0 and same(out, whole),
                    "cpu s before": before,
                    "cpu s resumed": after,
                    "cpu s whole": seconds,
                }
            )
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(table(rows) + "\n")
    finish("killed-alignment", {"benchmark": "killed-alignment", "rows": rows, "environment": machine}, args.out)
    if not all(row["same"] and row["by"] == "SIGKILL" for row in rows):
        sys.exit("not every run was killed and went on")


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=40, help="of the walk; loops are looked for from 31")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), metavar="STAGE")
    add_out_flag(parser)
    return parser.parse_args(arguments)


def draw(folder: Path, frames: int) -> None:
    """Half of the frames of a walk, and then back."""
    folder.mkdir()
    walk = synthetic_walk(7, 3, WalkConfig(size=(240, 320), frames=(frames + 1) // 2, noise=0.005))
    there = list(walk.rgb.numpy())
    for number, rgb in enumerate([*there, *there[::-1]][:frames]):
        Image.fromarray(rgb).save(folder / f"{number:04d}.png")


def run(pictures: Path, out: Path, frames: int, *how: str) -> tuple[int, float]:
    """The exit code, negative for a signal, and seconds of the processor."""
    stage = how[1] if how[:1] == ("--kill",) else ""
    flags = ["--resume"] if how == ("--resume",) else []
    command = [sys.executable, "-c", PROGRAM.replace("FRAMES", str(frames)), stage]
    command += ["--seq_path", str(pictures), "--output_dir", str(out), "--align", "full", "--ba", *flags]
    used = os.times()
    done = subprocess.run(
        [*command, "--no-viewer", "--device", "cpu"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    now = os.times()
    if done.returncode > 0:
        print(done.stderr, file=sys.stderr)
    return done.returncode, now.children_user + now.children_system - used.children_user - used.children_system


def same(out: Path, whole: Path) -> bool:
    """Whether two finished folders hold the same, and nothing of what an interrupted run keeps."""
    said, expected = (_report(folder) for folder in (out, whole))
    alike = said["pairs"] == expected["pairs"] and said["loops"] == expected["loops"]
    alike &= said["bundle_adjustment"] == expected["bundle_adjustment"] and not (out / ".alignment").exists()
    for ours, theirs in zip(read_frame_folder(out), read_frame_folder(whole), strict=True):
        alike &= bool(np.allclose(ours.depth, theirs.depth, atol=SAME, rtol=SAME))
        alike &= bool(np.allclose(ours.world_from_cam, theirs.world_from_cam, atol=SAME, rtol=0))
    return bool(alike)


def _report(folder: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((folder / "alignment.json").read_text())
    said["bundle_adjustment"].pop("seconds")
    for pair in said["pairs"]:
        pair["residual_m"] = round(pair["residual_m"], 4)
    return said


if __name__ == "__main__":
    main()
