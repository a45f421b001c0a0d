"""The only place that knows pycolmap: a state and its tracks become a Ceres problem, and the solution a state again.

pycolmap's reprojection errors and our terms of `bundle_costs` share the blocks of numbers of cameras and points.
Intrinsics and pixels keep our convention (pixel (0, 0) is a centre): only differences between them matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyceres
import pycolmap
from jaxtyping import Bool, Float

from cut3r.alignment.bundle_costs import DepthPrior, PosePrior, VirtualTracks
from cut3r.alignment.bundle_known import PosePulls
from cut3r.alignment.bundle_state import BundleState
from cut3r.alignment.priors import FAR
from cut3r.alignment.tracks import Tracks

MOST_STEPS = 25
ENOUGH = 1e-5  # relative decrease of the cost below which it has arrived


@dataclass(frozen=True)
class Priors:
    """What predictions say: the depth of each track's observation (nan: nothing), and virtual tracks; and known poses.

    A virtual entry is (frame, other, points in the frame's camera, rays in the other's).
    """

    depth: Float[np.ndarray, "o"]
    depth_sigma: float  # relative
    virtual: Sequence[tuple[int, int, np.ndarray, np.ndarray]] = field(default_factory=list)
    virtual_sigma: float = 0.02  # of a ray at depth 1
    pulls: PosePulls = field(default_factory=lambda: PosePulls({}))


@dataclass(frozen=True)
class Free:
    """What a solve may change, beside points."""

    frames: Bool[np.ndarray, "n"]
    lenses: Bool[np.ndarray, "n"]  # by frame; never those with known intrinsics
    distortion: bool = False


def solve(
    state: BundleState,
    tracks: Tracks,
    used: Bool[np.ndarray, "o"],
    free: Free,
    priors: Priors,
    sizes: Sequence[tuple[int, int]],
    *,
    loss_px: float,
) -> BundleState:
    """Minimise reprojection errors of the used observations, with a Cauchy loss of this width, and priors.

    Raises:
        ArithmeticError: Ceres found no usable solution.
    """
    scene, ids = _scene(state, tracks, used, free, sizes)
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.refine_focal_length, options.refine_extra_params = True, free.distortion
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = loss_px
    options.ceres.solver_options.max_num_iterations = MOST_STEPS
    options.ceres.solver_options.function_tolerance = ENOUGH
    options.ceres.solver_options.num_threads = 1  # our terms hold Python's lock: others would wait
    config = pycolmap.BundleAdjustmentConfig()
    for frame in range(len(state.k1)):
        config.add_image(frame + 1)
        if not free.frames[frame]:
            config.set_constant_rig_from_world_pose(frame + 1)
        if not free.lenses[frame]:
            config.set_constant_cam_intrinsics(int(state.lens[frame]) + 1)
    adjuster = pycolmap.create_default_ceres_bundle_adjuster(options, config, scene)
    keep_alive = _add_priors(adjuster.problem, scene, ids, state, tracks, free, priors)
    summary = adjuster.solve()
    del keep_alive  # Ceres holds them by address until here
    if not summary.is_solution_usable():
        raise ArithmeticError(f"bundle adjustment found no solution: {summary.brief_report()}")
    return _read(scene, ids, state)


def _scene(
    state: BundleState, tracks: Tracks, used: np.ndarray, free: Free, sizes: Sequence[tuple[int, int]]
) -> tuple[Any, dict[int, int]]:
    """pycolmap's form of it, and the numbers of its points by track. Frames and lenses are numbered from 1 there."""
    scene = pycolmap.Reconstruction()
    for number in np.unique(state.lens).tolist():
        scene.add_camera_with_trivial_rig(_camera(state, number, sizes[number], bool(free.lenses[number]), free))
    used = used & (np.bincount(tracks.track[used], minlength=len(tracks))[tracks.track] > 1)
    rows_of = [np.flatnonzero(used & (tracks.frame == frame)) for frame in range(len(state.k1))]
    place = np.zeros(len(tracks.track), dtype=int)
    for frame, rows in enumerate(rows_of):
        place[rows] = np.arange(len(rows))
        pixels = tracks.pixels[rows] if len(rows) else np.tile(state.intrinsics[frame, :2, 2], (2, 1))
        image = pycolmap.Image(str(frame), pixels, int(state.lens[frame]) + 1, frame + 1)
        cam_from_world = np.linalg.inv(state.world_from_cam[frame])
        scene.add_image_with_trivial_frame(image, pycolmap.Rigid3d(cam_from_world[:3]))
    ids: dict[int, int] = {}
    rows = np.flatnonzero(used)
    for part in np.split(rows, np.flatnonzero(np.diff(tracks.track[rows])) + 1) if len(rows) else []:
        track = pycolmap.Track()
        for row in part.tolist():
            track.add_element(int(tracks.frame[row]) + 1, int(place[row]))
        number = int(tracks.track[part[0]])
        ids[number] = scene.add_point3D(state.points[number], track)
    for frame in (k for k, rows in enumerate(rows_of) if not len(rows)):
        # without any observation pycolmap leaves a camera out; a point of its own, seen twice because once is not
        # allowed, says nothing of where it stands
        track = pycolmap.Track()
        track.add_element(frame + 1, 0)
        track.add_element(frame + 1, 1)
        scene.add_point3D(state.world_from_cam[frame, :3, 3] + state.world_from_cam[frame, :3, 2], track)
    return scene, ids


