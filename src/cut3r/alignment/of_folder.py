"""What the alignment of a finished run needs beside its frames: a place for the results, its network, its pictures."""

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path

from cut3r.alignment.finished import FinishedRun
from cut3r.alignment.result import Alignment
from cut3r.io.frame import Frame
from cut3r.io.frames import FrameOptions, SortOrder
from cut3r.model.network import Cut3r
from cut3r.run.footage import Footage
from cut3r.run.known import Known
from cut3r.run.output_check import check_output, check_targets
from cut3r.run.output_folder import THE_INPUT, OutputFolder
from cut3r.speed.device import check_device
from cut3r.weights import checkpoint, zoo

logger = logging.getLogger(__name__)

NOT_SETTINGS = {"overwrite", "save", "device", "seq_path"}


def make_output(args: argparse.Namespace, finished: FinishedRun, folder: Path) -> OutputFolder:
    """The folder of the results; refused where it is somebody else's, or where a file of the run would be replaced."""
    output = OutputFolder(folder, overwrite=args.overwrite)
    output.check_owner()
    check_output(folder)
    check_targets(folder, args.save, finished.files())
    return output


def settings_of(args: argparse.Namespace) -> dict[str, str]:
    """What changes the results, for the marker."""
    settings = {name: str(value) for name, value in vars(args).items() if name not in NOT_SETTINGS}
    return settings | {"folder": str(args.folder.resolve())}


def find_model(args: argparse.Namespace, finished: FinishedRun) -> Cut3r | None:
    """Who looks for loops: the network that is named, or that of the run, if it is on this machine."""
    if args.loops == "off":
        return None
    name = args.model_path
    if name is None and finished.marker is not None:
        name = finished.setting("model_path") or "tiny"
        try:
            here = (zoo.find(name) if name in zoo.NAMES else Path(name)).is_file()
        except FileNotFoundError:
            here = False
        if not here:
            logger.info("the network of the run, %s, is not here: --model_path names another to look for loops", name)
            return None
    return None if name is None else checkpoint.load(name, device=check_device(args.device))


def original_frames(
    args: argparse.Namespace, finished: FinishedRun, known: Known, aligned: Alignment
) -> Iterator[Frame]:
    """The original pictures of the frames that were aligned, with what is known of them.

    Raises:
        FileNotFoundError: They are not where the run read them.
        ValueError: Others are there; or nobody knows where they are.
    """
    source = args.seq_path or finished.setting("seq_path")
    if source is None:
        raise ValueError(f"{finished.folder} does not say where its pictures are, and --ba needs them; give --seq_path")
    with Footage(source, _options(finished)) as footage:
        was = finished.setting(THE_INPUT)
        if args.seq_path is None and was is not None and footage.contents != was:
            raise ValueError(
                f"the pictures at {source} are not those that the run read ({was} then, {footage.contents} now), and "
                "--ba needs them; bring them back, or name a copy with --seq_path"
            )
        yield from frames_of(aligned, known.onto(footage.open(0)))


def frames_of(aligned: Alignment, frames: Iterator[Frame]) -> Iterator[Frame]:
    """Those of the original frames that were aligned, in their order: others may have been left out.

    Raises:
        ValueError: One is missing, or they come in another order.
    """
    wanted = iter(aligned.taken.frames)
    awaited = next(wanted, None)
    for frame in frames:
        if awaited is not None and (frame.index, frame.name) == (awaited.index, awaited.name):
            yield frame
            awaited = next(wanted, None)
    if awaited is not None:
        raise ValueError(f"{awaited.name} is not among the original frames, or they come in another order")


def _options(finished: FinishedRun) -> FrameOptions:
    """Which frames the run chose of its source."""

    def number(name: str) -> float | None:
        value = finished.setting(name)
        return None if value is None else float(value)

    def whole(name: str) -> int | None:
        value = number(name)
        return None if value is None else int(value)

    return FrameOptions(
        sort=SortOrder(finished.setting("sort") or SortOrder.natural.value),
        start=whole("start") or 0,
        end=whole("end"),
        every=whole("every") or 1,
        fps=number("fps"),
        max_frames=whole("max_frames"),
        skip_bad=finished.setting("skip_bad") == "True",
        parity=finished.setting("original") == "True",
    )
