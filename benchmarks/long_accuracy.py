"""Do chunks, joints, keyframes and loops hold a long stream together?

No weights with a real memory can be had here, so an oracle (`drifting_oracle.py`) stands in for the network: true
geometry of walks of several laps, with the errors of a recurrent predictor planted into it. It goes through the real
session. The error is that of all frames (ATE after the best similarity, cm; every frame counts, not only keyframes), as
the median over seeds. `without drift` is the same with nothing planted but noise of points: what a remedy costs
where there is no illness. `false loops` are pairs of different places that look alike to the oracle.

    python benchmarks/long_accuracy.py --frames 300 1000 5000 --seeds 3 --out
"""

import argparse
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from drifting_oracle import SIZE, Drift, DriftingOracle
from planted_walk import PlantedWalk
from report import add_out_flag, environment, finish, table

from cut3r.alignment.stream_loops import StreamLoops
from cut3r.inference.chunks import ResetConfig
from cut3r.inference.joints import JointKind
from cut3r.inference.keyframes import KeyframeConfig
from cut3r.inference.session import Session
from cut3r.io.frames import Frame
from cut3r.metrics.motion import ate_sim3

EVERY = 60  # frames: about as many as the state holds before its drift grows
BY_COUNT = ResetConfig(every=EVERY, evidence=False)


@dataclass(frozen=True)
class Way:
    """How a stream is run."""

    resets: ResetConfig | None = None
    keyframes: str = "all"
    loops: bool = False


WAYS = {
    "no reset": Way(),
    "published chaining": Way(ResetConfig.published(EVERY)),
    "joint pose": Way(replace(BY_COUNT, joint=JointKind.pose)),
    "joint se3": Way(BY_COUNT),
    "joint sim3": Way(replace(BY_COUNT, joint=JointKind.sim3)),
    "joint se3, on evidence, too": Way(replace(BY_COUNT, evidence=True)),
    "joint sim3, loops": Way(replace(BY_COUNT, joint=JointKind.sim3), loops=True),
    "joint sim3, loops, every:2": Way(replace(BY_COUNT, joint=JointKind.sim3), "every:2", loops=True),
    "joint sim3, loops, motion": Way(replace(BY_COUNT, joint=JointKind.sim3), "motion", loops=True),
    "joint sim3, loops, overlap": Way(replace(BY_COUNT, joint=JointKind.sim3), "overlap", loops=True),
}


@dataclass(frozen=True)
class Run:
    """What came of a stream: metres, how often it was cut, and what became of loops."""

    ate_m: float
    session: Session
    ms: float

    @property
    def kept(self) -> int:
        return sum(not loop.refused for loop in self.session.loops)


def run(oracle: DriftingOracle, way: Way, frames: Iterable[Frame] | None = None) -> Run:
    """Take a walk in one of the ways; cameras are judged where their chunks stand in the end."""
    session = Session(
        oracle,
        resets=way.resets,
        keyframes=KeyframeConfig.of_text(way.keyframes),
        loops=StreamLoops() if way.loops else None,
    )
    poses, chunks, numbers = [], [], []
    start = time.process_time()
    for result in session.stream(oracle.frames() if frames is None else frames, lookahead=0):
        poses.append(result.chunk_from_cam.double())
        chunks.append(result.chunk)
        numbers.append(result.frame.index)
    session.settle()
    ms = 1e3 * (time.process_time() - start) / len(poses)
    places = session.places
    world = [places[chunk].place(pose) if chunk in places else pose for chunk, pose in zip(chunks, poses, strict=True)]
    return Run(float(ate_sim3(torch.stack(world), oracle.walk.world_from_cam[numbers])), session, ms)


def false_loops(frames: int) -> list[tuple[int, int]]:
    """Pairs of places on opposite sides of the room, far apart in time."""
    lap = 180
    return [(at, at + 3 * lap // 2) for at in range(30, frames - 3 * lap // 2 - 15, 2 * lap)]


def compare(frames: int, seeds: int, ways: list[str]) -> list[dict[str, Any]]:
    """One row for each way."""
    walks = [PlantedWalk(frames, size=SIZE, seed=seed) for seed in range(seeds)]
    rows = []
    for name in ways:
        way = WAYS[name]
        drifting = [run(DriftingOracle(walk, seed=seed), way) for seed, walk in enumerate(walks)]
        still = [run(DriftingOracle(walk, Drift.none(), seed=seed), way) for seed, walk in enumerate(walks[:1])]
        row: dict[str, Any] = {"frames": frames, "way": name}
        row |= {"ate_cm": round(100 * median(each.ate_m for each in drifting), 2)}
        row |= {"worst_cm": round(100 * max(each.ate_m for each in drifting), 2)}
        row |= {"without_drift_cm": round(100 * median(each.ate_m for each in still), 2)}
        row |= {"loops": "", "false_loops": "", "with_false_cm": "", "cpu_ms": round(median(e.ms for e in drifting), 1)}
        if way.loops:
            row["loops"] = f"{sum(each.kept for each in drifting)}/{sum(len(each.session.loops) for each in drifting)}"
            false = false_loops(frames)
            misled = run(DriftingOracle(walks[0], alike=false, seed=0), way)
            row["false_loops"] = f"{believed(misled.session, false)} of {len(false)} believed"
            row["with_false_cm"] = round(100 * misled.ate_m, 2)
        rows.append(row)
        print(row, flush=True)
    return rows


def believed(session: Session, false: list[tuple[int, int]]) -> int:
    """How many false loops were taken for true ones."""
    kept = [loop for loop in session.loops if not loop.refused]
    return sum(any(abs(k.first - a) < 30 and abs(k.second - b) < 30 for k in kept) for a, b in false)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[300, 1000], help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument(
        "--ways", nargs="+", default=list(WAYS), choices=list(WAYS), metavar="WAY", help="by default all"
    )
    add_out_flag(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.ERROR)  # of doubtful joints there are many
    machine = environment(torch.device("cpu"))
    rows = [row for frames in args.frames for row in compare(frames, args.seeds, args.ways)]
    print(table(rows))
    record = {"benchmark": "long_accuracy", "seeds": args.seeds, "every": EVERY, "rows": rows, "environment": machine}
    finish("long-accuracy", record, args.out)


if __name__ == "__main__":
    main()
