"""The page of a run that flags ask for: it is served, says how long the run takes, and offers all files."""

import argparse
import logging
from contextlib import ExitStack
from pathlib import Path

from cut3r.export.downloads import downloads_of
from cut3r.export.saving import masks_of
from cut3r.inference.reconstruction import Reconstruction
from cut3r.run.from_flags import edges_of
from cut3r.viewer.app import Viewer
from cut3r.viewer.config import ViewerConfig
from cut3r.viewer.query import Query
from cut3r.viewer.serving import serve

logger = logging.getLogger(__name__)


def open_page(
    args: argparse.Namespace,
    stack: ExitStack,
    folder: Path,
    scene: Reconstruction | None = None,
    *,
    query: Query | None = None,
    expected: int | None = None,
) -> Viewer:
    """Serve the page until the stack is left.

    Args:
        folder: Of the run, from which its people download what --save and --export write.
        scene: Of a run that goes on.
        expected: Frames of the whole run, if that is known.
    """
    options = ViewerConfig(confidence=args.vis_threshold, edges=edges_of(args))
    viewer = stack.enter_context(serve(args.port, host=args.host, options=options, query=query))
    viewer.expect(expected)
    confidence, masks = options.confidence, masks_of(args)
    viewer.give(downloads_of(folder, scene=scene, confidence=confidence, edges=options.edges, masks=masks))
    logger.info("watch it grow at %s", viewer.url)
    return viewer
