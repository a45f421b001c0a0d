"""The controls beside the scene. They hold values and report that something changed; the drawing thread reads them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import viser
from jaxtyping import UInt8

from cut3r.viewer.colors import ColorBy
from cut3r.viewer.config import ViewerConfig
from cut3r.viewer.look import Look, ShowMode
from cut3r.viewer.places import AS_ADDED

ELSEWHERE = (
    ": the stream was reset, and nobody has said where they stand beside these. Step to one of them to see its world."
)
EMPTY_IMAGE = np.full((9, 16, 3), 235, np.uint8)


@dataclass(frozen=True)
class Status:
    """Of the `frames` that arrived every `stride`-th is kept, with `points` drawn of those that are visible; of `lost`
    ones the camera was not finite; `elsewhere` ones of those kept stand in other worlds than the current one."""

    frames: int = 0
    stride: int = 1
    points: int = 0
    queries: int = 0
    fps: float = 0.0
    finished: bool = False
    lost: int = 0
    elsewhere: int = 0

    def text(self) -> str:
        if self.frames == 0:
            return "The stream ended without a frame." if self.finished else "Waiting for the first frame ..."
        frames = f"{self.frames} frame" + ("s" if self.frames > 1 else "")
        speed = f" · {self.fps:.1f} fps" if self.fps > 0 and not self.finished else ""
        head = f"**{'Finished' if self.finished else 'Running'}** · {frames}{speed}"
        thinned = f"\n\nShowing every {self.stride}th frame, so that memory stays bounded." if self.stride > 1 else ""
        lost = f"\n\n{self.lost} of them left out: their camera is not finite." if self.lost else ""
        elsewhere = f"\n\n{self.elsewhere} of those kept are hidden{ELSEWHERE}" if self.elsewhere else ""
        return f"{head} · {self.points:,} points{lost}{elsewhere}{thinned}"


class Panel:
    """Sizes of steps and ranges live here and nowhere else.

    Args:
        on_change: Called, from any thread, after a control has changed. Must return at once.
    """

    def __init__(self, server: viser.ViserServer, config: ViewerConfig, on_change: Callable[[], None]) -> None:
        self._gui, self._on_change = server.gui, on_change
        self._poses: viser.GuiDropdownHandle[str] | None = None
        self._status = self._gui.add_markdown(Status().text(), order=-2)  # above the query button, see QueryDesk
        self._build_playback()
        self._build_points(config)
        self._build_cameras(config)
        for control in self._controls:
            control.on_update(lambda _: on_change())

    def _build_playback(self) -> None:
        with self._gui.add_folder("Playback"):
            self._mode = self._gui.add_dropdown("Show", [mode.value for mode in ShowMode], initial_value="all")
            self._frame = self._gui.add_slider("Frame", 0, 0, 1, 0, disabled=True)
            self._step = self._gui.add_button_group("Step", ("previous", "next"))
            self._playing = self._gui.add_checkbox("Playing", False)
            self._fps = self._gui.add_slider("Speed (fps)", 1.0, 60.0, 0.5, 10.0)
            self._follow = self._gui.add_checkbox(
                "Follow camera", False, hint="Your view flies behind the current frame's camera"
            )
            self._image = self._gui.add_image(EMPTY_IMAGE, visible=False)
        self._step.on_click(lambda _: self.step(1 if self._step.value == "next" else -1))

    def _build_points(self, config: ViewerConfig) -> None:
        with self._gui.add_folder("Points"):
            self._color_by = self._gui.add_dropdown("Colour by", [kind.value for kind in ColorBy], initial_value="rgb")
            self._point_size = self._gui.add_slider(
                "Point size", 0.0005, max(0.1, config.point_size), 0.0005, config.point_size, hint="metres"
            )
            self._confidence = self._gui.add_slider(
                "Confidence", 0.0, max(30.0, config.confidence), 0.1, config.confidence, hint="hide points at or below"
            )
            self._percentile = self._gui.add_slider(
                "Hide least sure", 0.0, 99.0, 1.0, 0.0, hint="percent of each frame's points, in order of confidence"
            )
            self._max_points = self._gui.add_slider(
                "Points per frame",
                min(100, config.points_per_frame),
                config.points_per_frame,
                min(100, config.points_per_frame),
                config.points_per_frame,
                hint="at most, chosen at random",
            )

    def _build_cameras(self, config: ViewerConfig) -> None:
        with self._gui.add_folder("Cameras", expand_by_default=False):
            self._cameras = self._gui.add_checkbox("Show cameras", True)
            self._images = self._gui.add_checkbox("Show images", True)
            self._camera_size = self._gui.add_slider(
                "Camera size", 0.01, max(1.0, config.camera_size), 0.01, config.camera_size
            )
            self._camera_every = self._gui.add_slider("Every n-th camera", 1, 50, 1, 1)

    def offer(self, names: Sequence[str]) -> None:
        """Let people choose among placements of the frames; the first one at the start."""
        if self._poses is not None:
            self._poses.remove()
        hint = "where frames stand: their points and cameras move, nothing else changes"
        self._poses = self._gui.add_dropdown("Poses", names, initial_value=names[0], order=-1.5, hint=hint)
        self._poses.on_update(lambda _: self._on_change())

    @property
    def _controls(self) -> list[viser.GuiInputHandle]:
        playback = [self._mode, self._frame, self._playing, self._fps, self._follow]
        points = [self._color_by, self._point_size, self._confidence, self._percentile, self._max_points]
        return [*playback, *points, self._cameras, self._images, self._camera_size, self._camera_every]

    def look(self) -> Look:
        """What the controls say now."""
        return Look(
            mode=ShowMode(self._mode.value),
            current=min(self._frame.value, self._frame.max),  # a page may not know yet that the range shrank
            point_size=self._point_size.value,
            confidence=self._confidence.value,
            percentile=self._percentile.value,
            max_points=self._max_points.value,
            color_by=ColorBy(self._color_by.value),
            cameras=self._cameras.value,
            images=self._images.value,
            camera_size=self._camera_size.value,
            camera_every=self._camera_every.value,
            poses=AS_ADDED if self._poses is None else self._poses.value,
        )

    @property
    def following(self) -> bool:
        """Whether the clients' cameras follow the current frame."""
        return self._follow.value

    @property
    def tick_seconds(self) -> float | None:
        """Time between two frames of the playback; None while it stands still."""
        return 1 / self._fps.value if self._playing.value and self._frame.max > 0 else None

    def step(self, by: int) -> None:
        """Move the current frame, round and round; without frames nothing happens."""
        self._frame.value = (self._frame.value + by) % (self._frame.max + 1)

    def set_frame_count(self, count: int) -> None:
        """Fit the frame slider to the number of frames kept.

        At its end it stays at the end, where frames arrive; elsewhere at its frame, and after a thinning near it.
        """
        last, newest = self._frame.max, max(count - 1, 0)
        if last == newest:
            return
        value = self._frame.value
        if value == last and not self._playing.value:
            value = newest
        elif newest < last:
            value = round(value * newest / last)
        self._frame.max = max(last, newest)  # the value must lie in the range at every moment
        self._frame.value = value
        self._frame.max = newest
        self._frame.disabled = newest == 0

    def show_image(self, image: UInt8[np.ndarray, "h w 3"] | None) -> None:
        """Show the current frame's image, or none."""
        if image is not None and self._image.image is not image:
            self._image.image = image
        self._image.visible = image is not None

    def show_status(self, status: Status) -> None:
        self._status.content = status.text()
