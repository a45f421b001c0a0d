"""What an alignment leaves in its folder: the files of each frame and of the scene, and the report."""

import argparse
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cut3r.files.atomic import atomic_path
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.result import FrameResult
from cut3r.run import from_flags
from cut3r.run.output_folder import OutputFolder

logger = logging.getLogger(__name__)

REPORT = "alignment.json"


def write_results(args: argparse.Namespace, output: OutputFolder, results: Iterable[FrameResult]) -> int:
    """Write the files of each frame and of the scene, as the flags say; gives the number of frames."""
    folder = from_flags.frame_folder(args, output)
    scene = Reconstruction(
        voxel_size=args.voxel_size,
        max_points=args.max_points,
        confidence=args.vis_threshold,
        edges=from_flags.edges_of(args),
    )
    for result in results:
        if folder is not None:
            folder.add(result)
        scene.add(result)
    logger.info("%s", scene.summary())
    for path in args.save:
        scene.save(path)
    for path in (output.folder, *args.save):
        logger.info("wrote %s", path)
    return len(scene.cameras)


def write_report(folder: Path, report: dict[str, Any]) -> None:
    with atomic_path(folder / REPORT) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n")
