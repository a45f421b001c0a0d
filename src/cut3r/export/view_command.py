"""`cut3r view out/`: open the folder of a run in the 3D page, finished or while it is written.

    cut3r view out                      the files of each frame in out
    cut3r view out/aligned --port 0     what `cut3r align` has made, at any free port

Nothing is computed anew and nothing is written. Ctrl-C ends it.
"""

import argparse
import logging
import sys
from pathlib import Path

from cut3r.run.console import guarded, start_logging
from cut3r.run.flags import add_page, as_declared
from cut3r.run.parser import Parser

logger = logging.getLogger(__name__)

PROGRAM = "cut3r view"


def main(arguments: list[str] | None = None) -> int:
    """Read the flags, and do what they say; gives the exit code."""
    return guarded(run, parse_args(arguments), PROGRAM)


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the --output_dir of a run, or its aligned/")
    threshold = "least confidence of points (default: as the run had it)"
    parser.add_argument("--vis_threshold", type=float, metavar="CONF", help=threshold)
    parser.add_argument("--keep-edges", action="store_true", help="show flying pixels at steps of depth, too")
    add_page(parser)
    return parser


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser()
    return parser.parse_args(as_declared(parser, sys.argv[1:] if arguments is None else arguments))


def run(args: argparse.Namespace) -> int:
    """Do what the flags say. What a user can do wrong comes as an exception with one clear sentence."""
    from cut3r.export.downloads import downloads_of
    from cut3r.inference.view import EDGES
    from cut3r.run.following import check_followed, follow, is_running
    from cut3r.run.from_flags import USUAL_THRESHOLD
    from cut3r.run.output_check import MARKER
    from cut3r.run.output_folder import read_marker
    from cut3r.viewer.config import ViewerConfig
    from cut3r.viewer.serving import serve

    start_logging()
    check_followed(args.folder)
    marker = read_marker(args.folder / MARKER)
    if args.vis_threshold is None:
        settings = {} if marker is None else marker.settings
        args.vis_threshold = float(settings.get("vis_threshold", USUAL_THRESHOLD))
    options = ViewerConfig(confidence=args.vis_threshold, edges=None if args.keep_edges else EDGES)
    with serve(args.port, host=args.host, options=options) as viewer:
        logger.info("%s is at %s%s", args.folder, viewer.url, ", as it grows" if is_running(args.folder) else "")
        viewer.give(downloads_of(args.folder, confidence=args.vis_threshold, edges=options.edges))
        for view in follow(args.folder, viewer.move):
            viewer.add(view)
        viewer.finish()
        logger.info("all frames are there; end with Ctrl-C")
        viewer.wait()
    return 0
