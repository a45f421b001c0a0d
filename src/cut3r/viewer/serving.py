"""A viewer for as long as a program needs it, without what its library prints."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from cut3r.viewer.app import Viewer
from cut3r.viewer.config import ViewerConfig
from cut3r.viewer.query import Query


@contextmanager
def serve(port: int, *, host: str, options: ViewerConfig, query: Query | None = None) -> Iterator[Viewer]:
    """Start a `Viewer` (its arguments and errors), and close it in the end."""
    with redirect_stdout(io.StringIO()):  # viser prints a box with the address
        viewer = Viewer(port, host=host, options=options, query=query)
    try:
        yield viewer
    finally:
        with redirect_stdout(io.StringIO()):  # and that it stops
            viewer.close()
