"""What the viewer keeps of a frame or a query: a bounded cloud, a thumbnail and a camera.

Points are kept in their camera's frame and their chunk's units as float16: exact to 1/2048 of their distance, finer
than any prediction, wherever in the world the camera is and wherever it will be moved (`places`). They are in random
order, so any beginning of a cloud is a fair sample of it.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float16, Int, UInt8
from torch import Tensor

from cut3r.geometry.cameras import fov_from_focal, pinhole
from cut3r.geometry.registration import Similarity
from cut3r.inference.result import FrameResult, QueryResult
from cut3r.inference.view import EDGES, View
from cut3r.io.images import resize

QUERY_COLOR = (64, 179, 230)  # of a query's frustum, and of its points when no colours were predicted


@dataclass(frozen=True)
class ShownView:
    """A camera and its cloud.

    `position` counts the frames, or the queries, in order of arrival. `size` is (h, w) of the network's image and
    `focal` in its pixels. `thumbnail` is None when a query predicted no colours. The small maps have its size: `depth`
    along the optical axis in the chunk's units, nan where it is not valid, and the confidence. `number` and `time_s`
    are those of the frame in its stream.
    """

    position: int
    chunk_from_cam: Float[np.ndarray, "4 4"]
    points_cam: Float16[np.ndarray, "p 3"]
    colors: UInt8[np.ndarray, "p 3"]
    confidence: Float[np.ndarray, "p"]
    size: tuple[int, int]
    focal: float
    thumbnail: UInt8[np.ndarray, "h w 3"] | None
    chunk: int = 0
    depth_map: Float16[np.ndarray, "h w"] | None = None
    confidence_map: Float16[np.ndarray, "h w"] | None = None
    number: int = 0
    time_s: float | None = None
    name: str = ""

    @property
    def fov(self) -> float:
        """Vertical field of view, radians: what viser calls `fov`."""
        return fov_from_focal(self.focal, self.size[0])

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.size[1] / self.size[0]

    @property
    def median_depth(self) -> float:
        """In the chunk's units; 1 when the view has no points. The scale at which to look at this view."""
        return float(np.median(self.points_cam[:, 2])) if len(self.points_cam) else 1.0


def view_from_frame(
    result: FrameResult | View, position: int, *, max_points: int, thumbnail_side: int, edges: float | None = EDGES
) -> ShownView:
    """Take the bounded part of a frame's result that is shown; nothing of the result is kept alive.

    Args:
        edges: Which flying pixels are left out, see `FrameResult.on_surfaces`.
    """
    assert result.camera_is_finite, "a camera that is not finite has no place in the scene"
    view = result if isinstance(result, View) else result.view
    chosen = choose(view.on_surfaces(edges), max_points, seed=position)
    shown = _view(
        position,
        chunk_from_cam=view.chunk_from_cam,
        points_cam=view.points_seen(chosen),
        colors=view.image.reshape(-1, 3)[chosen.numpy()],
        confidence=view.confidence.flatten()[chosen],
        intrinsics=view.intrinsics,
        size=(view.image.shape[0], view.image.shape[1]),
        thumbnail=shrink_image(view.image, thumbnail_side),
        chunk=view.chunk,
        depth=view.points[..., 2].where(view.valid, torch.nan),
        confidence_of_all=view.confidence,
        map_side=thumbnail_side,
    )
    return replace(shown, number=view.number, time_s=view.time_s, name=view.name)


def view_from_query(
    result: QueryResult,
    position: int,
    *,
    max_points: int,
    thumbnail_side: int,
    edges: float | None = EDGES,
    chunk: int = 0,
    world_from_chunk: Similarity | None = None,
) -> ShownView:
    """The same for a query: its points at the requested pose, in the predicted colours where there are any.

    Args:
        chunk: The one that was asked.
        world_from_chunk: Where that stands as far as the session knows; None is at the origin.
    """
    place = Similarity.identity() if world_from_chunk is None else world_from_chunk
    assert result.prediction.points_cam is not None
    points_cam = result.prediction.points_cam[0]
    h, w = points_cam.shape[:2]
    chosen = choose(result.on_surfaces(edges), max_points, seed=position)
    rgb = None if result.prediction.rgb is None else result.rgb
    colors = np.full((len(chosen), 3), QUERY_COLOR, np.uint8) if rgb is None else rgb.reshape(-1, 3)[chosen.numpy()]
    return _view(
        position,
        chunk_from_cam=place.inverse().place(result.world_from_cam),
        points_cam=points_cam.reshape(-1, 3)[chosen] / place.scale.float(),
        colors=colors,
        confidence=result.confidence.flatten()[chosen],
        intrinsics=result.intrinsics,
        size=(h, w),
        thumbnail=None if rgb is None else shrink_image(rgb, thumbnail_side),
        chunk=chunk,
        depth=(points_cam[..., 2] / place.scale.float()).where(result.on_surfaces(None), torch.nan),
        confidence_of_all=result.confidence,
        map_side=thumbnail_side,
    )