def _camera(state: BundleState, frame: int, size: tuple[int, int], free: bool, config: Free) -> Any:
    camera, (h, w) = state.intrinsics[frame], size
    center = camera[:2, 2].tolist()
    kind, params = "SIMPLE_RADIAL", [camera[0, 0], *center, state.k1[frame]]
    if not free and state.k1[frame] == 0:
        kind, params = "PINHOLE", [camera[0, 0], camera[1, 1], *center]
    elif not config.distortion and state.k1[frame] == 0:
        kind, params = "SIMPLE_PINHOLE", [camera[0, 0], *center]
    return pycolmap.Camera(model=kind, width=w, height=h, params=params, camera_id=frame + 1)


def _add_priors(
    problem: Any, scene: Any, ids: dict[int, int], state: BundleState, tracks: Tracks, free: Free, priors: Priors
) -> list:
    """Add our terms; gives what must live until the problem is solved."""
    assert isinstance(problem, pyceres.Problem), "pycolmap and pyceres do not share problems"
    kept: list = []
    poses = [scene.frame(frame + 1).rig_from_world.params for frame in range(len(state.k1))]
    first = np.flatnonzero(np.isfinite(priors.depth))
    _, nearest = np.unique(tracks.track[first], return_index=True)
    loss = pyceres.CauchyLoss(1.0)
    kept += [poses, loss]
    constant = set()
    for row in first[nearest].tolist():
        number, frame = int(tracks.track[row]), int(tracks.frame[row])
        if number in ids and priors.depth[row] > 0:
            cost = DepthPrior(float(priors.depth[row]), priors.depth_sigma)
            blocks = [scene.point3D(ids[number]).xyz, poses[frame]]
            kept += [cost, blocks, problem.add_residual_block(cost, loss, blocks)]
            constant.add(frame)
    for frame, other, points, rays in priors.virtual:
        if free.frames[frame] or free.frames[other]:
            cost = VirtualTracks(points, rays, priors.virtual_sigma * np.sqrt(len(points)))
            blocks = [poses[frame], poses[other]]
            kept += [cost, blocks, problem.add_residual_block(cost, loss, blocks)]
            constant |= {frame, other}
    far = pyceres.HuberLoss(FAR)
    kept.append(far)
    for frame, pose in priors.pulls.poses.items():
        if free.frames[frame]:
            cost = PosePrior(pose, priors.pulls.sigma)
            kept += [cost, problem.add_residual_block(cost, far, [poses[frame]])]
    for frame in constant:
        if not free.frames[frame]:
            problem.set_parameter_block_constant(poses[frame])
    return kept


def _read(scene: Any, ids: dict[int, int], state: BundleState) -> BundleState:
    poses, intrinsics, k1 = state.world_from_cam.copy(), state.intrinsics.copy(), state.k1.copy()
    for frame in range(len(k1)):
        poses[frame, :3] = scene.frame(frame + 1).rig_from_world.inverse().matrix()
        camera = scene.camera(int(state.lens[frame]) + 1)
        intrinsics[frame, 0, 0], intrinsics[frame, 1, 1] = camera.focal_length_x, camera.focal_length_y
        k1[frame] = camera.params[3] if camera.model.name == "SIMPLE_RADIAL" else 0.0
    points = state.points.copy()
    for number, identifier in ids.items():
        points[number] = scene.point3D(identifier).xyz
    return replace(state, world_from_cam=poses, intrinsics=intrinsics, k1=k1, points=points)
