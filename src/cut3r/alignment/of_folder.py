"""What the alignment of a finished run needs beside its frames: a place for the results, and its network."""

import argparse
import logging
from pathlib import Path

from cut3r.model.network import Cut3r
from cut3r.run.finished import FinishedRun
from cut3r.run.output_check import check_output
from cut3r.run.output_folder import OutputFolder
from cut3r.run.targets import check_targets, targets_of
from cut3r.speed.device import check_device
from cut3r.weights import checkpoint, zoo

logger = logging.getLogger(__name__)

NOT_SETTINGS = {"overwrite", "save", "export", "device", "seq_path"}


def make_output(args: argparse.Namespace, finished: FinishedRun, folder: Path) -> OutputFolder:
    """The folder of the results; refused where it is somebody else's, or where a file of the run would be replaced."""
    output = OutputFolder(folder, overwrite=args.overwrite)
    output.check_owner()
    check_output(folder)
    check_targets(folder, targets_of(args, folder), finished.files())
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
