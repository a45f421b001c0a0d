"""`cut3r export out/`: make of a finished run one folder that splat trainers and other programs take.

    cut3r export out                            out/scene: COLMAP, nerfstudio, pictures, depth, points
    cut3r export out/aligned --to /data/room    of what `cut3r align` has made, elsewhere
    cut3r export out --frames 300 --masks masks more pictures; white = use
    cut3r export out --only colmap              out/scene_colmap: one format alone
    cut3r export out --only mesh --only video   a surface, and videos of the depth and of a flight

The files of the run stay as they are. What is in the folder: docs/exports.md.
"""

import argparse
import logging
import sys
from pathlib import Path

from cut3r.run.console import guarded, start_logging, told
from cut3r.run.flags import as_declared
from cut3r.run.formats import FORMATS, SCENE
from cut3r.run.parser import Parser

logger = logging.getLogger(__name__)

PROGRAM = "cut3r export"


def main(arguments: list[str] | None = None) -> int:
    """Read the flags, and do what they say; gives the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    args = parse_args(words)
    args.command = told(["cut3r", "export", *map(str, words)])
    return guarded(run, args, PROGRAM)


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="the --output_dir of a finished run, or its aligned/")
    only = "a format alone; repeat to have several in one folder (default: scene, which most programs take)"
    add("--only", choices=tuple(FORMATS), action="append", help=only)
    add("--to", type=Path, metavar="DIR", help=f"where it goes (default: FOLDER/{SCENE}, or FOLDER/{SCENE}_FORMAT)")
    add("--frames", type=int, default=200, metavar="N", help="at most so many pictures: the sharpest along the way")
    add("--points", type=int, default=200_000, metavar="N", help="at most so many points (default: %(default)s)")
    add("--views", type=int, default=3, metavar="N", help="frames that must see a point (default: %(default)s)")
    tolerance = "share of the depth by which frames may differ about it (default: %(default)s)"
    add("--tolerance", type=float, default=0.02, metavar="SHARE", help=tolerance)
    add("--vis_threshold", type=float, metavar="CONF", help="least confidence of a pixel (default: as the run had it)")
    add("--masks", type=Path, metavar="FOLDER", help="a mask per picture, white = use")
    add("--seq_path", metavar="SOURCE", help="the original pictures, if they are elsewhere now")
    pictures = "how pictures are written that cannot be copied, such as those of videos (default: %(default)s)"
    add("--pictures", choices=("jpg", "png"), default="jpg", help=pictures)
    add("--voxel", type=float, metavar="M", help="of a mesh: metres (default: the size of a pixel at the usual depth)")
    add("--overwrite", action="store_true", help="replace a scene that was exported before")
    return parser


def parse_args(arguments: list[str]) -> argparse.Namespace:
    parser = make_parser()
    args = parser.parse_args(as_declared(parser, list(map(str, arguments))))
    alone = [name for name in args.only or [] if name != SCENE]
    args.only = args.only or [SCENE]
    args.to = args.folder / "_".join([SCENE, *alone]) if args.to is None else args.to
    return args


def run(args: argparse.Namespace) -> int:
    """Do what the flags say. What a user can do wrong comes as an exception with one clear sentence."""
    from cut3r.export.config import ExportConfig
    from cut3r.export.of_run import export_run
    from cut3r.export.tracks import TrackConfig
    from cut3r.run.finished import FinishedRun
    from cut3r.run.from_flags import USUAL_THRESHOLD
    from cut3r.run.stages import Stages

    console = start_logging()
    finished = FinishedRun(args.folder)
    confidence = args.vis_threshold
    if confidence is None:
        confidence = float(finished.setting("vis_threshold") or USUAL_THRESHOLD)
    tracks = TrackConfig(most=args.points, tolerance=args.tolerance, views=args.views)
    config = ExportConfig(
        frames=args.frames, confidence=confidence, pictures=args.pictures, voxel_m=args.voxel, tracks=tracks
    )
    with Stages(console) as stages:
        scene = export_run(
            finished,
            args.to,
            config,
            formats=args.only,
            masks=args.masks,
            source=args.seq_path,
            overwrite=args.overwrite,
            command=args.command,
            on_progress=stages,
        )
    logger.info("%s: %s", args.to, scene.summary())
    return 0
