"""Bundle adjustment: cameras, lenses and points that explain where details are in the original pictures.

It begins with an alignment and ends with a better one, or with the same and the reason why (`bundle_gate`).
"""

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch

from cut3r.alignment.align import Alignment, OnProgress
from cut3r.alignment.bundle_gate import GateConfig, judge
from cut3r.alignment.bundle_known import PosePulls
from cut3r.alignment.bundle_packages import check_packages
from cut3r.alignment.bundle_state import BundleState, first_state, guess, known_points
from cut3r.alignment.guide import Guide
from cut3r.alignment.priors import check_sigma
from cut3r.alignment.tracks import TrackConfig, Tracks, find_tracks
from cut3r.io.frame import Frame

WIDTHS = (0.016, 0.004, 0.0016)  # of the loss, one solve after the other; shares of the median picture's long side
OUTLIER = 4.0  # times the width: an observation whose error is larger is left out of the next solve
FOCAL_PARALLAX_DEG = 1.0  # usual angle at the points from which focal lengths are refined,
DISTORTION_PARALLAX_DEG = 2.0  # and from which distortion is too,
DISTORTION_OBSERVATIONS = 1000  # given so many
FEWEST_FOR_SCALE = 10  # observations of a frame that say what its depth should be multiplied by


@dataclass
class BundleConfig:
    """How `bundle_adjust` works."""

    tracks: TrackConfig = field(default_factory=TrackConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    shared_lens: bool = True  # pictures of one size were taken by one lens
    refine_focal: bool = True  # where parallax allows
    refine_distortion: bool = True  # one radial number, where parallax allows more
    virtual_tracks: int = 100  # predicted points of each frame, over its neighbours
    virtual_neighbours: int = 3
    virtual_sigma: float = 0.02  # tangent of the angle by which they may be off
    depth_sigma: float = 0.2  # relative error of predicted depth
    pose_sigma: tuple[float, float] | None = None  # metres, radians: error of known poses, which pull; or they stay

    def __post_init__(self) -> None:
        if self.pose_sigma is not None:
            check_sigma(self.pose_sigma)
        if min(self.virtual_tracks, self.virtual_neighbours) < 1 or min(self.virtual_sigma, self.depth_sigma) <= 0:
            raise ValueError(
                f"{self.virtual_tracks} virtual tracks over {self.virtual_neighbours} neighbours with errors of "
                f"{self.virtual_sigma} and {self.depth_sigma} make no sense; all of them must be above 0"
            )


def bundle_adjust(
    aligned: Alignment,
    open_frames: Callable[[], Iterable[Frame]],
    config: BundleConfig | None = None,
    *,
    held: Collection[int] | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[Alignment, dict[str, Any]]:
    """Refine cameras by what the original pictures show.

    Known intrinsics and poses stay exactly as they are, but for `pose_sigma`; the first frame of each group of frames
    without known poses keeps its pose. The world keeps the unit of the predictions unless poses are known.

    Args:
        open_frames: Gives the frames that were aligned, in their original size; called once.
        held: Frames whose poses stay; by default all whose poses are known and do not pull.

    Returns:
        The refined alignment, or `aligned` itself where the result would be no better; and a report, which a JSON
        file can hold. `verdict` is "kept" or the reason why not.

    Raises:
        ValueError: A package is missing, or the frames are others than those that were aligned.
    """
    check_packages()
    config, start, guide = config or BundleConfig(), time.monotonic(), Guide.of(aligned)
    tell = on_progress or (lambda *_: None)
    found = find_tracks(
        open_frames,
        guide,
        config.tracks,
        groups=_groups(aligned),
        on_progress=lambda done, total: tell("finding points in pictures", done, total),
    )
    tell("bundle adjustment", 0, 1)
    aligned, report = _adjusted(aligned, guide, found, config, held)
    tell("bundle adjustment", 1, 1)
    return aligned, report | {"seconds": time.monotonic() - start}


def adjust_tracks(
    aligned: Alignment, found: Tracks, config: BundleConfig | None = None, *, held: Collection[int] | None = None
) -> tuple[Alignment, dict[str, Any]]:
    """The same with tracks that are known already; needs no pictures."""
    check_packages()
    return _adjusted(aligned, Guide.of(aligned), found, config or BundleConfig(), held)


def _adjusted(
    aligned: Alignment, guide: Guide, found: Tracks, config: BundleConfig, held: Collection[int] | None
) -> tuple[Alignment, dict[str, Any]]:
    groups = _groups(aligned)
    known = set(aligned.taken.intrinsics)
    tracks, points = known_points(found, guess(guide, found))
    pulls = PosePulls.of(aligned, groups, config.pose_sigma)
    held = set(aligned.taken.world_from_cam) - set(pulls.poses) if held is None else set(held)
    work = _Work(aligned, guide, tracks, config, groups, held, pulls)
    before, after = work.run(
        first_state(guide, points, known, shared=False), first_state(guide, points, known, shared=config.shared_lens)
    )
    verdict = judge(before, after, tracks, guide.sizes, config.gate)
    report = {
        "verdict": "kept" if verdict.keeps else verdict.reason,
        **{name: value for name, value in asdict(verdict).items() if name != "reason"},
        "tracks": len(tracks),
        "observations": len(tracks.track),
        "observations_per_frame": np.bincount(tracks.frame, minlength=len(guide)).tolist(),
        "inliers": int((after.errors(tracks) < work.width_px(config.gate.inlier_share)).sum()),
        **work.report,
        "focal_px": {"before": _focals(before), "after": _focals(after)},
        "k1": after.k1[np.unique(after.lens)].tolist(),
    }
    if verdict.keeps:
        aligned, report["depth_scales"] = _refined(aligned, guide, after, tracks, held)
    return aligned, report


class _Work:
    """The solves, from coarse to fine."""

    def __init__(
        self,
        aligned: Alignment,
        guide: Guide,
        tracks: Tracks,
        config: BundleConfig,
        groups: list[list[int]],
        held: set[int],
        pulls: PosePulls,
    ) -> None:
        self.guide, self.tracks, self.config, self.groups = guide, tracks, config, groups
        self.report: dict[str, Any] = {}
        self.pulls, self.known_poses = pulls, held | set(pulls.poses)
        fixed = held | {group[0] for group in groups if not self.known_poses & set(group)}
        self.moving = np.array([k not in fixed for k in range(len(guide))])
        self.estimated = np.array([k not in aligned.taken.intrinsics for k in range(len(guide))])
        self.depth = np.full(len(tracks.track), np.nan)
        for frame in np.unique(tracks.frame).tolist():
            rows = np.flatnonzero(tracks.frame == frame)
            predicted, ok = guide.lift(frame, tracks.pixels[rows])
            self.depth[rows[ok]] = predicted[ok, 2]

    def run(self, given: BundleState, state: BundleState) -> tuple[BundleState, BundleState]:
        """What is given, and what becomes of a state; both with the points that fit best."""
        from cut3r.alignment.bundle_problem import Free, Priors, solve  # here: it needs the packages

        sizes, tracks, everything = self.guide.sizes, self.tracks, np.ones(len(self.tracks.track), dtype=bool)
        nothing = np.zeros(len(self.guide), dtype=bool)
        if not len(tracks):
            return given, given
        only_points = Free(nothing, nothing)
        depth_only = Priors(self.depth, self.config.depth_sigma)
        virtual, sigma = self._virtual(), self.config.virtual_sigma
        priors = replace(depth_only, virtual=virtual, virtual_sigma=sigma, pulls=self.pulls)
        end = self.width_px(WIDTHS[-1])
        before = solve(given, tracks, everything, only_points, depth_only, sizes, loss_px=end)
        self.report["parallax_deg"] = float(np.median(before.parallax_deg(tracks)))
        after, used = state, everything
        for step, share in enumerate(WIDTHS):
            lenses = self.estimated & (step > 0 and self._may_refine_focal(after))
            distortion = step == len(WIDTHS) - 1 and self._may_refine_distortion(after, used)
            width = self.width_px(share)
            after = solve(after, tracks, used, Free(self.moving, lenses, distortion), priors, sizes, loss_px=width)
            used = after.errors(tracks) < OUTLIER * width
        after = solve(self._in_unit(after), tracks, everything, only_points, depth_only, sizes, loss_px=end)
        self.report["parallax_deg"] = float(np.median(after.parallax_deg(tracks)))
        return before, after

    def width_px(self, share: float) -> float:
        return share * float(np.median([max(size) for size in self.guide.sizes]))

    def _may_refine_focal(self, state: BundleState) -> bool:
        return self.config.refine_focal and self._parallax(state) >= FOCAL_PARALLAX_DEG

    def _may_refine_distortion(self, state: BundleState, used: np.ndarray) -> bool:
        enough = int(used.sum()) >= DISTORTION_OBSERVATIONS
        return self.config.refine_distortion and enough and self._parallax(state) >= DISTORTION_PARALLAX_DEG

    def _parallax(self, state: BundleState) -> float:
        """The smaller of what was given and what the state has: a wrong focal length looks like motion to a solve."""
        return float(min(self.report["parallax_deg"], np.median(state.parallax_deg(self.tracks))))

    def _virtual(self) -> list[tuple[int, int, np.ndarray, np.ndarray]]:
        """Predicted points of each frame, as its next neighbours should see them."""
        config, guide = self.config, self.guide
        share = -(-config.virtual_tracks // config.virtual_neighbours)
        entries = []
        for group in self.groups:
            for place, frame in enumerate(group):
                pixels = guide.grid(frame, int(np.ceil(np.sqrt(2 * share))))
                for other in group[place + 1 : place + 1 + config.virtual_neighbours]:
                    points, ok = guide.lift(frame, pixels)
                    inner = np.linalg.inv(guide.world_from_cam[other])
                    local = guide.to_world(frame, points) @ inner[:3, :3].T + inner[:3, 3]
                    rows = np.flatnonzero(ok & (local[:, 2] > 0.2 * points[:, 2]))[:: max(1, len(pixels) // share)]
                    if len(rows) >= 3:
                        entries.append((frame, other, points[rows], local[rows, :2] / local[rows, 2:]))
        return entries

    def _in_unit(self, state: BundleState) -> BundleState:
        """Scale each group about its fixed camera so that depth agrees with the predictions, in the median."""
        poses, points = state.world_from_cam.copy(), state.points.copy()
        ratio = state.local(self.tracks)[:, 2] / self.depth
        for group in self.groups:
            if len(self.known_poses & set(group)) >= 2:
                continue
            rows = np.isin(self.tracks.frame, group) & (ratio > 0)
            if not rows.any():
                continue
            scale = float(np.median(ratio[rows]))
            center = next((k for k in group if not self.moving[k]), group[0])
            origin = poses[center, :3, 3].copy()
            poses[group, :3, 3] = origin + (poses[group, :3, 3] - origin) / scale
            of_group = np.unique(self.tracks.track[np.isin(self.tracks.frame, group)])
            points[of_group] = origin + (points[of_group] - origin) / scale
        return replace(state, world_from_cam=poses, points=points)


def _refined(
    aligned: Alignment, guide: Guide, state: BundleState, tracks: Tracks, held: Collection[int]
) -> tuple[Alignment, list[float]]:
    """The alignment with the new cameras; each frame's depth times what brings it to the new points."""
    factors = _depth_factors(guide, state, tracks)
    intrinsics, depth = aligned.intrinsics.clone(), torch.empty(aligned.kept.shape)
    for frame, pixel_map in enumerate(guide.pixel_maps):
        if frame not in aligned.taken.intrinsics:
            original = torch.from_numpy(state.intrinsics[frame])
            intrinsics[frame] = pixel_map.intrinsics_to_image(original).to(intrinsics)
        depth[frame] = aligned.points(frame)[..., 2] * factors[frame]  # on the new rays
    poses = torch.from_numpy(state.world_from_cam).to(aligned.world_from_cam)
    for frame in held:
        poses[frame] = aligned.world_from_cam[frame]
    refined = replace(
        aligned,
        world_from_cam=poses,
        intrinsics=intrinsics,
        points_cam=None,
        scales=torch.ones(len(guide)),
        depth=depth,
        k1=torch.from_numpy(state.k1).float(),
        before=replace(aligned.before, scale=aligned.before.scale / torch.tensor(factors)),
    )
    return refined, factors


def _depth_factors(guide: Guide, state: BundleState, tracks: Tracks) -> list[float]:
    """The median ratio of new depth to predicted depth; 1 for frames with few observations."""
    depth, factors = state.local(tracks)[:, 2], []
    for frame in range(len(guide)):
        rows = np.flatnonzero(tracks.frame == frame)
        predicted, ok = guide.lift(frame, tracks.pixels[rows])
        ratio = depth[rows[ok]] / predicted[ok, 2]
        ratio = ratio[ratio > 0]
        factors.append(float(np.median(ratio)) if len(ratio) >= FEWEST_FOR_SCALE else 1.0)
    return factors


def _groups(aligned: Alignment) -> list[list[int]]:
    """Frames that are held together by pairs; all are, if nobody said otherwise."""
    return aligned.report.get("groups") or [list(range(len(aligned.taken)))]


def _focals(state: BundleState) -> list[float]:
    """One number per lens, pixels of the originals."""
    return [float(state.intrinsics[k, 0, 0]) for k in np.unique(state.lens).tolist()]
