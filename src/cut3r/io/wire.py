"""Messages in Protobuf or JSON, as Foxglove's schemas (https://docs.foxglove.dev/docs/visualization/message-schemas)
use them, become objects with attributes."""

import base64
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

BYTES = "data"  # the field that JSON has in base64


def protobuf_decoder(descriptors: bytes, name: str) -> Callable[[bytes], Any]:
    """Give what parses messages of type `name`, which `descriptors` (a serialised FileDescriptorSet) define.

    Raises:
        ValueError: The definition is damaged, or lacks the type.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from google.protobuf.message import DecodeError

    try:
        files = {file.name: file for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file}
        pool = descriptor_pool.DescriptorPool()
        while files:
            ready = [file for file in files.values() if not files.keys() & set(file.dependency)]
            if not ready:
                raise ValueError("its files need each other")
            for file in ready:
                pool.Add(files.pop(file.name))
        message = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    except (DecodeError, KeyError, TypeError) as error:
        raise ValueError(f"the definition of {name} is damaged ({error})") from error

    def decode(data: bytes) -> Any:
        try:
            return message.FromString(data)
        except DecodeError as error:
            raise ValueError(f"a message of {name} is damaged ({error})") from error

    return decode


def decode_json(data: bytes) -> Any:
    """Parse one message; `data` fields are base64.

    Raises:
        ValueError: No JSON, no object, or no base64.
    """
    content = json.loads(data, object_hook=lambda fields: SimpleNamespace(**fields))
    if not isinstance(content, SimpleNamespace):
        raise ValueError("a message is no JSON object")
    if isinstance(text := getattr(content, BYTES, None), str):
        content.data = base64.b64decode(text, validate=True)
    return content
