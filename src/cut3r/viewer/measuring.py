"""Two clicks measure the distance between two points of the scene."""

from collections.abc import Callable, Sequence

import numpy as np
import viser
from jaxtyping import Float, Float64

from cut3r.viewer.framing import Extent
from cut3r.viewer.ground import meters
from cut3r.viewer.look import Look
from cut3r.viewer.places import Placement
from cut3r.viewer.view import ShownView, select

NEAR_RAY = 0.012  # radians: a point within is meant by a click
BEHIND = 0.05  # of the distance: of the points that may be meant, those of the nearest surface
COLOR = (230, 60, 60)

Visible = Callable[[], tuple[Sequence[ShownView], Placement, Look, Extent | None]]
"""The frames whose points are visible now, where they stand, and how they are drawn."""


def hit(
    frames: Sequence[ShownView],
    placement: Placement,
    look: Look,
    origin: Float[np.ndarray, "3"],
    direction: Float[np.ndarray, "3"],
) -> Float64[np.ndarray, "3"] | None:
    """Find the visible point (world) that a click means, or None.

    Of the points close to its ray it takes those of the nearest surface, and of these the one closest to the ray.
    """
    direction = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    best, found = np.inf, np.zeros((0, 5))
    for frame in frames:
        pose = placement.world_from_frame(frame)
        chosen = select(frame, confidence=look.confidence, percentile=look.percentile, max_points=look.max_points)
        offsets = frame.points_cam[chosen].astype(np.float64) @ pose[:3, :3].T + (pose[:3, 3] - origin)
        along = offsets @ direction
        aside = np.linalg.norm(offsets - along[:, None] * direction, axis=1)
        meant = (along > 0) & (aside < NEAR_RAY * along)
        if meant.any():
            rows = np.column_stack((along[meant], aside[meant] / along[meant], offsets[meant]))
            best = min(best, float(rows[:, 0].min()))
            found = np.concatenate((found, rows[rows[:, 0] < best * (1 + BEHIND)]))
    surface = found[found[:, 0] < best * (1 + BEHIND)]
    return None if not len(surface) else origin + surface[surface[:, 1].argmin(), 2:]


class Tape:
    """The control that measures, and what has been measured in one page."""

    def __init__(self, client: viser.ClientHandle, visible: Visible) -> None:
        self._client, self._visible = client, visible
        self._from: np.ndarray | None = None
        self._nodes: list[viser.SceneNodeHandle] = []
        self._count = 0
        self.lengths: list[float] = []
        with client.gui.add_folder("Measure", expand_by_default=False):
            self.on = client.gui.add_checkbox("Measure", False, hint="click two points (key M)")
            self._said = client.gui.add_markdown("Two clicks in the scene give a distance in metres.")
            self._delete = client.gui.add_button("Delete measurements", icon=viser.Icon.TRASH)
        self.on.on_update(lambda _: self._switch())
        self._delete.on_click(lambda _: self.clear())

    def toggle(self) -> None:
        self.on.value = not self.on.value
        self._switch()

    def clear(self) -> None:
        for node in self._nodes:
            node.remove()
        self._nodes, self._from, self.lengths = [], None, []
        self._said.content = "Nothing is measured."

    def _switch(self) -> None:
        self._client.scene.remove_click_callback("all")
        self._from = None
        if self.on.value:
            self._client.scene.on_click()(self._clicked)
            self._said.content = "Click the first point."

    def _clicked(self, event: viser.SceneClickEvent) -> None:
        self.click(np.array(event.ray_origin), np.array(event.ray_direction))

    def click(self, origin: Float[np.ndarray, "3"], direction: Float[np.ndarray, "3"]) -> None:
        """Take in a click: its ray in the world."""
        frames, placement, look, extent = self._visible()
        point = hit(frames, placement, look, origin, direction)
        if point is None or extent is None:
            self._said.content = "There is no point where you clicked; click on one."
            return
        ball = self._client.scene.add_icosphere(
            f"/tape/{self._count}", 0.008 * extent.radius, color=COLOR, position=point, cast_shadow=False
        )
        self._count += 1
        self._nodes.append(ball)
        if self._from is None:
            self._from = point
            self._said.content = "Click the second point."
            return
        length = float(np.linalg.norm(point - self._from))
        ends = np.stack((self._from, point)).astype(np.float32)
        self._nodes.append(
            self._client.scene.add_line_segments(
                f"/tape/{self._count}/line",
                ends[None],
                np.array(COLOR, np.uint8),
                thickness=3.0,
                thickness_units="screen",
            )
        )
        self._nodes.append(
            self._client.scene.add_label(f"/tape/{self._count}/length", meters(length), position=ends.mean(axis=0))
        )
        self._count += 1
        self._from = None
        self.lengths.append(length)
        self._said.content = f"**{length:.3f} m** between the last two points; click for the next."
