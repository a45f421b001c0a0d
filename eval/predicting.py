"""Predictions of one sequence: at once, or in parts that several processes share; what is there is not made again.

A sequence of many streams, such as single pictures, is cut into parts of whole streams. Each part is a folder like that
of a sequence (RUN/predictions/.parts/SEQUENCE/0032_0064/depth/...); when all are there, they become the sequence's.
"""

import logging
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cut3r.speed.machine import commit, cpu_name, now
from eval.clock import Clock, total_cost
from eval.fingerprints import are_of, pictures_of
from eval.protocols.base import EvaluationProtocol
from eval.sequences.sequence import Sequence
from eval.systems.base import System
from eval.systems.saved import read_record
from eval.systems.writing import PredictionWriter, join_predictions

logger = logging.getLogger(__name__)

PACKAGES = ("torch", "numpy", "scipy", "evo", "open3d")
ROOT = Path(__file__).parents[1]
PICTURES = 32  # of a part, if streams are no longer
Part = tuple[Sequence, range]  # numbers of pictures


@dataclass(frozen=True)
class Predictor:
    """A system that fills a run's folder.

    Args:
        folder: Of the run.
        keep: Type of predictions on disk.
        tick: Called for each frame that was predicted.
    """

    folder: Path
    protocol: EvaluationProtocol
    system: System
    keep: str
    tick: Callable[[], None]

    def predict(self, sequence: Sequence) -> None:
        """Predict what is missing of a sequence."""
        folder, parts = predictions_folder(self.folder, sequence.name), parts_of(self.protocol, sequence)
        if is_predicted(self.folder, sequence):
            return
        if read_record(folder) is not None:
            logger.warning("the pictures of %s are not those of its predictions; it is predicted anew", sequence.name)
        if len(parts) == 1:
            self._write(folder, sequence, None)
            return
        for part in parts:
            self.predict_part(sequence, part)
        folders = [part_folder(self.folder, sequence.name, part) for part in parts]
        join_predictions(folders, folder, _joined(folders) | {"pictures": pictures_of(sequence)})
        shutil.rmtree(folders[0].parent)

    def predict_part(self, sequence: Sequence, part: range) -> None:
        """Predict a part of a sequence of several streams, if it is missing."""
        folder = part_folder(self.folder, sequence.name, part)
        record = read_record(folder)
        if record is None or not are_of(record, sequence.rows(slice(part.start, part.stop))):
            self._write(folder, sequence, part)
            return
        for _ in part:
            self.tick()

    def _write(self, folder: Path, sequence: Sequence, part: range | None) -> None:
        piece = sequence if part is None else sequence.rows(slice(part.start, part.stop))
        order = self.protocol.order(sequence) if part is None else None
        clock, pictures = Clock(self.tick), pictures_of(piece)
        with PredictionWriter(
            folder, piece.stems, order=order, dtype=np.dtype(self.keep), pictures=pictures["content"]
        ) as writer:
            for _ in range(writer.done):
                self.tick()
            bookmark = writer if part is None else None
            said = self.protocol.predict(self.system, sequence, clock.read, part=part, bookmark=bookmark)
            for prediction in clock.watch(said):
                writer.add(prediction)
            writer.complete({"pictures": pictures, **clock.record(), "environment": environment()})


def parts_of(protocol: EvaluationProtocol, sequence: Sequence) -> list[range]:
    """Cut a sequence into parts of whole streams, by the number of their pictures; one stream is one part."""
    parts, first = [], 0
    for stream in protocol.streams(sequence):
        if stream.stop - first >= PICTURES or stream.stop == len(sequence):
            parts.append(range(first, stream.stop))
            first = stream.stop
    return parts


def missing_parts(
    folder: Path, protocol: EvaluationProtocol, sequences: list[Sequence]
) -> list[tuple[Sequence, range]]:
    """List the parts that may still have to be predicted, of the sequences that have several."""
    cut = {each.name: parts_of(protocol, each) for each in sequences if not is_predicted(folder, each)}
    return [(each, part) for each in sequences for part in cut.get(each.name, ()) if len(cut[each.name]) > 1]


def is_predicted(folder: Path, sequence: Sequence) -> bool:
    """Whether a run's folder has complete predictions of these very pictures."""
    record = read_record(predictions_folder(folder, sequence.name))
    return record is not None and are_of(record, sequence)


def predictions_folder(folder: Path, sequence: str) -> Path:
    return folder / "predictions" / sequence


def part_folder(folder: Path, sequence: str, part: range) -> Path:
    return folder / "predictions" / ".parts" / sequence / f"{part.start:04d}_{part.stop:04d}"


def _joined(folders: list[Path]) -> dict[str, Any]:
    """Put together what was measured of parts."""
    records = [record for folder in folders if (record := read_record(folder)) is not None]
    sums = {key: sum(record.get(key, 0) for record in records) for key in ("decoding_seconds", "frames_timed")}
    return {**total_cost(records), **sums, "environment": records[-1]["environment"]}


def environment() -> dict[str, Any]:
    """The program and the machine."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() and torch.cuda.is_initialized() else None
    return {
        "date": now(),
        "commit": commit(ROOT),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "cpu": cpu_name(),
        "gpu": gpu,
        "threads": torch.get_num_threads(),
    }
