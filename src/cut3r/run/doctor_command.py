"""`cut3r doctor`: what this machine can do, and what is in the way, one line each with its remedy.

Nothing is downloaded, written or changed. The exit code is 1 if something is BAD.
"""

import argparse
import sys

from cut3r.run.console import FAILED, guarded
from cut3r.run.flags import as_declared
from cut3r.run.parser import Parser

PROGRAM = "cut3r doctor"


def main(arguments: list[str] | None = None) -> int:
    """Read the flags, and do what they say; gives the exit code."""
    return guarded(run, parse_args(arguments), PROGRAM)


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    device = "as for a run: auto, cuda, cuda:1, mps or cpu (default: %(default)s)"
    parser.add_argument("--device", default="auto", help=device)
    parser.add_argument("--port", type=int, default=8080, help="of the 3D page (default: %(default)s)")
    return parser


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser()
    return parser.parse_args(as_declared(parser, sys.argv[1:] if arguments is None else arguments))


def run(args: argparse.Namespace) -> int:
    """Do what the flags say. What a user can do wrong comes as an exception with one clear sentence."""
    from cut3r.run.doctor import Verdict, examine

    worst = 0
    for finding in examine(port=args.port, device_name=args.device):
        sys.stdout.write(f"{finding.line()}\n")
        sys.stdout.flush()
        worst = FAILED if finding.verdict is Verdict.bad else worst
    return worst
