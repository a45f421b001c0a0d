"""Bags of ROS 1 and ROS 2, by the package rosbags, without ROS."""

import struct
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import apsw
from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag1 import ReaderError as Error1
from rosbags.rosbag2 import Reader as Reader2
from rosbags.rosbag2 import ReaderError as Error2

from cut3r.io.recording import BrokenRecordingError, Recording, Topic, broken, kind_of
from cut3r.io.ros_types import RosTypes

# What the package raises on damaged bytes beside its own errors.
_DAMAGE = (
    *(Error1, Error2, apsw.Error, struct.error),
    *(OSError, ValueError, LookupError, TypeError, EOFError, RuntimeError, AssertionError, MemoryError),
)


class RosBag(Recording):
    """A .bag file, a folder with metadata.yaml, or a .db3 file.

    Raises:
        BrokenRecordingError: Damaged, cut off, empty, or without an index.
    """

    def __init__(self, path: Path, *, is_first_version: bool) -> None:
        self._path, self._is_first = path, is_first_version
        if path.is_file() and not is_first_version and path.suffix != ".db3":
            raise BrokenRecordingError(
                f"{path.name} is a SQLite database; if it is a bag of ROS 2, let its name end in .db3"
            )
        self._types = RosTypes(is_first_version)
        with ExitStack() as stack:
            try:
                self._reader: Any = stack.enter_context(Reader1(path) if is_first_version else Reader2(path))
            except _DAMAGE as error:
                raise self._broken(error) from error
            self._connections = list(self._reader.connections)
            first, last = self._reader.start_time, self._reader.end_time
            self._release = weakref.finalize(self, stack.pop_all().close)
        counts: dict[tuple[str, str], int] = {}
        for connection in self._connections:
            key = (connection.topic, connection.msgtype)
            counts[key] = counts.get(key, 0) + connection.msgcount
        self.topics = {
            name: Topic(name, kind_of(kind), count, first, last) for (name, kind), count in sorted(counts.items())
        }

    def messages(self, topic: Topic, *, from_ns: int | None = None) -> Iterator[tuple[int, Any]]:
        chosen = [connection for connection in self._connections if connection.topic == topic.name]
        try:
            for connection, time_ns, data in self._reader.messages(connections=chosen, start=from_ns):
                yield time_ns, self._types.decode(data, connection.msgtype, connection.msgdef.data)
        except _DAMAGE as error:
            raise self._broken(error) from error

    def close(self) -> None:
        self._release()

    def _broken(self, error: Exception) -> BrokenRecordingError:
        repair = "rosbag reindex" if self._is_first else "ros2 bag reindex"
        return broken(self._path, error, f"it is damaged, cut off or empty: copy it again, or try '{repair}'")
