"""What does `demo_ga.py` make of footage, with its pose graph, its refinement and its bundle adjustment?

Each source goes through the program as a user runs it, four times: `--align none` (the stream, "before"), `graph`,
`full`, and `full --ba`. Beside what the report says (loss, loops, groups, the gate's verdict, reprojection error) there
is the error of the cameras after the best similarity where the truth is known: of a folder with `*.color.jpg` and
`*.pose.txt` (world_from_cam, metres), and of walks that are rendered here ("walk:NUMBER", 640x480). A run that fails
ends the benchmark.

    python benchmarks/alignment_demo.py walk:3 ../shared/examples/rgbd_room --every 2 --out
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from report import add_out_flag, environment, finish, table

from cut3r.data.synthetic import synthetic_walk
from cut3r.data.walks import WalkConfig
from cut3r.io.trajectory import read_tum
from cut3r.metrics.motion import ate_sim3

ROOT = Path(__file__).parents[1]
WALK, SEED, SIZE = "walk:", 7, (480, 640)
WAYS = {"before": ["none"], "graph": ["graph"], "full": ["full"], "full --ba": ["full", "--ba"]}


@dataclass(frozen=True)
class Source:
    """A folder of pictures, and their true cameras if they are known."""

    name: str
    pictures: Path
    world_from_cam: torch.Tensor | None


def main() -> None:
    args = parse_args()
    machine, rows = environment(torch.device("cpu")), []
    for name in args.sources:
        with tempfile.TemporaryDirectory() as folder, opened(name, args, Path(folder)) as source:
            for way, align in WAYS.items():
                rows.append(row_of(source, way, align, args, Path(folder) / "out"))
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)  # one run may take minutes
    print(table([{key: value for key, value in row.items() if key != "verdict"} for row in rows]) + "\n")
    for row in (row for row in rows if row["verdict"]):
        print(f"{row['source']}: {row['verdict']}")
    record = {"benchmark": "alignment-demo", "model": args.model_path, "every": args.every, "rows": rows}
    finish("alignment-demo", record | {"environment": machine}, args.out)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", help="folders of pictures, or walk:NUMBER")
    parser.add_argument("--model_path", default="tiny", help="of the network (default: %(default)s)")
    parser.add_argument("--every", type=int, default=1, help="take every so many pictures with depth beside them")
    parser.add_argument("--frames", type=int, default=40, help="at most so many of each source (default: %(default)s)")
    add_out_flag(parser)
    return parser.parse_args(arguments)


@contextmanager
def opened(name: str, args: argparse.Namespace, folder: Path) -> Iterator[Source]:
    """Make a source: draw a walk, or take a folder's pictures without the files beside them."""
    pictures = folder / "pictures"
    if name.startswith(WALK):
        walk = synthetic_walk(SEED, int(name[len(WALK) :]), WalkConfig(size=SIZE, frames=args.frames, noise=0.005))
        pictures.mkdir()
        for number, rgb in enumerate(walk.rgb.numpy()):
            Image.fromarray(rgb).save(pictures / f"{number:04d}.png")
        yield Source(name, pictures, walk.world_from_cam.double())
        return
    colors = sorted(Path(name).glob("*.color.jpg"))[:: args.every][: args.frames]
    if not colors:
        yield Source(Path(name).name, Path(name).resolve(), None)
        return
    pictures.mkdir()
    for path in colors:
        (pictures / path.name).symlink_to(path.resolve())
    poses = [np.loadtxt(path.with_name(path.name.replace("color.jpg", "pose.txt"))) for path in colors]
    yield Source(Path(name).name, pictures, torch.from_numpy(np.stack(poses)))


def row_of(source: Source, way: str, align: list[str], args: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Run the program once, and read what it left."""
    flags = ["--model_path", args.model_path, "--max-frames", str(args.frames), "--device", "cpu", "--no-viewer"]
    path = out / way.replace(" ", "")
    command = [sys.executable, str(ROOT / "demo_ga.py"), "--seq_path", str(source.pictures), *flags]
    command += ["--output_dir", str(path), "--save", str(path / "traj.tum"), "--align", *align]
    used, start = os.times(), time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    now = os.times()
    report = path / "alignment.json"
    said = json.loads(report.read_text()) if report.exists() else {}
    poses = torch.from_numpy(read_tum(path / "traj.tum")[0]).double()
    adjusted = said.get("bundle_adjustment", {})
    return {
        "source": source.name,
        "way": way,
        "frames": len(poses),
        "ATE": None if source.world_from_cam is None else float(ate_sim3(poses, source.world_from_cam[: len(poses)])),
        "loss before": said.get("loss_before"),
        "loss after": said.get("loss_after"),
        "pairs": len(said.get("pairs", [])) or None,
        "kept": sum(pair["kept"] for pair in said.get("pairs", [])) or None,
        "loops": len(said["loops"]["kept"]) if "loops" in said else None,
        "groups": len(said["groups"]) if "groups" in said else None,
        "tracks": adjusted.get("tracks"),
        "px before": adjusted.get("reprojection_before_px"),
        "px after": adjusted.get("reprojection_after_px"),
        "verdict": adjusted.get("verdict", ""),
        "cpu s": now.children_user + now.children_system - used.children_user - used.children_system,
        "wall s": time.monotonic() - start,
    }


if __name__ == "__main__":
    main()
