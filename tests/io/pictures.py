"""Pictures and videos as cameras make them."""

import threading
import time

import av
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


def walk(count=12, size=(96, 128)):
    """A camera that moves over coloured tiles, so that frames differ and a smeared one shows."""
    h, w = size
    tiles = np.random.default_rng(0).integers(30, 226, (32, 32, 3), dtype=np.uint8)
    floor = np.kron(tiles, np.ones((16, 16, 1), np.uint8))
    return [np.ascontiguousarray(floor[2 * k : 2 * k + h, 3 * k : 3 * k + w]) for k in range(count)]


def encode(path, pictures, codec="libx264", pix_fmt="yuv420p", fps=10, container=None, **how):
    """Write one track of video; see `encode_tracks`."""
    return encode_tracks(path, [dict(pictures=pictures, codec=codec, pix_fmt=pix_fmt, fps=fps, **how)], container)


def encode_tracks(path, tracks, container=None, title=None):
    """Write tracks with PyAV, each with a key frame every six. What `_add_track` does not know goes to the encoder."""
    with av.open(str(path), "w", format=container) as file:
        if title is not None:
            file.metadata["title"] = title
        added = [_add_track(file, **track) for track in tracks]
        for track, pictures, first_tick in added:
            for tick, rgb in enumerate(pictures, first_tick):
                frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
                frame.pts, frame.time_base = tick, 1 / track.average_rate
                file.mux(track.encode(frame))
            file.mux(track.encode())
    return path


def _add_track(
    file,
    pictures,
    codec="libx264",
    pix_fmt="yuv420p",
    fps=10,
    options=None,
    disposition=None,
    first_tick=0,
    **properties,
):
    quality = {"libx264": {"qp": "10", "preset": "ultrafast"}, "mpeg4": {"qscale": "2"}}.get(codec, {})
    track = file.add_stream(codec, rate=fps, options={**quality, **(options or {})})
    track.height, track.width = pictures[0].shape[:2]
    track.pix_fmt = pix_fmt
    track.codec_context.gop_size = 6
    if disposition is not None:
        track.disposition = disposition
    for name, value in properties.items():
        setattr(track.codec_context, name, value)
    return track, pictures, first_tick


def packets_of(path):
    """(offset in the file, size) of each packet."""
    with av.open(str(path)) as file:
        return [(packet.pos, packet.size) for packet in file.demux(video=0) if packet.size]


def overwrite(path, start, size, byte=None):
    data = bytearray(path.read_bytes())
    data[start : start + size] = byte * size if byte else np.random.default_rng(0).bytes(size)
    path.write_bytes(data)
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
