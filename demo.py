"""Turn footage into a metric 3D reconstruction: video, webcam or photos in; points, cameras and depth out.

python demo.py                                                  the example clip, with the bundled tiny network
python demo.py --model_path 512-dpt --seq_path kitchen.mp4      your footage, with the official weights
"""

import argparse
import io
import logging
import os
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import cut3r
from cut3r.inference.flags import DTYPES, SOME, parse_args
from cut3r.io.machine import SLEEPY_THREADS

if TYPE_CHECKING:  # imported when needed: --help answers at once
    import torch
    from rich.console import Console

    from cut3r.inference.footage import Footage
    from cut3r.inference.frame_folder import FrameFolder
    from cut3r.inference.meter import Meter, Progress
    from cut3r.inference.output_folder import OutputFolder
    from cut3r.inference.reconstruction import Reconstruction
    from cut3r.inference.result import FrameResult
    from cut3r.inference.resume import ResumePoint
    from cut3r.inference.run_writer import RunWriter
    from cut3r.inference.session import Session
    from cut3r.inference.sink import Sinks
    from cut3r.inference.stop import Stop
    from cut3r.io.frames import Frame, FrameOptions, FrameStream
    from cut3r.model.network import Cut3r
    from cut3r.viewer.app import Viewer
    from cut3r.viewer.query import Query

logger = logging.getLogger("demo")

FAILED, WRONG_ARGUMENTS, NO_INPUT, INTERRUPTED = 1, 2, 3, 130
TINY = "the bundled tiny network: rough depth of synthetic rooms, cameras that hardly move (real footage: 512-dpt)"
LOOKAHEAD = 8  # frames of a file that are read before they are needed; a camera's would be late
BUNDLED_CLIP = Path(__file__).parent / "assets" / "example.mp4"
CHATTY = ("websockets", "viser")  # loggers that tell of each connection
NOT_SETTINGS = {"dtype", "seq_path", "output_dir", "overwrite", "save", "resume", "no_viewer", "host", "port", "device"}


def main(arguments: list[str] | None = None) -> int:
    return guarded(run, parse_args(arguments, description=__doc__))


def guarded(work: Callable[[argparse.Namespace], int], args: argparse.Namespace, program: str = "demo.py") -> int:
    """Do what the flags say, and turn what a user can do wrong into one sentence and an exit code."""
    os.environ.update(SLEEPY_THREADS | os.environ)  # torch is not loaded yet
    from cut3r.speed.device import device_failure

    try:
        return work(args)
    except KeyboardInterrupt:
        return INTERRUPTED
    except FileNotFoundError as error:
        return sorry(error, NO_INPUT, program)
    except ValueError as error:
        return sorry(error, WRONG_ARGUMENTS, program)
    except OSError as error:
        return sorry(error, FAILED, program)
    except (RuntimeError, MemoryError) as error:
        if (reason := device_failure(error)) is None:
            raise
        return sorry(reason, FAILED, program)


def run(args: argparse.Namespace) -> int:
    """Do what the flags say. What a user can do wrong comes as an exception with one clear sentence."""
    from cut3r.inference.footage import Footage
    from cut3r.inference.sink import Sinks
    from cut3r.speed.device import check_device

    console = start_logging()
    check_flags(args)
    with ExitStack() as stack:  # what would fail only after minutes or hours is refused before the network is loaded
        footage = stack.enter_context(Footage(args.seq_path, frame_options(args)))
        output = check_output(args, footage)
        device = check_device(args.device)
        stack.enter_context(output)
        if args.resume:
            output.check_input(run_settings(args, footage))
            args.dtype = _dtype_to_go_on(args, output)
        with console.status("loading the network"):
            model = load_model(args, device)
        logger.info("%s on %s with %s", footage.stream.description, model.device, args.model_path or TINY)
        session = make_session(args, model)
        footage.fit = session.fit
        writer = _writer(args, session, footage, output)
        viewer = None if args.no_viewer else open_viewer(args, session.query, stack)
        watching = Sinks({"the viewer": viewer} if viewer else {})
        watching.begin(session.frames_seen)
        stack.callback(watching.finish)
        return _reconstruct(args, console, session, footage, writer, viewer, watching)


