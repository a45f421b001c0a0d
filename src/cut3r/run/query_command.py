"""`cut3r query out/`: render a view of a run that no camera took, from what its network remembers.

    cut3r query out                             from where the last frame was taken
    cut3r query out --frame 40 --move 0.3 0 0   30 cm to the right of frame 40
    cut3r query out --turn 20 0                 20 degrees to the right of the last frame

It needs the network of the run and resume.npz, which a run of files leaves when it ends or is stopped. FOLDER/query
gets color.png, depth.npy, conf.npy and camera.npz, in the formats of the files of a frame.
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cut3r.run.console import guarded, start_logging
from cut3r.run.flags import as_declared
from cut3r.run.parser import Parser

if TYPE_CHECKING:  # imported when needed: --help answers at once
    from cut3r.inference.result import QueryResult

logger = logging.getLogger(__name__)

PROGRAM = "cut3r query"
ANSWER = "query"  # the sub-folder


def main(arguments: list[str] | None = None) -> int:
    """Read the flags, and do what they say; gives the exit code."""
    return guarded(run, parse_args(arguments), PROGRAM)


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="the --output_dir of a run")
    add("--frame", type=int, metavar="N", help="stand where this frame was taken (default: the last one with files)")
    move = "metres to the right, down, and ahead of there"
    add("--move", type=float, nargs=3, default=(0.0, 0.0, 0.0), metavar=("X", "Y", "Z"), help=move)
    turn = "then so many degrees to the right, and up"
    add("--turn", type=float, nargs=2, default=(0.0, 0.0), metavar=("YAW", "PITCH"), help=turn)
    add("--model_path", metavar="FILE|NAME", help="the network, if it lies elsewhere now")
    add("--device", default="auto", help="auto, cuda, cuda:1, mps or cpu (default: %(default)s)")
    add("--to", type=Path, metavar="DIR", help=f"where the files go (default: FOLDER/{ANSWER})")
    add("--overwrite", action="store_true", help="replace the files of an earlier answer")
    return parser


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser()
    args = parser.parse_args(as_declared(parser, sys.argv[1:] if arguments is None else arguments))
    args.to = args.folder / ANSWER if args.to is None else args.to
    return args


def run(args: argparse.Namespace) -> int:
    """Do what the flags say. What a user can do wrong comes as an exception with one clear sentence."""
    import torch

    from cut3r.run.remembered import Remembered, beside, write_answer

    start_logging()
    if args.to.exists() and any(args.to.iterdir()) and not args.overwrite:
        raise ValueError(f"{args.to} has files; replace them with --overwrite, or name another folder with --to")
    remembered = Remembered(args.folder)
    frame = remembered.frame(args.frame)
    camera = beside(frame.world_from_cam, args.move, args.turn)
    session = remembered.session(args.model_path, args.device)
    answer = session.query(camera, torch.from_numpy(frame.intrinsics), frame.color.shape[:2])
    write_answer(answer, args.to)
    logger.info("%s: %s", args.to, _describe(answer))
    return 0


def _describe(answer: "QueryResult") -> str:
    degrees, metres = answer.pose_error
    return (
        f"the network thinks that this camera stands {100 * metres:.1f} cm and {degrees:.1f} degrees from where it was "
        f"asked for; half of the picture has a confidence above {float(answer.confidence.median()):.1f}"
    )
