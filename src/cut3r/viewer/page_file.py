"""A scene as one web page in one file: it needs no server and no network, and plays how the scene grew.

viser's own client, with the points and cameras inside. Points appear in the order of the stream, at its speed but
within `LONGEST_S`; the page's own bar stops and goes back.
"""

import io
import os
from contextlib import redirect_stdout

import numpy as np
import viser
from jaxtyping import Float64, Int64

from cut3r.files.atomic import atomic_path
from cut3r.geometry.cameras import fov_from_focal
from cut3r.geometry.gravity import up_of_cameras
from cut3r.inference.cameras import Cameras
from cut3r.io.point_cloud import PointCloud
from cut3r.viewer.colors import time_color
from cut3r.viewer.nodes import wxyz

MOST_POINTS = 400_000  # 6 MB before compression, which fits into a mail
MOST_STEPS = 60  # of the growth
MOST_FRUSTA = 40
SHORTEST_S, LONGEST_S = 1.0, 20.0
USUAL_FPS = 10.0  # of photos
DENSE = 0.6  # a point's side, in distances between points if they lay on the walls of their box
SIZES = (0.002, 0.05)  # metres
FRUSTUM = 0.03  # of the extent of the scene


def write_page(
    path: str | os.PathLike[str], cloud: PointCloud, cameras: Cameras, *, max_points: int = MOST_POINTS
) -> int:
    """Write the page, atomically; gives its size in bytes.

    Args:
        cloud: With frame numbers; those of a `Reconstruction` have them. At most `max_points` of it, evenly, are shown.

    Raises:
        ValueError: There are no points, or the name does not end in .html.
    """
    check_page_suffix(path)
    if not len(cloud) or cloud.frame is None:
        raise ValueError(f"there are no points to show in {path}, or nobody knows which frames they come from")
    kept = np.linspace(0, len(cloud) - 1, min(max_points, len(cloud))).round().astype(np.int64)
    with redirect_stdout(io.StringIO()):  # viser prints an address, which nobody needs, and that it stops
        server = viser.ViserServer(host="127.0.0.1", port=0, label="CUT3R", verbose=False)
        try:
            html = _record(server, cloud, kept, cameras)
        finally:
            server.stop()
    with atomic_path(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return os.path.getsize(path)


def check_page_suffix(path: str | os.PathLike[str]) -> None:
    """Refuse another suffix than .html."""
    if os.path.splitext(path)[1].lower() != ".html":
        raise ValueError(f"{path} is no name for a page; expected .html")


def _record(server: viser.ViserServer, cloud: PointCloud, kept: Int64[np.ndarray, "k"], cameras: Cameras) -> str:
    assert cloud.frame is not None
    points, colors, frame = cloud.points[kept], cloud.colors[kept], cloud.frame[kept]
    finite = np.flatnonzero(cameras.finite)
    low, high = np.percentile(points, (5, 95), axis=0)
    extent = float(np.linalg.norm(high - low)) or 1.0
    _look_at(server, cameras.world_from_cam[finite].astype(np.float64), (low + high) / 2, extent)
    sides = np.maximum(high - low, 1e-3)
    walls = 2 * (sides[0] * sides[1] + sides[1] * sides[2] + sides[2] * sides[0])
    size = float(np.clip(DENSE * np.sqrt(walls / len(points)), *SIZES))
    steps = np.array_split(np.arange(len(cameras)), min(MOST_STEPS, len(cameras)))
    pause = _duration(cameras) / len(steps)
    drawn = set(finite[np.linspace(0, len(finite) - 1, min(MOST_FRUSTA, len(finite))).round().astype(int)].tolist())
    recorder = server.get_scene_serializer()
    for number, frames in enumerate(steps):
        mine = (frame >= frames[0]) & (frame <= frames[-1])
        if mine.any():
            server.scene.add_point_cloud(f"/points/{number}", points[mine], colors[mine], point_size=size)
        for index in drawn & set(frames.tolist()):
            _add_frustum(server, cameras, index, FRUSTUM * extent)
        server.flush()
        recorder.insert_sleep(pause)
    return recorder.as_html()


def _duration(cameras: Cameras) -> float:
    times = cameras.time_s[np.isfinite(cameras.time_s)]
    seconds = float(np.ptp(times)) if len(times) > 1 else len(cameras) / USUAL_FPS
    return float(np.clip(seconds, SHORTEST_S, LONGEST_S))


def _add_frustum(server: viser.ViserServer, cameras: Cameras, index: int, size: float) -> None:
    pose, (h, w) = cameras.world_from_cam[index].astype(np.float64), cameras.image_sizes[index].tolist()
    server.scene.add_camera_frustum(
        f"/cameras/{index}",
        fov=fov_from_focal(float(cameras.intrinsics[index, 1, 1]), h),
        aspect=w / h,
        scale=size,
        color=time_color(index, len(cameras) - 1),
        wxyz=wxyz(pose),
        position=pose[:3, 3],
    )


def _look_at(
    server: viser.ViserServer,
    world_from_cam: Float64[np.ndarray, "n 4 4"],
    middle: Float64[np.ndarray, "3"],
    extent: float,
) -> None:
    """From behind and above the first camera, with most of the scene in sight."""
    up = up_of_cameras(world_from_cam) if len(world_from_cam) else np.array([0.0, -1.0, 0.0])
    first = world_from_cam[0, :3, 3] if len(world_from_cam) else middle - [0, 0, extent]
    back = first - middle
    back -= (back @ up) * up
    length = np.linalg.norm(back)
    back = back / length if length > 1e-6 else -world_from_cam[0, :3, 2]
    server.scene.set_up_direction(tuple(up))
    server.initial_camera.position = tuple(middle + extent * (0.8 * back + 0.35 * up))
    server.initial_camera.look_at = tuple(middle)
