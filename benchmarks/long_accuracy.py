"""Do chunks, joints, keyframes and loops hold a long stream together?

No weights with a real memory can be had here, so an oracle (`drifting_oracle.py`) stands in for the network: true
geometry of walks of several laps, with the errors of a recurrent predictor planted into it. It goes through the real
session. The error is that of all frames (ATE after the best similarity, cm; every frame counts, not only keyframes):
mean and standard deviation over seeds. Beside it, of one seed: the same without errors of the scale, and without drift
(nothing planted but noise of points: what a remedy costs where there is no illness). `false loops` are pairs of
different places that look alike to the oracle.

Subjects: `walk` are planted walks; `room` is the oracle on a recording, to and fro; `tiny` and `tiny room` are the
bundled network itself, on rendered walks and on the recording, whatever it says. Without the recording (it is not
published) its rows are skipped, and named.

    python benchmarks/long_accuracy.py --frames 300 1000 --seeds 3 --out
    python benchmarks/long_accuracy.py --subject tiny "tiny room" --frames 300 --out
"""

import argparse
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from statistics import fmean, median, stdev
from typing import Any

import torch
from drifting_oracle import SIZE, Drift, DriftingOracle
from jaxtyping import Float
from planted_walk import PlantedWalk
from report import add_out_flag, environment, finish, table

from cut3r.alignment.stream_loops import StreamLoops
from cut3r.inference.chunks import ResetConfig
from cut3r.inference.joints import JointKind
from cut3r.inference.keyframes import KeyframeConfig
from cut3r.inference.quality import Quality
from cut3r.inference.session import Session
from cut3r.io.frames import Frame
from cut3r.metrics.motion import ate_sim3
from cut3r.model.network import Cut3r
from cut3r.weights.checkpoint import load

SUBJECTS = ("walk", "room", "tiny", "tiny room")
MORE = ("without_scale_error_cm", "without_drift_cm", "loops", "false_loops", "with_false_cm")
NOTHING_MORE = dict.fromkeys(MORE, "")
EVERY = 60  # frames: about as many as the state holds before its drift grows
BY_COUNT = ResetConfig(every=EVERY, evidence=False)


@dataclass(frozen=True)
class Way:
    """How a stream is run."""

    resets: ResetConfig | None = None
    keyframes: str = "all"
    loops: bool = False


AUTO = replace(BY_COUNT, joint=JointKind.auto)
WAYS = {
    "no reset": Way(),
    "published chaining": Way(ResetConfig.published(EVERY)),
    "pose": Way(replace(BY_COUNT, joint=JointKind.pose)),
    "se3": Way(BY_COUNT),
    "sim3": Way(replace(BY_COUNT, joint=JointKind.sim3)),
    "auto": Way(AUTO),
    "auto, on evidence, too": Way(replace(AUTO, evidence=True)),
    "se3, loops": Way(BY_COUNT, loops=True),
    "auto, loops": Way(AUTO, loops=True),
    "auto, loops, every:2": Way(AUTO, "every:2", loops=True),
    "auto, loops, motion": Way(AUTO, "motion", loops=True),
    "auto, loops, overlap": Way(AUTO, "overlap", loops=True),
}


@dataclass(frozen=True)
class Run:
    """What came of a stream: the error, cameras where their chunks stand in the end, what was said of each frame, what
    the session knows of chunks and loops, and processor time per frame."""

    ate_m: float
    session: Session
    ms: float
    world_from_cam: Float[torch.Tensor, "v 4 4"]
    quality: list[Quality | None]

    @property
    def kept(self) -> int:
        return sum(not loop.refused for loop in self.session.loops)


def run(
    model: Cut3r,
    way: Way,
    frames: Iterable[Frame] | None = None,
    truth: Float[torch.Tensor, "v 4 4"] | None = None,
) -> Run:
    """Take a walk in one of the ways; cameras are judged where their chunks stand in the end.

    Args:
        frames, truth: An oracle has its own.
    """
    if isinstance(model, DriftingOracle):
        frames, truth = model.frames() if frames is None else frames, model.walk.world_from_cam
    assert frames is not None
    assert truth is not None
    session = Session(
        model,
        resets=way.resets,
        keyframes=KeyframeConfig.of_text(way.keyframes),
        loops=StreamLoops() if way.loops else None,
    )
    poses, chunks, numbers, quality = [], [], [], []
    start = time.process_time()
    for result in session.stream(frames, lookahead=0):
        poses.append(result.chunk_from_cam.double())
        chunks.append(result.chunk)
        numbers.append(result.frame.index)
        quality.append(result.quality)
    session.settle()
    ms = 1e3 * (time.process_time() - start) / len(poses)
    places = session.places
    placed = [places[chunk].place(pose) if chunk in places else pose for chunk, pose in zip(chunks, poses, strict=True)]
    world_from_cam = torch.stack(placed)
    return Run(float(ate_sim3(world_from_cam, truth[numbers])), session, ms, world_from_cam, quality)


