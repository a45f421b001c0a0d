"""The bar below the scene: which frame is the current one, playing, and how much of the stream is shown with it.

It is a panel of viser that floats at the lower edge, as wide as the page's canvas; on a phone a part of the sheet.
"""

import threading
import time
from collections.abc import Callable

import viser

from cut3r.viewer.look import ShowMode

GAP = 15  # pixels between the bar and the edges
LEAST_WIDTH = 300
HEIGHT = 125  # pixels at the lower edge that it covers
FIRST, BACK, PLAY, ON, LAST = "First", "Back", "Play / pause", "Next", "Last"


class Timeline:
    """Holds the current frame. Its callbacks come from threads of the page, the other calls from the one that draws.

    Args:
        on_change: Called after something has changed. Must return at once.
    """

    def __init__(self, client: viser.ClientHandle, on_change: Callable[[], None]) -> None:
        self._client, self._on_change = client, on_change
        self._lock = threading.RLock()
        self._width = 0.0
        self._panel = client.gui.add_panel()
        with self._panel.add_tab("Timeline", viser.Icon.PLAYER_PLAY):
            self.frame = client.gui.add_slider("Frame", 0, 0, 1, 0, disabled=True)
            self._buttons = client.gui.add_button_group("Go", (FIRST, BACK, PLAY, ON, LAST))
        with client.gui.add_folder("Playback"):
            modes = [mode.value for mode in ShowMode]
            self.mode = client.gui.add_dropdown("Show", modes, initial_value=ShowMode.all.value)
            self.fps = client.gui.add_slider("Speed (fps)", 1.0, 60.0, 0.5, 10.0)
            self.follow = client.gui.add_checkbox(
                "Follow camera", False, hint="Your view flies behind the current frame's camera"
            )
        self.playing = False
        self._next_tick = 0.0
        self.fit_width()
        self._buttons.on_click(lambda _: self.press(str(self._buttons.value)))
        for control in (self.frame, self.mode, self.fps, self.follow):
            control.on_update(lambda _: on_change())

    def fit_width(self) -> None:
        """Make the bar as wide as the canvas is now."""
        width = max(LEAST_WIDTH, self._client.camera.image_width - 2 * GAP)
        if width != self._width:
            self._width = width
            self._panel.float(x=GAP, y=-GAP, width=width)

    def press(self, button: str) -> None:
        """Do what a button, or its key, says."""
        match button:
            case str() if button == PLAY:
                self.play(not self.playing)
            case str() if button == FIRST:
                self.go_to(0)
            case str() if button == LAST:
                self.go_to(self.frame.max)
            case _:
                self.step(1 if button == ON else -1)
        self._on_change()

    def play(self, playing: bool) -> None:
        """Play or pause. Frames appear as they came: where all are shown, those up to the current one are from then on;
        from the end it begins again."""
        with self._lock:
            self.playing = playing and self.frame.max > 0
            if self.playing and self.mode.value == ShowMode.all.value:
                self.mode.value = ShowMode.up_to_current.value
                if self.frame.value == self.frame.max:
                    self.frame.value = 0
        self._on_change()

    @property
    def current(self) -> int:
        """The index of the current frame among those kept."""
        return min(self.frame.value, self.frame.max)  # a page may not know yet that the range shrank

    def seconds_to_tick(self) -> float | None:
        """How long until the next frame of the playing; None while it stands still."""
        return max(0.0, self._next_tick - time.monotonic()) if self.playing else None

    def tick(self) -> None:
        """Go on to the next frame if it is time."""
        if self.seconds_to_tick() == 0:
            self._next_tick = time.monotonic() + 1 / self.fps.value
            self.step(1)

    def go_to(self, index: int) -> None:
        """Make another frame the current one."""
        with self._lock:
            self.frame.value = min(max(index, 0), self.frame.max)
        self._on_change()

    def step(self, by: int) -> None:
        """Move the current frame, round and round; without frames nothing happens."""
        with self._lock:
            self.frame.value = (self.frame.value + by) % (self.frame.max + 1)

    def set_frame_count(self, count: int) -> None:
        """Fit the range to the number of frames kept.

        At its end it stays at the end, where frames arrive; elsewhere at its frame, and after a thinning near it.
        """
        with self._lock:
            last, newest = self.frame.max, max(count - 1, 0)
            if last == newest:
                return
            value = self.frame.value
            if value == last and not self.playing:
                value = newest
            elif newest < last:
                value = round(value * newest / last)
            self.frame.max = max(last, newest)  # the value must lie in the range at every moment
            self.frame.value = value
            self.frame.max = newest
            self.frame.disabled = newest == 0
