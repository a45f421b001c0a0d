"""Turn footage into one consistent 3D scene: predictions of many short streams are aligned with each other.

python demo_ga.py --seq_path room.mp4 --max-frames 8                                 the bundled tiny network
python demo_ga.py --model_path 512-dpt --seq_path kitchen.mp4 --save kitchen.glb     your footage, official weights

Same flags, files and page as demo.py; alignment.json says how well it went.
"""

import argparse
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import cut3r
import demo
from cut3r.run.flags import parse_args

if TYPE_CHECKING:  # imported when needed: --help answers at once
    from rich.console import Console

    from cut3r.alignment.align import AlignConfig, Alignment
    from cut3r.inference.result import FrameResult
    from cut3r.inference.session import Session
    from cut3r.inference.sink import Sinks
    from cut3r.run.footage import Footage
    from cut3r.run.output_folder import OutputFolder

logger = logging.getLogger("demo_ga")

PROGRAM = "demo_ga.py"
REPORT = "alignment.json"


def main(arguments: list[str] | None = None) -> int:
    return demo.guarded(run, parse_args(arguments, description=__doc__, extend=add_flags), PROGRAM)


def add_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how frames are aligned")
    align = "poses of one stream as they are, a sparse pose graph, or the original's optimiser (default: %(default)s)"
    group.add_argument("--align", choices=("none", "graph", "original"), default="graph", help=align)
    pairs = "which frames are seen together (default: all up to 30 frames, then wide: neighbours, and some far apart)"
    group.add_argument(
        "--pairs", choices=("auto", "all", "window", "wide", "first", "original"), default="auto", help=pairs
    )
    window = "neighbours on each side in a window (default: %(default)s)"
    group.add_argument("--window", type=int, default=3, metavar="N", help=window)
    rigid = "believe the network's metres: frames get no scale of their own"
    group.add_argument("--rigid", action="store_true", help=rigid)


def run(args: argparse.Namespace) -> int:
    """Do what the flags say. What a user can do wrong comes as an exception with one clear sentence."""
    from cut3r.inference.sink import Sinks
    from cut3r.run import from_flags
    from cut3r.run.output_folder import RunState
    from cut3r.speed.device import check_device
    from cut3r.viewer.address import check_host

    console = demo.start_logging()
    _check_flags(args)
    from_flags.check_flags(args, demo.BUNDLED_CLIP)
    if not args.no_viewer:
        check_host(args.host)
    with ExitStack() as stack:
        footage = stack.enter_context(from_flags.make_footage(args))
        if footage.stream.live and args.max_frames is None:
            raise ValueError(f"{footage.stream.description} has no end, and alignment needs one; say --max-frames")
        output = from_flags.make_output(args, footage)
        device = check_device(args.device)
        stack.enter_context(output)
        with console.status("loading the network"):
            model = from_flags.load_model(args, device)
        session = from_flags.make_session(args, model)
        footage.fit = session.fit
        aligned = None if args.align == "none" else _align(args, console, session, footage)
        settings = from_flags.settings_of(args, footage) | {"dtype": from_flags.precision_of(args, model)}
        output.begin(cut3r.__version__, settings)
        viewer = None if args.no_viewer else demo.open_viewer(args, session.query if aligned is None else None, stack)
        watching = Sinks({"the viewer": viewer} if viewer else {})
        watching.begin()
        stack.callback(watching.finish)
        results = session.stream(footage.open(0)) if aligned is None else aligned.results()
        count = _write(args, output, _shown(results, watching))
        if aligned is not None:
            _write_report(output.folder / REPORT, aligned)
        output.end(RunState.finished, count)
        if not_shown := watching.finish():
            return demo.sorry(f"{not_shown[0]}; all files were written", demo.FAILED, PROGRAM)
        if viewer:
            logger.info("explore it at %s and end with Ctrl-C", viewer.url)
            viewer.wait()
    return 0


def _check_flags(args: argparse.Namespace) -> None:
    """Refuse flags of demo.py that would do nothing here."""
    streams = {"--resume": args.resume, "--revisit": args.revisit != 1, "--freeze": args.freeze}
    if args.align != "none":
        streams["--points world"] = args.points == "world"
        streams["--update"] = args.update != "overwrite"
    for flag in [flag for flag, given in streams.items() if given]:
        raise ValueError(f"{flag} is for one long stream, and has no meaning here; leave it out, or use demo.py")
    if args.window < 1:
        raise ValueError(f"--window is {args.window}; give 1 neighbour or more")


def _align(args: argparse.Namespace, console: "Console", session: "Session", footage: "Footage") -> "Alignment":
    from cut3r.alignment.align import align
    from cut3r.alignment.stages import Stages
    from cut3r.alignment.taken import take

    with console.status("reading frames"):
        taken = take(footage.open(0), session.fit)
    logger.info("%d frames of %s", len(taken), footage.stream.description)
    with Stages(console) as stages:
        aligned = align(session.model, taken, _config(args), on_progress=stages)
    said = aligned.report
    logger.info(
        "%d pairs, loss %.4g before and %.4g after", len(said["pairs"]), said["loss_before"], said["loss_after"]
    )
    return aligned


def _config(args: argparse.Namespace) -> "AlignConfig":
    from cut3r.alignment.align import AlignConfig, Graph, Method

    return AlignConfig(
        method=Method(args.align),
        graph=Graph(args.pairs),
        width=args.window,
        with_scale=not args.rigid,
        shared_focal=args.shared_focal,
        parity=args.original,
    )


def _write(args: argparse.Namespace, output: "OutputFolder", results: "Iterator[FrameResult]") -> int:
    """Write the files of each frame and of the scene; gives the number of frames."""
    from cut3r.inference.reconstruction import Reconstruction
    from cut3r.run import from_flags

    folder = from_flags.frame_folder(args, output)
    scene = Reconstruction(
        voxel_size=args.voxel_size,
        max_points=args.max_points,
        confidence=args.vis_threshold,
        edges=from_flags.edges_of(args),
    )
    for result in results:
        if folder is not None:
            folder.add(result)
        scene.add(result)
    logger.info("%s", scene.summary())
    for path in args.save:
        scene.save(path)
    for path in (args.output_dir, *args.save):
        logger.info("wrote %s", path)
    return len(scene.cameras)


def _shown(results: "Iterator[FrameResult]", watching: "Sinks") -> "Iterator[FrameResult]":
    for result in results:
        watching.add(result)
        yield result


def _write_report(path: Path, aligned: "Alignment") -> None:
    from cut3r.files.atomic import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(aligned.report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
