"""What is wrong with frames that do not fit together? The convention that explains them best, or "cannot tell"."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import product

import numpy as np

from cut3r.data.camera_fit import fit_camera
from cut3r.data.hypotheses import (
    AS_GIVEN,
    POSES,
    RAY_DEPTH,
    SCALES,
    SCRAMBLED,
    SINGLE,
    SWAPPED,
    TRANSPOSED,
    Hypothesis,
    both,
)
from cut3r.data.principal_point import find_principal_point
from cut3r.data.trials import BETTER, ERROR_FLOOR, Pairs, Trial, attempt, beats, best_scale, trials

FITS = 0.05  # largest median depth error of frames that fit together: a sensor's noise is less
LEAST_SEEN = 0.05  # share of the points that must be seen again
LEAST_LIKE = 0.9  # photometric error, of chance, that pictures of the same place stay below
BLURRED = 1.05  # a hypothesis may raise the photometric error by so much


class Verdict(Enum):
    fits = "fits"
    wrong = "wrong"
    unclear = "cannot tell"


@dataclass(frozen=True)
class Diagnosis:
    """The judgement of several pairs. `best` is `as_given` unless another convention explains the pairs.

    `table` holds all that was tried, best first; `not_ruled_out` names conventions that fit as well, which these pairs
    cannot tell apart (shifts of the principal point, which most pairs cannot tell, are not among them).
    """

    verdict: Verdict
    as_given: Trial
    best: Trial
    table: tuple[Trial, ...]
    not_ruled_out: tuple[str, ...]
    sentence: str


def diagnose(pairs: Pairs) -> Diagnosis:
    """Judge pairs of frames that should see the same things, best five or more, some frames apart.

    The given convention stays unless another one has a clearly smaller error in nearly all pairs and fits; of two that
    fit alike, none is named.

    Raises:
        ValueError: There are no pairs, or a pose is not rigid.
    """
    if not pairs:
        raise ValueError("no pairs of frames to judge; give pairs of frames of one scene that overlap")
    tried = trials(pairs, SINGLE)
    scaled = None if any(map(_flawless, tried)) else best_scale(pairs)
    if scaled is not None and all(scaled.hypothesis.name != trial.hypothesis.name for trial in tried):
        tried.append(scaled)
    if not any(map(fits, tried)):
        tried += _two_mistakes(pairs)
    as_given = tried[0]
    better = [trial for trial in tried[1:] if _explains(trial, as_given)]
    if better:
        return _wrong(pairs, tried, better)
    if not fits(as_given):
        found = _measured(pairs, (fit_camera,))
        if found is not None:
            return _result(Verdict.wrong, [*tried, found], found, (), _mistake(as_given, found))
        return _result(Verdict.unclear, tried, as_given, (), _nothing_fits(pairs, tried))
    alike = {trial.hypothesis.name for trial in tried[1:] if not beats(as_given, trial)}
    if {pose.name for pose in POSES} <= alike:
        return _result(
            *(Verdict.unclear, tried, as_given, tuple(sorted(alike))),
            f"cannot tell: every convention of the poses fits ({percent(as_given.depth_error)} error), so the camera "
            "hardly moves between these frames, or all depths are alike; choose frames farther apart",
        )
    found = _measured(pairs, (find_principal_point, fit_camera))
    if found is not None:
        return _result(Verdict.wrong, [*tried, found], found, (), _mistake(as_given, found))
    open_names = [hypothesis.name for hypothesis in SINGLE if hypothesis.name in alike]
    return _result(Verdict.fits, tried, as_given, tuple(open_names), _agreement(as_given, open_names))


def _measured(pairs: Pairs, searches: Sequence[Callable[[Pairs], Hypothesis | None]]) -> Trial | None:
    """Try what the first search finds that finds anything."""
    hypothesis = next((found for search in searches if (found := search(pairs)) is not None), None)
    trial = None if hypothesis is None else attempt(pairs, hypothesis)
    return trial if trial is not None and fits(trial) else None


def fits(trial: Trial) -> bool:
    """Whether frames agree as those of one scene with right conventions do. False where nothing could be compared."""
    similar = not trial.photometric >= LEAST_LIKE  # nan, of pictures of one colour, says nothing
    return trial.depth_error <= FITS and trial.seen_again >= LEAST_SEEN and similar


def _flawless(trial: Trial) -> bool:
    """Whether no other could be clearly better."""
    return fits(trial) and trial.depth_error <= (BETTER - 1) * ERROR_FLOOR


def _explains(trial: Trial, as_given: Trial) -> bool:
    blurred = trial.photometric > BLURRED * as_given.photometric
    return fits(trial) and beats(trial, as_given) and not blurred


def _two_mistakes(pairs: Pairs) -> list[Trial]:
    """Combinations of a mistake in the poses, in the depth, in its unit and in the intrinsics."""
    kinds = product(
        (AS_GIVEN, *POSES), (AS_GIVEN, RAY_DEPTH), (AS_GIVEN, *SCALES), (AS_GIVEN, TRANSPOSED, SWAPPED, SCRAMBLED)
    )
    several = [combination for combination in kinds if sum(part is not AS_GIVEN for part in combination) == 2]
    combined = [both(*(part for part in combination if part is not AS_GIVEN)) for combination in several]
    return trials(pairs, combined)[1:]


def _wrong(pairs: Pairs, tried: list[Trial], better: Sequence[Trial]) -> Diagnosis:
    best = min(better, key=_rank)
    rivals = [trial for trial in better if trial is not best and not beats(best, trial)]
    if rivals:
        names = tuple(trial.hypothesis.name for trial in (best, *rivals))
        sentence = (
            f"cannot tell which mistake it is: {'; or '.join(names)} (error {percent(tried[0].depth_error)} -> "
            f"{percent(best.depth_error)}); choose frames that are farther apart, and turned"
        )
        return _result(Verdict.unclear, tried, tried[0], names, sentence)
    correct = best.hypothesis.correct
    rest = diagnose([(correct(a), correct(b)) for a, b in pairs])  # ends: each mistake found lowers the error
    if rest.verdict is Verdict.wrong:
        best = replace(rest.best, hypothesis=both(best.hypothesis, rest.best.hypothesis))
        tried = [*tried, best]
    return _result(Verdict.wrong, tried, best, rest.not_ruled_out, _mistake(tried[0], best))


def _mistake(as_given: Trial, best: Trial) -> str:
    looks, check = best.hypothesis.looks, best.hypothesis.check
    return f"{looks}: error {percent(as_given.depth_error)} -> {percent(best.depth_error)}; check {check}"


def _agreement(as_given: Trial, alike: Sequence[str]) -> str:
    seen, error = percent(as_given.seen_again), percent(as_given.depth_error)
    sentence = f"the conventions fit: {seen} of the points are seen again, with {error} error of depth"
    return f"{sentence}; these pairs do not rule out: {', '.join(alike)}" if alike else sentence


def percent(share: float) -> str:
    """Two digits or three: 87 %, 2.5 %, 0.07 %."""
    if np.isnan(share):
        return "unknown"
    decimals = 0 if share >= 0.0995 else 1 if share >= 0.00995 else 2
    return f"{100 * share:.{decimals}f} %"


def _nothing_fits(pairs: Pairs, tried: Sequence[Trial]) -> str:
    as_given, nearest = tried[0], min(tried, key=_rank)
    if all(np.isnan(trial.depth_error) for trial in tried):
        return (
            "cannot tell: under no convention enough points with known depth are seen again; choose pairs that "
            "overlap, or frames with more depth"
        )
    seen, error = percent(as_given.seen_again), percent(as_given.depth_error)
    found = f"{seen} of the points seen again, error of depth {error}"
    if nearest is not as_given and beats(nearest, as_given):
        found += f"; at best {percent(nearest.depth_error)}, with {nearest.hypothesis.name}"
    still = all(np.allclose(a.world_from_cam, b.world_from_cam) for a, b in pairs)
    question = "the poses of each pair are equal" if still else "is each pose that of its picture?"
    return f"cannot tell: no known mistake explains these pairs ({found}); do they show one place, at rest? " + question


def _rank(trial: Trial) -> float:
    return float(np.median(trial.scores))


def _result(
    verdict: Verdict, tried: Sequence[Trial], best: Trial, not_ruled_out: tuple[str, ...], sentence: str
) -> Diagnosis:
    return Diagnosis(verdict, tried[0], best, tuple(sorted(tried, key=_rank)), not_ruled_out, sentence)
