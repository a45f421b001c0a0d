"""The demo's flags become the parts of a run. What a user can do wrong comes as an exception with one sentence."""

import argparse
import logging
from collections.abc import Callable
from pathlib import Path

import torch

from cut3r.inference.chunks import ResetConfig
from cut3r.inference.frame_folder import FrameFolder
from cut3r.inference.given import GivenConfig
from cut3r.inference.keyframes import KeyframeConfig
from cut3r.inference.places import LoopCloser
from cut3r.inference.preprocess import FitConfig, FitMode
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.result import PointSource
from cut3r.inference.session import Session, trained_size
from cut3r.inference.sink import Sinks
from cut3r.inference.view import EDGES
from cut3r.io.calibration_fields import split_camera
from cut3r.io.frames import FrameOptions, SortOrder
from cut3r.model.network import Cut3r
from cut3r.rules import rule_of, text_of
from cut3r.run.flags import DTYPES, SOME
from cut3r.run.footage import Footage
from cut3r.run.known_flags import make_known
from cut3r.run.moving import Moving
from cut3r.run.output_check import check_inputs, check_output
from cut3r.run.output_folder import THE_INPUT, OutputFolder
from cut3r.run.resume import ResumePoint
from cut3r.run.rig import Rig
from cut3r.run.targets import check_targets, targets_of
from cut3r.run.writer import RunWriter
from cut3r.speed.packed import pack
from cut3r.speed.precision import apply_precision, compile_blocks
from cut3r.weights import checkpoint
from cut3r.weights.zoo import BUNDLED

logger = logging.getLogger(__name__)

USUAL_THRESHOLD = 1.5
FILES = ("intrinsics", "poses", "masks", "depth")  # settings that are paths
GIVEN = "what was given"  # a setting that no flag names
NOT_SETTINGS = {
    "dtype",
    "sources",
    "workers",
    "dask",
    "seq_path",
    "output_dir",
    "overwrite",
    "save",
    "export",
    "resume",
    "no_viewer",
    "host",
    "port",
    "device",
}


def check_flags(args: argparse.Namespace, example: Path) -> None:
    """Refuse what is wrong whatever the input, and fill in what has no value yet.

    Args:
        example: The footage where none is named.
    """
    for flag in ("seq_path", "model_path", "output_dir"):
        if (value := getattr(args, flag)) is not None and not value.strip():
            raise ValueError(f"--{flag} is empty; name something, or leave the flag out")
    args.update = text_of(rule_of(args.update))  # with all constants: what they mean does not depend on the version
    if args.revisit < 1:
        raise ValueError(f"--revisit is {args.revisit}, expected 1 (one pass) or more")
    chosen = {"--reset-every": resets_of(args), "--keyframes": KeyframeConfig.of_text(args.keyframes)}
    for flag in (flag for flag, value in chosen.items() if value is not None and args.revisit > 1):
        raise ValueError(
            f"{flag} is decided by results, which the first pass of --revisit has not; leave out one of both"
        )
    if not args.model_path and not BUNDLED["tiny"].is_file():
        raise FileNotFoundError(
            "no network given: --model_path 512-dpt downloads the official weights (3.2 GB, non-commercial licence) "
            "once, or name a checkpoint file"
        )
    if not args.seq_path and not example.is_file():
        raise FileNotFoundError("no footage given: point --seq_path at a folder, a video, an image or camera:0")
    if not args.seq_path:
        logger.info("no --seq_path, so this is the example that comes with the project")
        args.seq_path = str(example)
    if args.vis_threshold is None:
        own = checkpoint.confidence_threshold(args.model_path or "tiny")
        args.vis_threshold = USUAL_THRESHOLD if own is None else own


def make_footage(args: argparse.Namespace) -> Footage:
    """Open the source, with what is known of its cameras."""
    options = FrameOptions(
        sort=SortOrder(args.sort),
        start=args.start,
        end=args.end,
        every=args.every,
        fps=args.fps,
        max_frames=args.max_frames,
        panorama=panorama_of(args),
        topic=args.topic,
        skip_bad=args.skip_bad,
        parity=args.original,
    )
    footage = Footage(args.seq_path, options)
    try:
        footage.know(make_known(args))
    except BaseException:
        footage.stream.close()
        raise
    return footage


def panorama_of(args: argparse.Namespace) -> int | None:
    """The views of each panorama; None if pictures are none.

    Raises:
        ValueError: Flags say something else of the cameras.
    """
    flags = ("intrinsics", "distortion", "poses", "depth", "masks", "original")
    if args.panorama is not None and (other := [flag for flag in flags if getattr(args, flag)]):
        raise ValueError(f"--panorama cuts pictures into views with cameras of their own; leave out --{other[0]}")
    count: int | None = args.panorama
    return count


def make_rig(args: argparse.Namespace) -> Rig | None:
    return None if args.panorama is None else Rig(args.panorama)


def make_moving(args: argparse.Namespace) -> Moving | None:
    return Moving() if args.moving else None


def check_resume(args: argparse.Namespace) -> None:
    """Refuse to go on with a stream where what comes after the network would have to remember earlier frames."""
    for flag in [f"--{name}" for name in ("moving", "panorama") if args.resume and getattr(args, name)]:
        raise ValueError(f"{flag} compares frames with earlier ones, which --resume has not; leave out one of both")


