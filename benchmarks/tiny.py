"""How good is the bundled network, beside what one gets without looking at the pictures?

Streams walks through synthetic rooms that no training has seen through a session, one session per walk, and compares
depth and poses with the exact truth, without any alignment: of whole walks, and the path of their first 10, 20 and 40
frames. With --room also a real, recorded RGB-D room.

Baselines: the mean depth map of the training data; a camera that does not move; a camera that repeats its first true
step for ever, which tells it more than the network knows. "Times better" says how many times smaller than the best
baseline's the network's error is (means over the walks).

Then the motion between two frames, 1, 3 and 9 apart, from these two alone: R2 = 1 - error^2 / truth^2, so that no
motion has 0. With another walk's first frame it must be below 0; if not, the motion is guessed, not seen. And the
confidence: what a threshold keeps, how good that is, and whether confident pixels are the better ones.

`python -m eval all dataset=rooms` scores depth and paths of the same kind of rooms by the published protocols. It
aligns what it compares, sees streams only and not pairs, and knows no control; so this stays beside it.

    python benchmarks/tiny.py --room ../shared/examples/rgbd_room --picture docs/pictures/tiny_walks.png --out
    python benchmarks/tiny.py --walks 1 --mean_walks 1 --movie walk.gif
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from clips import MEAN_WALKS, Clip, renderers, room_clip, some_depth, walk_clip
from jaxtyping import Float
from judgement import Judgement
from report import add_out_flag, environment, finish
from torch import Tensor
from walk_movie import MOVIES, write_movie
from walk_picture import Example, draw

import cut3r
from cut3r.data.synthetic import HELD_OUT_SEED, TRAINING_SEED
from cut3r.data.walks import WalkConfig
from cut3r.inference.session import default_size

DRAWN_WALKS = 4  # the first ones: not chosen by their looks


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
    add("--movie", type=Path, metavar="FILE", help="show the first sequence frame by frame in this .gif or .mp4")
    add("--pairs", type=int, default=8, help="of each walk and distance (default: %(default)s)")
    add("--mean_walks", type=int, default=MEAN_WALKS, help="training walks behind the mean depth map (default: 100)")
    add("--workers", type=int, default=1, help="processes that render; 0: none beside this one (default: %(default)s)")
    add("--device", type=torch.device, default=torch.device("cpu"), help="of the network: cpu, cuda, cuda:1, mps")
    add("--threads", type=int, help="of the network on a CPU (default: as torch chooses)")
    add_out_flag(parser)
    args = parser.parse_args(arguments)
    if args.frames < 3 or args.pairs < 1 or args.mean_walks < 1 or args.walks < 0 or args.workers < 0:
        parser.error("--frames must be at least 3, --pairs and --mean_walks 1, --walks and --workers 0")
    if args.movie is not None and args.movie.suffix not in MOVIES:
        parser.error(f"--movie {args.movie} must end in {' or '.join(MOVIES)}")
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
        walks = Judgement(model, mean, args.pairs)
        examples = judge(walks, progress(run(walk_clip, tasks), args.walks, "walks"))
    recorded = Judgement(model, mean, args.pairs, other=walks.other)
    room_examples = judge(recorded, rooms)
    record: dict[str, Any] = {"benchmark": "tiny", "model": args.model_path, "image_size": config.size}
    if examples:
        print(f"\n{args.walks} walks of {args.frames} frames in rooms of seed {args.seed}: means over the walks\n")
        record["walks"] = {"seed": args.seed, "count": args.walks, "frames": args.frames} | walks.report()
    if room_examples:
        print(f"\nthe recorded room {rooms[0].name}, {len(rooms[0].frames)} frames\n")
        record["room"] = {"name": rooms[0].name, "frames": len(rooms[0].frames)} | recorded.report()
    if args.picture:
        draw(examples + room_examples, args.picture)
        print(f"drew {args.picture}")
    if args.movie:
        write_movie((examples + room_examples)[0], args.movie)
        print(f"drew {args.movie}")
    finish("tiny", record | {"environment": machine}, args.out)


def mean_depth(run: Callable[..., Iterator[Any]], config: WalkConfig, walks: int) -> Float[Tensor, "h w"]:
    """Average the depth of training data, pixel by pixel."""
    tasks = [(TRAINING_SEED, index, config) for index in range(walks)]
    maps = progress(run(some_depth, tasks), walks, "training walks for the mean depth map")
    return torch.stack([torch.from_numpy(depth).mean(dim=0) for depth in maps]).mean(dim=0)


def judge(judgement: Judgement, clips: Iterable[Clip]) -> list[Example]:
    """Judge all clips; give the first ones, to be drawn."""
    examples: list[Example] = []
    for clip in clips:
        example = judgement.add(clip)
        examples += [example] if len(examples) < DRAWN_WALKS else []
    return examples


def progress(items: Iterable[Any], total: int, what: str) -> Iterator[Any]:
    """Pass the items on and tell how far it is, on the standard error output."""
    for number, item in enumerate(items, 1):
        yield item
        print(f"\r{number} of {total} {what}", end="" if number < total else "\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
