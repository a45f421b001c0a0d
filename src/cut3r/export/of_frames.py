"""Parts of an exported folder that show every frame of the run, also those that are not exported as pictures."""

from collections.abc import Callable
from pathlib import Path

from cut3r.export.config import ExportConfig
from cut3r.export.rerun_sink import RerunSink
from cut3r.export.videos import Progress, write_depth_video, write_fly_through
from cut3r.run.finished import FinishedRun
from cut3r.run.formats import Part
from cut3r.run.known import Known


def write_recording(
    run: FinishedRun, path: Path, config: ExportConfig | None = None, *, on_progress: Progress | None = None
) -> None:
    """Write a recording for Rerun, see `RerunSink`."""
    config = config or ExportConfig()
    sink = RerunSink(path, confidence=config.confidence, edges=config.edges)
    sink.begin()
    try:
        for number, (view, _) in enumerate(run.views(Known())):
            sink.add(view)
            if on_progress is not None:
                on_progress("writing the recording", number + 1, run.count)
    finally:
        sink.finish()


OF_RUN: dict[Part, Callable[..., None]] = {
    Part.depth_video: write_depth_video,
    Part.flight: write_fly_through,
    Part.rerun: write_recording,
}