def _reconstruct(
    args: argparse.Namespace,
    console: "Console",
    session: "Session",
    footage: "Footage",
    writer: "RunWriter",
    viewer: "Viewer | None",
    watching: "Sinks",
) -> int:
    from cut3r.files.disk import DiskFullError
    from cut3r.inference.meter import Progress
    from cut3r.inference.output_folder import RunState
    from cut3r.inference.stop import Stop

    with Stop() as stop, Progress(console, footage.expected, done=session.frames_seen) as progress:
        try:
            with closing(_results(args, session, footage, progress, stop)) as results:
                for result in results:
                    writer.add(result)
                    watching.add(result)
                    progress.advance()
                    if stop.asked:
                        break
            writer.drain()
        except DiskFullError as error:
            writer.give_up()
            raise OSError(writer.explain_full_disk(error, footage.expected)) from error
        except BaseException:
            writer.give_up()
            raise
    if writer.count == 0:
        return sorry(f"{footage.stream.description} gave no frame", NO_INPUT)
    interrupted = stop.asked and not footage.stream.live  # a webcam has no other end
    failures = writer.finish(RunState.stopped if interrupted else RunState.finished)
    not_shown = watching.finish()
    _report(args, writer, progress.meter, footage.stream, session.not_finite)
    for failure in failures:
        logger.error("%s", failure)
    if viewer and not stop.killed:
        logger.info("explore it at %s and end with Ctrl-C%s", viewer.url, ", once more" if stop.asked else "")
        viewer.wait()
    if failures:
        return sorry(f"{'; '.join(failures)}: {writer.way_to_save()}", FAILED)
    if not_shown:
        return sorry(f"{not_shown[0]}; all files were written", FAILED)
    if interrupted:
        logger.info("%d frames are finished; %s", writer.count, writer.way_on())
    return INTERRUPTED if interrupted else 0


def frame_options(args: argparse.Namespace) -> "FrameOptions":
    from cut3r.io.frames import FrameOptions, SortOrder

    return FrameOptions(
        sort=SortOrder(args.sort),
        start=args.start,
        end=args.end,
        every=args.every,
        fps=args.fps,
        max_frames=args.max_frames,
        skip_bad=args.skip_bad,
        parity=args.original,
    )


def start_logging() -> "Console":
    from rich.console import Console
    from rich.logging import RichHandler

    console = Console(stderr=True)
    handler: logging.Handler = logging.StreamHandler()  # into a file or a pipe: plain lines, which rich would wrap
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, show_time=False)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler], force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    return console


def check_flags(args: argparse.Namespace) -> None:
    """Refuse what is wrong whatever the input, and fill in what has no value yet."""
    from cut3r.inference.reconstruction import check_suffix
    from cut3r.viewer.address import check_host
    from cut3r.weights.zoo import BUNDLED

    for flag in ("seq_path", "model_path", "output_dir"):
        if (value := getattr(args, flag)) is not None and not value.strip():
            raise ValueError(f"--{flag} is empty; name something, or leave the flag out")
    for path in args.save:
        check_suffix(path)
    if not args.no_viewer:
        check_host(args.host)
    if args.revisit < 1:
        raise ValueError(f"--revisit is {args.revisit}, expected 1 (one pass) or more")
    if not args.model_path and not BUNDLED["tiny"].is_file():
        raise FileNotFoundError(
            "no network given: --model_path 512-dpt downloads the official weights (3.2 GB, non-commercial licence) "
            "once, or name a checkpoint file"
        )
    if not args.seq_path and not BUNDLED_CLIP.is_file():
        raise FileNotFoundError("no footage given: point --seq_path at a folder, a video, an image or camera:0")
    if not args.seq_path:
        logger.info("no --seq_path, so this is the example that comes with the project")
        args.seq_path = str(BUNDLED_CLIP)
    if args.vis_threshold is None:
        args.vis_threshold = _usual_threshold(args.model_path)


