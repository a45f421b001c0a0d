"""What geometry says about the scenes of a dataset, as text for a command line: a line per scene, then sentences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cut3r.data.diagnosis import Diagnosis, percent
from cut3r.data.pose_checks import Jump, SequenceCheck

MOST_NAMES = 3  # of frames in a sentence; the others are counted
HEADER = ("scene", "pairs", "seen again", "depth error", "colour error", "known depth", "jumps")


@dataclass(frozen=True)
class SceneReport:
    """What is known of one scene; either part may be missing."""

    name: str
    diagnosis: Diagnosis | None = None
    sequence: SequenceCheck | None = None


def geometry_table(scenes: Sequence[SceneReport]) -> str:
    """Give medians per scene as they are stored, and below what is wrong with them.

    The colour error is relative to chance. Shares and errors of a scene without pairs, and jumps of one without a
    sequence, are `-`.
    """
    rows = [HEADER, *map(_row, scenes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, *(f"{scene.name}: {sentence}" for scene in scenes for sentence in sentences(scene))])


def hypothesis_table(diagnosis: Diagnosis) -> str:
    """Give what was tried, best first."""
    rows: list[tuple[str, ...]] = [("if it were", "seen again", "depth error", "colour error")]
    for trial in diagnosis.table:
        values = map(shown, (trial.seen_again, trial.depth_error, trial.photometric))
        rows.append((trial.hypothesis.name, *values))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join("  ".join(_aligned(row, widths)).rstrip() for row in rows)


def sentences(scene: SceneReport) -> list[str]:
    """Say what the diagnosis is, and what the frames in a row show."""
    found = [] if scene.diagnosis is None else [scene.diagnosis.sentence]
    if scene.sequence is None:
        return found
    sequence = scene.sequence
    found += [_jump(jump) for jump in sequence.jumps[:MOST_NAMES]]
    if len(sequence.jumps) > MOST_NAMES:
        found.append(f"{len(sequence.jumps) - MOST_NAMES} more jumps")
    lists: tuple[tuple[str, Sequence[str]], ...] = (
        ("no rigid pose", sequence.no_pose),
        ("the same picture as the frame before", [second for _, second in sequence.duplicates]),
        ("the pose of the frame before, but another picture", [second for _, second in sequence.held_poses]),
        ("other intrinsics than the frame before", sequence.changed_intrinsics),
        ("rotations that were rounded (orthonormal to 1e-4 at best, as in half precision)", sequence.not_orthonormal),
        *_codes(sequence),
    )
    return found + [f"{what}: {_names(names)}" for what, names in lists if names]


def _codes(sequence: SequenceCheck) -> list[tuple[str, list[str]]]:
    if not sequence.coded_depth:
        return []
    largest = f"{sequence.coded_depth[0][1]:.6g}"
    what = f"the largest depth ({largest}) fills many pixels and none comes near it, so it stands for sky or unknown"
    return [(what, [name for name, _ in sequence.coded_depth])]


def _row(scene: SceneReport) -> tuple[str, ...]:
    pairs = scene.diagnosis and scene.diagnosis.as_given
    numbers = (pairs.seen_again, pairs.depth_error, pairs.photometric) if pairs else (np.nan,) * 3
    sequence = scene.sequence
    known = float(np.median(sequence.known_depth)) if sequence else np.nan
    jumps = str(len(sequence.jumps)) if sequence else "-"
    return (scene.name, str(len(pairs.checks)) if pairs else "-", *map(shown, (*numbers, known)), jumps)


def _jump(jump: Jump) -> str:
    by_step = jump.step_multiple >= jump.turn_multiple
    size = f"a step of {jump.step:.3g}" if by_step else f"a turn of {np.degrees(jump.turn):.0f} degrees"
    multiple = max(jump.step_multiple, jump.turn_multiple)
    then = "its pose is wrong" if jump.alone else "the sequence goes on from there: a cut, or lost tracking"
    return f"frame {jump.frame} jumps: {size}, {multiple:.0f} times its neighbours'; {then}"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def shown(share: float) -> str:
    """A share for a table: `-` if unknown."""
    return "-" if np.isnan(share) else percent(share)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """The first column to the left, numbers to the right."""
    return [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
