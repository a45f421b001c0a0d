"""Runs read from their folders, complete and checked; what is wrong with a folder is said with the remedy."""

import json
import math
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from eval.lengths import beginnings
from eval.protocols.base import Look, Score, summarize
from eval.report.repeat import command
from eval.systems.saved import number
from eval.tables import Counts

NAMED = 8  # sequences that a message names


class RunError(ValueError):
    """A folder that is no run, or not a finished and readable one; the message says what to do."""


class PicturesMissingError(RunError):
    """The arrays for a sequence's pictures are not there or cannot be read."""


@dataclass(frozen=True)
class SequenceResult:
    """One scored sequence: its numbers, and what it cost to predict (None if it was predicted elsewhere)."""

    name: str
    score: Score
    settings: dict[str, Any]
    cost: dict[str, Any] | None

    def mean(self, group: str, metric: str) -> float | None:
        """Average a metric over the sequence's items."""
        values = [float(i.metrics[metric]) for i in self.score.groups.get(group, []) if metric in i.metrics]
        return sum(values) / len(values) if values else None


@dataclass(frozen=True)
class Run:
    """One system on one set by one protocol, finished.

    Attributes:
        label: Name of the system, unique among the runs of the set.
        identity, facts: What decides the predictions, and what else was set (eval/run.py, eval/build.py).
        environment: Program and machine that made the predictions.
        left_out, failed: Reasons by sequence.
        summary: Averages: group -> metric -> headline, mean, weighted, median, items.
        prepared_otherwise: Sequences that were prepared for the other mode.
    """

    folder: Path
    label: str
    identity: dict[str, Any]
    facts: dict[str, Any]
    environment: dict[str, Any]
    expected: tuple[str, ...]
    sequences: dict[str, SequenceResult]
    left_out: dict[str, str]
    failed: dict[str, str]
    summary: dict[str, dict[str, dict[str, float]]]
    prepared_otherwise: tuple[str, ...] = ()

    @property
    def protocol(self) -> str:
        return str(self.facts["protocol"])

    @property
    def dataset(self) -> str:
        return str(self.facts["dataset"])

    @property
    def every(self) -> int:
        return int(self.facts.get("every", 1))

    @property
    def parity(self) -> bool:
        return bool(self.facts["parity"])

    @property
    def whole(self) -> bool:
        """Whether the set was run as it is published: all sequences, all frames."""
        return bool(self.facts["complete"]) and not self.facts["only"] and self.every == 1

    @property
    def settings(self) -> dict[str, Any] | None:
        """How sequences were scored; None if none was."""
        return next((each.settings for each in self.sequences.values()), None)

    @property
    def command(self) -> str:
        return command(self.folder, self.facts, self.identity, self.settings)

    def headline(self, group: str) -> dict[str, float]:
        """The averages of one group, as the protocol weighs them."""
        return {metric: numbers["headline"] for metric, numbers in self.summary.get(group, {}).items()}

    def counts(self, group: str) -> Counts:
        items = max((int(numbers["items"]) for numbers in self.summary.get(group, {}).values()), default=0)
        return Counts(len(self.expected), len(self.sequences), len(self.left_out), len(self.failed), items)

    def look(self, sequence: str) -> Look:
        """Read the small arrays for a sequence's pictures.

        Raises:
            PicturesMissingError: They are not there, or damaged.
        """
        path = self.folder / "look" / f"{sequence}.npz"
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                return dict(file)
        except FileNotFoundError:
            raise PicturesMissingError(f"there is no {path}; {self._again(sequence)}") from None
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise PicturesMissingError(f"{path} is damaged ({error}); {self._again(sequence)}") from error

    def _again(self, sequence: str) -> str:
        return f"delete {self.folder / 'scores' / sequence}.json and run again: {self.command}"


def read_runs(folders: list[Path]) -> list[Run]:
    """Read finished runs, with those on their beginnings (eval.lengths), and tell those of the same set apart by name.

    Raises:
        RunError: One of the folders is no run, or not finished, or damaged, or given twice.
    """
    resolved = [folder.resolve() for folder in folders]
    twice = next((folder for n, folder in enumerate(folders) if resolved[n] in resolved[:n]), None)
    if twice is not None:
        raise RunError(f"{twice} is given twice; give each run once")
    return label([read_run(each) for folder in folders for each in (folder, *beginnings(folder))])


