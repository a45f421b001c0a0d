"""Query from here: ask the network what it would see from the viewer's camera."""

import logging
import threading
from collections.abc import Callable

import numpy as np
import viser
from jaxtyping import Float
from torch import Tensor

from cut3r.inference.result import QueryResult
from cut3r.viewer.colors import small_maps
from cut3r.viewer.config import ViewerConfig
from cut3r.viewer.look import Look
from cut3r.viewer.navigation import Navigator, pose_of_page
from cut3r.viewer.places import Placement, Places, as_similarity
from cut3r.viewer.store import FrameStore
from cut3r.viewer.view import ShownView, stream_camera, view_from_query

logger = logging.getLogger(__name__)

Query = Callable[[Float[Tensor, "4 4"], Float[Tensor, "3 3"], tuple[int, int]], QueryResult]
"""world_from_cam (metres), intrinsics (pixels), size (h, w): `Session.query` is one."""


EXPLANATION = (
    "The network has seen some of this place from some sides. Ask it what it would see from where you stand now: it "
    "answers with a picture and points that it makes up from what it remembers, and with how sure it is of each."
)


class QueryDesk:
    """The query button and the list of answers of one page.

    Args:
        query: None disables the button.
        on_change: Called after an answer came or went.
        look: Gives the confidence threshold in force, to say how many of an answer's points can be seen.
    """

    def __init__(
        self,
        client: viser.ClientHandle,
        config: ViewerConfig,
        frames: FrameStore,
        places: Places,
        query: Query | None,
        on_change: Callable[[], None],
        look: Callable[[], Look],
        navigator: Navigator,
    ) -> None:
        self._client, self._config, self._frames, self._places = client, config, frames, places
        self._navigator = navigator
        self._query = query
        self._on_change, self._look = on_change, look
        self._views: list[ShownView] = []
        self._entries: dict[int, list[viser.GuiImageHandle | viser.GuiMarkdownHandle]] = {}
        self._count = 0
        self._list_lock = threading.Lock()
        with client.gui.add_folder("Query: a view nobody took", visible=query is not None):
            self._explanation = client.gui.add_markdown(f"{EXPLANATION} Possible after the first frame.")
            self._button = client.gui.add_button(
                "Query from here", disabled=True, icon=viser.Icon.CAMERA_PLUS, hint="Render the unseen view"
            )
            self._folder = client.gui.add_folder("Queries", visible=False)
            with self._folder:
                self._delete = client.gui.add_button("Delete all queries", icon=viser.Icon.TRASH)
        self._button.on_click(self._on_query)
        self._delete.on_click(lambda _: self.clear())

    def open(self) -> None:
        """Allow queries, for a frame has arrived."""
        if self._query is not None:
            self._button.disabled = False
            self._explanation.content = EXPLANATION

    def views(self) -> list[ShownView]:
        """The answers to be shown, oldest first."""
        with self._list_lock:
            return list(self._views)

    def clear(self) -> None:
        """Delete all answers."""
        with self._list_lock:
            while self._views:
                self._forget_oldest()
            self._folder.visible = False
        self._on_change()

    def ask(self, world_from_cam: Float[Tensor, "4 4"]) -> tuple[ShownView, str]:
        """Run a query and show its answer; gives what is shown and a line about it.

        The network remembers the chunk of the newest frame. It is asked where the camera stands in that chunk as the
        page shows it, and answers in the world that the session knows; the answer belongs to the chunk from then on.

        Raises:
            ValueError: There is no frame yet, or that chunk is not in the world that is shown. The query's own errors
                pass through.
        """
        assert self._query is not None
        frames, placement = self._frames.snapshot()[0], self._placement()
        intrinsics, size = stream_camera(frames)
        newest = frames[-1].chunk
        current = frames[min(self._look().current, len(frames) - 1)]  # some may have been thinned out since
        if placement.world(newest) != placement.world(current.chunk):
            raise ValueError(
                f"the network remembers chunk {newest} only, which has no place in the world that is shown; "
                "go to the newest frame to query it"
            )
        stand = placement.chunks[newest]
        chunk_from_cam = as_similarity(stand.world_from_chunk).inverse().place(world_from_cam)
        result = self._query(stand.told.place(chunk_from_cam), intrinsics, size)
        with self._list_lock:
            view = view_from_query(
                result,
                self._count,
                max_points=self._config.points_per_frame,
                thumbnail_side=2 * self._config.thumbnail_side,
                edges=self._config.edges,
                chunk=newest,
                world_from_chunk=stand.told,
            )
            self._count += 1
            text = self._describe(view, *result.pose_error)
            self._remember(view, text)
        self._on_change()
        return view, text

    def _placement(self) -> Placement:
        """Where the page shows the chunks."""
        look = self._look()
        return self._places.snapshot(look.poses, corrected=look.corrected)

    def _describe(self, view: ShownView, angle_deg: float, meters: float) -> str:
        threshold = self._look().confidence
        trusted = int((view.confidence > threshold).sum())
        median = float(np.median(view.confidence)) if len(view.confidence) else 0.0
        return (
            f"Query {view.position}: pose error {angle_deg:.1f}°, {100 * meters:.1f} cm; "
            f"{trusted:,} of {len(view.confidence):,} points above confidence {threshold:.1f}, median {median:.1f}. "
            "Below: what the network would see, its depth, its confidence (blue: made up, red: sure)."
        )

    def _remember(self, view: ShownView, text: str) -> None:
        self._views.append(view)
        with self._folder:
            self._entries[view.position] = [self._client.gui.add_markdown(text)]
            if view.thumbnail is not None:
                self._entries[view.position].append(self._client.gui.add_image(small_maps(view)[0]))
        self._folder.visible = True
        while len(self._views) > self._config.max_queries:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        for entry in self._entries.pop(self._views.pop(0).position):
            entry.remove()

    def _on_query(self, event: viser.GuiEvent) -> None:
        """Answer a click; whatever goes wrong is said in the page that asked, and logged."""
        client = event.client
        assert client is not None
        note = client.add_notification("Query", "The network is looking ...", loading=True, with_close_button=False)
        self._button.disabled = True
        try:
            view, note.body = self.ask(pose_of_page(client.camera.wxyz, client.camera.position))
            self._navigator.fly_behind(self._placement().world_from_answer(view), view.median_depth)  # to see it
            note.auto_close_seconds = 6.0
        except Exception as error:  # of any kind, and a callback has no caller that could handle it
            logger.exception("the query failed")
            note.title, note.body, note.color = "The query failed", f"{type(error).__name__}: {error}", "red"
        finally:
            note.loading, note.with_close_button = False, True
            self._button.disabled = False
