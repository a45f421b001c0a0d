"""One run on the longest variant of a set, scored at each of its lengths.

The network is causal: what it says of the first 50 frames does not depend on the others. So 1,000 frames are prepared
and predicted once, and the runs on 50, 100, ... frames are scores of prefixes, in RUN/lengths/50, RUN/lengths/100, ...
Only a loop says something of earlier frames: with loops each length is predicted anew, there.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float

from eval.config import EvalConfig
from eval.published import long_set
from eval.run import EvaluationRun
from eval.sequences.sequence import Sequence
from eval.systems.saved import Predictions

FOLDER = "lengths"


@dataclass(frozen=True)
class Prefix:
    """The predictions of the first frames."""

    whole: Predictions
    frames: int

    def __len__(self) -> int:
        return self.frames

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)

    def cameras(self) -> Float[np.ndarray, "v 4 4"]:
        return self.whole.cameras()[: self.frames]

    def has_camera(self) -> Bool[np.ndarray, "v"]:
        return self.whole.has_camera()[: self.frames]

    def intrinsics(self) -> Float[np.ndarray, "v 3 3"] | None:
        known = self.whole.intrinsics()
        return None if known is None else known[: self.frames]


def require_lengths(protocol: str, config: EvalConfig) -> None:
    """Refuse lengths that are no prefixes of this run.

    Raises:
        ValueError: The set has no lengths, or not these, or the first frames depend on the last ones.
    """
    if not config.lengths:
        return
    long = long_set(config.dataset)
    if long is None or protocol == "monodepth":
        raise ValueError(
            f"{config.dataset} has no lengths for {protocol}; name a long set, such as dataset=tum_s1_1000"
        )
    wrong = [length for length in config.lengths if not 2 <= length < long[1]]
    if wrong:
        raise ValueError(
            f"lengths {wrong} are no beginnings of the {long[1]} frames of {config.dataset}; give 2 or more"
        )
    if config.loops and (config.workers > 1 or config.dask):
        raise ValueError("with loops each length is predicted anew, which workers do not share; leave out one of both")
    if config.revisit > 1:
        raise ValueError("with revisit > 1 the first frames depend on the last ones; run each length, or revisit=1")
    if config.every > 1:
        raise ValueError("every > 1 leaves out frames, and lengths count all; give one of the two")


def prefixes(run: EvaluationRun, lengths: list[int], *, anew: bool = False) -> list[EvaluationRun]:
    """Runs on the first frames of each sequence, from the predictions of `run`.

    Args:
        anew: Predict them, because what `run` says of them knows later frames.
    """
    long = long_set(run.dataset)
    assert long is not None or not lengths
    made = [_prefix(run, lengths, length, long[0]) for length in sorted(set(lengths))] if long else []
    return [replace(each, system=run.system, find=None) for each in made] if anew else made


def beginnings(folder: Path) -> list[Path]:
    """The folders of the runs on prefixes that a run's folder holds, the shortest first."""
    found = [path.parent for path in folder.glob(f"{FOLDER}/*/run.json")]
    return sorted(found, key=lambda path: int(path.name) if path.name.isdigit() else 0)


def _prefix(run: EvaluationRun, lengths: list[int], length: int, family: str) -> EvaluationRun:
    whole = {sequence.name: sequence for sequence in run.sequences}
    mine = {sequence.name for sequence in run.mine}
    cut = [sequence.first(length) for sequence in run.sequences]
    find: Callable[[Sequence], Predictions] = lambda sequence: cast(  # noqa: E731
        Predictions, Prefix(run.predictions(whole[sequence.name]), len(sequence))
    )
    dataset = f"{family}_{length}"
    facts = {**run.facts, "dataset": dataset, "prefix_of": run.dataset, "lengths": sorted(set(lengths))}
    return replace(
        run,
        folder=run.folder / FOLDER / str(length),
        sequences=cut,
        share=[sequence for sequence in cut if sequence.name in mine],
        system=None,
        find=find,
        dataset=dataset,
        facts=facts,
    )