def label(runs: list[Run]) -> list[Run]:
    """Make labels unique within each set: by mode, then by the name of the folder, then by number."""
    for tell_apart in (
        lambda run, n: f"{run.label} (parity)" if run.parity else run.label,
        lambda run, n: f"{run.label}, 1 of {run.every} frames" if run.every > 1 else run.label,
        lambda run, n: f"{run.label} ({run.folder.name})",
        lambda run, n: f"{run.label} {n}",
    ):
        keys = [(run.protocol, run.dataset, run.label) for run in runs]
        runs = [
            replace(run, label=tell_apart(run, n)) if keys.count(key) > 1 else run
            for n, (run, key) in enumerate(zip(runs, keys, strict=True), start=1)
        ]
    return runs


def read_run(folder: Path) -> Run:
    """Read one finished run.

    Raises:
        RunError: The folder is no run, or not finished, or damaged.
    """
    if not (folder / "run.json").is_file():
        raise RunError(_no_run(folder))
    begun = _read(folder / "run.json", "it was written by another program or cut short; make the run anew")
    try:
        facts, identity = begun["facts"], begun["identity"]
        expected = tuple(begun["sequences"])
        again = command(folder, facts, identity)
        contents = _read_scores(folder, expected, again)
        remedy = f"delete it and run again: {again}"
        result = _read(folder / "result.json", remedy)
        averages = {
            group: {metric: {key: number(value) for key, value in row.items()} for metric, row in metrics.items()}
            for group, metrics in result["summary"].items()
        }
        sequences = {name: _sequence(name, each) for name, each in contents.items() if "score" in each}
        if not _averages_fit(averages, sequences):
            raise RunError(f"{folder} was begun again and is not finished: the averages are older; finish it: {again}")
        return Run(
            folder=folder,
            label=str(facts["name"]),
            identity=identity,
            facts=facts,
            environment=begun["environment"],
            expected=expected,
            sequences=sequences,
            left_out=result["coverage"]["left_out"],
            failed=result["coverage"]["failed"],
            summary=averages,
            prepared_otherwise=tuple(begun["prepared_otherwise"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{folder} is not a run as this version writes it ({error!r}); make the run anew") from error


def _read_scores(folder: Path, expected: tuple[str, ...], again: str) -> dict[str, dict[str, Any]]:
    """Read each sequence's file; the run is finished when all are there and the averages too."""
    paths = {name: folder / "scores" / f"{name}.json" for name in expected}
    missing = [name for name, path in paths.items() if not path.is_file()]
    if missing or not (folder / "result.json").is_file():
        what = f"{len(missing)} of {len(expected)} sequences have no result" if missing else "the averages are missing"
        raise RunError(f"{folder} is not finished: {what}{_list(missing)}; finish it: {again}")
    remedy = f"delete it and run again, the other sequences are kept: {again}"
    return {name: _read(path, remedy) for name, path in paths.items()}


def _averages_fit(averages: dict[str, dict[str, dict[str, float]]], sequences: dict[str, SequenceResult]) -> bool:
    """Whether the averages of result.json were made from these scores."""
    if not sequences:
        return averages == {}
    again = summarize({name: sequence.score for name, sequence in sequences.items()}, weighted=False)
    pairs = [
        (again[group][metric]["mean"], numbers["mean"])
        for group, metrics in averages.items()
        for metric, numbers in metrics.items()
        if metric in again.get(group, {})
    ]
    complete = {g: set(m) for g, m in again.items()} == {g: set(m) for g, m in averages.items()}
    return complete and all(math.isclose(a, b, rel_tol=1e-9) or (math.isnan(a) and math.isnan(b)) for a, b in pairs)


def _sequence(name: str, content: dict[str, Any]) -> SequenceResult:
    return SequenceResult(name, Score.from_json(content["score"]), content["settings"], content["cost"])


def _read(path: Path, remedy: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}); {remedy}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} holds no JSON object; {remedy}")
    return content


def _no_run(folder: Path) -> str:
    if not folder.is_dir():
        return f"there is no folder {folder}; give folders that python -m eval.PROTOCOL wrote"
    below = sorted(str(path.parent) for path in folder.glob("**/run.json"))
    hint = f"; below it are runs{_list(below)}" if below else ""
    return f"{folder} is no run, it has no run.json; give folders that python -m eval.PROTOCOL wrote{hint}"


def _list(names: list[str]) -> str:
    if not names:
        return ""
    return ": " + ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
