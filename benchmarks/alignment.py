"""How good is an alignment, and do its time and memory grow in proportion to the frames?

Walks through a planted room, lap after lap (`planted_walk.py`: noise, outliers, wrong pairs; no network), are aligned
by the pose graph without and with loops, and then refined: cameras and depth, merging, cleaning. Loops are looked for
as in a video: by tokens, then by pairs from both ends; some pairs of different places are taken for one by the planted
network. The poses "given" are neighbours chained one after the other, as a stream without a memory would give them:
they drift. ATE is in metres after the best similarity. With --original the original's optimiser (300 steps of Adam, a
minute or more) is run on the same pairs, too, of walks of up to 30 frames.

Seconds are those of the processor (one thread), which other programs on the machine hardly change; `wall_s` is what a
clock on the wall shows. Memory is the peak of a stage over what the process held before the walk was made, so the
predictions count; `predictions_mb` says how much of it they are. Pictures of 48x64 pixels have as many as take part in
the refinement of pictures of 512x384.

    OMP_NUM_THREADS=1 python benchmarks/alignment.py --frames 30 100 300 1000 3000 --out
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import psutil
import torch
from planted_walk import Errors, PlantedWalk
from report import add_out_flag, environment, finish, table
from timing import peak_memory_mb, start_peak_memory

from cut3r.alignment.align import AlignConfig, Graph
from cut3r.alignment.full import Full, refine_fully
from cut3r.alignment.graphs import both_ways
from cut3r.alignment.links import Links, links_of
from cut3r.alignment.loops import Loop, after_solving, close_loops, judge, usual_confidence, with_loops
from cut3r.alignment.original import align_original
from cut3r.alignment.pairs import Predictions, weights_of
from cut3r.alignment.pose_graph import PoseGraph, solve_pose_graph
from cut3r.alignment.revisits import Revisit
from cut3r.files.atomic import atomic_path
from cut3r.geometry.cameras import pinhole
from cut3r.geometry.focal import FocalMethod, estimate_focal
from cut3r.geometry.poses import pose_from_parts
from cut3r.metrics.motion import ate_sim3

T = TypeVar("T")

CPU = torch.device("cpu")
FALSE_EACH = 50  # frames: one pair of different places that look alike
APART = 30  # frames between such places
SECONDS, MEMORY_MB, FRAMES = 60.0, 3000.0, 1000  # the goal: so many frames with loops, refined, within that
BETTER = 0.6  # the goal: ATE of the graph against that of the poses given, and with loops against without
WORSE = 1.05  # the goal: refinement may raise the ATE by so much, which is no difference
FEW = 30  # frames up to which the original's optimiser is run, too
FASTER = 5.0  # the goal: than the original's optimiser


class Stages:
    """Seconds and peak memory of one stage after the other."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = {}
        self.wall_s: dict[str, float] = {}
        self.peak_mb: dict[str, float] = {}
        self._held_mb = psutil.Process().memory_info().rss / 1e6

    def run(self, name: str, stage: Callable[[], T]) -> T:
        start_peak_memory(CPU)
        wall, cpu = time.perf_counter(), time.process_time()
        result = stage()
        self.cpu_s[name], self.wall_s[name] = time.process_time() - cpu, time.perf_counter() - wall
        self.peak_mb[name] = (peak_memory_mb(CPU) or 0.0) - self._held_mb
        return result


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    machine = environment(CPU)
    size = (args.size[0], args.size[1])
    how = {"graph": Graph(args.pairs), "seed": args.seed, "size": size, "original": args.original}
    how["errors"] = Errors(outliers=args.outliers)
    measured = [in_a_process_of_its_own(n, args.threads, how) for n in args.frames]
    print(table([row_of(each) for each in measured]) + "\n")
    for line in verdicts(measured):
        print(line)
    print()
    settings = {"pairs": args.pairs, "size": args.size, "seed": args.seed, "outliers": args.outliers}
    record = {"benchmark": "alignment", **settings, "walks": measured}
    path = finish("alignment", record | {"environment": machine}, args.out)
    if path:
        plot(measured, path.with_suffix(".png"))