def _usual_threshold(model_path: str | None) -> float:
    from cut3r.weights.checkpoint import confidence_threshold

    own = confidence_threshold(model_path or "tiny")
    return 1.5 if own is None else own


def check_output(args: argparse.Namespace, footage: "Footage") -> "OutputFolder":
    """Refuse a run that would touch its own input or somebody else's files, or that could not write in the end."""
    from cut3r.inference.output_check import check_inputs, check_output, check_targets
    from cut3r.inference.output_folder import OutputFolder

    again = "--resume" if args.resume else "--revisit" if args.revisit > 1 else None
    if again and not footage.can_be_read_again:
        raise ValueError(f"{footage.stream.description} cannot be read a second time; leave out {again}")
    output = OutputFolder(Path(args.output_dir), overwrite=args.overwrite)
    check_inputs(output.folder, footage.files)
    output.check_owner()
    check_output(output.folder)
    check_targets(output.folder, args.save, footage.files)
    return output


def _dtype_to_go_on(args: argparse.Namespace, output: "OutputFolder") -> str:
    """The precision that was chosen when the run began: this machine, or this hour, might choose another."""
    stored = "auto" if output.marker is None else output.marker.settings.get("dtype", "auto")
    return stored if args.dtype == "auto" and stored in DTYPES else args.dtype


def load_model(args: argparse.Namespace, device: "torch.device") -> "Cut3r":

    from cut3r.speed.packed import pack
    from cut3r.speed.precision import apply_precision, compile_blocks
    from cut3r.weights.checkpoint import load

    precision = "fp32" if args.dtype == "auto" and args.original else args.dtype
    model = load(args.model_path or "tiny", device=device, dtype=apply_precision(precision))
    if args.compile:
        compile_blocks(model)
    else:
        pack(model)
    chosen = precision if precision == "tf32" else str(model.dtype).removeprefix("torch.")
    logger.info("matrix products in %s", chosen)
    return model


def make_session(args: argparse.Namespace, model: "Cut3r") -> "Session":
    from cut3r.inference.preprocess import FitConfig, FitMode
    from cut3r.inference.result import PointSource
    from cut3r.inference.session import Session, trained_size

    fit = FitConfig(
        size=args.size or trained_size(model),
        mode=FitMode(args.fit),
        allow_square=args.allow_square,
        parity=args.original,
    )
    source = PointSource(args.points)
    return Session(model, fit=fit, source=source, shared_focal=args.shared_focal, parity=args.original)


def _writer(args: argparse.Namespace, session: "Session", footage: "Footage", output: "OutputFolder") -> "RunWriter":
    """Bring the session to where it goes on, and make what keeps its results."""
    from cut3r.inference.reconstruction import Reconstruction
    from cut3r.inference.resume import ResumePoint
    from cut3r.inference.run_writer import RunWriter

    settings = run_settings(args, footage) | {"dtype": precision_of(args, session.model)}
    folder = frame_folder(args, output)
    scene = Reconstruction(
        voxel_size=args.voxel_size, max_points=args.max_points, confidence=args.vis_threshold, edges=edges_of(args)
    )
    resume = None if not footage.can_be_read_again else ResumePoint(output.resume_path, settings)
    if args.resume and resume is not None and (earlier := _earlier(args, session, output, resume)) is not None:
        scene = earlier
    if folder is not None and folder.finished() < session.frames_seen:
        raise ValueError(f"{output.folder} lacks files of finished frames; start again without --resume")
    return RunWriter(
        session,
        scene,
        output,
        folder,
        targets=args.save,
        resume=resume,
        version=cut3r.__version__,
        settings=settings,
    )


def frame_folder(args: argparse.Namespace, output: "OutputFolder") -> "FrameFolder | None":
    from cut3r.inference.frame_folder import FrameFolder

    if args.save_frames == "none":
        return None
    return FrameFolder(output.folder, every=SOME if args.save_frames == "some" else 1, parity=args.original)


