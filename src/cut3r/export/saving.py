"""What --save and --export ask for, as sinks of a run. What cannot be done is refused before the run begins."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from cut3r.export.config import ExportConfig
from cut3r.export.formats import MESHES, check_packages
from cut3r.export.kept import KeptPictures
from cut3r.export.of_run import RunExport
from cut3r.export.page import SavedPage, check_page, is_page
from cut3r.export.rerun_sink import SPAWN, RerunSink, check_viewer
from cut3r.export.sink import RunFolder
from cut3r.files.work_folder import clean_up
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.saved_file import SavedFile
from cut3r.inference.sink import Sink, Sinks
from cut3r.run.console import told
from cut3r.run.finished import FinishedRun
from cut3r.run.formats import Part, parts_of
from cut3r.run.from_flags import edges_of
from cut3r.run.stages import Stages
from cut3r.run.targets import Target, targets_of, viewers_of

if TYPE_CHECKING:
    from rich.console import Console

PICTURES = ".pictures"  # in the run's folder, of a source that cannot be read again


def check_saving(args: argparse.Namespace) -> None:
    """Refuse flags with which a folder could not be written in the end.

    Raises:
        ValueError: It needs files of frames, masks or a package that there will not be; or what --save or --export asks
            for is not understood, or no viewer waits where results are to be shown.
    """
    for viewer in viewers_of(args):
        make_viewer(viewer, args)
        if viewer != SPAWN:
            check_viewer(viewer)
    for target in targets_of(args):
        if is_page(target.path):
            check_page(target.path)
        if not target.is_folder:
            continue
        asked = f"{target.flag} {target.path}"
        if args.save_frames == "none":
            raise ValueError(f"{asked} is made of the files of frames; leave out --save-frames none")
        if args.original:
            raise ValueError(f"{asked} needs more than the original's files of frames say; leave out --original")
        check_packages(parts_of(target.formats))
        if parts_of(target.formats) == {Part.masks} and masks_of(args) is None:
            raise ValueError(f"{asked} has no masks to write; name a folder of them with --masks")


def make_saving(
    args: argparse.Namespace,
    folder: Path,
    console: "Console",
    scene: Reconstruction,
    *,
    into: Path = Path(),
    can_be_read_again: bool = True,
    source: str | None = None,
) -> Sinks:
    """Make the sinks. Their names are the files and folders that they write.

    Args:
        folder: Of the run.
        into: Where names without a folder go.
        can_be_read_again: The source of the run; else its pictures are kept.
        source: Where the pictures are, if elsewhere than the run read them.
    """
    clean_up(folder)
    shutil.rmtree(folder / PICTURES, ignore_errors=True)  # of a run that was killed
    targets = targets_of(args, into)
    sinks: dict[str, Sink] = {
        str(target.path): SavedPage(scene, target.path) if is_page(target.path) else SavedFile(scene, target.path)
        for target in targets
        if not target.is_folder
    }
    sinks |= {f"the viewer of Rerun ({viewer})": make_viewer(viewer, args) for viewer in viewers_of(args)}
    folders = [target for target in targets if target.is_folder]
    if not folders:
        return Sinks(sinks)
    pictures = None if can_be_read_again or not _with_pictures(folders) else KeptPictures(folder / PICTURES)
    command, stages = told(sys.argv), Stages(console)

    @cache  # frames and points are found once
    def export() -> RunExport:
        config = ExportConfig(confidence=args.vis_threshold, edges=edges_of(args))
        return RunExport(
            FinishedRun(folder, stopped=True),
            config,
            masks=masks_of(args),
            source=source,
            originals=None if pictures is None else pictures.frames,
            on_progress=stages,
        )

    for target in folders:
        sinks[str(target.path)] = RunFolder(
            target.path, target.formats, export, lambda: scene.frame_count, command, stages
        )
    if pictures is not None:
        sinks[str(pictures.folder)] = pictures  # the last: to finish it removes them
    return Sinks(sinks)


def make_viewer(viewer: str, args: argparse.Namespace) -> RerunSink:
    """Make the sink of --export rerun:ADDRESS or rerun:spawn.

    Raises:
        ValueError: The package is missing.
    """
    try:
        return RerunSink(viewer, confidence=args.vis_threshold, edges=edges_of(args))
    except ImportError as error:
        raise ValueError(str(error)) from error


def masks_of(args: argparse.Namespace) -> Path | None:
    """The folder of masks; not every program has the flag."""
    masks: Path | None = vars(args).get("masks")
    return masks


def _with_pictures(targets: Sequence[Target]) -> bool:
    return any({Part.pictures, *MESHES} & parts_of(target.formats) for target in targets)
