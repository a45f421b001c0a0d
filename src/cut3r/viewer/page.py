"""The page of one visitor: controls, scene and camera of their own, so that nobody moves another's view."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import viser

from cut3r.viewer.config import ViewerConfig
from cut3r.viewer.downloads import Download, DownloadDesk
from cut3r.viewer.flight import FlightDesk, Stops
from cut3r.viewer.framing import Extent, extent_of
from cut3r.viewer.ground import Ground
from cut3r.viewer.look import Look, view_from_behind
from cut3r.viewer.measuring import Tape
from cut3r.viewer.navigation import Navigator, describe
from cut3r.viewer.panel import Panel
from cut3r.viewer.places import Placement, Places, scale_of
from cut3r.viewer.query import Query, QueryDesk
from cut3r.viewer.scene import Scene
from cut3r.viewer.status import Status
from cut3r.viewer.store import FrameStore
from cut3r.viewer.timeline import BACK, FIRST, LAST, ON, PLAY
from cut3r.viewer.view import ShownView

MOST_STOPS = 12  # of a flight along the recording's own way
BRAND = (38, 105, 176)


@dataclass
class Shared:
    """What all pages show, and who may change it: the viewer writes, pages read."""

    config: ViewerConfig
    store: FrameStore
    places: Places
    query: Query | None
    downloads: Sequence[Download] = ()
    status: Status = field(default_factory=Status)


class Page:
    """Made and drawn by the viewer's drawing thread; its callbacks come from threads of the page.

    Args:
        wake: Called when something has changed that must be drawn. Must return at once.
    """

    def __init__(self, client: viser.ClientHandle, shared: Shared, wake: Callable[[], None]) -> None:
        self._client, self._shared, self._wake = client, shared, wake
        gui = client.gui
        gui.set_panel_label("CUT3R")
        gui.main_panel.dock_right()
        self._dark = False
        self._set_theme()
        self._drawn: tuple[Sequence[ShownView], Placement] = (), Placement()
        self._extent: Extent | None = None
        self._extent_key: tuple[object, ...] = ()
        self._world: int | None = None
        self.status = shared.status
        self.navigator = Navigator(client)
        self.panel = Panel(client, shared.config, wake)
        self.timeline = self.panel.timeline
        self._add_view_folder()
        self.tape = Tape(client, self._visible)
        self.desk = QueryDesk(
            client, shared.config, shared.store, shared.places, shared.query, wake, self.look, self.navigator
        )
        self.downloads = DownloadDesk(client, shared.downloads, lambda: shared.status.finished)
        self.flight = FlightDesk(client, self.navigator, self._stops)
        self._help = self.panel.add_help()
        self.scene = Scene(client, self._clicked)
        self._ground = Ground(client.scene)
        self._add_keys()
        self._size = (0, 0)
        client.camera.on_update(self._reported)

    def _reported(self, camera: viser.CameraHandle) -> None:
        """The browser says where its camera is; it does so while it moves, and when the window has changed."""
        self.navigator.reported()
        self._where.content = describe(camera)
        if self._size != (size := (camera.image_height, camera.image_width)):
            self._size = size
            self._wake()

    def _set_theme(self) -> None:
        self._client.gui.configure_theme(
            dark_mode=self._dark, show_logo=False, show_share_button=False, brand_color=BRAND
        )

    def _add_view_folder(self) -> None:
        gui = self._client.gui
        with gui.add_folder("Your view"):
            fit = gui.add_button("Fit the scene", icon=viser.Icon.ARROWS_MAXIMIZE, hint="key F")
            go = gui.add_button("To the current camera", icon=viser.Icon.VIDEO, hint="key C")
            level = gui.add_button("Make this upright", icon=viser.Icon.ARROW_UP, hint="what is up here is up")
            self._dark_box = gui.add_checkbox("Dark", False, hint="key L")
            self._where = gui.add_markdown("")
        fit.on_click(lambda _: self.fit())
        go.on_click(lambda _: self.go_to_camera())
        level.on_click(lambda _: self.navigator.reset_up())
        self._dark_box.on_update(lambda _: self._wake())

    def _add_keys(self) -> None:
        def key(label: str, hotkey: str, call: Callable[[], object]) -> None:
            command = self._client.gui.add_command(label, hotkey=hotkey)
            command.on_trigger(lambda _: call())

        for label, hotkey, button in (
            ("Play or pause", "space", PLAY),
            ("Next frame", "N", ON),
            ("Previous frame", "B", BACK),
            ("First frame", "home", FIRST),
            ("Last frame", "end", LAST),
        ):
            key(label, hotkey, partial(self.timeline.press, button))
        key("Fit the scene", "F", self.fit)
        key("To the current camera", "C", self.go_to_camera)
        key("Measure", "M", self.tape.toggle)
        key("Light or dark", "L", self.toggle_dark)
        key("Help", "H", self.show_help)

    def toggle_dark(self) -> None:
        self._dark_box.value = not self._dark_box.value
        self._wake()

    def show_help(self) -> None:
        """Say in the middle of the page what its help says."""
        from cut3r.viewer.help import TEXT

        with self._client.gui.add_modal("Help") as modal:
            self._client.gui.add_markdown(TEXT)
            self._client.gui.add_button("Close").on_click(lambda _: modal.close())

    def look(self) -> Look:
        """How the scene is drawn now: what the controls of the page say."""
        return self.panel.look(self._extent)

    def fit(self) -> None:
        """Show all of the scene."""
        if self._extent is not None:
            self.navigator.frame(self._extent)

    def go_to_camera(self) -> None:
        """Fly behind the camera of the current frame."""
        frames, placement = self._drawn
        if frames:
            current = frames[min(self.timeline.current, len(frames) - 1)]
            self.navigator.fly_behind(placement.world_from_frame(current), current.median_depth)

    def _clicked(self, view: ShownView) -> None:
        """Somebody clicked a camera: its frame becomes the current one, and they fly there."""
        frames, placement = self._drawn
        index = next((index for index, frame in enumerate(frames) if frame is view), None)
        if index is None:  # the answer to a query
            self.navigator.fly_behind(placement.world_from_answer(view), view.median_depth)
            return
        self.timeline.go_to(index)
        self.navigator.fly_behind(placement.world_from_frame(view), view.median_depth)

    def _visible(self) -> tuple[Sequence[ShownView], Placement, Look, Extent | None]:
        (frames, placement), look = self._drawn, self.look()
        here = [
            frame
            for index, frame in enumerate(frames)
            if look.shows_frame(index) and placement.world(frame.chunk) == self._world
        ]
        return here, placement, look, self._extent

    def _stops(self) -> Stops:
        frames, placement = self._drawn
        here = [frame for frame in frames if placement.world(frame.chunk) == self._world]
        if not here:
            return []
        chosen: list[int] = np.unique(np.linspace(0, len(here) - 1, MOST_STOPS).round().astype(int)).tolist()
        return [np.stack(view_from_behind(placement.world_from_frame(here[i]), here[i].median_depth)) for i in chosen]

    def redraw(self, frames: Sequence[ShownView]) -> bool:
        """Bring the page up to date; gives whether anything stands elsewhere than before.

        Args:
            frames: Those kept, oldest first.
        """
        shared = self._shared
        finished, answers = shared.status.finished, self.desk.views()
        self.timeline.fit_width()
        self.timeline.set_frame_count(len(frames))
        if shared.places.offers:
            self.panel.offer(shared.places.offers)
        if self._dark != self._dark_box.value:
            self._dark = self._dark_box.value
            self._set_theme()
        look = self.look()
        placement = shared.places.snapshot(look.poses, corrected=look.corrected)  # after the views: it has their chunks
        here: list[ShownView] = []
        current = frames[look.current] if frames else None
        if current is not None:
            before, self._world = self._world, placement.world(current.chunk)
            here = [frame for frame in frames if placement.world(frame.chunk) == self._world]
            if self._world != before:
                self.desk.open()
                self.navigator.restart()
        self._measure(here, placement)
        moved = placement.version != self._drawn[1].version
        self._drawn = frames, placement
        look = replace(self.panel.look(self._extent), current=look.current)
        points = self.scene.draw(frames, answers, placement, look, finished=finished)
        self._ground.draw(self._extent, visible=self.panel.shows_ground)
        self.panel.show_ground_text(self._ground.text)
        self.panel.show_corrections(placement)
        if current is not None:
            self.panel.show_frame(current, scale_of(placement.world_from_frame(current)))
        visible = sum(placement.world(answer.chunk) == self._world for answer in answers)
        self.status = replace(shared.status, points=points, queries=visible, elsewhere=len(frames) - len(here))
        self.panel.show_status(self.status)
        self._move(current, placement)
        return moved

    def _measure(self, here: Sequence[ShownView], placement: Placement) -> None:
        """Find out anew how large the scene is, when it has changed."""
        key = (len(here), here[-1].position if here else None, placement.version)
        if key != self._extent_key:
            self._extent_key = key
            found = extent_of(here, placement, confidence=self._shared.config.confidence)
            before = self._extent
            if found is not None and before is not None and found.is_like(before):
                return  # not every frame sends all sizes again
            self._extent = found

    def _move(self, current: ShownView | None, placement: Placement) -> None:
        if current is not None and self.timeline.follow.value:
            self.navigator.follow((placement.world_from_frame(current), current.median_depth))
            return
        self.navigator.follow(None)
        if self._extent is not None:
            self.navigator.keep_framed(self._extent)
