"""From sequences and a system to scores on disk, resumable: a run's folder remembers what is done.

    run.json               what decides the predictions, and the program and machine they were made with
    predictions/<seq>/     what the system said (eval.systems.saved)
    scores/<seq>.json      the numbers, and the settings they were computed with
    look/<seq>.npz         small arrays for the report's pictures
    result.json            the averages

Each file or folder appears when it is complete. Finished sequences are not run again, and an interrupted one goes on
where it was (eval.systems.writing); scores of other settings are
computed again from the predictions that are there; predictions of other settings are refused. Pictures, truth or
predictions that have changed since (eval.fingerprints) are noticed, and what depends on them is made anew.
"""

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from cut3r.files.atomic import atomic_path
from eval.clock import total_cost
from eval.config import Stage
from eval.fingerprints import inputs_of
from eval.predicting import Part, Predictor, environment, is_predicted, predictions_folder
from eval.protocols.base import SCORING, EvaluationProtocol, NotScoredError, Score, summarize
from eval.sequences.prepared import prepared_otherwise
from eval.sequences.sequence import Sequence
from eval.systems.base import System
from eval.systems.saved import Predictions, SavedPredictions, read_record, write_json

logger = logging.getLogger(__name__)


class OtherRunError(ValueError):
    """The folder holds predictions of other settings."""


