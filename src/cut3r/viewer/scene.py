"""Draws frames and queries as scene nodes: a point cloud and a frustum each, and a trail through the cameras.

`Scene.draw` compares what should be visible with what was sent and sends only the difference, so it can be called at
any time and any number of calls can be missed. A view is the node `/frames/k` (pose) with the children `points` and
`camera`; k is a slot that a later frame uses again after thinning, so that viser's memory of names stays bounded.
"""

import heapq
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import viser

from cut3r.geometry.poses import quaternion_from_matrix
from cut3r.viewer.colors import ColorBy, point_colors, provisional_last, time_color
from cut3r.viewer.look import Look
from cut3r.viewer.view import QUERY_COLOR, ShownView, select


class Scene:
    """Not thread-safe: one thread draws."""

    def __init__(self, server: viser.ViserServer) -> None:
        self._server = server
        self._frames = _Group(server, "/frames")
        self._queries = _Group(server, "/queries")
        self._trail: viser.LineSegmentsHandle | None = None
        self._trail_key: tuple[tuple[int, ...], int] = (), 0

    def draw(
        self, frames: Sequence[ShownView], queries: Sequence[ShownView], look: Look, *, finished: bool = False
    ) -> int:
        """Make the scene look like this.

        Args:
            finished: The last frame is the last one of the stream, so colours of time can be final.

        Returns:
            The number of points in the visible clouds of the frames.
        """
        newest = frames[-1].position if frames else 0
        last = newest if finished else provisional_last(newest)
        points = 0
        views_look = replace(look, current=0)  # a view looks the same whichever is the current one
        self._frames.keep(frames)
        for index, frame in enumerate(frames):
            color = time_color(frame.position, last)
            shown, camera = look.shows_frame(index), look.shows_camera(index)
            points += self._frames.node(frame).draw(views_look, visible=shown, camera=camera, color=color)
        self._queries.keep(queries)
        for query in queries:
            self._queries.node(query).draw(
                views_look, visible=True, camera=True, color=QUERY_COLOR, solid_by_time=False
            )
        self._draw_trail([frame for index, frame in enumerate(frames) if look.shows_frame(index)], look.cameras, last)
        return points

    def _draw_trail(self, frames: Sequence[ShownView], visible: bool, last: int) -> None:
        key = tuple(frame.position for frame in frames) if visible else ()
        if (key, last) == self._trail_key:
            return
        self._trail_key = key, last
        if self._trail is not None:
            self._trail.remove()
            self._trail = None
        if len(key) > 1:
            centers = np.stack([frame.world_from_cam[:3, 3] for frame in frames]).astype(np.float32)
            colors = np.array([time_color(position, last) for position in key], np.uint8)
            self._trail = self._server.scene.add_line_segments(
                "/trail",
                np.stack((centers[:-1], centers[1:]), axis=1),
                np.stack((colors[:-1], colors[1:]), axis=1),
                thickness=2.0,
                thickness_units="screen",
            )


class _Group:
    """The nodes under one name, one per view."""

    def __init__(self, server: viser.ViserServer, name: str) -> None:
        self._server = server
        self._name = name
        self._nodes: dict[int, _Node] = {}  # by the identity of the view
        self._free: list[int] = []

    def keep(self, views: Sequence[ShownView]) -> None:
        """Remove the nodes of all other views."""
        wanted = {id(view) for view in views}
        for key in [key for key in self._nodes if key not in wanted]:
            node = self._nodes.pop(key)
            node.remove()
            heapq.heappush(self._free, node.slot)

    def node(self, view: ShownView) -> "_Node":
        if id(view) not in self._nodes:
            slot = heapq.heappop(self._free) if self._free else len(self._nodes)
            self._nodes[id(view)] = _Node(self._server, f"{self._name}/{slot}", slot, view)
        return self._nodes[id(view)]


class _Node:
    """One view in the scene. Holds the view, so that its identity stays its own."""

    def __init__(self, server: viser.ViserServer, name: str, slot: int, view: ShownView) -> None:
        self._server = server
        self._name = name
        self.slot = slot
        self._view = view
        rotation = torch.from_numpy(view.world_from_cam[:3, :3])
        self._pose = server.scene.add_frame(
            name,
            show_axes=False,
            wxyz=quaternion_from_matrix(rotation).numpy(),
            position=view.world_from_cam[:3, 3],
            visible=False,
        )
        self._points: viser.PointCloudHandle | None = None
        self._points_key: tuple[float, float, int, ColorBy] | None = None
        self._shown_points = 0
        self._camera: viser.CameraFrustumHandle | None = None
        self._drawn: tuple[object, ...] = ()

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
        self._points.point_size = look.point_size
        if solid_color is not None:
            self._points.colors = np.array(solid_color, np.uint8)  # a few bytes, however many points

    def _send_points(self, look: Look) -> None:
        chosen = select(self._view, confidence=look.confidence, percentile=look.percentile, max_points=look.max_points)
        self._shown_points = len(chosen)
        if len(chosen) == 0 and self._points is not None:
            self._points.remove()
            self._points = None
        if len(chosen):  # the same name again: replaces the old cloud in one message
            self._points = self._server.scene.add_point_cloud(
                f"{self._name}/points",
                self._view.points_cam[chosen],
                point_colors(self._view, look.color_by)[chosen],
                point_size=look.point_size,
                point_shape="rounded",
                point_shading="flat",
                precision="float16",
            )

    def _draw_camera(self, look: Look, visible: bool, color: tuple[int, int, int]) -> None:
        if self._camera is None:
            if not visible:
                return
            self._camera = self._server.scene.add_camera_frustum(
                f"{self._name}/camera", self._view.fov, self._view.aspect, jpeg_quality=80, cast_shadow=False
            )
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