def false_loops(frames: int) -> list[tuple[int, int]]:
    """Pairs of places on opposite sides of the room, far apart in time."""
    lap = 180
    return [(at, at + 3 * lap // 2) for at in range(30, frames - 3 * lap // 2 - 15, 2 * lap)]


def compare(subject: str, args: argparse.Namespace) -> tuple[list[dict[str, Any]], str]:
    """One row for each number of frames and way; or none, and why: it needs what is not there."""
    rows = []
    for frames in args.frames:
        try:
            take = runs_of(subject, frames, args.seeds, brief=args.brief)
        except FileNotFoundError as error:
            return [], str(error)
        for name in args.ways:
            row = {"subject": subject, "frames": frames, "way": name, **take(WAYS[name])}
            rows.append(row)
            print(row, flush=True)
    return rows, ""


def runs_of(subject: str, frames: int, seeds: int, *, brief: bool) -> Callable[[Way], dict[str, Any]]:
    if subject in ("walk", "room"):
        return oracle_runs(subject, frames, seeds, brief=brief)
    return network_runs(subject, frames, seeds)


def oracle_runs(subject: str, frames: int, seeds: int, *, brief: bool) -> Callable[[Way], dict[str, Any]]:
    make: Callable[[int], PlantedWalk] = lambda seed: PlantedWalk(frames, size=SIZE, seed=seed)  # noqa: E731
    if subject == "room":
        from long_walks import RecordedWalk, open_room  # the roof's other rooms, which the oracle alone does not need

        recording = open_room()
        make = lambda seed: RecordedWalk(recording, frames, seed=seed)  # noqa: E731
    walks = [make(seed) for seed in range(seeds)]

    def take(way: Way) -> dict[str, Any]:
        drifting = [run(DriftingOracle(walk, seed=seed), way) for seed, walk in enumerate(walks)]
        row = told(drifting) | NOTHING_MORE
        if not brief:
            row["without_scale_error_cm"] = cm(run(DriftingOracle(walks[0], Drift(scale=0.0), seed=0), way).ate_m)
            row["without_drift_cm"] = cm(run(DriftingOracle(walks[0], Drift.none(), seed=0), way).ate_m)
        if way.loops:
            row["loops"] = f"{sum(each.kept for each in drifting)}/{sum(len(each.session.loops) for each in drifting)}"
            false = false_loops(frames) if subject == "walk" else []
            if false and not brief:
                misled = run(DriftingOracle(walks[0], alike=false, seed=0), way)
                row["false_loops"] = f"{believed(misled.session, false)} of {len(false)} believed"
                row["with_false_cm"] = cm(misled.ate_m)
        return row

    return take


def network_runs(subject: str, frames: int, seeds: int) -> Callable[[Way], dict[str, Any]]:
    """The bundled network on pictures; of the recording there is one walk only."""
    from long_walks import open_room, rendered_footage, room_footage

    model = load("tiny")
    footage = (
        [room_footage(open_room(), frames)]
        if subject == "tiny room"
        else [rendered_footage(frames, seed) for seed in range(seeds)]
    )

    def take(way: Way) -> dict[str, Any]:
        runs = [run(model, way, each.frames(), each.world_from_cam) for each in footage]
        row = told(runs) | NOTHING_MORE
        if way.loops:
            row["loops"] = f"{sum(each.kept for each in runs)}/{sum(len(each.session.loops) for each in runs)}"
        return row

    return take


def told(runs: list[Run]) -> dict[str, Any]:
    errors = [each.ate_m for each in runs]
    spread = cm(stdev(errors)) if len(errors) > 1 else None
    return {"ate_cm": cm(fmean(errors)), "sd_cm": spread, "cpu_ms": round(median(each.ms for each in runs), 1)}


def cm(metres: float) -> float:
    return round(100 * metres, 2)


def believed(session: Session, false: list[tuple[int, int]]) -> int:
    """How many false loops were taken for true ones."""
    kept = [loop for loop in session.loops if not loop.refused]
    return sum(any(abs(k.first - a) < 30 and abs(k.second - b) < 30 for k in kept) for a, b in false)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", nargs="+", default=["walk"], choices=SUBJECTS, help="(default: %(default)s)")
    parser.add_argument("--frames", type=int, nargs="+", default=[300, 1000], help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument(
        "--ways", nargs="+", default=list(WAYS), choices=list(WAYS), metavar="WAY", help="by default all"
    )
    parser.add_argument("--brief", action="store_true", help="only the drifting walks")
    add_out_flag(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.ERROR)  # of doubtful joints there are many
    machine = environment(torch.device("cpu"))
    rows, skipped = list[dict[str, Any]](), dict[str, str]()
    for subject in args.subject:
        found, reason = compare(subject, args)
        rows += found
        skipped |= {subject: reason} if reason else {}
    for subject, reason in skipped.items():
        print(f"SKIPPED: {subject} ({reason})")
    if rows:
        print(table(rows))
    record = {"benchmark": "long_accuracy", "seeds": args.seeds, "every": EVERY, "rows": rows, "skipped": skipped}
    finish("long-accuracy", record | {"environment": machine}, args.out)


if __name__ == "__main__":
    main()
