"""Where the people at the pages stand: the first view, following a camera, and each page's own read-out."""

import math

import numpy as np
import torch
import viser
from jaxtyping import Float
from torch import Tensor

from cut3r.geometry.poses import matrix_from_quaternion, pose_from_parts
from cut3r.viewer.look import up_of, view_from_behind

WORLD_UP = (0.0, -1.0, 0.0)  # the first camera's y axis points down


class Navigator:
    def __init__(self, server: viser.ViserServer) -> None:
        self._server = server
        self._followed: tuple[np.ndarray, float] | None = None
        server.scene.set_up_direction(WORLD_UP)
        server.initial_camera.position, server.initial_camera.look_at = (0.0, -0.5, -1.5), (0.0, 0.0, 1.0)
        server.on_client_connect(_add_view_folder)

    def start_at(self, world_from_view: Float[np.ndarray, "4 4"], depth: float) -> None:
        """Place everybody, and everybody who comes later, behind this camera: see `view_from_behind`."""
        position, look_at = view_from_behind(world_from_view, depth)
        self._server.initial_camera.position, self._server.initial_camera.look_at = tuple(position), tuple(look_at)
        self._move_all(world_from_view, depth)

    def follow(self, followed: tuple[Float[np.ndarray, "4 4"], float] | None) -> None:
        """Keep everybody behind this camera, or let them go; who moves on their own may do so until the next camera,
        or until this one is moved."""
        before, self._followed = self._followed, followed
        if followed is not None and (before is None or not np.array_equal(before[0], followed[0])):
            self._move_all(*followed)

    def _move_all(self, world_from_view: Float[np.ndarray, "4 4"], depth: float) -> None:
        for client in self._server.get_clients().values():
            move_behind(client, world_from_view, depth)


def move_behind(client: viser.ClientHandle, world_from_view: Float[np.ndarray, "4 4"], depth: float) -> None:
    """Move a page's camera behind this one, at a distance that suits what it sees."""
    position, look_at = view_from_behind(world_from_view, depth)
    with client.atomic():
        client.camera.position = position
        client.camera.look_at = look_at


def pose_of_page(wxyz: Float[np.ndarray, "4"], position: Float[np.ndarray, "3"]) -> Float[Tensor, "4 4"]:
    """Give world_from_cam of a page's camera, as viser describes it: OpenCV's axes, metres."""
    return pose_from_parts(matrix_from_quaternion(torch.tensor(wxyz)), torch.tensor(position)).float()


def describe(camera: viser.CameraHandle) -> str:
    """Say where a page's camera stands, and its field of view."""
    x, y, z = camera.position
    quaternion = ", ".join(f"{value:.3f}" for value in camera.wxyz)
    horizontal = 2 * math.atan(math.tan(camera.fov / 2) * camera.aspect)
    return (
        f"position {x:.2f}, {y:.2f}, {z:.2f} m\n\nwxyz {quaternion}\n\n"
        f"field of view {math.degrees(camera.fov):.1f}° high, {math.degrees(horizontal):.1f}° wide, "
        f"aspect {camera.aspect:.2f}"
    )


def _add_view_folder(client: viser.ClientHandle) -> None:
    """Give a page its own controls: they are about its camera only."""
    with client.gui.add_folder("Your view", expand_by_default=False):
        level = client.gui.add_button("Reset up direction", hint="Make up what is up in your view")
        text = client.gui.add_markdown(describe(client.camera))

    @level.on_click
    def _(_: viser.GuiEvent) -> None:
        client.camera.up_direction = up_of(pose_of_page(client.camera.wxyz, client.camera.position).double().numpy())

    @client.camera.on_update
    def _(camera: viser.CameraHandle) -> None:
        text.content = describe(camera)