def _view(
    position: int,
    *,
    chunk_from_cam: Float[Tensor, "4 4"],
    points_cam: Float[Tensor, "p 3"],
    colors: UInt8[np.ndarray, "p 3"],
    confidence: Float[Tensor, "p"],
    intrinsics: Float[Tensor, "3 3"],
    size: tuple[int, int],
    thumbnail: UInt8[np.ndarray, "h w 3"] | None,
    chunk: int,
    depth: Float[Tensor, "H W"],
    confidence_of_all: Float[Tensor, "H W"],
    map_side: int,
) -> ShownView:
    points = points_cam.half()
    fits = points.isfinite().all(dim=-1).numpy()  # a point beyond 65 km overflows float16
    return ShownView(
        position=position,
        chunk_from_cam=chunk_from_cam.double().numpy(),
        points_cam=points.numpy()[fits],
        colors=colors[fits],
        confidence=confidence.float().numpy()[fits],
        size=size,
        focal=float(intrinsics[1, 1]),
        thumbnail=thumbnail,
        chunk=chunk,
        depth_map=_thin(depth, map_side),
        confidence_map=_thin(confidence_of_all, map_side),
    )


def _thin(values: Float[Tensor, "H W"], side: int) -> Float16[np.ndarray, "h w"]:
    """Take some values evenly, so that the longer side has at most `side`: a mean of two depths is one of nothing.

    A number that is too large for float16 is the largest.
    """
    share = min(1.0, side / max(values.shape))
    rows, columns = (np.linspace(0, n - 1, max(1, round(n * share))).round().astype(int) for n in values.shape)
    most = float(np.finfo(np.float16).max)
    return values.float().numpy()[np.ix_(rows, columns)].clip(-most, most).astype(np.float16)


def choose(valid: Bool[Tensor, "h w"], max_points: int, *, seed: int) -> Int[Tensor, "p"]:
    """Draw at most `max_points` of the valid pixels (flat indices), each once, in random order."""
    candidates = np.flatnonzero(valid.numpy())
    drawn = np.random.default_rng(seed).choice(len(candidates), min(max_points, len(candidates)), replace=False)
    return torch.from_numpy(candidates[drawn])


def select(view: ShownView, *, confidence: float, percentile: float, max_points: int) -> Int[np.ndarray, "p"]:
    """Choose which of a view's points to draw.

    Args:
        confidence: Points at or below are hidden.
        percentile: So many percent of the view's points, the least confident, are hidden too; 0 to 100.
    """
    if len(view.confidence) == 0:
        return np.zeros(0, np.int64)
    trusted = (view.confidence > confidence) & (view.confidence >= np.percentile(view.confidence, percentile))
    return np.flatnonzero(trusted)[:max_points]


def shrink_image(image: UInt8[np.ndarray, "h w 3"], side: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Reduce an image until its longer side has at most `side` pixels; a smaller one is copied."""
    h, w = image.shape[:2]
    scale = min(1.0, side / max(h, w))
    if scale == 1.0:
        return image.copy()
    thin = max(1, int(2 / (3 * scale)))  # 1.5 pixels or more for each that stays: enough for a small picture, and fast
    return resize(np.ascontiguousarray(image[::thin, ::thin]), (max(1, round(h * scale)), max(1, round(w * scale))))


def stream_camera(frames: list[ShownView]) -> tuple[Float[Tensor, "3 3"], tuple[int, int]]:
    """Give the intrinsics and (h, w) of the stream: the newest frame's size, and the median focal length at that size.

    Raises:
        ValueError: There is no frame yet.
    """
    if not frames:
        raise ValueError("no frame has arrived yet, so the focal length is unknown; query after the first frame")
    size = frames[-1].size
    focal = float(np.median([frame.focal for frame in frames if frame.size == size]))
    return pinhole(size, focal), size
