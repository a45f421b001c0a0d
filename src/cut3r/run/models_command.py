"""`cut3r models`: the networks that are known by name: list them, download them, check that they have not changed.

    cut3r models list
    cut3r models download 512-dpt       once (3.2 GB); an interrupted download goes on
    cut3r models verify                 every network that is on this machine

They lie in $CUT3R_HOME, or else in `cut3r` in the user's cache folder ($XDG_CACHE_HOME, ~/.cache).
"""

import argparse
import logging
import sys

from cut3r.run.console import guarded, start_logging
from cut3r.run.flags import as_declared
from cut3r.run.parser import Parser

logger = logging.getLogger(__name__)

PROGRAM = "cut3r models"


def main(arguments: list[str] | None = None) -> int:
    """Read the words, and do what they say; gives the exit code."""
    return guarded(run, parse_args(arguments), PROGRAM)


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="act", required=True, metavar="list|download|verify")
    commands.add_parser("list", help="what there is, under which licence, and where it lies")
    download = commands.add_parser("download", help="get one, or check the copy that is already there")
    download.add_argument("name", help="such as 512-dpt")
    verify = commands.add_parser(
        "verify", help="compare files with the SHA-256 that they had when they were published or downloaded"
    )
    verify.add_argument("name", nargs="?", help="this one (default: all that are here)")
    return parser


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser()
    return parser.parse_args(as_declared(parser, sys.argv[1:] if arguments is None else arguments))


def run(args: argparse.Namespace) -> int:
    """Do what the words say. What a user can do wrong comes as an exception with one clear sentence."""
    from cut3r.weights import zoo

    start_logging()
    match args.act:
        case "list":
            zoo.tell()
        case "download":
            logger.info("%s is at %s and in order", args.name, zoo.download(args.name))
        case "verify":
            for name in zoo.here() if args.name is None else [args.name]:
                logger.info("%s is at %s and in order, SHA-256 %s", name, zoo.find(name), zoo.check(name))
    return 0
