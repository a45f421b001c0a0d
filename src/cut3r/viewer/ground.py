"""What gives a scene its measure: a grid on the floor, the axes of the world, and a bar of a known length."""

import numpy as np
import viser

from cut3r.viewer.framing import Extent, nice
from cut3r.viewer.nodes import wxyz

GREY = (130, 130, 130)
BAR = 0.5  # of the scene's radius, at most
CELL = 0.25
NEARER = 0.08  # of the points are nearer than the bar, so that the timeline does not hide it
AXES = 0.1


def meters(length: float) -> str:
    """Say a length in the unit that people would use."""
    if length >= 1000:
        return f"{length / 1000:.3g} km"
    return f"{length:.3g} m" if length >= 1 else f"{100 * length:.3g} cm"


class Ground:
    """Not thread-safe: one thread draws."""

    def __init__(self, scene: viser.SceneApi) -> None:
        self._scene = scene
        self._drawn: Extent | None = None
        self._nodes: list[viser.SceneNodeHandle] = []
        self.text = ""

    def draw(self, extent: Extent | None, *, visible: bool) -> None:
        """Show them for a scene of this extent, or nothing; a grid's cell has a round length."""
        if not visible or extent is None:
            self._clear()
        elif extent is not self._drawn:
            self._clear()
            self._drawn = extent
            self._add(extent)

    def _clear(self) -> None:
        for node in self._nodes:
            node.remove()
        self._nodes, self._drawn, self.text = [], None, ""

    def _add(self, extent: Extent) -> None:
        cell, bar = nice(CELL * extent.radius), nice(BAR * extent.radius)
        stand = np.eye(4)
        stand[:3, :3] = np.stack((extent.right, extent.forward, extent.up), axis=1)
        middle = extent.center + (extent.floor - extent.center @ extent.up) * extent.up
        side = 2 * cell * np.ceil(1.3 * extent.radius / cell)
        grid = self._scene.add_grid(
            "/ground/grid",
            side,
            side,
            cell_size=cell,
            section_size=5 * cell,
            cell_color=GREY,
            section_color=GREY,
            cell_thickness=0.6,
            section_thickness=1.2,
            fade_distance=12 * extent.radius,
            shadow_opacity=0.0,
            wxyz=wxyz(stand),
            position=middle,
        )
        inside = (extent.points - middle) @ stand[:3, :3]
        ahead = np.quantile(inside[:, 1], NEARER)
        corner = middle + extent.right * (inside[:, 0].max() - bar) + extent.forward * ahead
        ends = np.stack((corner, corner + bar * extent.right)).astype(np.float32)
        tick = 0.04 * bar * extent.up
        lines = np.stack((ends, np.stack((ends[0] - tick, ends[0] + tick)), np.stack((ends[1] - tick, ends[1] + tick))))
        line = self._scene.add_line_segments(
            "/ground/bar", lines.astype(np.float32), np.array(GREY, np.uint8), thickness=4.0, thickness_units="screen"
        )
        label = self._scene.add_label("/ground/length", meters(bar), position=ends.mean(axis=0))
        axes = self._scene.add_frame(
            "/ground/axes", axes_length=AXES * extent.radius, axes_radius=0.02 * AXES * extent.radius, origin_radius=0.0
        )
        self._nodes = [grid, line, label, axes]
        self.text = f"One square of the grid is {meters(cell)}, the bar {meters(bar)}."
