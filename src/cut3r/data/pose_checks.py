"""What a sequence of frames shows by itself: poses that jump or are imprecise, depth that is missing or a code, equal
pictures, changing intrinsics.

Frames come one after the other, and only the last one is kept. Steps are judged by their neighbours, not by metres.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64

from cut3r.data.view import RawFrame
from cut3r.geometry.poses import is_rigid, rotation_angle

NEIGHBOURS = 5  # steps to each side
JUMP = 8.0  # times the neighbours' median
LEAST_STEP = 0.05  # of the sequence's median depth, or else of its path's extent: below, nothing is a jump
LEAST_TURN = np.radians(5.0)
SAME_INTRINSICS = 1e-3  # relative
ORTHONORMAL = 1e-4  # half precision leaves rotations that are orthonormal to 5e-4, single precision to 1e-7
CODE_SHARE = 0.005  # of the known pixels; surfaces do not have one depth in so many of them
CODE_GAP = 1.2  # times the next largest depth


@dataclass(frozen=True)
class Jump:
    """A step that is much larger than those around it, from the frame before to `frame`.

    `alone` means that the sequence goes on afterwards as if the frame were not there: its pose is wrong. Otherwise
    something starts anew with it. The multiples are of the neighbours' median.
    """

    frame: str
    step: float  # unit of the poses
    step_multiple: float
    turn: float  # radians
    turn_multiple: float
    alone: bool


@dataclass(frozen=True)
class SequenceCheck:
    frames: int
    jumps: tuple[Jump, ...]
    no_pose: tuple[str, ...]  # world_from_cam is not rigid, or not finite
    known_depth: tuple[float, ...]  # share of the pixels of each frame; sky does not count as known
    duplicates: tuple[tuple[str, str], ...]  # neighbours with the same picture
    held_poses: tuple[tuple[str, str], ...]  # neighbours with the same pose and different pictures, among moving ones
    changed_intrinsics: tuple[str, ...]  # frames whose intrinsics or size differ from those of the frame before
    coded_depth: tuple[tuple[str, float], ...]  # frames whose largest depth, which is given, stands for something else
    not_orthonormal: tuple[str, ...]  # rigid, but with rotations that were rounded


def check_sequence(frames: Iterable[tuple[str, RawFrame]]) -> SequenceCheck:
    """Go through the frames of a scene in the order in which they were recorded, each with its name.

    Raises:
        ValueError: There are no frames.
    """
    names: list[str] = []
    poses, known, depths = [], [], []
    duplicates, same_pose, changed, coded = [], [], [], []
    before: RawFrame | None = None
    for name, frame in frames:
        if before is not None:
            pair = (names[-1], name)
            equal = np.array_equal(before.rgb, frame.rgb)
            duplicates += [pair] * equal
            same_pose += [pair] * (not equal and np.array_equal(before.world_from_cam, frame.world_from_cam))
            changed += [name] * (not _same_camera(before, frame))
        names.append(name)
        poses.append(frame.world_from_cam)
        if (code := depth_code(frame.depth)) is not None:
            coded.append((name, code))
        has_depth = frame.depth > 0
        known.append(float(has_depth.mean()))
        depths.append(float(np.median(frame.depth[has_depth])) if has_depth.any() else np.nan)
        before = frame
    if not names:
        raise ValueError("no frames to check; give the frames of a scene with their names")
    stack = torch.from_numpy(np.stack(poses))
    rigid = is_rigid(stack).numpy()
    finite = np.array(depths)[np.isfinite(depths)]
    rotations = stack[:, :3, :3]
    rounded = ((rotations.mT @ rotations - torch.eye(3)).abs().amax(dim=(1, 2)) > ORTHONORMAL).numpy()
    at = [name for name, ok in zip(names, rigid, strict=True) if ok]
    moving = len(at) > 1 and len(same_pose) < len(names) / 2  # else a camera on a tripod
    return SequenceCheck(
        frames=len(names),
        jumps=tuple(find_jumps(at, stack.numpy()[rigid], float(np.median(finite)) if len(finite) else None)),
        no_pose=tuple(name for name, ok in zip(names, rigid, strict=True) if not ok),
        known_depth=tuple(known),
        duplicates=tuple(duplicates),
        held_poses=tuple(same_pose) if moving else (),
        changed_intrinsics=tuple(changed),
        coded_depth=tuple(coded),
        not_orthonormal=tuple(name for name, ok, bad in zip(names, rigid, rounded, strict=True) if ok and bad),
    )


def depth_code(depth: Float32[np.ndarray, "h w"]) -> float | None:
    """Give the largest depth if many pixels have exactly it and no other comes near: it stands for sky or for what is
    unknown, or the map has nothing else. None if there is no such."""
    known = depth[depth > 0]
    if not len(known):
        return None
    largest = known.max()
    others = known[known < largest]
    alone = not len(others) or largest > CODE_GAP * others.max()
    many = len(known) - len(others) > max(1.0, CODE_SHARE * len(known))
    return float(largest) if alone and many else None


def find_jumps(names: list[str], world_from_cams: Float64[np.ndarray, "v 4 4"], depth: float | None) -> list[Jump]:
    """Find steps and turns that are far larger than those around them, in poses that are rigid.

    Args:
        depth: What one sees is typically so far away, in the unit of the poses; None if unknown.
    """
    if len(names) < 3:
        return []
    steps, turns = _motion(world_from_cams[:-1], world_from_cams[1:])
    extent = np.linalg.norm(np.ptp(world_from_cams[:, :3, 3], axis=0))
    least_step = LEAST_STEP * (float(extent) if depth is None else depth)
    step_multiples = _multiples(steps, least_step / JUMP)
    turn_multiples = _multiples(turns, LEAST_TURN / JUMP)
    large = np.maximum(step_multiples, turn_multiples) > JUMP
    jumps: list[Jump] = []
    for i in map(int, np.flatnonzero(large)):
        if jumps and jumps[-1].alone and jumps[-1].frame == names[i]:
            continue  # the way back from a frame that is wrong alone
        alone = i + 1 < len(steps) and bool(large[i + 1]) and _goes_on(world_from_cams, i, least_step)
        step, step_multiple = float(steps[i]), float(step_multiples[i])
        turn, turn_multiple = float(turns[i]), float(turn_multiples[i])
        jumps.append(Jump(names[i + 1], step, step_multiple, turn, turn_multiple, alone))
    return jumps


def _goes_on(poses: Float64[np.ndarray, "v 4 4"], i: int, least_step: float) -> bool:
    """Whether the sequence without frame i + 1 makes no jump there."""
    steps, turns = _motion(*(np.delete(poses, i + 1, axis=0)[part] for part in (slice(None, -1), slice(1, None))))
    multiples = _multiples(steps, least_step / JUMP)[i], _multiples(turns, LEAST_TURN / JUMP)[i]
    return bool(max(multiples) <= JUMP)


def _motion(
    before: Float64[np.ndarray, "s 4 4"], after: Float64[np.ndarray, "s 4 4"]
) -> tuple[Float64[np.ndarray, "s"], Float64[np.ndarray, "s"]]:
    """Lengths of the steps and angles of the turns."""
    steps = np.linalg.norm(after[:, :3, 3] - before[:, :3, 3], axis=1)
    turns = rotation_angle(torch.from_numpy(before[:, :3, :3]), torch.from_numpy(after[:, :3, :3]))
    return steps, turns.numpy()


def _multiples(values: Float64[np.ndarray, "s"], least: float) -> Float64[np.ndarray, "s"]:
    """Each value over the median of its neighbours, which counts as `least` at least."""
    return np.array([value / max(_usual(values, i), least, np.finfo(float).tiny) for i, value in enumerate(values)])


def _usual(values: Float64[np.ndarray, "s"], i: int) -> float:
    """The median of the neighbours; 0 without any."""
    around = np.concatenate((values[max(0, i - NEIGHBOURS) : i], values[i + 1 : i + 1 + NEIGHBOURS]))
    return float(np.median(around)) if len(around) else 0.0


def _same_camera(before: RawFrame, frame: RawFrame) -> bool:
    close = np.allclose(frame.intrinsics, before.intrinsics, rtol=SAME_INTRINSICS, atol=0)
    return bool(frame.size == before.size and close)
