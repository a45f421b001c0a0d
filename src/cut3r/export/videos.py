"""Videos of a finished run, without a screen: its depth, and a flight through its points along its way."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from PIL import Image
from scipy.ndimage import gaussian_filter1d

from cut3r.export.config import ExportConfig, Progress
from cut3r.export.render import Cloud, render
from cut3r.geometry.poses import matrix_from_quaternion, quaternion_from_matrix
from cut3r.inference.preprocess import PixelMap
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.view import View
from cut3r.io.turbo import turbo
from cut3r.io.video_write import VideoWriter, check_video_suffix
from cut3r.run.finished import FinishedRun
from cut3r.run.known import Known

PHOTOS_FPS = 4.0  # of pictures without times
FLIGHT_FPS = 30.0
FLIGHT_SIDE = 800  # pixels of the longer side
SMOOTHED_S = 0.5  # the hand that held the camera shakes
BEHIND = 0.25  # the flight's camera stands so much of the usual depth behind that of the run ...
ABOVE = 0.08  # ... and above it, so that one sees more than the run saw
WIDER = 0.85  # of its focal length
ENDS = (2.0, 98.0)  # percent of the inverse depths that colours span


def write_depth_video(
    run: FinishedRun, path: Path, config: ExportConfig | None = None, *, on_progress: Progress | None = None
) -> None:
    """Write the depth of all frames at the size of the original pictures and at their times: near is red, far is blue.

    The colours of a depth are the same in all frames. Black is unknown: pixels that the confidence leaves out.

    Raises:
        ValueError: Not an .mp4, or a run without any depth.
    """
    config = config or ExportConfig()
    check_video_suffix(path)
    low, high = _ends(run, config, on_progress)
    with VideoWriter(path, fps=PHOTOS_FPS) as video:
        size = None
        for number, (view, _) in enumerate(run.views(Known())):
            known = (view.valid & (view.confidence >= config.confidence)).numpy()
            with np.errstate(divide="ignore", invalid="ignore"):
                share = (1 / view.depth.numpy() - low) / (high - low)
            colors = np.where(known[..., None], turbo(np.where(known, share, 0.0)), np.uint8(0))
            picture = _at_original_size(colors, view.pixel_map)
            size = size or picture.shape[:2]
            video.add(picture if picture.shape[:2] == size else _inside(picture, size), view.time_s)
            _tell(on_progress, "writing the video of depth", number + 1, run.count)


def write_fly_through(
    run: FinishedRun,
    path: Path,
    config: ExportConfig | None = None,
    *,
    max_points: int = 1_000_000,
    on_progress: Progress | None = None,
) -> None:
    """Write a flight through the points along the smoothed way of the run, from a little behind and above it.

    It takes as long as the run's footage; photos follow each other at 4 per second, with the way between them.

    Raises:
        ValueError: Not an .mp4, or a run that left no points.
    """
    config = config or ExportConfig()
    check_video_suffix(path)
    scene = Reconstruction(confidence=config.confidence, edges=config.edges, max_points=max_points)
    views: list[tuple[float, np.ndarray, np.ndarray, float]] = []
    for number, (view, _) in enumerate(run.views(Known())):
        scene.add(view)
        if view.camera_is_finite and bool(view.valid.any()):
            time_s = number / PHOTOS_FPS if view.time_s is None else view.time_s
            depth = float(view.depth[view.valid].median())
            views.append((time_s, view.world_from_cam.double().numpy(), _wide(view), depth))
        _tell(on_progress, "gathering points", number + 1, run.count)
    points = scene.cloud()
    if len(points) < 2 or not views:
        raise ValueError(f"{run.folder} has no points above the confidence {config.confidence:g} to fly through")
    cloud = Cloud.of(points.points, points.colors)
    times, poses, wide, depths = (np.array(values) for values in zip(*views, strict=True))
    way = flight(times, poses, float(np.median(depths)))
    size = tuple(round(side) for side in wide[0, 1:])
    focal = float(np.median(wide[:, 0]))
    intrinsics = np.array([[focal, 0, (size[1] - 1) / 2], [0, focal, (size[0] - 1) / 2], [0, 0, 1]])
    with VideoWriter(path, fps=FLIGHT_FPS) as video:
        for number, pose in enumerate(way):
            video.add(render(cloud, intrinsics, pose, (size[0], size[1])))
            _tell(on_progress, "drawing the flight", number + 1, len(way))


def flight(
    times_s: Float64[np.ndarray, "n"], world_from_cam: Float64[np.ndarray, "n 4 4"], depth: float
) -> Float64[np.ndarray, "m 4 4"]:
    """A smooth way through poses, at `FLIGHT_FPS`, from behind and above them by shares of a usual depth."""
    order = np.argsort(times_s, kind="stable")
    times_s, world_from_cam = times_s[order] - times_s[order[0]], world_from_cam[order]
    at = np.arange(max(1, round(times_s[-1] * FLIGHT_FPS)) + 1) / FLIGHT_FPS
    quaternions = quaternion_from_matrix(torch.from_numpy(world_from_cam[:, :3, :3])).numpy().copy()
    for number in range(1, len(quaternions)):  # q and -q are one rotation: the nearer one can be interpolated
        if quaternions[number] @ quaternions[number - 1] < 0:
            quaternions[number] *= -1
    columns = np.concatenate((quaternions, world_from_cam[:, :3, 3]), axis=1)
    dense = np.stack([np.interp(at, times_s, column) for column in columns.T], axis=1)
    dense = gaussian_filter1d(dense, SMOOTHED_S * FLIGHT_FPS, axis=0, mode="nearest")
    way = np.tile(np.eye(4), (len(at), 1, 1))
    way[:, :3, :3] = matrix_from_quaternion(torch.from_numpy(dense[:, :4])).numpy()
    way[:, :3, 3] = dense[:, 4:] - depth * (BEHIND * way[:, :3, 2] + ABOVE * way[:, :3, 1])  # y is down
    return way


def _ends(run: FinishedRun, config: ExportConfig, on_progress: Progress | None) -> tuple[float, float]:
    """Inverse depths of blue and red: of all frames, so that a colour means the same in each."""
    samples = []
    for number, (view, _) in enumerate(run.views(Known())):
        known = view.valid & (view.confidence >= config.confidence) & (view.depth > 0)
        if bool(known.any()):
            samples.append(np.percentile(1 / view.depth[known].numpy(), ENDS))
        _tell(on_progress, "looking at depths", number + 1, run.count)
    if not samples:
        raise ValueError(f"{run.folder} has no depth above the confidence {config.confidence:g}")
    low, high = np.median([sample[0] for sample in samples]), np.median([sample[1] for sample in samples])
    return float(low), float(max(high, low * 1.001))


def _at_original_size(colors: UInt8[np.ndarray, "h w 3"], pixel_map: PixelMap) -> UInt8[np.ndarray, "h0 w0 3"]:
    """Black where the network's picture does not reach."""
    (h0, w0), (h, w) = pixel_map.original_size, colors.shape[:2]
    (sx, sy), (ox, oy) = pixel_map.scale, pixel_map.offset
    left, top, right, bottom = ox / sx, oy / sy, (ox + w) / sx, (oy + h) / sy
    first, last = (max(0, round(left)), max(0, round(top))), (min(w0, round(right)), min(h0, round(bottom)))
    box = ((first[0] - left) * sx, (first[1] - top) * sy, (last[0] - left) * sx, (last[1] - top) * sy)
    box = (max(0.0, box[0]), max(0.0, box[1]), min(float(w), box[2]), min(float(h), box[3]))
    scaled = Image.fromarray(colors).resize(
        (last[0] - first[0], last[1] - first[1]), Image.Resampling.BILINEAR, box=box
    )
    full = np.zeros((h0, w0, 3), np.uint8)
    full[first[1] : last[1], first[0] : last[0]] = np.asarray(scaled)
    return full


def _inside(picture: UInt8[np.ndarray, "h w 3"], size: tuple[int, ...]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The whole picture in the middle of one of another size, as photos of both directions need it."""
    scale = min(size[0] / picture.shape[0], size[1] / picture.shape[1])
    h, w = (max(1, int(side * scale)) for side in picture.shape[:2])
    full = np.zeros((*size, 3), np.uint8)
    top, left = (size[0] - h) // 2, (size[1] - w) // 2
    full[top : top + h, left : left + w] = np.asarray(Image.fromarray(picture).resize((w, h)))
    return full


def _wide(view: View) -> Float[np.ndarray, "3"]:
    """Focal length, height and width of the flight's picture: as the view's, but larger and wider."""
    h, w = view.depth.shape
    scale = FLIGHT_SIDE / max(h, w)
    return np.array([float(view.intrinsics[0, 0]) * scale * WIDER, h * scale, w * scale])


def _tell(on_progress: Progress | None, stage: str, done: int, total: int) -> None:
    if on_progress is not None:
        on_progress(stage, done, total)
