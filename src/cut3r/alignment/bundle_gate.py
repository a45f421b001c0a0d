"""Is a bundle adjustment's result better than what it began with? If not, the beginning stands, and here is why."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from cut3r.alignment.bundle_state import BundleState
from cut3r.alignment.tracks import Tracks


@dataclass
class GateConfig:
    """What a result must fulfil."""

    inlier_share: float = 0.004  # an inlier's error, at most this share of the picture's long side
    fewest_inliers: int = 30  # of a frame that counts as held,
    frames: float = 0.9  # and the share of frames that must be
    jump_deg: float = 12.0  # how far a camera may turn
    jump_baselines: float = 3.0  # and move: this many times the median step between cameras,
    jump_depth: float = 0.2  # or this share of the median depth of points, if that is more


@dataclass(frozen=True)
class Verdict:
    """The numbers of the gate, which a JSON file can hold; `reason` is empty where the result is kept."""

    reason: str
    reprojection_before_px: float
    reprojection_after_px: float
    frames_with_inliers: float
    largest_turn_deg: float
    largest_move_m: float

    @property
    def keeps(self) -> bool:
        return not self.reason


def judge(
    before: BundleState,
    after: BundleState,
    tracks: Tracks,
    sizes: list[tuple[int, int]],
    config: GateConfig | None = None,
) -> Verdict:
    """Compare two states, each with the best points for its cameras, on all observations, outliers too."""
    config = config or GateConfig()
    if not len(tracks):
        return Verdict("no point was found in two pictures", 0.0, 0.0, 0.0, 0.0, 0.0)
    errors = after.errors(tracks)
    medians = float(np.median(before.errors(tracks))), float(np.median(errors))
    limits = config.inlier_share * np.array([max(size) for size in sizes])
    inliers = np.bincount(tracks.frame[errors < limits[tracks.frame]], minlength=len(sizes))
    held = float((inliers >= config.fewest_inliers).mean())
    turns, moves = _jumps(before, after)
    far = max(config.jump_baselines * _baseline(before), config.jump_depth * float(np.median(_depth(after, tracks))))
    reason = ""
    if not medians[1] < medians[0]:
        reason = f"the median reprojection error would not fall: {medians[0]:.2f} to {medians[1]:.2f} px"
    elif held < config.frames:
        reason = (
            f"only {held:.0%} of the frames have {config.fewest_inliers} points that fit, {config.frames:.0%} should"
        )
    elif turns.max() > config.jump_deg:
        reason = f"frame {int(turns.argmax())} would turn by {turns.max():.1f} degrees, more than {config.jump_deg:g}"
    elif moves.max() > far:
        reason = f"frame {int(moves.argmax())} would move by {moves.max():.3g} m, more than {far:.3g}"
    return Verdict(reason, *medians, held, float(turns.max()), float(moves.max()))


def _jumps(before: BundleState, after: BundleState) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """How far each camera turns (degrees) and moves."""
    old, new = before.world_from_cam, after.world_from_cam
    relative = np.swapaxes(old[:, :3, :3], 1, 2) @ new[:, :3, :3]
    cosine = (np.trace(relative, axis1=1, axis2=2) - 1) / 2
    return np.degrees(np.arccos(cosine.clip(-1, 1))), np.linalg.norm(new[:, :3, 3] - old[:, :3, 3], axis=1)


def _baseline(state: BundleState) -> float:
    steps = np.linalg.norm(np.diff(state.world_from_cam[:, :3, 3], axis=0), axis=1)
    return float(np.median(steps)) if len(steps) else 0.0


def _depth(state: BundleState, tracks: Tracks) -> Float[np.ndarray, "o"]:
    return np.asarray(state.local(tracks)[:, 2])