def make_output(args: argparse.Namespace, footage: Footage) -> OutputFolder:
    """Refuse a run that would touch its own input or somebody else's files, or that could not write in the end."""
    again = "--resume" if args.resume else "--revisit" if args.revisit > 1 else None
    if again and not footage.can_be_read_again:
        raise ValueError(f"{footage.stream.description} cannot be read a second time; leave out {again}")
    output = OutputFolder(Path(args.output_dir), overwrite=args.overwrite)
    check_inputs(output.folder, footage.files)
    output.check_owner()
    check_output(output.folder)
    check_targets(output.folder, targets_of(args), footage.files)
    return output


def go_on(args: argparse.Namespace, footage: Footage, output: OutputFolder) -> None:
    """Before a run is resumed: the input must be the same, and the precision becomes the one that it began with, for
    this machine might choose another."""
    output.check_input(settings_of(args, footage))
    stored = "auto" if output.marker is None else output.marker.settings.get("dtype", "auto")
    if args.dtype == "auto" and stored in DTYPES:
        args.dtype = stored


def load_model(args: argparse.Namespace, device: torch.device) -> Cut3r:
    precision = "fp32" if args.dtype == "auto" and args.original else args.dtype
    model = checkpoint.load(args.model_path or "tiny", device=device, dtype=apply_precision(precision))
    if args.compile:
        compile_blocks(model)
    else:
        pack(model)
    chosen = precision if precision == "tf32" else str(model.dtype).removeprefix("torch.")
    logger.info("matrix products in %s", chosen)
    return model


def make_session(
    args: argparse.Namespace, model: Cut3r, loops: LoopCloser | None = None, given: GivenConfig | None = None
) -> Session:
    """Make the session that the flags ask for.

    Args:
        loops: Looks for places that are seen again, if the stream is cut into chunks.
        given: What becomes of what is known; known poses leave loops nothing to move.
    """
    if given is not None and given.hold_poses and args.poses is not None:
        loops = None
    fit = FitConfig(
        size=args.size or trained_size(model),
        mode=FitMode(args.fit),
        allow_square=args.allow_square,
        parity=args.original,
    )
    source = PointSource(args.points)
    return Session(
        model,
        fit=fit,
        source=source,
        shared_focal=args.shared_focal,
        parity=args.original,
        update=args.update,
        resets=resets_of(args),
        keyframes=KeyframeConfig.of_text(args.keyframes),
        loops=None if resets_of(args) is None else loops,
        given=given,
    )


def resets_of(args: argparse.Namespace) -> ResetConfig | None:
    return ResetConfig.of_text(args.reset_every, joint=args.joint, overlap=args.overlap)


def make_writer(
    args: argparse.Namespace,
    session: Session,
    footage: Footage,
    output: OutputFolder,
    saving: Callable[[Reconstruction], Sinks],
    *,
    version: str,
) -> RunWriter:
    """Bring the session to where it goes on, and make what keeps its results.

    Args:
        saving: Makes what --save and --export write of a scene.
    """
    settings = settings_of(args, footage) | {"dtype": precision_of(args, session.model)}
    folder = frame_folder(args, output)
    scene = Reconstruction(
        voxel_size=args.voxel_size, max_points=args.max_points, confidence=args.vis_threshold, edges=edges_of(args)
    )
    resume = (
        None
        if args.moving or args.panorama or not footage.can_be_read_again
        else ResumePoint(output.resume_path, settings)
    )
    if args.resume and resume is not None and (earlier := _earlier(args, session, output, resume)) is not None:
        scene = earlier
    if folder is not None and folder.finished() < session.frames_seen:
        raise ValueError(f"{output.folder} lacks files of finished frames; start again without --resume")
    return RunWriter(
        session, scene, output, folder, saving=saving(scene), resume=resume, version=version, settings=settings
    )


def settings_of(args: argparse.Namespace, footage: Footage) -> dict[str, str]:
    """Everything but the precision that changes the results; a run that goes on must repeat it. No passwords."""
    settings = {name: str(value) for name, value in vars(args).items() if name not in NOT_SETTINGS}
    source = footage.stream.description if footage.stream.live else str(Path(args.seq_path).resolve())
    named = {name: Path(settings[name]) for name in FILES if getattr(args, name, None) is not None}
    places = {name: str(path.resolve()) for name, path in named.items() if split_camera(path)[0].exists()}
    return settings | places | {"seq_path": source, THE_INPUT: footage.contents, GIVEN: footage.known.tell()}


def edges_of(args: argparse.Namespace) -> float | None:
    """The step of depth at which flying pixels are left out; None keeps them, as the original does."""
    return None if args.keep_edges or args.original else EDGES


def frame_folder(args: argparse.Namespace, output: OutputFolder) -> FrameFolder | None:
    if args.save_frames == "none":
        return None
    return FrameFolder(output.folder, every=SOME if args.save_frames == "some" else 1, parity=args.original)


def _earlier(
    args: argparse.Namespace, session: Session, output: OutputFolder, resume: ResumePoint
) -> Reconstruction | None:
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


def precision_of(args: argparse.Namespace, model: Cut3r) -> str:
    """What --dtype has become."""
    if args.dtype == "tf32":
        return "tf32"
    return {"torch.float32": "fp32", "torch.bfloat16": "bf16"}[str(model.dtype)]
