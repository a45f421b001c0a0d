"""How good is the bundled network, beside what one gets without looking at the pictures?

Streams walks through synthetic rooms that no training has seen through a session, one session per walk, and compares
depth and poses with the exact truth, without any alignment. With --room also a real, recorded RGB-D room.

Baselines: the mean depth map of the training data; a camera that does not move; a camera that repeats its first true
step for ever, which tells it more than the network knows. The last row says how many times smaller than the best
baseline's the network's error is (means over the walks).

    python benchmarks/tiny.py --room ../shared/examples/rgbd_room --picture docs/pictures/tiny_walks.png --out
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from clips import (
    HELD_OUT_SEED,
    MEAN_WALKS,
    TRAINING_SEED,
    Clip,
    renderers,
    room_clip,
    seen_depth,
    some_depth,
    walk_clip,
)
from jaxtyping import Float
from report import add_out_flag, environment, finish, table
from scores import Guess, Scores, Truth, constant_velocity, improvement, mean_depth_map, no_motion, score, summary
from torch import Tensor
from walk_picture import Example, draw

import cut3r
from cut3r.data.walks import WalkConfig
from cut3r.geometry.poses import invert
from cut3r.inference.session import default_size
from cut3r.model.network import Cut3r

DRAWN_WALKS = 4  # the first ones: not chosen by their looks
COLUMNS = {
    "abs_rel": "AbsRel",
    "delta": "delta < 1.25",
    "ate": "ATE / path",
    "ate_sim3": "ATE Sim(3) / path",
    "rotation_deg": "rotation, degrees",
}


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model_path", default="tiny", help="a checkpoint or a name of the zoo (default: %(default)s)")
    add("--walks", type=int, default=50, help="how many; 0 for the room alone (default: %(default)s)")
    add("--frames", type=int, default=40, help="of each walk (default: %(default)s)")
    add(
        "--seed",
        type=int,
        default=HELD_OUT_SEED,
        help="of the rooms; below 100 is training data (default: %(default)s)",
    )
    add("--room", type=Path, metavar="FOLDER", help="a recorded room in the format of 7-Scenes")
    add("--picture", type=Path, metavar="FILE", help="draw some of the sequences into this PNG")
    add("--mean_walks", type=int, default=MEAN_WALKS, help="training walks behind the mean depth map (default: 100)")
    add("--workers", type=int, default=1, help="processes that render; 0: none beside this one (default: %(default)s)")
    add("--device", type=torch.device, default=torch.device("cpu"), help="of the network: cpu, cuda, cuda:1, mps")
    add("--threads", type=int, help="of the network on a CPU (default: as torch chooses)")
    add_out_flag(parser)
    args = parser.parse_args(arguments)
    if args.frames < 3 or args.walks < 0 or args.mean_walks < 1 or args.workers < 0:
        parser.error("--frames must be at least 3, --mean_walks 1, --walks and --workers 0")
    if args.walks == 0 and args.room is None:
        parser.error("there is nothing to do: give --walks above 0 or --room FOLDER")
    return args


def main() -> None:
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    machine = environment(args.device)
    model = cut3r.load(args.model_path, device=args.device)
    config = WalkConfig(size=default_size(model), frames=args.frames)
    rooms = [room_clip(args.room)] if args.room else []
    with renderers(args.workers) as run:
        mean = mean_depth(run, config, args.mean_walks)
        tasks = [(args.seed, index, config) for index in range(args.walks)]
        walks, examples = judge(model, progress(run(walk_clip, tasks), args.walks, "walks"), mean)
    recorded, room_examples = judge(model, rooms, mean)
    record: dict[str, Any] = {"benchmark": "tiny", "model": args.model_path, "image_size": config.size}
    if walks:
        print(f"\n{args.walks} walks of {args.frames} frames in rooms of seed {args.seed}: means over the walks\n")
        record["walks"] = {"seed": args.seed, "count": args.walks, "frames": args.frames} | report(walks)
    if recorded:
        print(f"\nthe recorded room {rooms[0].name}, {len(rooms[0].frames)} frames\n")
        record["room"] = {"name": rooms[0].name, "frames": len(rooms[0].frames)} | report(recorded)
    if args.picture:
        draw(examples[:DRAWN_WALKS] + room_examples, args.picture)
        print(f"drew {args.picture}")
    finish("tiny", record | {"environment": machine}, args.out)


def mean_depth(run: Callable[..., Iterator[Any]], config: WalkConfig, walks: int) -> Float[Tensor, "h w"]:
    """Average the depth of training data, pixel by pixel."""
    tasks = [(TRAINING_SEED, index, config) for index in range(walks)]
    maps = progress(run(some_depth, tasks), walks, "training walks for the mean depth map")
    return torch.stack([torch.from_numpy(depth).mean(dim=0) for depth in maps]).mean(dim=0)


def judge(
    model: Cut3r, clips: Iterable[Clip], mean: Float[Tensor, "h w"]
) -> tuple[dict[str, list[Scores]], list[Example]]:
    """Score the network and the baselines on each clip; also give the first clips as examples to draw."""
    scores: dict[str, list[Scores]] = {}
    examples: list[Example] = []
    for clip in clips:
        example = watch(model, clip)
        guess, truth = example.guess, example.truth
        candidates = {
            "network": guess,
            "mean depth map": mean_depth_map(mean, truth),
            "no motion": no_motion(truth),
            "constant velocity": constant_velocity(truth),
        }
        for name, candidate in candidates.items():
            scores.setdefault(name, []).append(score(candidate, truth))
        if len(examples) < DRAWN_WALKS:
            examples.append(example)
    return scores, examples


def watch(model: Cut3r, clip: Clip) -> Example:
    """Stream a clip through a new session."""
    session = cut3r.Session(model)
    results = [session.push(frame) for frame in clip.frames]
    guess = Guess(
        depth=torch.stack([result.depth for result in results]),
        first_from_cam=torch.stack([result.world_from_cam for result in results]),
    )
    world_from_cam = torch.from_numpy(clip.world_from_cam).double()
    truth = Truth(
        depth=torch.stack(
            [seen_depth(depth, result.pixel_map) for depth, result in zip(clip.depth, results, strict=True)]
        ),
        first_from_cam=invert(world_from_cam[0]) @ world_from_cam,
    )
    return Example(clip.name, results[-1].image, guess, truth)


def report(scores: dict[str, list[Scores]]) -> dict[str, Any]:
    """Print the table and return what it says, with the medians and each sequence's scores of the network."""
    summaries = {name: summary(rows) for name, rows in scores.items()}
    means: dict[str, Scores] = {
        name: {metric: None if value is None else value["mean"] for metric, value in entry.items()}
        for name, entry in summaries.items()
    }
    factors = improvement(means["network"], [row for name, row in means.items() if name != "network"])
    shown = {**means, "times better": factors}
    print(table([{"": name} | {title: row[key] for key, title in COLUMNS.items()} for name, row in shown.items()]))
    return {"scores": summaries, "times_better": factors, "network": scores["network"]}


def progress(items: Iterable[Any], total: int, what: str) -> Iterator[Any]:
    """Pass the items on and tell how far it is, on the standard error output."""
    for number, item in enumerate(items, 1):
        yield item
        print(f"\r{number} of {total} {what}", end="" if number < total else "\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
