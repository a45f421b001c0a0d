"""Turn footage into a metric 3D reconstruction: video, webcam or photos in; points, cameras and depth out.

python demo.py                                                  the example clip, with the bundled tiny network
python demo.py --model_path 512-dpt --seq_path kitchen.mp4      your footage, with the official weights
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from cut3r.io.machine import SLEEPY_THREADS

if TYPE_CHECKING:  # imported when needed: --help answers at once
    from cut3r.inference.meter import Meter
    from cut3r.inference.reconstruction import Reconstruction
    from cut3r.inference.result import FrameResult
    from cut3r.inference.session import Session
    from cut3r.io.frames import Frame, FrameStream
    from cut3r.model.network import Cut3r
    from cut3r.viewer.app import Viewer

logger = logging.getLogger("demo")

FAILED, WRONG_ARGUMENTS, NO_INPUT, INTERRUPTED = 1, 2, 3, 130
TINY = "the bundled tiny network: rough depth of synthetic rooms, cameras that hardly move (real footage: 512-dpt)"
DTYPES = ("auto", "fp32", "tf32", "bf16")
LOOKAHEAD = 8  # frames of a file that are read before they are needed; a camera's would be late
BUNDLED_CLIP = Path(__file__).parent / "assets" / "example.mp4"


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument_group("what to reconstruct, with what").add_argument
    add("--model_path", metavar="FILE|NAME", help="a checkpoint, or a name: 512-dpt, 224-linear, tiny")
    add("--seq_path", metavar="SOURCE", help="folder, video, image, list.txt, 'glob*', camera:0 or a URL (rtsp, http)")
    add("--device", default="auto", help="auto, cuda, cuda:1, mps or cpu (default: %(default)s)")
    add(
        "--dtype",
        choices=DTYPES,
        default="auto",
        help="precision of the matrix products; auto: bf16 where the processor has it",
    )
    add("--compile", action="store_true", help="compile the network's blocks first, which takes a minute")

    add = parser.add_argument_group("which frames").add_argument
    add("--fps", type=float, help="so many per second of a video, by its time stamps")
    add("--every", type=int, default=1, metavar="N", help="every n-th")
    add("--start", type=int, default=0, metavar="I", help="begin with this frame, counted from 0")
    add("--end", type=int, metavar="I", help="stop before this frame")
    add("--max-frames", "--max_frames", type=int, metavar="N", help="at most so many, spread evenly")
    add("--sort", choices=("natural", "name", "mtime"), default="natural", help="order of the files in a folder")
    add("--skip-bad", "--skip_bad", action="store_true", help="go on after unreadable frames, and count them")

    add = parser.add_argument_group("how").add_argument
    add("--size", type=int, help="longer side of the network's images (default: as it was trained)")
    add("--fit", choices=("crop", "resize", "pad"), default="crop", help="how sides become multiples of 16")
    add("--allow-square", action="store_true", help="do not cut square frames to 4:3")
    add("--revisit", type=int, default=1, metavar="R", help="passes over the footage; the last one counts")
    add("--freeze", action="store_true", help="with --revisit: only the first pass changes the network's state")
    add("--points", choices=("self", "world"), default="self", help="camera points and pose, or the world-point head")
    add("--shared-focal", action="store_true", help="one focal length for the stream, not one per frame")
    add("--original", action="store_true", help="read, fit and write exactly as the original demo does")

    add = parser.add_argument_group("what comes out").add_argument
    add("--output_dir", type=Path, default=Path("demo_tmp"), help="depth, conf, color and camera of each frame")
    add(
        "--save",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="scene.ply, scene.glb, traj.tum, ...; repeat",
    )
    add(
        "--vis_threshold",
        type=float,
        help="show and save points above this confidence (default: 1.5; with the tiny network, which is never sure, 0)",
    )
    add("--voxel-size", type=float, default=0.01, metavar="M", help="metres between saved points")
    add("--max-points", type=int, default=1_000_000, metavar="N", help="voxels grow until no more are needed")
    add("--resume", action="store_true", help="go on where a run with the same flags stopped")
    add("--no-viewer", action="store_true", help="no 3D page; the program ends when it is done")
    add("--port", type=int, default=8080, help="of the 3D page (default: %(default)s)")
    args = parser.parse_args(arguments)
    if args.vis_threshold is None:
        args.vis_threshold = 1.5 if args.model_path not in (None, "tiny") else 0.0
    return args


def main(arguments: list[str] | None = None) -> int:
    args = parse_args(arguments)
    os.environ.update(SLEEPY_THREADS | os.environ)  # torch is not loaded yet
    try:
        return run(args)
    except KeyboardInterrupt:
        return INTERRUPTED
    except FileNotFoundError as error:
        return _sorry(error, NO_INPUT)
    except ValueError as error:
        return _sorry(error, WRONG_ARGUMENTS)
    except OSError as error:
        return _sorry(error, FAILED)
    except RuntimeError as error:
        if "out of memory" not in str(error).lower():
            raise
        return _sorry("the device is out of memory; use --dtype bf16, a smaller --size or --device cpu", FAILED)


def run(args: argparse.Namespace) -> int:
    """Do what the flags say. What a user can do wrong comes as an exception with one clear sentence."""
    from rich.console import Console
    from rich.logging import RichHandler

    console = Console(stderr=True)
    handler: logging.Handler = logging.StreamHandler()  # into a file or a pipe: plain lines, which rich would wrap
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, show_time=False)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler], force=True)
    _check_early(args)
    if not args.seq_path:
        logger.info("no --seq_path, so this is the example that comes with the project")
        args.seq_path = str(BUNDLED_CLIP)
    source = _open(args)  # before the network is loaded: a wrong path should not cost a minute
    if source.live and args.revisit > 1:
        raise ValueError(f"{source.description} is live and cannot be seen again; leave out --revisit")
    with console.status("loading the network"):
        model = _load_model(args)
    logger.info("%s on %s with %s", source.description, model.device, args.model_path or TINY)

    from cut3r.inference.frame_folder import FrameFolder
    from cut3r.inference.meter import Progress
    from cut3r.inference.reconstruction import Reconstruction
    from cut3r.inference.resume import ResumePoint

    session = _session(args, model)
    folder = FrameFolder(args.output_dir, parity=args.original)
    resume = ResumePoint(args.output_dir / "resume.npz", _settings(args))
    scene = Reconstruction(voxel_size=args.voxel_size, max_points=args.max_points, confidence=args.vis_threshold)
    earlier = resume.load(session) if args.resume else None
    if earlier is not None:
        scene = earlier
    if folder.prepare(resume=earlier is not None) < session.frames_seen:
        raise ValueError(f"{args.output_dir} lacks files of finished frames; start again without --resume")
    viewer = None if args.no_viewer else _open_viewer(args, session)
    with Stop() as stop, Progress(console, source.expected, done=session.frames_seen) as progress:
        for result in _results(args, session, source, progress, stop):
            folder.add(result)
            scene.add(result)
            resume.save_now_and_then(session, scene)
            if viewer:
                viewer.add(result)
            progress.advance()
            if stop.asked:
                break
    if session.frames_seen == 0:
        return _sorry(f"{source.description} gave no frame", NO_INPUT)
    resume.save(session, scene)
    for path in args.save:
        scene.save(path)
    _report(args, scene, progress.meter, source)
    interrupted = stop.asked and not source.live  # a webcam has no other end
    if viewer:
        viewer.finish()
        if not interrupted:
            logger.info("explore it at %s and end with Ctrl-C", viewer.url)
            viewer.wait()
        viewer.close()
    if interrupted:
        logger.info("the same command with --resume goes on after frame %d", session.frames_seen - 1)
    return INTERRUPTED if interrupted else 0


class Stop:
    """Turns the first Ctrl-C (or polite kill) into a wish, so that no frame is left half done; the second is obeyed."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> "Stop":
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        logger.info("finishing this frame, then stopping; once more to stop at once")


