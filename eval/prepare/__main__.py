"""python -m eval.prepare: make the folders of an evaluation set from its download, list the sets, check one."""

import argparse
import logging
import sys
from pathlib import Path

from cut3r.run.flags import as_declared
from cut3r.run.parser import Parser
from eval.prepare import PREPARERS
from eval.prepare.check import all_names, check
from eval.prepare.runner import Order, plan, run
from eval.sequences import long_name

logger = logging.getLogger("eval.prepare")

NOTHING_TO_PREPARE = {
    "sintel": "both zips unpacked into OUT/sintel",
    "nrgbd": "the zip unpacked into OUT/neural_rgbd",
    "kitti_odometry": "the zips unpacked into OUT/kitti_odometry (they make the folder dataset)",
    "rooms": "rendered when they are first asked for",
    "rgbd": "your own recordings in the layout of 7-Scenes",
}


def main(arguments: list[str] | None = None) -> int:
    args = parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        if args.command == "list":
            return _list()
        if args.command == "check":
            for line in check(args.set, args.out, args.frames, parity=args.parity):
                logger.info("%s", line)
            return 0
        return _prepare(args)
    except (OSError, RuntimeError, ValueError) as error:
        logger.error("%s", error)
        return 2


def parse_args(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m eval.prepare", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the sets, and what --raw has to hold")
    examine = commands.add_parser("check", help="open a set as the protocols do")
    examine.add_argument("set", choices=all_names())
    examine.add_argument("--out", type=Path, required=True, help="the data root")
    examine.add_argument("--frames", type=int, help="check the long variant of this length")
    examine.add_argument("--parity", action="store_true", help="read with the quirks of the reference")
    for name, preparer in PREPARERS.items():
        command = commands.add_parser(name, help=preparer.about)
        command.add_argument("--raw", type=Path, required=True, help=preparer.raw)
        command.add_argument("--out", type=Path, required=True, help="the data root, made if needed")
        command.add_argument("--parity", action="store_true", help="choose and convert as the reference does")
        command.add_argument("--workers", type=int, default=1, help="processes")
        command.add_argument("--dry-run", action="store_true", help="say what there is to do; write nothing")
        command.add_argument("--again", nargs="+", default=[], metavar="SEQUENCE", help="make these again in any case")
        if preparer.by_length:
            command.add_argument("--frames", type=int, help="make the long variant of this length instead")
    return parser.parse_args(as_declared(parser, sys.argv[1:] if arguments is None else arguments))


def _prepare(args: argparse.Namespace) -> int:
    frames = getattr(args, "frames", None)  # only sets with a folder per length have the flag
    if frames is not None:
        long_name(args.command, frames)  # refuses lengths that no reader would open
    preparer, order = PREPARERS[args.command], Order(args.raw, args.out, frames, args.parity)
    if args.dry_run:
        jobs, due = plan(preparer, order, args.again)
        names = ", ".join(job.name for job in due) or "none"
        logger.info("%d sequences: %d already there, %d to make: %s", len(jobs), len(jobs) - len(due), len(due), names)
        return 0
    report = run(preparer, order, workers=args.workers, again=args.again)
    logger.info("%s", report)
    return 1 if report.failures else 0


def _list() -> int:
    for name, preparer in PREPARERS.items():
        lengths = "; --frames N" if preparer.by_length else ""
        logger.info("%-15s %s; --raw: %s%s", name, preparer.about, preparer.raw, lengths)
    for name, what in NOTHING_TO_PREPARE.items():
        logger.info("%-15s nothing to prepare: %s", name, what)
    return 0


if __name__ == "__main__":
    sys.exit(main())
