"""From a decoded video frame to upright 8-bit sRGB with square pixels."""

import logging
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.filter import Graph
from jaxtyping import Int64, UInt8

from cut3r.io.decode import Picture, SaidOnce
from cut3r.io.hdr import to_srgb, transfer_of

MAX_ASPECT = 8  # of a pixel; real footage stays below 2.2

_UNTAGGED = {2, 3}  # AVColorSpace: unspecified, reserved


class Converter:
    """Converts the pictures of one source; it keeps nothing of them.

    Args:
        background: Under transparent pixels.
        parity: As OpenCV's reader, which the original uses: pixels as they are coded, no tone mapping, alpha dropped,
            BT.601 for whatever names no colour matrix.
    """

    def __init__(self, name: str, say: SaidOnce, background: tuple[int, int, int], *, parity: bool) -> None:
        self._name, self._say = name, say
        self._background = background
        self._parity = parity
        self._graph: Graph | None = None
        self._key: tuple[object, ...] = ()

    def size(self, picture: Picture) -> tuple[int, int]:
        """(h, w) of what `__call__` gives."""
        h, w = self._square(picture)
        return (w, h) if self._orientation(picture.frame)[0, 1] else (h, w)

    def __call__(self, picture: Picture) -> UInt8[np.ndarray, "h w 3"] | None:
        """None when FFmpeg cannot convert the frame's kind of colour."""
        try:
            rgb = self._to_rgb(picture)
        except (av.error.FFmpegError, NotImplementedError):
            self._graph = None
            return None
        return _oriented(rgb, self._orientation(picture.frame))

    def _to_rgb(self, picture: Picture) -> UInt8[np.ndarray, "h w 3"]:
        frame, size = picture.frame, self._square(picture)
        transfer = None if self._parity else transfer_of(frame.color_trc, frame.color_primaries)
        if transfer is not None:
            self._say(logging.INFO, "%s is %s video with wide colour; converted to sRGB", self._name, transfer.name)
            return to_srgb(self._reformat(frame, size, "rgb48le"), transfer, frame.color_primaries)
        if any(component.is_alpha for component in frame.format.components) and not self._parity:
            return _over(self._reformat(frame, size, "rgba"), self._background)
        return self._reformat(frame, size, "rgb24")

    def _reformat(self, frame: av.VideoFrame, size: tuple[int, int], layout: str) -> np.ndarray:
        """Bicubic: for 8-bit video these are, bit for bit, the pixels of OpenCV's reader."""
        matrix = self._matrix(frame)
        key = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range, size, layout, matrix)
        if self._graph is None or key != self._key:
            self._graph, self._key = _graph(frame, size, layout, matrix), key
        self._graph.vpush(frame)
        return np.ascontiguousarray(self._graph.vpull().to_ndarray())

    def _matrix(self, frame: av.VideoFrame) -> str:
        """What the frame's tag says; frames without one are guessed as players do, high definition by its size."""
        if frame.colorspace not in _UNTAGGED or frame.format.is_rgb or frame.format.has_palette:
            return "auto"
        if self._parity:
            return "bt601"
        if transfer_of(frame.color_trc, frame.color_primaries) is not None:
            return "bt2020"
        return "bt709" if frame.width >= 1280 or frame.height > 576 else "bt601"

    def _square(self, picture: Picture) -> tuple[int, int]:
        """(h, w) before rotation at which pixels are square: one side grows, so that no detail is lost."""
        h, w = picture.frame.height, picture.frame.width
        aspect = Fraction(1) if self._parity else picture.aspect
        if not 1 / MAX_ASPECT <= aspect <= MAX_ASPECT:
            message = "%s claims that a pixel is %s times as wide as high, which is taken for a mistake and ignored"
            self._say(logging.WARNING, message, self._name, aspect)
            return h, w
        square = (h, round(w * aspect)) if aspect >= 1 else (round(h / aspect), w)
        if square != (h, w):
            self._say(
                logging.INFO,
                "%s has pixels that are not square: %dx%d are shown as %dx%d, and intrinsics_original means those",
                self._name,
                w,
                h,
                square[1],
                square[0],
            )
        return square

    def _orientation(self, frame: av.VideoFrame) -> Int64[np.ndarray, "2 2"]:
        """The display matrix as a signed permutation: where the coded picture's axes x and y go (rows), in x and y.

        Source: ISO 14496-12, 8.3.2 (tkhd).
        """
        data: Any = frame.side_data.get("DISPLAYMATRIX")
        if data is None:
            return np.eye(2, dtype=np.int64)
        matrix = np.frombuffer(bytes(data), np.int32).reshape(3, 3)[:2, :2].astype(np.int64)
        straight, crossed = np.abs(np.diag(matrix)).sum(), np.abs(np.diag(matrix[::-1])).sum()
        if 20 * min(straight, crossed) > max(straight, crossed):
            message = "%s is to be shown at an odd angle; it is turned to the nearest right angle"
            self._say(logging.WARNING, message, self._name)
        keep = np.eye(2, dtype=bool) if straight >= crossed else ~np.eye(2, dtype=bool)
        return np.where(keep, np.where(matrix < 0, -1, 1), 0)


def _graph(frame: av.VideoFrame, size: tuple[int, int], layout: str, matrix: str) -> Graph:
    """A filter graph and not PyAV's reformatter, because it uses its memory again: fresh pages for each frame cost more
    than the conversion."""
    graph = Graph()
    graph.threads = 1  # more only wait for each other when the network computes at the same time
    h, w = size
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
    )
    scale = graph.add("scale", w=str(w), h=str(h), flags="bicubic", in_color_matrix=matrix, out_range="full")
    graph.link_nodes(source, scale, graph.add("format", pix_fmts=layout), graph.add("buffersink")).configure()
    return graph


def _oriented(rgb: UInt8[np.ndarray, "h0 w0 3"], orientation: Int64[np.ndarray, "2 2"]) -> UInt8[np.ndarray, "h w 3"]:
    if orientation[0, 1]:
        rgb = rgb.swapaxes(0, 1)
    to_x, to_y = orientation.sum(axis=0)
    return np.ascontiguousarray(rgb[::to_y, ::to_x])


def _over(rgba: UInt8[np.ndarray, "h w 4"], background: tuple[int, int, int]) -> UInt8[np.ndarray, "h w 3"]:
    alpha = rgba[..., 3:].astype(np.uint16)
    blended = rgba[..., :3] * alpha + np.array(background, np.uint16) * (255 - alpha)
    return ((blended + 127) // 255).astype(np.uint8)
