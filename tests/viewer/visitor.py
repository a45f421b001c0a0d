"""A visitor without a browser: what it is shown goes to all pages of the server, and its camera is where it was put."""

import time
from contextlib import nullcontext
from types import SimpleNamespace
from typing import cast

import numpy as np
import viser

from cut3r.viewer.app import Viewer
from cut3r.viewer.page import Page


class FakeCamera(viser.CameraHandle):
    """Looks from behind the origin, and reports where it stands as a browser does."""

    position = look_at = wxyz = up_direction = np.zeros(0)  # plain attributes: nothing is sent
    fov, aspect, image_height, image_width = 1.3, 1.6, 900, 1440

    def __init__(self) -> None:
        self.position, self.look_at = np.array([0.0, 0.0, -3.0]), np.zeros(3)
        self.wxyz, self.up_direction = np.array([1.0, 0, 0, 0]), np.array([0.0, -1, 0])
        self.callbacks: list = []

    def on_update(self, callback):
        self.callbacks.append(callback)

    def report(self) -> None:
        for callback in self.callbacks:
            callback(self)


class FakeClient(viser.ClientHandle):
    """A page of its own; keeps what it was told to show and to download."""

    def __init__(self, server: viser.ViserServer, client_id: int) -> None:
        self.server, self.client_id, self.camera = server, client_id, FakeCamera()
        self.gui, self.scene = server.gui, server.scene
        self.note = SimpleNamespace()
        self.files: dict[str, bytes] = {}

    def atomic(self):
        return nullcontext()

    def add_notification(self, title: str, body: str, **options) -> SimpleNamespace:
        self.note = SimpleNamespace(title=title, body=body, **options)
        return self.note

    def send_file_download(self, filename: str, content: bytes, save_immediately: bool = False) -> None:
        self.files[filename] = content

    def get_render(self, height: int, width: int, **_) -> np.ndarray:
        return np.full((height, width, 3), 200, np.uint8)


def page_of(viewer: Viewer, number: int = 0) -> Page:
    """The page of a visitor, who comes now if nobody has; number 0 sees what goes to all, others need to be stopped."""
    if number not in viewer._pages:
        server = viser.ViserServer(host="127.0.0.1", port=0, verbose=False) if number else viewer._server
        viewer._visit(FakeClient(server, number), here=True)
    end = time.monotonic() + 30
    while number not in viewer._pages:
        assert time.monotonic() < end, "nobody was let in"
        time.sleep(0.01)
    return viewer._pages[number]


def client_of(page: Page) -> FakeClient:
    return cast(FakeClient, page._client)
