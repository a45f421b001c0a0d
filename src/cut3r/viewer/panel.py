"""The controls beside the scene. They hold values and report that something changed; the drawing thread reads them."""

from collections.abc import Callable, Sequence

import numpy as np
import viser

from cut3r.viewer.colors import ColorBy, small_maps
from cut3r.viewer.config import ViewerConfig
from cut3r.viewer.framing import Extent
from cut3r.viewer.help import INTRODUCTION, TEXT
from cut3r.viewer.look import Look, ShowMode
from cut3r.viewer.places import AS_ADDED, Placement
from cut3r.viewer.status import Status, moment_of
from cut3r.viewer.timeline import Timeline
from cut3r.viewer.view import ShownView

EMPTY_IMAGE = np.full((9, 16, 3), 235, np.uint8)


class Panel:
    """Sizes of steps and ranges live here and nowhere else.

    Args:
        on_change: Called, from any thread, after a control has changed. Must return at once.
    """

    def __init__(self, client: viser.ClientHandle, config: ViewerConfig, on_change: Callable[[], None]) -> None:
        self._gui, self._on_change, self._config = client.gui, on_change, config
        self._poses: viser.GuiDropdownHandle[str] | None = None
        self._gui.add_markdown(INTRODUCTION)
        self._status = self._gui.add_markdown(Status().text())
        self._corrected = self._gui.add_checkbox(
            "Corrections", True, visible=False, hint="off: chunks stand where they came, before loops were closed"
        )
        self._moved = self._gui.add_markdown("", visible=False)
        with self._gui.add_folder("Current frame"):
            self._image = self._gui.add_image(EMPTY_IMAGE, visible=False)
            self._caption = self._gui.add_markdown("Picture, depth and confidence of the frame at the timeline.")
        self._shown: ShownView | None = None
        self.timeline = Timeline(client, on_change)
        self._build_points(config)
        self._build_cameras()
        for control in self._controls:
            control.on_update(lambda _: on_change())

    def _build_points(self, config: ViewerConfig) -> None:
        with self._gui.add_folder("Points"):
            self._color_by = self._gui.add_dropdown("Colour by", [kind.value for kind in ColorBy], initial_value="rgb")
            self._percentile = self._gui.add_slider(
                "Hide least sure %", 0.0, 99.0, 1.0, 0.0, hint="of each frame's points, in order of confidence"
            )
            self._confidence = self._gui.add_slider(
                "Confidence", 0.0, max(30.0, config.confidence), 0.1, config.confidence, hint="hide points at or below"
            )
            self._point_size = self._gui.add_slider(
                "Size of points", 0.1, 10.0, 0.1, 1.0, hint="1 is in proportion to the scene"
            )
            self._max_points = self._gui.add_slider(
                "Points per frame",
                min(100, config.points_per_frame),
                config.points_per_frame,
                min(100, config.points_per_frame),
                config.points_per_frame,
                hint="at most, chosen at random",
            )

    def _build_cameras(self) -> None:
        with self._gui.add_folder("Cameras and floor", expand_by_default=False):
            self._cameras = self._gui.add_checkbox("Show cameras", True)
            self._images = self._gui.add_checkbox("Show images", True)
            self._camera_size = self._gui.add_slider(
                "Size of cameras", 0.1, 10.0, 0.1, 1.0, hint="1 is in proportion to the scene"
            )
            self._camera_every = self._gui.add_slider("Every n-th camera", 1, 50, 1, 1)
            self._ground = self._gui.add_checkbox("Grid, axes, scale", True)
            self._ground_text = self._gui.add_markdown("")

    def add_help(self) -> viser.GuiFolderHandle:
        """The last folder of the panel."""
        folder = self._gui.add_folder("Help: mouse, keys, units", expand_by_default=False)
        with folder:
            self._gui.add_markdown(TEXT)
        return folder

    def offer(self, names: Sequence[str]) -> None:
        """Let people choose among placements of the frames; the first one at the start."""
        if self._poses is not None:
            if tuple(self._poses.options) == tuple(names):
                return
            self._poses.remove()
        hint = "where frames stand: their points and cameras move, nothing else changes"
        self._poses = self._gui.add_dropdown(
            "Poses", names, initial_value=names[0], order=self._status.order + 1e-6, hint=hint
        )
        self._poses.on_update(lambda _: self._on_change())

    @property
    def _controls(self) -> list[viser.GuiInputHandle]:
        points = [self._color_by, self._point_size, self._confidence, self._percentile, self._max_points]
        cameras = [self._cameras, self._images, self._camera_size, self._camera_every, self._ground]
        return [*points, *cameras, self._corrected]

    def look(self, extent: Extent | None = None) -> Look:
        """What the controls say now.

        Args:
            extent: Of the scene, to which sizes are in proportion.
        """
        point_size = self._config.point_size or (Look.point_size if extent is None else extent.point_size)
        camera_size = self._config.camera_size or (Look.camera_size if extent is None else extent.camera_size)
        return Look(
            mode=ShowMode(self.timeline.mode.value),
            current=self.timeline.current,
            point_size=point_size * self._point_size.value,
            confidence=self._confidence.value,
            percentile=self._percentile.value,
            max_points=self._max_points.value,
            color_by=ColorBy(self._color_by.value),
            cameras=self._cameras.value,
            images=self._images.value,
            camera_size=camera_size * self._camera_size.value,
            camera_every=self._camera_every.value,
            poses=AS_ADDED if self._poses is None else self._poses.value,
            corrected=self._corrected.value,
        )

    @property
    def shows_ground(self) -> bool:
        return self._ground.value

    def show_frame(self, view: ShownView | None, scale: float = 1.0) -> None:
        """Show a frame's picture, depth and confidence side by side, or nothing.

        Args:
            scale: Metres per unit of its depth.
        """
        if view is self._shown or view is None or view.thumbnail is None:
            return
        self._shown = view
        picture, ends = small_maps(view)
        self._image.image = picture
        self._image.visible = True
        (near, far), (low, high) = ends
        when = "" if view.time_s is None else f" · {moment_of(view.number, view.time_s)}"
        name = f" · {view.name}" if view.name else ""
        self._caption.content = (
            f"**Frame {view.number}**{when}{name}\n\n"
            f"picture · depth {scale * near:.2f} to {scale * far:.2f} m · confidence {low:.1f} to {high:.1f}"
        )

    def show_ground_text(self, text: str) -> None:
        self._ground_text.content = text

    def show_corrections(self, placement: Placement) -> None:
        """Say which chunks were moved after they came, and let people see them as they were."""
        moved = placement.corrections if placement.corrected else None
        if moved is None:  # one looks at the scene before them
            return
        self._corrected.visible = self._moved.visible = bool(moved)
        if moved:
            count = f"{len(moved)} chunk{'s' if len(moved) > 1 else ''}"
            self._moved.content = f"{count} moved by up to {max(moved.values()):.2f} m when places were seen again."

    def show_status(self, status: Status) -> None:
        self._status.content = status.text()