def in_a_process_of_its_own(frames: int, threads: int, how: dict[str, Any]) -> dict[str, Any]:
    """Measure one walk where no other has left memory behind."""
    context = get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=torch.set_num_threads, initargs=(threads,)) as process:
        return process.submit(measure, frames, **how).result()


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = [30, 100, 300, 1000, 3000]
    parser.add_argument("--frames", type=int, nargs="+", default=sizes, help="of each walk (default: %(default)s)")
    pairs = "auto: all up to 30 frames, then wide (default: %(default)s)"
    parser.add_argument("--pairs", choices=("auto", "window", "wide"), default="auto", help=pairs)
    size = "height and width of the pictures, pixels (default: 24 32)"
    parser.add_argument("--size", type=int, nargs=2, default=(24, 32), metavar=("H", "W"), help=size)
    parser.add_argument(
        "--original", action="store_true", help="run the original's optimiser, too, where frames are few"
    )
    outliers = "share of points that are anywhere; the original's optimiser breaks down at 0.01 (default: %(default)s)"
    parser.add_argument("--outliers", type=float, default=Errors.outliers, help=outliers)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    add_out_flag(parser)
    args = parser.parse_args(arguments)
    if min(args.frames) < 3:
        parser.error("a walk needs at least 3 frames")
    return args


def measure(
    frames: int, *, graph: Graph, seed: int, size: tuple[int, int], original: bool, errors: Errors
) -> dict[str, Any]:
    """Align one walk."""
    stages, config = Stages(), AlignConfig(graph=graph)
    walk = PlantedWalk(frames, size=size, errors=errors, false=false_pairs(frames, seed), seed=seed)
    given = error(walk.chained(), walk)
    said = stages.run("planting", lambda: walk.look(config.stars(frames)))
    links = stages.run("links", lambda: links_of(said)[0])
    solved = stages.run("graph", lambda: solve_pose_graph(frames, links))
    result: dict[str, Any] = {
        "frames": frames,
        "pairs": len(links),
        "predictions_mb": size_mb(said),
        "ate_given": given,
        "ate_graph": ate(solved, walk),
    }
    if config.looks_for_loops(frames):
        full = refine_in_stages(stages, said, solved, without_loops=True)
        result |= {"ate_full_without_loops": error(full.cameras.world_from_cam, walk)}
        del full
        said, loops = stages.run("loops", lambda: look_for_loops(said, walk, config.width))
        links = links_of(said)[0]
        solved = stages.run("graph with loops", lambda: solve_pose_graph(frames, links))
        result |= {"ate_loops": ate(solved, walk), "loops": count(loops, links, solved, walk)}
    full = refine_in_stages(stages, said, solved)
    result |= {
        "ate_full": error(full.cameras.world_from_cam, walk),
        "focal_error": float((full.cameras.intrinsics[:, 0, 0] / walk.intrinsics[0, 0] - 1).abs().mean()),
        "losses": full.refined.losses,
    }
    if original and frames <= FEW:
        theirs = stages.run("original", lambda: align_original(said.pairs()))
        result |= {"ate_original": error(theirs.scene.world_from_cam, walk), "losses_original": theirs.losses[::50]}
    return result | {"cpu_s": stages.cpu_s, "wall_s": stages.wall_s, "peak_mb": stages.peak_mb}


def refine_in_stages(stages: Stages, said: Predictions, solved: PoseGraph, *, without_loops: bool = False) -> Full:
    """As `--align full` does after the pose graph, beginning with the focal lengths that frames themselves suggest."""
    focals = estimate_focal(
        said.points_self.float(), weights=weights_of(said.conf_self).float(), method=FocalMethod.median
    )
    ends = {"refining cameras and depth": "refining", "merging depth": "merging", "cleaning": "cleaning"}
    if without_loops:
        ends = {stage: f"{name} without loops" for stage, name in ends.items()}
    clock = [time.process_time(), time.perf_counter()]

    def tell(stage: str, done: int, total: int) -> None:
        if done == total:
            now = [time.process_time(), time.perf_counter()]
            stages.cpu_s[ends[stage]], stages.wall_s[ends[stage]] = now[0] - clock[0], now[1] - clock[1]
            clock[:] = now

    kept = solved.kept.nonzero()[:, 0]
    start, groups = solved.world_from_frame, solved.groups
    intrinsics = pinhole(said.size, focals)
    name = "full without loops" if without_loops else "full"
    return stages.run(name, lambda: refine_fully(said, kept, start, intrinsics, groups=groups, on_progress=tell))