def _check_early(args: argparse.Namespace) -> None:
    """Refuse what would fail only after hours."""
    from cut3r.inference.reconstruction import check_suffix
    from cut3r.model.zoo import BUNDLED

    for path in args.save:
        check_suffix(path)
    if args.revisit < 1:
        raise ValueError(f"--revisit is {args.revisit}, expected 1 (one pass) or more")
    if not args.model_path and not BUNDLED["tiny"].is_file():
        raise FileNotFoundError(
            "no network given: --model_path 512-dpt downloads the official weights (3.2 GB, non-commercial licence) "
            "once, or name a checkpoint file"
        )
    if not args.seq_path and not BUNDLED_CLIP.is_file():
        raise FileNotFoundError("no footage given: point --seq_path at a folder, a video, an image or camera:0")


def _open(args: argparse.Namespace, skip: int = 0) -> "FrameStream":
    from cut3r.io.frames import FrameOptions, SortOrder, open_frames

    options = FrameOptions(
        sort=SortOrder(args.sort),
        start=args.start,
        end=args.end,
        every=args.every,
        fps=args.fps,
        max_frames=args.max_frames,
        skip_bad=args.skip_bad,
        parity=args.original,
    )
    return open_frames(args.seq_path, options, skip=skip)


def _load_model(args: argparse.Namespace) -> "Cut3r":
    import torch

    from cut3r.model.checkpoint import load
    from cut3r.model.speed import apply_precision, compile_blocks

    device = args.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    elif device.startswith("cuda") and not torch.cuda.is_available():
        logger.warning("there is no CUDA device here, so this runs on the CPU")
        device = "cpu"
    precision = "fp32" if args.dtype == "auto" and args.original else args.dtype
    model = load(args.model_path or "tiny", device=device, dtype=apply_precision(precision))
    if args.compile:
        compile_blocks(model)
    else:
        model.pack()
    chosen = precision if precision == "tf32" else str(model.dtype).removeprefix("torch.")
    logger.info("matrix products in %s", chosen)
    return model