@dataclass(frozen=True)
class EvaluationRun:
    """One system on one set by one protocol.

    Args:
        share: The sequences that this process takes care of; all by default.
        find: Where finished predictions of another system lie, instead of a system.
        described: Everything that decides what `find` gives; by default its folder, as `facts` name it.
        dataset, name: Of the set and of the system, in tables; by default the system's own name.
        parity: Whether the protocol and the set are in parity mode.
        facts: What else the report says about the run: weights, settings.
        keep: Type of predictions on disk.
        tick: Called after each frame that was predicted, and after each one that was scored.
    """

    folder: Path
    protocol: EvaluationProtocol
    sequences: list[Sequence]
    system: System | None = None
    find: Callable[[Sequence], Predictions] | None = None
    share: list[Sequence] | None = None
    described: dict[str, Any] | None = None
    dataset: str = "own"
    name: str = ""
    parity: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    keep: str = "float32"
    tick: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        assert (self.system is None) != (self.find is None)
        described = "files" if self.system is None else self.system.describe().get("system", "system")
        own = {"dataset": self.dataset, "name": self.name or str(described), "parity": self.parity}
        whole = {"complete": True, "every": 1, "only": []}
        object.__setattr__(self, "facts", {"protocol": self.protocol.name, **own, **whole, **self.facts})

    @property
    def mine(self) -> list[Sequence]:
        return self.sequences if self.share is None else self.share

    def begin(self, *, overwrite: bool = False) -> None:
        """Claim the folder; one process calls this before the others start.

        Raises:
            OtherRunError: It holds a run of other settings, and is not to be overwritten.
        """
        identity, machine = self._identity(), environment()
        path = self.folder / "run.json"
        if path.is_file():
            content = json.loads(path.read_text())
            earlier = content["identity"]
            changed = [key for key in identity.keys() | earlier.keys() if identity.get(key) != earlier.get(key)]
            if changed and not overwrite:
                differences = ", ".join(f"{k}: {earlier.get(k)} there, {identity.get(k)} now" for k in sorted(changed))
                raise OtherRunError(
                    f"{self.folder} holds predictions of another run ({differences}); give another out=FOLDER, or "
                    "overwrite=true to delete them"
                )
            if not changed:
                machine = content["environment"]  # the one that the first predictions were made on
            if overwrite:
                for part in ("predictions", "scores", "look"):
                    shutil.rmtree(self.folder / part, ignore_errors=True)
        expected = [sequence.name for sequence in self.sequences]
        begun = {"identity": identity, "facts": self.facts, "sequences": expected, "environment": machine}
        write_json(path, {**begun, "prepared_otherwise": self.prepared_otherwise})

    @property
    def prepared_otherwise(self) -> list[str]:
        """The sequences that were not prepared in the mode that they are scored in."""
        return prepared_otherwise(self.sequences, parity=self.facts["parity"])

    def predictions(self, sequence: Sequence) -> Predictions:
        """Find what was predicted for a sequence."""
        if self.find is not None:
            return self.find(sequence)
        return SavedPredictions(predictions_folder(self.folder, sequence.name), sequence.stems)

    def work(self, stage: Stage = Stage.all) -> None:
        """Predict and score this process's sequences, as far as they are not finished."""
        for sequence in self.mine:
            with guarded(sequence, self.folder):
                if stage is not Stage.score and self.system is not None:
                    self._predictor(self.system).predict(sequence)
                if stage is not Stage.predict:
                    self._score(sequence)

    def work_on_parts(self, parts: list[Part]) -> None:
        """Predict some of the parts of sequences of many streams; `work` puts them together."""
        for sequence, part in parts:
            with guarded(sequence, self.folder):
                self.predict_part(sequence, part)

    def predict_part(self, sequence: Sequence, part: range) -> None:
        """Predict one of them, if it is missing; raises what goes wrong."""
        assert self.system is not None
        self._predictor(self.system).predict_part(sequence, part)

    def is_scored(self, sequence: Sequence) -> bool:
        """Whether there is a score of these settings, perhaps of other files."""
        path = score_path(self.folder, sequence.name)
        content = json.loads(path.read_text()) if path.is_file() else {}
        return "score" in content and content["settings"] == self._score_identity(sequence)

    def not_predicted(self) -> dict[str, str]:
        """Name the sequences without complete predictions, with the reason."""
        missing = [each.name for each in self.sequences if not is_predicted(self.folder, each)]
        return {name: read_outcome(self.folder, name).get("failed", "not predicted yet") for name in missing}

    def finish(self) -> dict[str, Any]:
        """Put the scores of all sequences together; one process calls this at the end."""
        contents = {s.name: read_outcome(self.folder, s.name) for s in self.sequences}
        scores = self.scores()
        left_out = {name: content["left_out"] for name, content in contents.items() if "left_out" in content}
        failed = {name: content["failed"] for name, content in contents.items() if "failed" in content}
        result = {
            "protocol": self.protocol.name,
            "facts": self.facts,
            "coverage": {
                "expected": len(self.sequences),
                "scored": len(scores),
                "left_out": left_out,
                "failed": failed,
            },
            "not_counted": not_counted(scores),
            "prepared_otherwise": self.prepared_otherwise,
            "cost": total_cost([content["cost"] for content in contents.values() if content.get("cost")]),
            "summary": summarize(scores, weighted=self.protocol.weighted) if scores else {},
        }
        write_json(self.folder / "result.json", result)
        return result

    def scores(self) -> dict[str, Score]:
        """Read the scores of the sequences that have one."""
        contents = {s.name: read_outcome(self.folder, s.name) for s in self.sequences}
        return {name: Score.from_json(content["score"]) for name, content in contents.items() if "score" in content}

    def _identity(self) -> dict[str, Any]:
        """What decides the predictions."""
        files = {"system": "files", "predictions": self.facts.get("predictions"), "layout": self.facts.get("layout")}
        found = self.described or files
        described = found if self.system is None else {**self.system.describe(), "keep": self.keep}
        set_facts = {name: self.facts.get(name) for name in ("dataset", "every")}
        return {"protocol": self.protocol.name, **set_facts, **self.protocol.identity(), **described}

    def _score_identity(self, sequence: Sequence) -> dict[str, Any]:
        """What decides the scores, beside what they are computed from."""
        return {**self.protocol.settings(), "frames": len(sequence), "scoring": SCORING}

    def _predictor(self, system: System) -> Predictor:
        return Predictor(self.folder, self.protocol, system, self.keep, self.tick)

    def _score(self, sequence: Sequence) -> None:
        cost = read_record(predictions_folder(self.folder, sequence.name))
        if self.system is not None and cost is not None and not is_predicted(self.folder, sequence):
            raise ValueError(f"the predictions of {sequence.name} are of other pictures; predict anew (stage=all)")
        settings, predictions = self._score_identity(sequence), self.predictions(sequence)
        inputs = inputs_of(sequence, predictions)
        if read_score(self.folder, sequence.name, settings, inputs) is not None:
            return
        watched = Watched(predictions, self.tick)
        try:
            score, look = self.protocol.score(sequence, cast(Predictions, watched))
        finally:
            watched.finish(len(sequence))
        with atomic_path(self.folder / "look" / f"{sequence.name}.npz") as temporary:
            np.savez_compressed(temporary, **look)  # type: ignore[arg-type]
        write_json(
            score_path(self.folder, sequence.name),
            {
                "sequence": sequence.name,
                "settings": settings,
                "inputs": inputs,
                "score": score.to_json(),
                "cost": cost,
                "facts": self.facts,
                "environment": environment(),
            },
        )


