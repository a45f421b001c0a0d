"""Turn footage into one consistent 3D scene: predictions of many short streams are aligned with each other.

python demo_ga.py --seq_path room.mp4 --max-frames 8                                 the bundled tiny network
python demo_ga.py --model_path 512-dpt --seq_path kitchen.mp4 --save kitchen.glb     your footage, official weights

Same flags, files and page as demo.py; alignment.json says how well it went. After an interruption, --resume goes on.
"""

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import cut3r
import demo
from cut3r.run.console import FAILED, guarded, has_page, sorry, start_logging
from cut3r.run.flags import add_align, add_known_to_align, parse_args

if TYPE_CHECKING:  # imported when needed: --help answers at once
    from cut3r.inference.result import FrameResult
    from cut3r.inference.sink import Sinks
    from cut3r.io.frame import Frame

logger = logging.getLogger("demo_ga")

PROGRAM = "demo_ga.py"


def main(arguments: list[str] | None = None) -> int:
    return guarded(run, parse_args(arguments, description=__doc__, extend=add_flags), PROGRAM)


def add_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how frames are aligned (docs/alignment.md)")
    align = (
        "poses of one stream as they are, a sparse pose graph, the graph and then dense refinement of cameras and "
        "depth, or the original's optimiser (default: %(default)s)"
    )
    group.add_argument("--align", choices=("none", "graph", "full", "original"), default="full", help=align)
    pairs = "which frames are seen together (default: all up to 30 frames, then wide: neighbours, and some far apart)"
    group.add_argument(
        "--pairs", choices=("auto", "all", "window", "wide", "first", "original"), default="auto", help=pairs
    )
    add_align(group)
    group = parser.add_argument_group("what is known beforehand (docs/known_cameras.md)")
    add_known_to_align(group, footage=True)


def run(args: argparse.Namespace) -> int:
    """Do what the flags say. What a user can do wrong comes as an exception with one clear sentence."""
    from cut3r.alignment.flags import align_config, align_footage, check_align_flags, check_footage, clean_up
    from cut3r.alignment.outcome import write_results
    from cut3r.alignment.taken import take
    from cut3r.export.saving import check_saving, make_saving
    from cut3r.inference.sink import Sinks
    from cut3r.run import from_flags
    from cut3r.run.corrections import corrected, tell_dropped
    from cut3r.run.stages import Stages
    from cut3r.speed.device import check_device
    from cut3r.viewer.address import check_host

    console = start_logging()
    check_align_flags(args)
    config = align_config(args)
    from_flags.check_flags(args, demo.BUNDLED_CLIP)
    check_saving(args)
    args.no_viewer = args.no_viewer or not has_page()
    if not args.no_viewer:
        check_host(args.host)
    with ExitStack() as stack:
        footage = stack.enter_context(from_flags.make_footage(args))
        check_footage(args, footage)
        output = from_flags.make_output(args, footage)
        device = check_device(args.device)
        stack.enter_context(output)
        with console.status("loading the network"):
            model = from_flags.load_model(args, device)
        session = from_flags.make_session(args, model)
        footage.fit = session.fit

        def open_frames() -> "Iterator[Frame]":
            return footage.frames(0)

        aligned = None
        if config is not None:
            with console.status("reading frames"):
                taken = take(open_frames(), session.fit)
            logger.info("%d frames of %s", len(taken), footage.stream.description)
            with Stages(console) as stages:
                aligned = align_footage(args, config, session, taken, open_frames, on_progress=stages)
        settings = from_flags.settings_of(args, footage) | {"dtype": from_flags.precision_of(args, model)}
        output.begin(cut3r.__version__, settings)
        viewer = None
        if not args.no_viewer:
            from cut3r.export.watched import open_page  # its packages are optional

            viewer = open_page(args, stack, output.folder, query=session.query if aligned is None else None)
        if viewer and aligned is not None:
            viewer.offer({"after alignment": None, "before": aligned.before})
        watching = Sinks({"the viewer": viewer} if viewer else {})
        watching.begin()
        stack.callback(watching.finish)
        moving = from_flags.make_moving(args)
        said = session.stream(open_frames()) if aligned is None else aligned.results()
        results = corrected(said, from_flags.make_rig(args), moving)
        saving = partial(make_saving, args, output.folder, console)
        report = None if aligned is None else aligned.report
        failures = write_results(args, output, _shown(results, watching), saving, report)
        tell_dropped(footage.known, moving)
        if failures:
            return sorry(f"{'; '.join(failures)}: the files of each frame are in {output.folder}", FAILED, PROGRAM)
        clean_up(args)
        if not_shown := watching.finish():
            return sorry(f"{not_shown[0]}; all files were written", FAILED, PROGRAM)
        if viewer:
            logger.info("explore it at %s and end with Ctrl-C", viewer.url)
            viewer.wait()
    return 0


def _shown(results: "Iterator[FrameResult]", watching: "Sinks") -> "Iterator[FrameResult]":
    for result in results:
        watching.add(result)
        yield result


if __name__ == "__main__":
    sys.exit(main())
