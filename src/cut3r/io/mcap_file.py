"""MCAP files (https://mcap.dev) by the package mcap, with messages of ROS 1, ROS 2, Protobuf or JSON.

One that was cut off, as when a robot loses its power, has no index: it is read from its beginning, as far as it goes.
"""

import logging
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard
from mcap.exceptions import McapError
from mcap.reader import SeekingReader
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader
from mcap.summary import Summary

from cut3r.io.recording import BrokenRecordingError, Recording, Topic, broken, kind_of

logger = logging.getLogger(__name__)

# What the package raises on damaged bytes beside its own errors.
_DAMAGE = (
    *(McapError, struct.error, zstandard.ZstdError, OSError, ValueError, LookupError, TypeError, EOFError),
    *(RuntimeError, AssertionError, MemoryError, OverflowError),
)
_MOST_BYTES = 1 << 30  # of a record; a longer one is damage
_REMEDY = "it is damaged, cut off or empty: copy it again, or try 'mcap recover'"


class McapRecording(Recording):
    """An .mcap file.

    Raises:
        BrokenRecordingError: Nothing in it can be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._decoders: dict[int, Any] = {}
        with path.open("rb") as file:
            try:
                summary = SeekingReader(file, record_size_limit=_MOST_BYTES).get_summary()
            except _DAMAGE as error:
                summary = None
                logger.debug("no index in %s: %r", path, error)
        self.in_order = summary is not None and bool(summary.chunk_indexes)
        facts = _of_summary(summary) if summary is not None and summary.statistics else self._of_all_messages()
        self._channels, self._schemas, counts, (first, last) = facts
        found: dict[str, Topic] = {}
        for channel in self._channels.values():
            schema = self._schemas.get(channel.schema_id)
            before = found[channel.topic].count if channel.topic in found else 0
            kind = kind_of(schema.name) if schema else "unknown"
            found[channel.topic] = Topic(channel.topic, kind, before + counts.get(channel.id, 0), first, last)
        self.topics = dict(sorted(found.items()))

    def messages(self, topic: Topic, *, from_ns: int | None = None) -> Iterator[tuple[int, Any]]:
        with self._path.open("rb") as file:
            try:
                for channel, message in self._raw(file, topic, from_ns):
                    if message.channel_id not in self._decoders:
                        self._decoders[channel.id] = _decoder(channel, self._schemas.get(channel.schema_id))
                    yield message.log_time, self._decoders[channel.id](message.data)
            except BrokenRecordingError:
                raise
            except _DAMAGE as error:
                raise broken(self._path, error, _REMEDY) from error

    def close(self) -> None:
        """Files are open only while messages are read."""

    def _raw(self, file: Any, topic: Topic, from_ns: int | None) -> Iterator[tuple[Channel, Message]]:
        if self.in_order:
            reader = SeekingReader(file, validate_crcs=True, record_size_limit=_MOST_BYTES)
            for _, channel, message in reader.iter_messages(topics=topic.name, starting_at=from_ns):
                yield channel, message
            return
        for record in _records(file):
            if isinstance(record, Message) and self._channels[record.channel_id].topic == topic.name:
                yield self._channels[record.channel_id], record

    def _of_all_messages(self) -> "_Facts":
        channels: dict[int, Channel] = {}
        schemas: dict[int, Schema] = {}
        counts: Counter[int] = Counter()
        first, last, reason = 0, 0, "it holds no message"
        with self._path.open("rb") as file:
            try:
                for record in _records(file):
                    if isinstance(record, Schema):
                        schemas[record.id] = record
                    elif isinstance(record, Channel):
                        channels[record.id] = record
                    elif isinstance(record, Message):
                        first, last = first or record.log_time, record.log_time
                        counts[record.channel_id] += 1
            except _DAMAGE as error:
                reason = str(error) or type(error).__name__
        if not counts:
            raise broken(self._path, reason, _REMEDY)
        logger.info("%s has no index, so it is read from its beginning, as far as it goes", self._path.name)
        return channels, schemas, counts, (first, last)


_Facts = tuple[dict[int, Channel], dict[int, Schema], dict[int, int] | Counter[int], tuple[int, int]]


def _of_summary(summary: Summary) -> _Facts:
    facts = summary.statistics
    assert facts is not None
    times = (facts.message_start_time, facts.message_end_time)
    return summary.channels, summary.schemas, facts.channel_message_counts, times


def _records(file: Any) -> Iterator[Any]:
    return iter(StreamReader(file, validate_crcs=True, record_size_limit=_MOST_BYTES).records)


def _decoder(channel: Channel, schema: Schema | None) -> Any:
    """What makes objects of a channel's bytes.

    Raises:
        BrokenRecordingError: Its encoding is not known.
    """
    kind, definition = (schema.name, schema.data) if schema else ("unknown", b"")
    if channel.message_encoding in ("cdr", "ros1"):
        from cut3r.io.ros_types import RosTypes

        types = RosTypes(channel.message_encoding == "ros1")
        text = definition.decode(errors="replace")
        return lambda data: types.decode(data, kind, text)
    if channel.message_encoding == "protobuf":
        from cut3r.io.wire import protobuf_decoder

        return protobuf_decoder(definition, kind)
    if channel.message_encoding == "json":
        from cut3r.io.wire import decode_json

        return decode_json
    raise BrokenRecordingError(
        f"messages of {channel.topic} are encoded as {channel.message_encoding!r}; expected cdr, ros1, protobuf or json"
    )