def look_for_loops(local: Predictions, walk: PlantedWalk, width: int) -> tuple[Predictions, list[Loop]]:
    """As in a video; and the pairs of different places that look alike are offered on purpose."""
    joined, loops = close_loops(local, walk.tokens(), walk.look, width=width)
    if not walk.false:
        return joined, loops
    candidates = [Revisit(*pair, 1.0) for pair in sorted(walk.false)]
    offered = walk.look(both_ways([(each.first, each.second) for each in candidates]))
    judged = judge(offered, candidates, usual=usual_confidence(local, width))
    return with_loops(joined, offered, judged), loops + judged


def false_pairs(frames: int, seed: int) -> list[tuple[int, int]]:
    """Frames that show different places and look alike: of 50 frames one pair."""
    generator, plain = torch.Generator().manual_seed(seed), PlantedWalk(frames)
    pairs: set[tuple[int, int]] = set()
    for _ in range(100 * frames):
        i, j = sorted(torch.randint(frames, (2,), generator=generator).tolist())
        if len(pairs) == frames // FALSE_EACH:
            break
        if j - i > APART and not plain.shares(i, j) and (j - i) & (j - i - 1):  # no pair of the wide graph
            pairs.add((i, j))
    return sorted(pairs)


def count(loops: list[Loop], links: Links, solved: PoseGraph, walk: PlantedWalk) -> dict[str, int]:
    """Loops after each test, true ones and those of different places."""
    rows = zip(links.pairs(), solved.kept.tolist(), solved.residuals.tolist(), strict=True)
    after = after_solving(loops, [{"first": i, "second": j, "kept": k, "residual_m": r} for (i, j), k, r in rows])
    false = [not walk.shares(*loop.ends) for loop in loops]
    passed = [not loop.refused for loop in loops]
    kept = [not loop.refused for loop in after]
    return {
        "offered": len(loops),
        "offered_false": sum(false),
        "passed": sum(passed),
        "passed_false": sum(p and f for p, f in zip(passed, false, strict=True)),
        "kept": sum(kept),
        "kept_false": sum(k and f for k, f in zip(kept, false, strict=True)),
    }


def ate(solved: PoseGraph, walk: PlantedWalk) -> float:
    place = solved.world_from_frame
    return error(pose_from_parts(place.rotation, place.translation), walk)


def error(world_from_cam: torch.Tensor, walk: PlantedWalk) -> float:
    return float(ate_sim3(world_from_cam, walk.world_from_cam))


def size_mb(predictions: Predictions) -> float:
    return sum(tensor.nbytes for tensor in vars(predictions).values()) / 1e6


def aligning_s(result: dict[str, Any]) -> float:
    """What the alignment itself takes, with loops and refinement: not the planting, and one solve of two."""
    seconds = result["cpu_s"]
    graph = seconds["links"] + seconds.get("loops", 0.0) + seconds.get("graph with loops", seconds["graph"])
    return graph + seconds["full"]


def ours_mb(result: dict[str, Any]) -> float:
    """The peak of all stages of ours."""
    return max(peak for stage, peak in result["peak_mb"].items() if stage != "original")


def row_of(result: dict[str, Any]) -> dict[str, Any]:
    seconds, loops = result["cpu_s"], result.get("loops", {})
    return {
        "frames": result["frames"],
        "pairs": result["pairs"],
        "ATE given": result["ate_given"],
        "graph": result["ate_graph"],
        "with loops": result.get("ate_loops"),
        "full": result["ate_full"],
        "full, no loops": result.get("ate_full_without_loops"),
        "loops": loops.get("kept"),
        "false": f"{loops['kept_false']} of {loops['passed_false']}" if loops else None,
        "links s": seconds["links"],
        "graph s": seconds["graph"],
        "loops s": seconds.get("loops"),
        "with loops s": seconds.get("graph with loops"),
        "refining s": seconds["refining"],
        "merging s": seconds["merging"],
        "cleaning s": seconds["cleaning"],
        "peak MB": ours_mb(result),
    }


