"""Draws frames and queries as scene nodes, and a trail through the cameras.

`Scene.draw` compares what should be visible with what was sent and sends only the difference, so it can be called at
any time and any number of calls can be missed. A chunk is the node `/chunks/c`, where it stands in the world; a frame
of it is the node `/chunks/c/frames/k`, where it stands in the chunk. A chunk that moves is one new transform, and the
trail. The numbers in names are slots that later chunks and frames use again after thinning, so that viser's memory of
names stays bounded.
"""

import heapq
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import viser
from jaxtyping import Float64

from cut3r.viewer.colors import provisional_last, time_color
from cut3r.viewer.look import Look
from cut3r.viewer.nodes import Group, OnClick, wxyz
from cut3r.viewer.places import AS_ADDED, Placement, scale_of
from cut3r.viewer.view import QUERY_COLOR, ShownView


class Scene:
    """Not thread-safe: one thread draws.

    Args:
        client: The page that is drawn on.
        on_click: Is given the frame whose camera was clicked, in a thread of the page.
    """

    def __init__(self, client: viser.ClientHandle, on_click: OnClick) -> None:
        self._client, self._on_click = client, on_click
        self._chunks: dict[int, _Chunk] = {}
        self._free: list[int] = []
        self._trail: viser.LineSegmentsHandle | None = None
        self._trail_key: tuple[object, ...] = ()
        self._version: tuple[int, str, bool] = 0, AS_ADDED, True

    def draw(
        self,
        frames: Sequence[ShownView],
        queries: Sequence[ShownView],
        placement: Placement,
        look: Look,
        *,
        finished: bool = False,
    ) -> int:
        """Make the scene look like this. What does not stand in the world of the current frame is hidden.

        Args:
            finished: The last frame is the last one of the stream, so colours of time can be final.

        Returns:
            The number of points in the visible clouds of the frames.
        """
        newest = frames[-1].position if frames else 0
        last = newest if finished else provisional_last(newest)
        world = placement.world(frames[look.current].chunk) if frames else None
        shown = [placement.world(f.chunk) == world and look.shows_frame(index) for index, f in enumerate(frames)]
        points = 0
        views_look = replace(
            look, current=0, poses=AS_ADDED, corrected=True
        )  # a view looks the same whichever is the current one
        self._keep(frames, queries)
        self._put(frames, queries, placement)
        for index, frame in enumerate(frames):
            color = time_color(frame.position, last)
            node = self._chunks[frame.chunk].frames.node(frame)
            points += node.draw(views_look, visible=shown[index], camera=look.shows_camera(index), color=color)
        for query in queries:
            here = placement.world(query.chunk) == world
            self._chunks[query.chunk].queries.node(query).draw(
                views_look, visible=here, camera=True, color=QUERY_COLOR, solid_by_time=False
            )
        self._draw_trail([f for f, on in zip(frames, shown, strict=True) if on], placement, look.cameras, last)
        return points

    def _keep(self, frames: Sequence[ShownView], queries: Sequence[ShownView]) -> None:
        """Have a node for each chunk that has views, and remove the nodes of all other chunks and views."""
        members: dict[int, tuple[list[ShownView], list[ShownView]]] = {}
        for kind, views in enumerate((frames, queries)):
            for view in views:
                members.setdefault(view.chunk, ([], []))[kind].append(view)
        for number, chunk in list(self._chunks.items()):
            chunk.keep(*members.get(number, ((), ())))
            if number not in members:
                chunk.node.remove()
                heapq.heappush(self._free, self._chunks.pop(number).slot)
        for number in members.keys() - self._chunks.keys():
            slot = heapq.heappop(self._free) if self._free else len(self._chunks)
            self._chunks[number] = _Chunk(self._client, slot, self._on_click)

    def _put(self, frames: Sequence[ShownView], queries: Sequence[ShownView], placement: Placement) -> None:
        """Bring chunks and views to their places."""
        if placement.version == self._version:
            self._put_all(frames, queries, placement)  # those that are new
            return
        self._version = placement.version
        with self._client.atomic():  # no page shows one half moved and the other not
            self._put_all(frames, queries, placement)

    def _put_all(self, frames: Sequence[ShownView], queries: Sequence[ShownView], placement: Placement) -> None:
        for number, chunk in self._chunks.items():
            chunk.put(placement.chunks[number].world_from_chunk)
        for frame in frames:
            chunk = self._chunks[frame.chunk]
            chunk.frames.node(frame).put(placement.chunk_from_frame(frame), chunk.scale)
        for query in queries:
            chunk = self._chunks[query.chunk]
            chunk.queries.node(query).put(query.chunk_from_cam, chunk.scale)

    def _draw_trail(self, frames: Sequence[ShownView], placement: Placement, visible: bool, last: int) -> None:
        positions = tuple(frame.position for frame in frames) if visible else ()
        key = positions, last, placement.version
        if key == self._trail_key:
            return
        self._trail_key = key
        if self._trail is not None:
            self._trail.remove()
            self._trail = None
        if len(positions) > 1:
            centers = np.stack([placement.world_from_frame(frame)[:3, 3] for frame in frames]).astype(np.float32)
            colors = np.array([time_color(position, last) for position in positions], np.uint8)
            self._trail = self._client.scene.add_line_segments(
                "/trail",
                np.stack((centers[:-1], centers[1:]), axis=1),
                np.stack((colors[:-1], colors[1:]), axis=1),
                thickness=2.0,
                thickness_units="screen",
            )


class _Chunk:
    """The node of a chunk, and the frames and answers below it."""

    def __init__(self, client: viser.ClientHandle, slot: int, on_click: OnClick) -> None:
        name = f"/chunks/{slot}"
        self.slot = slot
        self.node = client.scene.add_frame(name, show_axes=False)
        self.frames = Group(client, f"{name}/frames", on_click)
        self.queries = Group(client, f"{name}/queries", on_click)
        self.scale = 1.0
        self._place = np.eye(4)

    def keep(self, frames: Sequence[ShownView], queries: Sequence[ShownView]) -> None:
        self.frames.keep(frames)
        self.queries.keep(queries)

    def put(self, world_from_chunk: Float64[np.ndarray, "4 4"]) -> None:
        if np.array_equal(world_from_chunk, self._place):
            return
        self._place = world_from_chunk
        self.scale = scale_of(world_from_chunk)
        self.node.wxyz = wxyz(world_from_chunk / self.scale)
        self.node.position = world_from_chunk[:3, 3]
