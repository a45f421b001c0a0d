"""Pictures and videos as cameras make them."""

import threading
import time

import cv2
import numpy as np
from PIL import Image

# How a camera held in each orientation stores the upright scene: the inverse of what the EXIF tag asks for.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def save(path, pixels, orientation=1, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.ascontiguousarray(pixels))
    image.save(path, exif=exif, **options)
    return path


def write_video(path, count=12, fps=10, size=(48, 64), codec="mp4v"):
    """Frame k is grey of level 20 k, brighter in its top rows."""
    h, w = size
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, (w, h))
    assert writer.isOpened()
    for level in range(0, 20 * count, 20):
        picture = np.full((h, w, 3), min(level, 255), np.uint8)
        picture[: h // 4] = 255
        writer.write(picture)
    writer.release()
    return path


class FakeCamera:
    """Delivers frame k as grey level k, every 10 ms, until it is released or `count` frames are through."""

    def __init__(self):
        self.count, self.delivered, self.released = 10**6, 0, threading.Event()

    def get(self, name):
        return 0.0

    def read(self):
        time.sleep(0.01)
        if self.delivered == self.count:
            return False, None
        self.delivered += 1
        return True, np.full((4, 6, 3), (self.delivered - 1) % 256, np.uint8)

    def release(self):
        self.released.set()
