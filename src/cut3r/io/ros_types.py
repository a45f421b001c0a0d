"""Bytes of ROS messages become objects with attributes: those of pictures and cameras, whatever release wrote them."""

from typing import Any

from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore


class RosTypes:
    """Knows the standard messages; others by the definition that a recording holds.

    Args:
        first: Of ROS 1; otherwise of ROS 2 (CDR).
    """

    def __init__(self, first: bool) -> None:
        self._first = first
        self._store = get_typestore(Stores.ROS1_NOETIC if first else Stores.ROS2_HUMBLE)

    def decode(self, data: bytes, kind: str, definition: str) -> Any:
        """Understand one message.

        Raises:
            ValueError: Its type is neither standard nor defined, or its bytes are damaged.
        """
        name = kind if "/msg/" in kind else kind.replace("/", "/msg/")
        if name not in self._store.fielddefs:
            if not definition:
                raise ValueError(f"it does not say what {kind} holds")
            known = self._store.fielddefs
            added = get_types_from_msg(definition, name)
            self._store.register({each: fields for each, fields in added.items() if each not in known})
        read = self._store.deserialize_ros1 if self._first else self._store.deserialize_cdr
        try:
            return read(data, name)
        except SerdeError as error:
            raise ValueError(f"a message of {kind} is damaged ({error})") from error
