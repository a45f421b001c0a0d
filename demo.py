"""Turn footage into a metric 3D reconstruction: video, webcam or photos in; points, cameras and depth out.

python demo.py                                                  the example clip, with the bundled tiny network
python demo.py --model_path 512-dpt --seq_path kitchen.mp4      your footage, with the official weights
"""

import argparse
import logging
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cut3r
from cut3r.run.console import FAILED, INTERRUPTED, NO_INPUT, guarded, has_page, sorry, start_logging
from cut3r.run.console import WRONG_ARGUMENTS as WRONG_ARGUMENTS
from cut3r.run.flags import add_of_stream, parse_args
from cut3r.run.flags import make_parser as make_run_parser

if TYPE_CHECKING:  # imported when needed: --help answers at once
    from cut3r.run.run import Outcome, Run
    from cut3r.viewer.app import Viewer

logger = logging.getLogger("demo")

PROGRAM = "demo.py"
TINY = "the bundled tiny network: rough depth of synthetic rooms, cameras that lose their way (real footage: 512-dpt)"
BUNDLED_CLIP = Path(__file__).parent / "assets" / "example.mp4"


def main(arguments: list[str] | None = None, program: str = PROGRAM) -> int:
    """Read the flags, and do what they say; gives the exit code.

    Args:
        program: The name that it was called by: `cut3r run` is the same.
    """
    args = parse_args(arguments, description=_description(program), extend=add_of_stream, prog=program)
    if args.sources:
        return guarded(partial(_run_batch, parser=make_parser(program)), args, program)
    return guarded(partial(run, program=program), args, program)


def make_parser(program: str = PROGRAM) -> argparse.ArgumentParser:
    """Declare the flags that `main` takes, for the completion of shells."""
    return make_run_parser(description=_description(program), extend=add_of_stream, prog=program)


def _run_batch(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from cut3r.run.batch import run_batch

    return run_batch(args, parser)


def _description(program: str) -> str:
    return (__doc__ or "").replace(f"python {PROGRAM}", program)


def run(args: argparse.Namespace, program: str = PROGRAM) -> int:
    """Do what the flags say. What a user can do wrong comes as an exception with one clear sentence."""
    from cut3r.alignment.stream_loops import StreamLoops
    from cut3r.export.saving import check_saving, make_saving
    from cut3r.inference.sink import Sinks
    from cut3r.run import from_flags
    from cut3r.run.known_flags import given_config
    from cut3r.run.run import Run
    from cut3r.speed.device import check_device
    from cut3r.viewer.address import check_host

    console = start_logging()
    from_flags.check_flags(args, BUNDLED_CLIP)
    check_saving(args)
    args.no_viewer = args.no_viewer or not has_page()
    from_flags.check_resume(args)
    given = given_config(args)
    if not args.no_viewer:
        check_host(args.host)
    with ExitStack() as stack:  # what would fail only after minutes or hours is refused before the network is loaded
        footage = stack.enter_context(from_flags.make_footage(args))
        output = from_flags.make_output(args, footage)
        device = check_device(args.device)
        stack.enter_context(output)
        if args.resume:
            from_flags.go_on(args, footage, output)
        with console.status("loading the network"):
            model = from_flags.load_model(args, device)
        logger.info("%s on %s with %s", footage.stream.description, model.device, args.model_path or TINY)
        session = from_flags.make_session(args, model, StreamLoops() if args.loops == "auto" else None, given)
        footage.fit = session.fit
        saving = partial(make_saving, args, output.folder, console, can_be_read_again=footage.can_be_read_again)
        writer = from_flags.make_writer(args, session, footage, output, saving, version=cut3r.__version__)
        viewer = None
        if not args.no_viewer:
            from cut3r.export.watched import open_page  # its packages are optional

            query, expected = session.query, footage.expected
            viewer = open_page(args, stack, output.folder, writer.scene, query=query, expected=expected)
        watching = Sinks({"the viewer": viewer} if viewer else {})
        watching.begin(session.frames_seen)
        stack.callback(watching.finish)
        this = Run(
            session,
            footage,
            writer,
            watching,
            passes=args.revisit,
            freeze=args.freeze,
            moving=from_flags.make_moving(args),
            rig=from_flags.make_rig(args),
        )
        return _exit_code(this, this.go(console), viewer, program)


def _exit_code(this: "Run", outcome: "Outcome", viewer: "Viewer | None", program: str) -> int:
    """Tell how the run ended, after the page has been closed."""
    if outcome.frames == 0:
        return sorry(f"{this.footage.stream.description} gave no frame", NO_INPUT, program)
    if viewer and not outcome.killed:
        logger.info("explore it at %s and end with Ctrl-C%s", viewer.url, ", once more" if outcome.stopped else "")
        viewer.wait()
    if outcome.failures:
        return sorry(f"{'; '.join(outcome.failures)}: {this.writer.way_to_save()}", FAILED, program)
    if outcome.not_shown:
        return sorry(f"{outcome.not_shown[0]}; all files were written", FAILED, program)
    if outcome.stopped:
        logger.info("%d frames are finished; %s", outcome.frames, this.writer.way_on())
    return INTERRUPTED if outcome.stopped else 0


if __name__ == "__main__":
    sys.exit(main())
