"""What is needed of the frames of a stream until they are exported, on the disk: depth, pictures, places of chunks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from cut3r.export.config import ExportConfig, Progress
from cut3r.export.kept import KeptPictures
from cut3r.export.of_run import RunExport
from cut3r.geometry.registration import Similarity
from cut3r.inference.chunk_file import write_places
from cut3r.inference.frame_folder import FrameFolder
from cut3r.inference.result import FrameResult
from cut3r.inference.view import View
from cut3r.io.frame import Frame
from cut3r.model.prediction import Prediction
from cut3r.run.finished import FinishedRun, those_of

OpenFrames = Callable[[], Iterable[Frame]]


class FrameStore:
    """Takes results and writes them down: 2 MB per frame of 512x384, and its picture. In memory there are only names.

    Args:
        folder: Of its own; whoever made it removes it.
        pictures: jpg or png: how pictures are kept that are no files.
        originals: Opens the original frames again, instead of keeping their pictures.
    """

    def __init__(self, folder: Path, *, pictures: str, originals: OpenFrames | None = None) -> None:
        self._folder, self._originals = folder, originals
        self._frames = FrameFolder(folder)
        self._pictures = KeptPictures(folder / "pictures", f".{pictures}")
        self._places: dict[int, Similarity] = {}

    def add(self, result: FrameResult | View) -> None:
        result = _as_result(result) if isinstance(result, View) else result
        self._frames.add(result)
        if self._originals is None:
            self._pictures.add(result)
        if result.world_from_chunk is not None:
            self._places[result.chunk] = result.world_from_chunk
        self._places |= result.moves

    def move(self, chunk: int, world_from_chunk: Similarity) -> None:
        self._places[chunk] = world_from_chunk

    def export(self, config: ExportConfig, on_progress: Progress | None = None) -> RunExport:
        """What a folder is made of, with all frames so far."""
        write_places(self._folder, self._places)
        again = self._originals
        return RunExport(
            FinishedRun(self._folder),
            config,
            originals=self._pictures.frames if again is None else partial(_of, again),
            masked=self._pictures.masked,
            on_progress=on_progress,
        )


def _of(originals: OpenFrames, wanted: Sequence[tuple[int, str]]) -> Iterator[Frame]:
    return those_of(wanted, iter(originals()))


def _as_result(view: View) -> FrameResult:
    """The picture of the frame is that of the network: the original one is not at hand."""
    prediction = Prediction(
        points_cam=view.points[None], conf_cam=view.confidence[None], world_from_cam=view.chunk_from_cam[None]
    )
    return FrameResult(
        Frame(view.image, view.index, view.time_s, view.name, view.source),
        view.number,
        view.image,
        prediction,
        torch.as_tensor(view.intrinsics),
        view.pixel_map,
        view.valid,
        chunk=view.chunk,
        world_from_chunk=view.world_from_chunk,
        moves=view.moves,
        pose_is_given=view.pose_is_given,
    )
