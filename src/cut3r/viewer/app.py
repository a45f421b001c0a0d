"""A window on a stream: a web page (viser) that shows points and cameras while frames arrive.

Three kinds of threads meet here. The inference thread calls `Viewer.add`, which copies the bounded part of a result
into a store and returns. The page's threads change controls. The drawing thread wakes up, reads store and controls, and
sends what differs from the last time. Nobody waits for anybody: a late drawing thread draws several frames at once.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress

import viser

from cut3r.geometry.registration import Similarity
from cut3r.inference.result import FrameResult
from cut3r.inference.sink import Sink
from cut3r.inference.view import View
from cut3r.viewer.address import check_host, page_url, url_for_others
from cut3r.viewer.config import ViewerConfig
from cut3r.viewer.look import Look
from cut3r.viewer.navigation import Navigator
from cut3r.viewer.panel import Panel, Status
from cut3r.viewer.places import Placement, Places
from cut3r.viewer.query import Query, QueryDesk
from cut3r.viewer.scene import Scene
from cut3r.viewer.store import FrameStore
from cut3r.viewer.view import ShownView, view_from_frame

logger = logging.getLogger(__name__)

# One redraw serves all changes meanwhile. While frames arrive, or chunks are moved, it takes time from the inference or
# the optimiser, whose threads wait for the interpreter lock.
REDRAW_SECONDS_RUNNING, REDRAW_SECONDS_FINISHED = 1 / 10, 1 / 60


class Viewer(Sink):
    """A sink for results, beside files and reconstructions.

    Args:
        port: 0 takes any free port. When the port is taken the next free one is used, with a warning; see `url`.
        host: The address to listen at. By default only this machine can open the page; "0.0.0.0" opens it to everybody
            who can reach the port, which is logged.
        query: `Session.query` (which waits for the frame that the session is at), or None for a viewer without queries.

    Raises:
        ValueError: No such port, or no address of this machine.
    """

    def __init__(
        self,
        port: int = 8080,
        *,
        host: str = "127.0.0.1",
        options: ViewerConfig | None = None,
        query: Query | None = None,
    ) -> None:
        if not 0 <= port <= 65535:
            raise ValueError(f"port is {port}, expected 0 (any free one) to 65535; 8080 is usual")
        check_host(host)  # viser would try for ever
        self._options = options or ViewerConfig()
        self._server = viser.ViserServer(host=host, port=port, label="CUT3R", verbose=False)
        if port not in (0, self._server.get_port()):
            logger.warning("port %d is taken, so the viewer is at %s", port, self.url)
        if for_others := url_for_others(host, self._server.get_port()):
            logger.warning("who can reach this machine can watch at %s", for_others)
        self._server.gui.configure_theme(show_logo=False, show_share_button=False)
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._finished = False
        self._seen = self._lost = 0
        self._status = Status()
        self._arrivals: deque[float] = deque(maxlen=30)
        self._store, self._places = FrameStore(self._options.max_frames), Places()
        self._panel = Panel(self._server, self._options, self._wake.set)
        self._desk = QueryDesk(self._server, self._options, self._store, self._places, query, self._wake.set, self.look)
        self._navigator = Navigator(self._server)
        self._scene = Scene(self._server)
        self._drawing = threading.Thread(target=self._draw_until_closed, name="viewer", daemon=True)
        self._drawing.start()

    @property
    def url(self) -> str:
        """Where to point the browser on this machine."""
        return page_url(self._server.get_host(), self._server.get_port())

    @property
    def status(self) -> Status:
        """What the page said at the last redraw."""
        return self._status

    def add(self, result: FrameResult | View) -> None:
        """Show a frame. Takes a few milliseconds whatever the page does, and keeps nothing of the result alive.

        A frame whose camera is not finite has no place in the scene: it is only counted.

        The first chunk of a stream is the world. A later one stands where its results or `move` say; until then it is a
        world of its own, and only one of the two is shown, that of the current frame.
        """
        finite = result.camera_is_finite
        for chunk, place in result.moves.items():
            with suppress(KeyError):  # a chunk none of whose frames had a camera is not on the page
                self.move(chunk, place)
        self._places.follow(result.chunk, result.world_from_chunk if finite else None)
        if finite:
            self._store.add(self._view(result))
        else:
            self._lost += 1
        self._seen += 1
        self._arrivals.append(time.monotonic())
        self._wake.set()

    def _view(self, result: FrameResult | View) -> ShownView:
        return view_from_frame(
            result,
            self._seen,
            max_points=self._options.points_per_frame,
            thumbnail_side=self._options.thumbnail_side,
            edges=self._options.edges,
        )

    def move(self, chunk: int, world_from_chunk: Similarity) -> None:
        """Put a chunk somewhere else, cameras, points and answers, as when a loop closes: `Reconstruction.move`.

        Any thread may call it at any rate: the page is redrawn ten times a second at most, and no point is sent again.
        The session is not told (`Session.place_chunk`), and need not be: queries are asked where the chunk is shown.

        Raises:
            KeyError: There is no such chunk, or no frame of it has arrived yet.
            ValueError: Not a similarity: not finite, or of a scale that is not positive.
        """
        self._places.move(chunk, world_from_chunk)
        self._wake.set()

    def offer(self, placements: Mapping[str, Similarity | None]) -> None:
        """Give the page a switch between placements of the frames, such as before and after an alignment.

        Args:
            placements: By name, the first one shown at the start: where each frame stands in its chunk, in the order of
                `add`, with the factor of its points' size as scale. None is as the frames come, and so are frames that
                come later than a placement has.

        Raises:
            ValueError: Fewer than two, or one that is not a finite similarity of positive scale per frame.
        """
        self._places.offer(placements)
        self._panel.offer(list(placements))
        self._wake.set()

    def finish(self) -> None:
        """Say in the page that the stream has ended. Queries and all controls go on working."""
        self._finished = True
        self._wake.set()

    def look(self) -> Look:
        """How the scene is drawn now: what the controls of the page say."""
        return self._panel.look()

    def wait(self) -> None:
        """Block until Ctrl-C, or until another thread closes the viewer."""
        try:
            while not self._closing.wait(timeout=1.0):  # without a timeout Ctrl-C would not get through everywhere
                pass
        except KeyboardInterrupt:
            logger.info("the viewer was interrupted")

    def close(self) -> None:
        """Stop drawing and serving. Closing twice is allowed."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake.set()
        self._drawing.join()
        self._server.stop()

    def _draw_until_closed(self) -> None:
        shown = Placement()
        world: int | None = None
        next_tick = time.monotonic()
        while not self._closing.is_set():
            tick = self._panel.tick_seconds
            self._wake.wait(timeout=None if tick is None else max(0.0, next_tick - time.monotonic()))
            self._wake.clear()
            if tick is not None and time.monotonic() >= next_tick:
                self._panel.step(1)
                next_tick = time.monotonic() + tick
            before = shown.version
            shown, world = self._redraw(world)
            often = self._finished and shown.version == before
            self._closing.wait(REDRAW_SECONDS_FINISHED if often else REDRAW_SECONDS_RUNNING)

    def _redraw(self, world: int | None) -> tuple[Placement, int | None]:
        """Bring the page up to date; gives the places and the world that it shows now.

        Args:
            world: Which one it showed.
        """
        seen, lost = self._seen, self._lost  # before the frames, so that the page never claims more than it shows
        (frames, stride), answers = self._store.snapshot(), self._desk.views()
        self._panel.set_frame_count(len(frames))
        look = self._panel.look()
        placement = self._places.snapshot(look.poses)  # after the views, so that it has all their chunks
        here: list[ShownView] = []
        if frames:
            before, world = world, placement.world(frames[look.current].chunk)
            here = [frame for frame in frames if placement.world(frame.chunk) == world]
            if world != before:
                self._desk.open()
                self._navigator.start_at(placement.world_from_frame(here[0]), here[0].median_depth)
        points = self._scene.draw(frames, answers, placement, look, finished=self._finished)
        current = frames[look.current] if frames else None
        self._panel.show_image(None if current is None else current.thumbnail)
        visible = sum(placement.world(answer.chunk) == world for answer in answers)
        elsewhere = len(frames) - len(here)
        self._status = Status(seen, stride, points, visible, self._fps(), self._finished, lost, elsewhere)
        self._panel.show_status(self._status)
        if current is None or not self._panel.following:
            self._navigator.follow(None)
        else:
            self._navigator.follow((placement.world_from_frame(current), current.median_depth))
        return placement, world

    def _fps(self) -> float:
        """Frames per second over the last arrivals."""
        arrivals = list(self._arrivals)
        return (len(arrivals) - 1) / max(arrivals[-1] - arrivals[0], 1e-6) if len(arrivals) > 1 else 0.0
