"""Interlaced video: two half pictures, taken at different times, become one whole picture."""

from collections import deque
from fractions import Fraction

import av
from av.filter import Graph

MIN_HEIGHT = 8  # bwdif takes no less than 4


class Deinterlacer:
    """Gives as many frames as it takes. It starts with the first interlaced frame; from then on each frame waits for
    the next one, and whole pictures among the interlaced ones pass as they are.

    FFmpeg's bwdif (BBC and Weston): it looks at the pictures before and after, and keeps the full height.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._shape: tuple[int, int, str] | None = None
        self._inside: deque[av.VideoFrame] = deque()

    def push(self, frame: av.VideoFrame | None) -> list[tuple[av.VideoFrame, av.VideoFrame]]:
        """Take the next frame, or None after the last; give pairs of a frame taken earlier and its whole picture."""
        if frame is None:
            return self._flush()
        flushed: list[tuple[av.VideoFrame, av.VideoFrame]] = []
        shape = (frame.width, frame.height, frame.format.name)
        if self._graph is not None and shape != self._shape:
            flushed = self._flush()
        if self._graph is None:
            if not frame.interlaced_frame or frame.height < MIN_HEIGHT:
                return [*flushed, (frame, frame)]
            self._graph, self._shape = _graph(frame), shape
        self._inside.append(frame)
        self._graph.vpush(frame)
        return flushed + self._pull(self._graph)

    def _flush(self) -> list[tuple[av.VideoFrame, av.VideoFrame]]:
        if self._graph is None:
            return []
        self._graph.vpush(None)
        pairs, self._graph = self._pull(self._graph), None
        return pairs

    def _pull(self, graph: Graph) -> list[tuple[av.VideoFrame, av.VideoFrame]]:
        pairs = []
        while self._inside:
            try:
                whole = graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                break
            taken = self._inside.popleft()
            whole.colorspace, whole.color_range = taken.colorspace, taken.color_range
            whole.color_trc, whole.color_primaries = taken.color_trc, taken.color_primaries
            pairs.append((taken, whole))
        return pairs


def _graph(frame: av.VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=frame.time_base or Fraction(1, av.time_base),
    )
    graph.link_nodes(
        source, graph.add("bwdif", mode="send_frame", deint="interlaced"), graph.add("buffersink")
    ).configure()
    return graph
