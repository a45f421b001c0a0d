"""The flags of an alignment, and what they become. What is wrong comes as one clear sentence."""

import argparse
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from cut3r.alignment.align import BUNDLED, align, remove_work
from cut3r.alignment.align_config import AlignConfig, Graph, Loops, Method, OnProgress
from cut3r.alignment.result import Alignment
from cut3r.alignment.saved import fingerprint_of, load_alignment, save_alignment
from cut3r.alignment.taken import Taken
from cut3r.inference.known_distance import KnownDistance
from cut3r.inference.session import Session
from cut3r.io.frame import Frame
from cut3r.run.footage import Footage
from cut3r.run.known_flags import DEPTH, POSES, check_known_flags, pose_sigma

logger = logging.getLogger(__name__)

WORK = ".alignment"  # in the output folder, while an alignment is not finished


def check_align_flags(args: argparse.Namespace) -> None:
    """Refuse flags that would do nothing, and what needs a package that is not here."""
    streams = {"--revisit": args.revisit != 1, "--freeze": args.freeze}
    streams |= {"--reset-every": args.reset_every != "off", "--keyframes": args.keyframes != "all"}
    if args.align == "none":
        streams["--resume"] = args.resume
    else:
        streams["--points world"] = args.points == "world"
        streams["--update"] = args.update != "overwrite"
    for flag in [flag for flag, given in streams.items() if given]:
        raise ValueError(f"{flag} is for one long stream, and has no meaning here; leave it out, or use demo.py")
    aligned_only = {"--poses": args.poses, "--depth": args.depth, "--scale-from": args.scale_from, "--ba": args.ba}
    for flag in [flag for flag, given in aligned_only.items() if given and args.align == "none"]:
        raise ValueError(f"{flag} is for an alignment, and --align none makes none; leave one of them out")
    check_any_align_flags(args)


def check_any_align_flags(args: argparse.Namespace) -> None:
    """The same for the flags that an alignment has wherever its predictions come from."""
    check_known_flags(args)
    if args.ba:
        from cut3r.alignment.bundle_packages import check_packages

        check_packages()
    if args.window < 1:
        raise ValueError(f"--window is {args.window}; give 1 neighbour or more")


def check_footage(args: argparse.Namespace, footage: Footage) -> None:
    """Refuse a source that an alignment cannot work with."""
    if footage.stream.live and args.max_frames is None:
        raise ValueError(f"{footage.stream.description} has no end, and alignment needs one; say --max-frames")
    if args.ba and not footage.can_be_read_again:
        raise ValueError(
            f"--ba reads the pictures a second time, and {footage.stream.description} can be read only once; save it "
            "as a file first, or leave out --ba"
        )


def align_config(args: argparse.Namespace) -> AlignConfig | None:
    """None for `--align none`."""
    if args.align == "none":
        return None
    return replace(stream_config(args), graph=Graph(args.pairs), parity=args.original)


def stream_config(args: argparse.Namespace) -> AlignConfig:
    """Without what only a network that looks at pairs can do."""
    distance = KnownDistance.parse(args.scale_from) if args.scale_from not in (None, POSES, DEPTH) else None
    return AlignConfig(
        method=Method(args.align),
        loops=Loops(args.loops),
        width=args.window,
        with_scale=not args.rigid,
        shared_focal=args.shared_focal,
        pose_sigma=pose_sigma(args),
        distance=distance,
        centres_only=args.scale_from == POSES,
    )


def align_footage(
    args: argparse.Namespace,
    config: AlignConfig,
    session: Session,
    taken: Taken,
    open_frames: Callable[[], Iterable[Frame]],
    *,
    on_progress: OnProgress,
) -> Alignment:
    """Align frames, in a folder from which `--resume` goes on until `clean_up`.

    Args:
        open_frames: Gives the frames once more, in their original size, with their masks; called for `--ba`.
    """
    folder = Path(args.output_dir) / WORK
    if not args.resume:
        clean_up(args)
    try:
        aligned = align(session.model, taken, config, folder=folder, on_progress=on_progress)
        tell(aligned)
        return bundle_adjusted(aligned, config, open_frames, on_progress, folder=folder) if args.ba else aligned
    except KeyboardInterrupt:
        logger.info("what the network said so far is kept in %s; the same command with --resume goes on", folder)
        raise


def tell(aligned: Alignment) -> None:
    """Say in a line or two how it went."""
    said = aligned.report
    logger.info(
        "%d pairs, loss %.4g before and %.4g after", len(said["pairs"]), said["loss_before"], said["loss_after"]
    )
    if loops := said.get("loops"):
        logger.info("%d loops kept, %d refused", len(loops["kept"]), len(loops["refused"]))


def clean_up(args: argparse.Namespace) -> None:
    """Remove what an interrupted alignment would go on with; whatever else is in that folder stays."""
    remove_work(Path(args.output_dir) / WORK)


def bundle_adjusted(
    aligned: Alignment,
    config: AlignConfig,
    open_frames: Callable[[], Iterable[Frame]],
    on_progress: OnProgress | None = None,
    *,
    folder: Path | None = None,
) -> Alignment:
    """Refine it by details of the original pictures, with what came of it in the report.

    Args:
        folder: Where the outcome is kept, and from where it is read if it is that of the same alignment and settings.
    """
    from cut3r.alignment.bundle import BundleConfig, bundle_adjust

    how = BundleConfig(pose_sigma=config.pose_sigma)
    held = None if how.pose_sigma is not None else sorted(config.poses_that_stay(aligned.taken))
    kept = None if folder is None else folder / BUNDLED
    key = "" if kept is None else f"{fingerprint_of(aligned)} {how!r} {held}"
    if kept is not None and (earlier := load_alignment(kept, aligned.taken, key)):
        return earlier
    refined, said = bundle_adjust(aligned, open_frames, how, held=held, on_progress=on_progress)
    before, after = said["reprojection_before_px"], said["reprojection_after_px"]
    logger.info(
        "bundle adjustment: %s; reprojection error %.2f px before and %.2f after", said["verdict"], before, after
    )
    refined = replace(refined, report=refined.report | {"bundle_adjustment": said})
    if kept is not None:
        save_alignment(kept, refined, key)
    return refined
