"""Point clouds of one sequence: still pictures, and the same points packed for the page's rotating view.

All clouds of a sequence are shown in one box from one direction. Errors are distances to the nearest true point shown,
so they cannot be smaller than about half the distance between those.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from scipy.spatial.transform import Rotation

from cut3r.geometry.points import nearest_neighbors
from eval.protocols.base import Look
from eval.report.drawing import DEPTH_MAP, ERROR_MAP, round_up
from eval.report.pictures import encoded

STILL = (300, 400)  # (h, w) pixels
SPLAT = 2  # pixels that a point covers
MARGIN = 0.04  # of the box, around the points
LEAST_ERROR_M = 0.05  # the scale of errors ends here or higher
TURN_DEG, TILT_DEG = 25.0, 28.0  # of the viewer: to the left, down
Y_UP = {"nrgbd"}  # sets whose world has OpenGL axes; the others' y points down
TRUTH = "ground truth"


@dataclass(frozen=True)
class Cloud:
    """One cloud: coloured as the pictures are, and (for predictions) by distance to the truth.

    Attributes:
        outside: Share of its points that the box does not hold.
    """

    label: str
    points: Float[np.ndarray, "p 3"]
    colors: UInt8[np.ndarray, "p 3"]
    error_colors: UInt8[np.ndarray, "p 3"] | None
    outside: float


@dataclass(frozen=True)
class CloudScene:
    """The truth and the systems' clouds, in a box of metres; errors are coloured up to `limit_m`."""

    clouds: list[Cloud]
    low: Float64[np.ndarray, "3"]
    high: Float64[np.ndarray, "3"]
    limit_m: float
    y_up: bool


def cloud_scene(looks: Mapping[str, Look], dataset: str, most_points: int) -> CloudScene:
    """Bring one sequence's clouds together.

    Args:
        looks: By system (eval/protocols/mv_recon.py).
        most_points: Of each cloud.
    """
    true, true_colors = _thinned(next(iter(looks.values())), "true", most_points)
    predicted = {label: _thinned(look, "predicted", most_points) for label, look in looks.items()}
    low, high = box([true, *(points for points, _ in predicted.values())])
    errors = {label: _distances(points, true) for label, (points, _) in predicted.items()}
    far = [float(np.quantile(values, 0.95)) for values in errors.values() if len(values)]
    limit_m = max(LEAST_ERROR_M, round_up(max(far, default=0.0)))
    y_up = dataset.split("_")[0] in Y_UP
    toward = viewer_axes(y_up=y_up)[2]
    clouds = [_cloud(TRUTH, true, true_colors, None, low, high, toward)]
    for label, (points, colors) in predicted.items():
        by_error = ERROR_MAP(np.clip(errors[label] / limit_m, 0, 1), bytes=True)[:, :3]
        clouds.append(_cloud(label, points, colors, by_error, low, high, toward))
    return CloudScene(clouds, low, high, limit_m, y_up)


def box(clouds: list[Float[np.ndarray, "p 3"]]) -> tuple[Float64[np.ndarray, "3"], Float64[np.ndarray, "3"]]:
    """Give the corners of a box around the first cloud and all but the outermost hundredth of the others."""
    lows, highs = [clouds[0].min(axis=0)], [clouds[0].max(axis=0)]
    for points in clouds[1:]:
        if len(points):
            lows.append(np.quantile(points, 0.01, axis=0))
            highs.append(np.quantile(points, 0.99, axis=0))
    low, high = np.min(lows, axis=0).astype(np.float64), np.max(highs, axis=0).astype(np.float64)
    margin = MARGIN * np.maximum(high - low, 1e-3)
    return low - margin, high + margin


def viewer_axes(*, y_up: bool) -> Float64[np.ndarray, "3 3"]:
    """The viewer's right, down and forward directions in the world, as rows."""
    turned = Rotation.from_euler("YX", [TURN_DEG, -TILT_DEG], degrees=True).as_matrix().T
    flip = np.diag([1.0, -1.0, -1.0]) if y_up else np.eye(3)
    axes: np.ndarray = turned @ flip
    return axes