def verdicts(measured: list[dict[str, Any]]) -> list[str]:
    """The goals, reached or missed, at the largest walk for which they are set."""
    lines = []
    for result in measured:
        n, better = result["frames"], result["ate_graph"] / result["ate_given"]
        lines.append(f"{n} frames: graph {better:.2f} of given ({_reached(better <= BETTER)})")
        if "ate_loops" in result:
            better = result["ate_loops"] / result["ate_graph"]
            lines[-1] += f", with loops {better:.2f} of without ({_reached(better <= BETTER)})"
            better = result["ate_full"] / result["ate_full_without_loops"]
            lines[-1] += f" and both refined {better:.2f} ({_reached(better <= BETTER)})"
        better = result["ate_full"] / result.get("ate_loops", result["ate_graph"])
        lines[-1] += f", refined {better:.2f} of that ({_reached(better <= WORSE)})"
        if "ate_original" in result:
            better, faster = result["ate_full"] / result["ate_original"], seconds_of_original(result)
            lines[-1] += f" and {better:.2f} of the original's optimiser ({_reached(better <= 1)})"
            lines[-1] += f", {faster:.1f} times as fast ({_reached(faster >= FASTER)})"
        if n == FRAMES:
            seconds, memory = aligning_s(result), ours_mb(result) - result["predictions_mb"]
            lines[-1] += f", {seconds:.0f} s ({_reached(seconds <= SECONDS)})"
            lines[-1] += f", {memory:.0f} MB beside the predictions ({_reached(memory <= MEMORY_MB)})"
    return lines


def seconds_of_original(result: dict[str, Any]) -> float:
    """How many times as long it took."""
    return float(result["cpu_s"]["original"] / aligning_s(result))


def _reached(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def plot(measured: list[dict[str, Any]], path: Path) -> None:
    """Draw seconds, memory and errors against the number of frames."""
    from matplotlib.figure import Figure  # only needed here, and slow to import

    frames = [each["frames"] for each in measured]
    figure = Figure(figsize=(12, 5), layout="constrained")
    seconds, memory, errors = figure.subplots(1, 3)
    for name in ("graph", "loops", "graph with loops", "refining", "merging", "cleaning"):
        has = [each for each in measured if name in each["cpu_s"]]
        seconds.plot([each["frames"] for each in has], [each["cpu_s"][name] for each in has], "o-", label=name)
    whole = [aligning_s(each) for each in measured]
    seconds.plot(frames, whole, "ko-", label="all, with loops")
    seconds.plot(frames, [whole[-1] / frames[-1] * n for n in frames], "k:", label="in proportion to the frames")
    seconds.set(title="time", ylabel="seconds of one core")
    predicted = [each["predictions_mb"] for each in measured]
    beside = [ours_mb(each) - own for each, own in zip(measured, predicted, strict=True)]
    memory.plot(frames, predicted, "o-", label="predictions")
    memory.plot(frames, beside, "ko-", label="peak beside the predictions")
    memory.plot(frames, [beside[-1] / frames[-1] * n for n in frames], "k:", label="in proportion to the frames")
    memory.set(title="memory", ylabel="MB")
    for key, name in (
        ("ate_given", "poses given"),
        ("ate_graph", "graph"),
        ("ate_loops", "graph with loops"),
        ("ate_full_without_loops", "refined, without loops"),
        ("ate_full", "refined"),
    ):
        has = [each for each in measured if key in each]
        errors.plot([each["frames"] for each in has], [each[key] for each in has], "o-", label=name)
    errors.set(title="error (a lap is 14 m)", ylabel="ATE, metres")
    for axes in (seconds, memory, errors):
        axes.set(xscale="log", yscale="log", xlabel="frames", xticks=frames, xticklabels=frames)
        axes.minorticks_off()
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2, fontsize="small", frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)


if __name__ == "__main__":
    main()