def edges_of(args: argparse.Namespace) -> float | None:
    """The step of depth at which flying pixels are left out; None keeps them, as the original does."""
    from cut3r.inference.result import EDGES

    return None if args.keep_edges or args.original else EDGES


def _earlier(
    args: argparse.Namespace, session: "Session", output: "OutputFolder", resume: "ResumePoint"
) -> "Reconstruction | None":
    """Take over the session of an earlier run and return its scene; None when there is nothing to go on from."""
    settings = resume.settings
    theirs = {} if output.marker is None else output.marker.settings
    if args.skip_bad and theirs.get("skip_bad") == "False":  # it stopped at a bad frame, so none was skipped before
        resume.settings = settings | {"skip_bad": "False"}
    scene = resume.load(session)
    resume.settings = settings
    if scene is None:
        logger.info("%s holds no run to go on with, so this one begins with the first frame", output.folder)
    return scene


def _results(
    args: argparse.Namespace, session: "Session", footage: "Footage", progress: "Progress", stop: "Stop"
) -> "Generator[FrameResult, None, None]":
    from cut3r.inference.revisit import revisit

    def on_absorbed(number: int, frame: "Frame") -> None:
        progress.note(f"pass {number + 1} of {args.revisit}: {frame.name}")
        if stop.asked:  # nothing to keep yet
            raise KeyboardInterrupt

    return revisit(
        session,
        footage.open,
        passes=args.revisit,
        freeze=args.freeze,
        done=session.frames_seen,
        lookahead=0 if footage.stream.live else LOOKAHEAD,
        on_absorbed=on_absorbed,
    )


def run_settings(args: argparse.Namespace, footage: "Footage") -> dict[str, str]:
    """Everything but the precision that changes the results; a run that goes on must repeat it. No passwords."""
    from cut3r.inference.output_folder import THE_INPUT

    settings = {name: str(value) for name, value in vars(args).items() if name not in NOT_SETTINGS}
    source = footage.stream.description if footage.stream.live else str(Path(args.seq_path).resolve())
    return settings | {"seq_path": source, THE_INPUT: footage.contents}


def precision_of(args: argparse.Namespace, model: "Cut3r") -> str:
    """What --dtype has become."""
    if args.dtype == "tf32":
        return "tf32"
    return {"torch.float32": "fp32", "torch.bfloat16": "bf16"}[str(model.dtype)]


def open_viewer(args: argparse.Namespace, query: "Query | None", stack: ExitStack) -> "Viewer":
    from cut3r.viewer.app import Viewer
    from cut3r.viewer.config import ViewerConfig

    options = ViewerConfig(confidence=args.vis_threshold, edges=edges_of(args))
    with redirect_stdout(io.StringIO()):  # viser prints a box with the same address
        viewer = Viewer(args.port, host=args.host, options=options, query=query)
    stack.callback(_close, viewer)
    logger.info("watch it grow at %s", viewer.url)
    return viewer


def _close(viewer: "Viewer") -> None:
    with redirect_stdout(io.StringIO()):  # viser prints that it stops
        viewer.close()


def _report(
    args: argparse.Namespace, writer: "RunWriter", meter: "Meter", source: "FrameStream", not_finite: int
) -> None:
    logger.info(
        "%d frames in %.0f s (%.2f per second), %s", meter.new, meter.seconds, meter.new / meter.seconds, meter.memory()
    )
    if source.skipped:
        logger.warning("%d unreadable frames were skipped: %s", len(source.skipped), "; ".join(source.skipped[:5]))
    logger.info("%s", writer.scene.summary())
    if not_finite:
        logger.warning("%d frames have a pose or points that are not finite, and those are in no file", not_finite)
    elif not len(writer.scene):
        logger.warning("no point has a confidence above %g; lower --vis_threshold", args.vis_threshold)
    for path in (args.output_dir, *args.save):
        logger.info("wrote %s", path)


def sorry(error: object, code: int, program: str = "demo.py") -> int:
    print(f"{program}: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