def still(
    points: Float[np.ndarray, "p 3"], colors: UInt8[np.ndarray, "p 3"], scene: CloudScene
) -> UInt8[np.ndarray, "h w 4"]:
    """Draw a cloud without perspective, near points over far ones, transparent between them; all clouds of a scene fit
    into the picture."""
    h, w = STILL
    axes = viewer_axes(y_up=scene.y_up)
    everything = np.concatenate([cloud.points for cloud in scene.clouds]) @ axes.T
    low, high = everything.min(axis=0), everything.max(axis=0) + 1e-6
    pixels_per_m = min((w - SPLAT) / (high[0] - low[0]), (h - SPLAT) / (high[1] - low[1]))
    seen = points @ axes.T
    order = np.argsort(-seen[:, 2])  # far ones first
    offset = (np.array([w, h]) - SPLAT - pixels_per_m * (high - low)[:2]) / 2
    columns, rows = (pixels_per_m * (seen[order, :2] - low[:2]) + offset).astype(int).T
    picture = np.zeros((h, w, 4), np.uint8)
    pixels = np.concatenate([colors[order], np.full((len(order), 1), 255, np.uint8)], axis=1)
    for shift in np.ndindex(SPLAT, SPLAT):
        picture[np.clip(rows + shift[0], 0, h - 1), np.clip(columns + shift[1], 0, w - 1)] = pixels
    return picture


def still_uri(points: Float[np.ndarray, "p 3"], colors: UInt8[np.ndarray, "p 3"], scene: CloudScene) -> str:
    return encoded(still(points, colors, scene))


def packed(scene: CloudScene) -> dict[str, object]:
    """The scene for page.js: coordinates as 16-bit shares of the box, colours as bytes, in base64."""
    size = scene.high - scene.low

    def text(array: np.ndarray) -> str:
        return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()

    return {
        "low": scene.low.tolist(),
        "size": size.tolist(),
        "up": 1 if scene.y_up else -1,
        "clouds": [
            {
                "label": cloud.label,
                "points": text(np.rint((cloud.points - scene.low) / size * 65535).astype("<u2")),
                "colors": text(cloud.colors),
                "errors": None if cloud.error_colors is None else text(cloud.error_colors),
            }
            for cloud in scene.clouds
        ],
    }


def _thinned(look: Look, name: str, most: int) -> tuple[np.ndarray, np.ndarray | None]:
    points = look[f"{name}_points"]
    finite = np.isfinite(points).all(axis=1)
    points, colors = points[finite], look.get(f"{name}_colors")
    chosen = np.linspace(0, len(points) - 1, min(most, len(points))).astype(int)
    return points[chosen], None if colors is None else colors[finite][chosen]


def _distances(points: np.ndarray, true: np.ndarray) -> np.ndarray:
    distances: np.ndarray = nearest_neighbors(torch.from_numpy(points), torch.from_numpy(true))[0].numpy()
    return distances


def _cloud(
    label: str,
    points: np.ndarray,
    colors: np.ndarray | None,
    by_error: np.ndarray | None,
    low: np.ndarray,
    high: np.ndarray,
    toward: np.ndarray,
) -> Cloud:
    """Keep the points in the box; a cloud without colours is coloured by distance from the viewer."""
    if colors is None:
        depth = points @ toward
        colors = DEPTH_MAP((depth - depth.min()) / max(float(np.ptp(depth)), 1e-9), bytes=True)[:, :3]
    inside = np.all((points >= low) & (points <= high), axis=1)
    errors = None if by_error is None else by_error[inside]
    return Cloud(label, points[inside], colors[inside], errors, 1 - float(inside.mean()) if len(inside) else 0.0)
