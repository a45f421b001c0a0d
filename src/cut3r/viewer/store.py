"""A bounded, evenly thinned memory of the frames of a stream."""

import threading

from cut3r.viewer.view import ShownView


class FrameStore:
    """Keeps every `stride`-th frame and always the newest one; the stride doubles whenever there are too many.

    So a stream of any length and of any number of chunks is covered evenly by at most `max_frames` (at least 2) frames.
    Written by the inference thread, read by the drawing thread.
    """

    def __init__(self, max_frames: int) -> None:
        self.max_frames = max_frames
        self._frames: list[ShownView] = []
        self._stride = 1
        self._lock = threading.Lock()

    def add(self, frame: ShownView) -> None:
        """Keep a frame; positions must increase."""
        with self._lock:
            if self._frames and self._frames[-1].position % self._stride:
                self._frames.pop()  # it was kept only because it was the newest
            self._frames.append(frame)
            while len(self._frames) > self.max_frames:
                self._stride *= 2
                *older, newest = self._frames
                self._frames = [kept for kept in older if kept.position % self._stride == 0] + [newest]

    def snapshot(self) -> tuple[list[ShownView], int]:
        """Give the frames kept, oldest first, and the stride."""
        with self._lock:
            return list(self._frames), self._stride
