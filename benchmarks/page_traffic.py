"""What a visitor's page gets over the wire while they play and change controls: messages and bytes per second.

A real connection of viser's protocol, without a browser: what a browser draws meanwhile depends on its machine. The
scene is 50 frames of random points; each action is repeated for some seconds at 30 changes a second.

    PYTHONPATH=src:. python benchmarks/page_traffic.py --points 100000
"""

import argparse
import io
import json
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.metadata import version
from typing import Any

import msgspec
import numpy as np
import torch
from websockets.sync.client import connect

from cut3r.inference.view import View
from cut3r.viewer.app import Viewer
from cut3r.viewer.config import ViewerConfig
from cut3r.viewer.page import Page

FRAMES, RATE = 50, 30
SIDE = (60, 80)  # a picture's (h, w)
CAMERA = {
    "type": "ViewerCameraMessage",
    "wxyz": (1.0, 0.0, 0.0, 0.0),
    "position": (0.0, 0.0, -3.0),
    "fov": 1.3,
    "near": 0.01,
    "far": 1000.0,
    "image_height": 900,
    "image_width": 1100,
    "look_at": (0.0, 0.0, 0.0),
    "up_direction": (0.0, -1.0, 0.0),
}


class Wire:
    """A connection that counts what comes."""

    def __init__(self, url: str) -> None:
        protocol: Any = f"viser-v{version('viser')}"
        self._socket = connect(url.replace("http", "ws"), subprotocols=[protocol], max_size=None)
        self._socket.send(msgspec.msgpack.encode(CAMERA))
        self.windows = self.bytes = 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        for window in self._socket:
            self.windows += 1
            self.bytes += len(window)

    def turn(self, number: int) -> None:
        """Report a camera that moves, as a browser does."""
        x = float(np.sin(0.1 * number))
        self._socket.send(msgspec.msgpack.encode(CAMERA | {"position": (x, 0.0, -3.0)}))

    def close(self) -> None:
        self._socket.close()


def view(number: int) -> View:
    """A wall of colours before a camera that turns."""
    generator = torch.Generator().manual_seed(number)
    depth = 2 + torch.rand(SIDE, generator=generator)
    angle = 0.03 * number
    pose = torch.eye(4)
    pose[0, 0], pose[0, 2], pose[2, 0], pose[2, 2] = np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)
    image = torch.randint(0, 255, (*SIDE, 3), generator=generator, dtype=torch.uint8).numpy()
    intrinsics = torch.tensor([[70.0, 0, 40], [0, 70, 30], [0, 0, 1]])
    confidence = 1 + 9 * torch.rand(SIDE, generator=generator)
    return View.from_depth(f"{number}", number, image, depth, intrinsics, pose, confidence)


def measure(wire: Wire, page: Page, seconds: float, change: Callable[[int], None]) -> dict[str, float]:
    """Change something `RATE` times a second, and count what comes per second."""
    connection, sent = page._client._websock_connection, [0]
    queue = connection.queue_message

    def counted(message: Any) -> None:
        sent[0] += 1
        queue(message)

    connection.queue_message = counted
    windows, size, start = wire.windows, wire.bytes, time.perf_counter()
    for number in range(round(seconds * RATE)):
        change(number)
        time.sleep(max(0.0, start + (number + 1) / RATE - time.perf_counter()))
    passed = time.perf_counter() - start
    connection.queue_message = queue
    return {
        "messages": round(sent[0] / passed, 1),
        "windows": round((wire.windows - windows) / passed, 1),
        "kB": round((wire.bytes - size) / passed / 1e3, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=4.0)
    args = parser.parse_args()
    with redirect_stdout(io.StringIO()):
        viewer = Viewer(0, options=ViewerConfig(points_per_frame=args.points // FRAMES, edges=None, confidence=0.0))
    for number in range(FRAMES):
        viewer.add(view(number))
    viewer.finish()
    wire = Wire(viewer.url)
    while viewer.status.points < args.points:
        time.sleep(0.1)
    page = next(iter(viewer._pages.values()))
    time.sleep(2.0)
    print(f"{args.points:,} points: the page has got {wire.bytes / 1e6:.2f} MB", flush=True)

    def set_control(control: Any, values: list[Any]) -> Callable[[int], None]:
        def change(number: int) -> None:
            control.value = values[number % len(values)]
            page._wake()

        return change

    panel, line = page.panel, page.timeline
    line.fps.value = float(RATE)
    actions: dict[str, Callable[[int], None]] = {
        "nothing": lambda _: None,
        "turning the view": wire.turn,
        "size of points": set_control(panel._point_size, [1.0, 1.5, 2.0]),
        "percent of confidence": set_control(panel._percentile, [0.0, 10.0, 20.0, 30.0]),
        "colours": set_control(panel._color_by, ["rgb", "depth", "confidence"]),
    }
    results = {name: measure(wire, page, args.seconds, change) for name, change in actions.items()}
    line.play(True)
    results["playing, 30 frames per second"] = measure(wire, page, args.seconds, lambda _: None)
    for name, result in results.items():
        print(f"{name:32} {json.dumps(result)}", flush=True)
    wire.close()
    with redirect_stdout(io.StringIO()):
        viewer.close()


if __name__ == "__main__":
    main()
