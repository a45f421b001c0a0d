"""`cut3r align out/`: align the frames of a finished demo.py run with each other.

    cut3r align out                                   the pose graph; loops by the network of the run
    cut3r align out --align full --save scene.glb     refined depth and focal lengths, too
    cut3r align out --intrinsics camera.yaml --ba     what is known, and details of the original pictures

The results go to out/aligned: the files of each frame, alignment.json, and what --save names without a folder. The
files of the run stay as they are.
"""

import argparse
import logging
import sys
from functools import partial
from pathlib import Path

from cut3r.run.console import FAILED, guarded, sorry, start_logging, version
from cut3r.run.flags import add_align, add_known_to_align, add_saves, add_scene, as_declared
from cut3r.run.parser import Parser

logger = logging.getLogger(__name__)

PROGRAM = "cut3r align"
ALIGNED = "aligned"  # the sub-folder


def main(arguments: list[str] | None = None) -> int:
    """Read the flags, and do what they say; gives the exit code."""
    return guarded(run, parse_args(arguments), PROGRAM)


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the --output_dir of a finished run")
    group = parser.add_argument_group("how frames are aligned (docs/alignment.md)")
    align = "a sparse pose graph, or the graph and then dense refinement of cameras and depth (default: %(default)s)"
    group.add_argument("--align", choices=("graph", "full"), default="graph", help=align)
    add_align(group)
    focal = "one focal length for all frames"
    group.add_argument("--shared-focal", action="store_true", help=focal)
    model = "who looks for loops: a checkpoint, or a name (default: the network of the run, if it is on this machine)"
    group.add_argument("--model_path", metavar="FILE|NAME", help=model)
    group.add_argument("--device", default="auto", help="auto, cuda, cuda:1, mps or cpu (default: %(default)s)")
    pictures = "the original pictures for --ba, if they are elsewhere now"
    group.add_argument("--seq_path", metavar="SOURCE", help=pictures)
    group = parser.add_argument_group("what is known beforehand (docs/known_cameras.md)")
    add_known_to_align(group, footage=False)
    group = parser.add_argument_group("what comes out, in FOLDER/aligned")
    overwrite = "write even if files of others are there, and replace those that have a frame's name"
    group.add_argument("--overwrite", action="store_true", help=overwrite)
    frames = "which frames get files (default: %(default)s)"
    group.add_argument("--save-frames", choices=("none", "some", "all"), default="all", help=frames)
    add_saves(group)
    add_scene(group)
    return parser


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = make_parser()
    args = parser.parse_args(as_declared(parser, sys.argv[1:] if arguments is None else arguments))
    args.original = False
    return args


def run(args: argparse.Namespace) -> int:
    """Do what the flags say. What a user can do wrong comes as an exception with one clear sentence."""
    import cut3r.alignment.of_folder as of_folder
    from cut3r.alignment.align import remove_work
    from cut3r.alignment.flags import WORK, bundle_adjusted, check_any_align_flags, stream_config, tell
    from cut3r.alignment.of_stream import align_stream
    from cut3r.alignment.outcome import write_results
    from cut3r.alignment.streamed import collect
    from cut3r.export.saving import check_saving, make_saving
    from cut3r.run import from_flags
    from cut3r.run.corrections import corrected, tell_dropped
    from cut3r.run.finished import FinishedRun
    from cut3r.run.known_flags import make_known
    from cut3r.run.stages import Stages

    console = start_logging()
    check_any_align_flags(args)
    check_saving(args)
    config, finished, known = stream_config(args), FinishedRun(args.folder), make_known(args)
    if args.vis_threshold is None:
        args.vis_threshold = float(finished.setting("vis_threshold") or from_flags.USUAL_THRESHOLD)
    folder = args.folder / ALIGNED
    with of_folder.make_output(args, finished, folder) as output, Stages(console) as stages:
        model = of_folder.find_model(args, finished)
        streamed = collect(finished.views(known))
        logger.info("%d frames of %s", len(streamed.frames), args.folder)
        aligned = align_stream(streamed, config, model, folder=folder / WORK, on_progress=stages)
        tell(aligned)
        if args.ba:
            origins = aligned.taken.origins
            originals = partial(finished.original_frames, origins, known, source=args.seq_path, who="--ba")
            aligned = bundle_adjusted(aligned, config, originals, stages)
        output.begin(version(), of_folder.settings_of(args))
        saving = partial(make_saving, args, folder, console, into=folder, source=args.seq_path)
        moving = from_flags.make_moving(args)
        results = corrected(aligned.results(), finished.rig(), moving)
        failures = write_results(args, output, results, saving, aligned.report)
        tell_dropped(known, moving)
        remove_work(folder / WORK)
    return sorry("; ".join(failures), FAILED, PROGRAM) if failures else 0
