"""What an alignment leaves in its folder: the files of each frame and of the scene, and the report."""

import argparse
import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cut3r.files.atomic import atomic_path
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.result import FrameResult
from cut3r.inference.sink import Sinks
from cut3r.run import from_flags
from cut3r.run.output_folder import OutputFolder, RunState

logger = logging.getLogger(__name__)

REPORT = "alignment.json"


def write_results(
    args: argparse.Namespace,
    output: OutputFolder,
    results: Iterable[FrameResult],
    saving: Callable[[Reconstruction], Sinks],
    report: dict[str, Any] | None,
) -> list[str]:
    """Write the files of each frame, the report, and what --save and --export ask for, as the flags say.

    Args:
        output: Begun; the run ends here.
        saving: Makes what is saved of a scene.

    Returns:
        One sentence for each file or folder that could not be written.
    """
    folder = from_flags.frame_folder(args, output)
    scene = Reconstruction(
        voxel_size=args.voxel_size,
        max_points=args.max_points,
        confidence=args.vis_threshold,
        edges=from_flags.edges_of(args),
    )
    saves = saving(scene)
    saves.begin()
    for result in results:
        if folder is not None:
            folder.add(result)
        scene.add(result)
        saves.add(result)
    logger.info("%s", scene.summary())
    if report is not None:
        write_report(output.folder, report)
    output.end(RunState.finished, scene.frame_count)
    failures = saves.finish()
    for path in (output.folder, *saves.good):
        logger.info("wrote %s", path)
    return failures


def write_report(folder: Path, report: dict[str, Any]) -> None:
    with atomic_path(folder / REPORT) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n")
