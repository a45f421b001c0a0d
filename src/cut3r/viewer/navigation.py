"""Where the person at a page stands: all of the scene at first, then wherever they go; following; flights."""

import math
import time

import numpy as np
import torch
import viser
from jaxtyping import Float, Float64
from torch import Tensor

from cut3r.geometry.poses import matrix_from_quaternion, pose_from_parts
from cut3r.viewer.framing import TILTED, Extent, whole_view
from cut3r.viewer.look import up_of, view_from_behind
from cut3r.viewer.timeline import HEIGHT

TOUCHED = 0.03  # of the distance to what is looked at: a camera so far from where it was put has been moved
TRIES = 5  # reports from before a camera has arrived are late ones
PHONE, SHEET = 600, 0.6  # on a canvas narrower than so many pixels, viser's sheet covers this share of the height
FLIGHT_S, STEP_S = 0.7, 1 / 30


class Navigator:
    """Moves the camera of one page."""

    def __init__(self, client: viser.ClientHandle) -> None:
        self._client = client
        self._followed: tuple[np.ndarray, float] | None = None
        self._framed: Extent | None = None
        self._put: tuple[np.ndarray, np.ndarray] | None = None  # where the camera was told to be
        self._is_there = False  # and has been since
        self._tries = 0
        self.is_touched = False
        self._up: np.ndarray | None = None

    def reported(self) -> None:
        """The browser has said where its camera is: where it was put, or where its person has moved it from there.

        Reports are late; those from before it has arrived say nothing.
        """
        if self._put is None or self.is_touched:
            return
        (position, look_at), camera = self._put, self._client.camera
        moved = max(np.linalg.norm(camera.position - position), np.linalg.norm(camera.look_at - look_at))
        near = bool(moved <= TOUCHED * np.linalg.norm(look_at - position))
        self.is_touched = not near and (self._is_there or self._tries == 0)
        self._is_there |= near
        if not self._is_there and not self.is_touched:
            self._tries -= 1
            self.put(position, look_at)  # it was told together with what is up, or with the size of the window

    def frame(self, extent: Extent) -> None:
        """Show all of the scene, upright."""
        self._set_up(extent.up)
        camera = self._client.camera
        below = SHEET if camera.image_width < PHONE else min(0.5, HEIGHT / max(camera.image_height, 1))
        position, look_at = whole_view(extent, camera.fov, camera.aspect, below=below)
        self._framed, self._put = extent, (position, look_at)
        self._is_there, self.is_touched, self._tries = False, False, TRIES
        self.put(position, look_at)

    def keep_framed(self, extent: Extent) -> None:
        """Show all of a scene that grows, as long as the person at the page leaves that to the page."""
        if self._framed is extent or self.is_touched:
            return
        self.frame(extent)

    def restart(self) -> None:
        """Another world is shown: it is framed anew."""
        self._framed = self._put = None
        self.is_touched = False

    def _set_up(self, up: Float64[np.ndarray, "3"]) -> None:
        if self._up is None or up @ self._up < TILTED:
            self._up = up
            self._client.camera.up_direction = up

    def follow(self, followed: tuple[Float[np.ndarray, "4 4"], float] | None) -> None:
        """Keep the page behind this camera, or let it go; who moves on their own may do so until the next camera, or
        until this one is moved."""
        before, self._followed = self._followed, followed
        if followed is not None and (before is None or not np.array_equal(before[0], followed[0])):
            self.put(*view_from_behind(*followed))

    def put(self, position: Float[np.ndarray, "3"], look_at: Float[np.ndarray, "3"]) -> None:
        """Move the page's camera at once."""
        with self._client.atomic():
            self._client.camera.position = position
            self._client.camera.look_at = look_at

    def fly_behind(self, world_from_view: Float[np.ndarray, "4 4"], depth: float) -> None:
        """Fly behind a camera, at a distance that suits what it sees; returns when it is there."""
        self.fly(*view_from_behind(world_from_view, depth))

    def fly(self, position: Float[np.ndarray, "3"], look_at: Float[np.ndarray, "3"]) -> None:
        camera, self.is_touched = self._client.camera, True
        start = np.stack((camera.position, camera.look_at))
        end = np.stack((position, look_at))
        began = time.monotonic()
        while (share := (time.monotonic() - began) / FLIGHT_S) < 1:
            eased = share * share * (3 - 2 * share)
            self.put(*(start + eased * (end - start)))
            time.sleep(STEP_S)
        self.put(*end)

    def reset_up(self) -> None:
        """Make what is up in the page's picture the world's up."""
        camera = self._client.camera
        self._set_up(up_of(pose_of_page(camera.wxyz, camera.position).double().numpy()))


def pose_of_page(wxyz: Float[np.ndarray, "4"], position: Float[np.ndarray, "3"]) -> Float[Tensor, "4 4"]:
    """Give world_from_cam of a page's camera, as viser describes it: OpenCV's axes, metres."""
    return pose_from_parts(matrix_from_quaternion(torch.tensor(wxyz)), torch.tensor(position)).float()


def describe(camera: viser.CameraHandle) -> str:
    """Say where a page's camera stands, and its field of view."""
    x, y, z = camera.position
    horizontal = 2 * math.atan(math.tan(camera.fov / 2) * camera.aspect)
    return (
        f"You stand at {x:.2f}, {y:.2f}, {z:.2f} m and see "
        f"{math.degrees(horizontal):.0f}° x {math.degrees(camera.fov):.0f}°."
    )