def _session(args: argparse.Namespace, model: "Cut3r") -> "Session":
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


def _results(
    args: argparse.Namespace, session: "Session", source: "FrameStream", progress: "Progress", stop: Stop
) -> "Iterator[FrameResult]":
    from cut3r.inference.revisit import revisit

    first = [source]

    def open_again(skip: int) -> "FrameStream":
        return first.pop() if first and not skip else _open(args, skip)

    def on_absorbed(number: int, frame: "Frame") -> None:
        progress.note(f"pass {number + 1} of {args.revisit}: {frame.name}")
        if stop.asked:  # nothing to keep yet
            raise KeyboardInterrupt

    return revisit(
        session,
        open_again,
        passes=args.revisit,
        freeze=args.freeze,
        done=session.frames_seen,
        lookahead=0 if source.live else LOOKAHEAD,
        on_absorbed=on_absorbed,
    )


def _settings(args: argparse.Namespace) -> dict[str, str]:
    """All flags that change the results; a resumed run must repeat them."""
    apart = {"output_dir", "save", "resume", "no_viewer", "port", "device"}
    settings = {name: str(value) for name, value in vars(args).items() if name not in apart}
    return settings | {"seq_path": str(Path(args.seq_path).resolve())}


def _open_viewer(args: argparse.Namespace, session: "Session") -> "Viewer":
    from cut3r.viewer.app import Viewer
    from cut3r.viewer.config import ViewerConfig

    viewer = Viewer(args.port, options=ViewerConfig(confidence=args.vis_threshold), query=session.query)
    logger.info("watch it grow at %s", viewer.url)
    return viewer


def _report(args: argparse.Namespace, scene: "Reconstruction", meter: "Meter", source: "FrameStream") -> None:
    logger.info(
        "%d frames in %.0f s (%.2f per second), %s", meter.new, meter.seconds, meter.new / meter.seconds, meter.memory()
    )
    if source.skipped:
        logger.warning("%d unreadable frames were skipped: %s", len(source.skipped), "; ".join(source.skipped[:5]))
    logger.info("%s", scene.summary())
    if not len(scene):
        logger.warning("no point has a confidence above %g; lower --vis_threshold", args.vis_threshold)
    for path in (args.output_dir, *args.save):
        logger.info("wrote %s", path)


def _sorry(error: object, code: int) -> int:
    print(f"demo.py: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
