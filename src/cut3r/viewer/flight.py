"""A path for a page's camera through places that somebody chose, to be flown or to be had as a video."""

import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import viser
from jaxtyping import Float64
from scipy.interpolate import CubicSpline

from cut3r.geometry.poses import quaternion_from_matrix
from cut3r.io.video_write import VideoWriter
from cut3r.viewer.navigation import STEP_S, Navigator

logger = logging.getLogger(__name__)

FPS = 30.0
SIDE = 1280  # pixels of a video's longer side, at most
WAIT_S = 60.0  # for a page to draw one picture
Stops = Sequence[Float64[np.ndarray, "2 3"]]
"""Of an onlooker: their position and the point that they look at (world)."""


def path_through(stops: Stops, seconds: float, *, fps: float = FPS) -> Float64[np.ndarray, "n 2 3"]:
    """A smooth way through the stops, at even steps of time.

    Raises:
        ValueError: Fewer than two stops.
    """
    if len(stops) < 2:
        raise ValueError("a path needs two stops or more; go somewhere and add one")
    count = max(2, round(seconds * fps) + 1)
    spline = CubicSpline(np.arange(len(stops)), np.stack(stops), bc_type="natural")
    way: np.ndarray = spline(np.linspace(0, len(stops) - 1, count))
    return way


def looking(
    position: Float64[np.ndarray, "3"], look_at: Float64[np.ndarray, "3"], up: Float64[np.ndarray, "3"]
) -> Float64[np.ndarray, "4"]:
    """The quaternion (wxyz) of a level camera that looks at a point, in OpenCV's axes."""
    ahead = (look_at - position) / np.linalg.norm(look_at - position)
    right = np.cross(ahead, up)
    right /= np.linalg.norm(right)
    rotation = np.stack((right, np.cross(ahead, right), ahead), axis=1)
    quaternion: np.ndarray = quaternion_from_matrix(torch.from_numpy(rotation)).numpy()
    return quaternion


class FlightDesk:
    """The folder "Fly-through" of one page.

    Args:
        along: Gives the stops of the recording's own way, for who has added none.
    """

    def __init__(self, client: viser.ClientHandle, navigator: Navigator, along: Callable[[], Stops]) -> None:
        self._client, self._navigator, self._along = client, navigator, along
        self.stops: list[np.ndarray] = []
        with client.gui.add_folder("Fly-through", expand_by_default=False):
            self._said = client.gui.add_markdown("Without stops it flies along the way of the recording.")
            self._add = client.gui.add_button("Add a stop here", icon=viser.Icon.MAP_PIN)
            self._clear = client.gui.add_button("Delete stops", icon=viser.Icon.TRASH)
            self._seconds = client.gui.add_slider("Seconds", 1.0, 60.0, 1.0, 8.0)
            self._fly = client.gui.add_button("Fly", icon=viser.Icon.PLANE)
            self._video = client.gui.add_button("Save as video", icon=viser.Icon.MOVIE)
        self._add.on_click(lambda _: self.add())
        self._clear.on_click(lambda _: self.clear())
        self._fly.on_click(lambda _: self._attempt(self.fly))
        self._video.on_click(lambda _: self._attempt(self.save))

    def add(self) -> None:
        """The path goes by where the page's camera stands now."""
        self.stops.append(np.stack((self._client.camera.position, self._client.camera.look_at)))
        self._said.content = f"{len(self.stops)} stops."

    def clear(self) -> None:
        self.stops.clear()
        self._said.content = "Without stops it flies along the way of the recording."

    def fly(self) -> None:
        way = self._way()
        began = time.monotonic()
        while (now := round((time.monotonic() - began) * FPS)) < len(way):
            self._navigator.put(*way[now])
            time.sleep(STEP_S)
        self._navigator.put(*way[-1])

    def save(self) -> None:
        """Send a video of the flight to the page's person: their browser draws its pictures, one after the other."""
        way, camera = self._way(), self._client.camera
        scale = min(1.0, SIDE / max(camera.image_height, camera.image_width))
        h, w = (2 * round(scale * side / 2) for side in (camera.image_height, camera.image_width))
        up, fov = camera.up_direction, camera.fov
        with tempfile.TemporaryDirectory(prefix="cut3r-") as folder:
            path = Path(folder) / "flight.mp4"
            with VideoWriter(path, fps=FPS) as video:
                for number, (position, look_at) in enumerate(way):
                    picture = self._client.get_render(
                        h, w, wxyz=looking(position, look_at, up), position=position, fov=fov, timeout=WAIT_S
                    )
                    video.add(np.ascontiguousarray(picture[..., :3]))
                    if number % 10 == 0:
                        self._said.content = f"Picture {number + 1} of {len(way)} ..."
            self._client.send_file_download(path.name, path.read_bytes(), save_immediately=True)
        self._said.content = f"The video has {len(way)} pictures."

    def _way(self) -> Float64[np.ndarray, "n 2 3"]:
        return path_through(self.stops if len(self.stops) > 1 else self._along(), self._seconds.value)

    def _attempt(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # of any kind, and a callback has no caller that could handle it
            logger.exception("the flight failed")
            self._said.content = f"That failed: {error}"
