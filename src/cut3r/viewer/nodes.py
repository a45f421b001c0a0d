"""Views as scene nodes: a frame with the children `points` and `camera`, below the node of their chunk.

viser's frames turn and shift their children but do not scale them. So a cloud is sent once, in the units of its chunk,
and its own property `scale` says how large it is: a chunk can be moved, turned and scaled with a few bytes.
"""

import heapq
from collections.abc import Callable, Sequence

import numpy as np
import torch
import viser
from jaxtyping import Float64

from cut3r.geometry.poses import quaternion_from_matrix
from cut3r.viewer.colors import ColorBy, point_colors
from cut3r.viewer.look import Look
from cut3r.viewer.places import scale_of
from cut3r.viewer.view import ShownView, select

OnClick = Callable[[ShownView], None]


class Node:
    """One view in the scene. Holds the view, so that its identity stays its own."""

    def __init__(self, client: viser.ClientHandle, name: str, slot: int, view: ShownView, on_click: OnClick) -> None:
        self._client, self._on_click = client, on_click
        self._name = name
        self.slot = slot
        self._view = view
        self._pose = client.scene.add_frame(name, show_axes=False, visible=False)
        self._place: tuple[np.ndarray, float] = np.eye(4), 1.0
        self._scale = 1.0  # metres per unit of the view's points
        self._points: viser.PointCloudHandle | None = None
        self._points_key: tuple[float, float, int, ColorBy] | None = None
        self._shown_points = 0
        self._camera: viser.CameraFrustumHandle | None = None
        self._drawn: tuple[object, ...] = ()

    def put(self, chunk_from_view: Float64[np.ndarray, "4 4"], chunk_scale: float) -> None:
        """Say where the view stands in its chunk (scale inside), and how many metres the chunk's unit has."""
        before, scale_before = self._place
        if chunk_scale == scale_before and (chunk_from_view is before or np.array_equal(chunk_from_view, before)):
            return
        self._place = chunk_from_view, chunk_scale
        own_scale = scale_of(chunk_from_view)
        if not np.array_equal(chunk_from_view, before):
            self._pose.wxyz = wxyz(chunk_from_view / own_scale)
        self._pose.position = chunk_scale * chunk_from_view[:3, 3]
        self._scale = chunk_scale * own_scale
        if self._points is not None:
            self._points.point_size /= self._scale / self._points.scale
            self._points.scale = self._scale

    def draw(
        self, look: Look, *, visible: bool, camera: bool, color: tuple[int, int, int], solid_by_time: bool = True
    ) -> int:
        """Show the view, and its frustum in this colour, or hide both; gives the number of visible points."""
        drawn = (look, visible, camera, color, solid_by_time)
        if drawn == self._drawn:
            return self._shown_points if visible else 0
        self._drawn = drawn
        if visible:
            self._draw_points(look, color if solid_by_time and look.color_by is ColorBy.time else None)
            self._draw_camera(look, camera, color)
        self._pose.visible = visible
        return self._shown_points if visible else 0

    def _draw_points(self, look: Look, solid_color: tuple[int, int, int] | None) -> None:
        key = (look.confidence, look.percentile, look.max_points, look.color_by)
        if key != self._points_key:
            self._points_key = key
            self._send_points(look)
        if self._points is None:
            return
        self._points.point_size = look.point_size / self._scale  # viser scales points, too
        if solid_color is not None:
            self._points.colors = np.array(solid_color, np.uint8)  # a few bytes, however many points

    def _send_points(self, look: Look) -> None:
        chosen = select(self._view, confidence=look.confidence, percentile=look.percentile, max_points=look.max_points)
        self._shown_points = len(chosen)
        if len(chosen) == 0 and self._points is not None:
            self._points.remove()
            self._points = None
        if len(chosen):  # the same name again: replaces the old cloud in one message
            self._points = self._client.scene.add_point_cloud(
                f"{self._name}/points",
                self._view.points_cam[chosen],
                point_colors(self._view, look.color_by)[chosen],
                point_size=look.point_size / self._scale,
                point_shape="rounded",
                point_shading="flat",
                precision="float16",
                scale=self._scale,
            )

    def _draw_camera(self, look: Look, visible: bool, color: tuple[int, int, int]) -> None:
        if self._camera is None:
            if not visible:
                return
            self._camera = self._client.scene.add_camera_frustum(
                f"{self._name}/camera", self._view.fov, self._view.aspect, jpeg_quality=80, cast_shadow=False
            )
            self._camera.on_click(lambda _: self._on_click(self._view))
        self._camera.visible = visible
        self._camera.color = color
        self._camera.scale = look.camera_size
        self._camera.thickness = 0.03 * look.camera_size
        image = self._view.thumbnail if look.images else None
        if self._camera.image is not image:
            self._camera.image = image

    def remove(self) -> None:
        """Take the node and its children out of the scene."""
        self._pose.remove()


class Group:
    """The nodes under one name, one per view, in slots that later views use again."""

    def __init__(self, client: viser.ClientHandle, name: str, on_click: OnClick) -> None:
        self._client, self._on_click = client, on_click
        self._name = name
        self._nodes: dict[int, Node] = {}  # by the identity of the view
        self._free: list[int] = []

    def keep(self, views: Sequence[ShownView]) -> None:
        """Remove the nodes of all other views."""
        wanted = {id(view) for view in views}
        for key in [key for key in self._nodes if key not in wanted]:
            node = self._nodes.pop(key)
            node.remove()
            heapq.heappush(self._free, node.slot)

    def node(self, view: ShownView) -> Node:
        if id(view) not in self._nodes:
            slot = heapq.heappop(self._free) if self._free else len(self._nodes)
            self._nodes[id(view)] = Node(self._client, f"{self._name}/{slot}", slot, view, self._on_click)
        return self._nodes[id(view)]


def wxyz(rotation: Float64[np.ndarray, "4 4"]) -> np.ndarray:
    """The quaternion of a transform without scale."""
    quaternion: np.ndarray = quaternion_from_matrix(torch.from_numpy(rotation[:3, :3])).numpy()
    return quaternion
