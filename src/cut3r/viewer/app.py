"""A window on a stream: a web page (viser) that shows points and cameras while frames arrive.

Three kinds of threads meet here. The inference thread calls `Viewer.add`, which copies the bounded part of a result
into a store and returns. The pages' threads change controls. The drawing thread wakes up, reads store and controls, and
sends each page what differs from the last time; without visitors it draws nothing. Nobody waits for anybody: a late
drawing thread draws several frames at once.
"""

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress

import viser

from cut3r.geometry.registration import Similarity
from cut3r.inference.result import FrameResult
from cut3r.inference.sink import Sink
from cut3r.inference.view import View
from cut3r.run.progress import Meter
from cut3r.viewer.address import check_host, page_url, url_for_others
from cut3r.viewer.config import ViewerConfig
from cut3r.viewer.downloads import Download
from cut3r.viewer.page import Page, Shared
from cut3r.viewer.places import Places
from cut3r.viewer.query import Query
from cut3r.viewer.status import Status, Tracking
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
        self._server.scene.set_up_direction("-y")  # of the first camera; pages tell their cameras what is up
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._meter = Meter(None)
        self._finished = False
        self._seen = self._lost = 0
        self._tracking = Tracking()
        self._store, self._places = FrameStore(self._options.max_frames), Places()
        self._shared = Shared(self._options, self._store, self._places, query)
        self._pages: dict[int, Page] = {}  # only the drawing thread changes it
        self._visitors: deque[tuple[viser.ClientHandle, bool]] = deque()  # who came, and who went
        self._server.on_client_connect(self._come)
        self._server.on_client_disconnect(self._go)
        self._drawing = threading.Thread(target=self._draw_until_closed, name="viewer", daemon=True)
        self._drawing.start()

    @property
    def url(self) -> str:
        """Where to point the browser on this machine."""
        return page_url(self._server.get_host(), self._server.get_port())

    @property
    def status(self) -> Status:
        """What the page of who came first said at the last redraw; without visitors, what is known without drawing."""
        pages = list(self._pages.values())
        return pages[0].status if pages else self._shared.status

    def begin(self, first: int = 0) -> None:
        """Make ready for the results from number `first` on."""
        self._meter = Meter(self._meter.expected, done=first)

    def expect(self, frames: int | None) -> None:
        """Say how many frames the whole stream has, if that is known, so that the page says how long it takes."""
        self._meter.expected = frames

    def give(self, downloads: Sequence[Download]) -> None:
        """Offer files to who looks at the page; those who look already see them when they come again."""
        self._shared.downloads = tuple(downloads)

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
        self._tracking.add(result)
        self._seen += 1
        self._meter.tick()
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
        self._wake.set()

    def finish(self) -> None:
        """Say in the page that the stream has ended. Queries and all controls go on working."""
        self._finished = True
        self._wake.set()

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

    async def _come(self, client: viser.ClientHandle) -> None:  # asynchronous: a server that stops has no threads left
        self._visit(client, here=True)

    async def _go(self, client: viser.ClientHandle) -> None:
        self._visit(client, here=False)

    def _visit(self, client: viser.ClientHandle, *, here: bool) -> None:
        self._visitors.append((client, here))
        self._wake.set()

    def _draw_until_closed(self) -> None:
        while not self._closing.is_set():
            ticks = [page.timeline.seconds_to_tick() for page in self._pages.values()]
            self._wake.wait(timeout=min((tick for tick in ticks if tick is not None), default=None))
            self._wake.clear()
            self._welcome()
            moved = self._redraw()
            often = self._finished and not moved
            self._closing.wait(REDRAW_SECONDS_FINISHED if often else REDRAW_SECONDS_RUNNING)

    def _welcome(self) -> None:
        """Make pages for who has come, and forget those of who has gone."""
        while self._visitors:
            client, here = self._visitors.popleft()
            if not here:
                self._pages.pop(client.client_id, None)
                continue
            try:
                self._pages[client.client_id] = Page(client, self._shared, self._wake.set)
            except Exception:  # as below; such as of who has gone again while the page was made
                logger.exception("a page could not be made; open it again")

    def _redraw(self) -> bool:
        """Bring all pages up to date; gives whether chunks or frames have moved."""
        seen, lost = self._seen, self._lost  # before the frames, so that no page claims more than it shows
        frames, stride = self._store.snapshot()
        self._shared.status = Status(
            frames=seen,
            stride=stride,
            fps=self._meter.fps,
            finished=self._finished,
            lost=lost,
            expected=self._meter.expected,
            seconds_left=self._meter.seconds_left,
            memory=self._meter.memory(),
            tracking=self._tracking.text() if seen else "",
        )
        moved = [self._draw(number, page, frames) for number, page in list(self._pages.items())]
        return any(moved)

    def _draw(self, number: int, page: Page, frames: Sequence[ShownView]) -> bool:
        try:
            page.timeline.tick()
            return page.redraw(frames)
        except Exception:  # of any kind: what is wrong with one page must not stop the others
            logger.exception("a page could not be drawn, and is drawn no more; open it again")
            del self._pages[number]
            return False