def not_counted(scores: dict[str, Score]) -> dict[str, int]:
    """Count what protocols leave out of sequences that have a score, by the name of the note."""
    notes = [score.notes for score in scores.values()]
    return {
        "unknown_cameras": sum(each.get("unknown_cameras", 0) for each in notes),
        "pictures_without_camera": sum(each.get("pictures_without_camera", 0) for each in notes),
        "pictures_without_truth": sum(len(each.get("pictures_without_truth", ())) for each in notes),
    }


class Watched:
    """Predictions that are being scored: each frame counts when it is first asked for, the rest at the end."""

    def __init__(self, predictions: Predictions, tick: Callable[[], None]) -> None:
        self._predictions, self._tick = predictions, tick
        self._seen: set[int] = set()

    def __len__(self) -> int:
        return len(self._predictions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictions, name)

    def depth(self, number: int) -> np.ndarray:
        return self._counted(number, self._predictions.depth)

    def points(self, number: int) -> np.ndarray:
        return self._counted(number, self._predictions.points)

    def finish(self, frames: int) -> None:
        for _ in range(frames - len(self._seen)):
            self._tick()

    def _counted(self, number: int, read: Callable[[int], np.ndarray]) -> np.ndarray:
        array = read(number)
        if number not in self._seen:
            self._seen.add(number)
            self._tick()
        return array


@contextmanager
def guarded(sequence: Sequence, folder: Path) -> Iterator[None]:
    """Work on one sequence; what goes wrong is kept under its name, and the others go on."""
    path = score_path(folder, sequence.name)
    try:
        yield
    except NotScoredError as error:
        logger.warning("%s is left out: %s", sequence.name, error)
        write_json(path, {"sequence": sequence.name, "left_out": str(error)})
    except (ValueError, OSError) as error:  # files that do not hold what they should; the sentence says it all
        logger.error("%s failed: %s", sequence.name, error, exc_info=logger.isEnabledFor(logging.DEBUG))
        write_json(path, {"sequence": sequence.name, "failed": f"{type(error).__name__}: {error}"})
    except Exception as error:  # whatever it is: a set is not lost because of one sequence
        logger.exception("%s failed", sequence.name)
        write_json(path, {"sequence": sequence.name, "failed": f"{type(error).__name__}: {error}"})


def score_path(folder: Path, sequence: str) -> Path:
    return folder / "scores" / f"{sequence}.json"


def read_outcome(folder: Path, sequence: str) -> dict[str, Any]:
    """Give what is written of a sequence: its score, or why it has none ("left_out", "failed"); {} if nothing is."""
    path = score_path(folder, sequence)
    content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return content


def read_score(
    folder: Path, sequence: str, settings: dict[str, Any], inputs: dict[str, str | None]
) -> dict[str, Any] | None:
    """Give a sequence's score if it was computed with these settings from these files; failures are tried again."""
    content = read_outcome(folder, sequence)
    same = "score" in content and content["settings"] == settings and content.get("inputs") == inputs
    return content if same else None
