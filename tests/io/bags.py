"""Small recordings, written with the packages that robots' tools use."""

import base64
import json
from pathlib import Path

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from mcap.writer import Writer as McapWriter
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

ROS1, ROS2 = get_typestore(Stores.ROS1_NOETIC), get_typestore(Stores.ROS2_HUMBLE)
BEGIN_NS, STEP_NS = 1_700_000_000_000_000_000, 100_000_000
LATE_NS = 30_000_000  # a message is recorded so long after its picture was taken


def stamp(store, number):
    return store.types["builtin_interfaces/msg/Time"](*divmod(BEGIN_NS + number * STEP_NS, 1_000_000_000))


def header(store, number, frame="camera"):
    kind = store.types["std_msgs/msg/Header"]
    return kind(number, stamp(store, number), frame) if store is ROS1 else kind(stamp(store, number), frame)


def rgb_of(number, size=(6, 8)):
    """Of a colour that says which one it is."""
    picture = np.zeros((*size, 3), np.uint8)
    picture[...] = (10 * number, 255 - 10 * number, 77)
    picture[:2, :2] = (200, 0, 0)
    return picture


def image(store, number, rgb=None, encoding="rgb8", step=None):
    values = rgb_of(number) if rgb is None else rgb
    h, w = values.shape[:2]
    rows = np.ascontiguousarray(values).view(np.uint8).reshape(h, -1)
    return store.types["sensor_msgs/msg/Image"](
        header(store, number), h, w, encoding, 0, step or rows.shape[1], rows.reshape(-1)
    )


def compressed(store, number, data, encoding="jpeg"):
    return store.types["sensor_msgs/msg/CompressedImage"](
        header(store, number), encoding, np.frombuffer(data, np.uint8)
    )


def camera_info(store, size=(6, 8), distortion=(), focal=9.0, model="plumb_bob", frame="camera"):
    h, w = size
    k = np.array([focal, 0, (w - 1) / 2, 0, focal, (h - 1) / 2, 0, 0, 1.0 if focal else 0])
    p = np.array([2 * focal, 0, (w - 1) / 2, 0, 0, 2 * focal, (h - 1) / 2, 0, 0, 0, 1.0, 0])
    region = store.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    d = np.array(distortion, np.float64)
    return store.types["sensor_msgs/msg/CameraInfo"](
        header(store, 0, frame), h, w, model, d, k, np.eye(3).ravel(), p, 0, 0, region
    )


def write_bag1(path: Path, topics) -> Path:
    """`topics`: name -> list of messages, written at their times of recording."""
    with Writer1(path) as writer:
        _write(writer, topics, ROS1, ROS1.serialize_ros1)
    return path


def write_bag2(folder: Path, topics, plugin=StoragePlugin.SQLITE3) -> Path:
    with Writer2(folder, version=9, storage_plugin=plugin) as writer:
        _write(writer, topics, ROS2, ROS2.serialize_cdr)
    return folder


def write_mcap(path: Path, topics, *, first: bool = False, finish: bool = True, chunk_size: int = 1 << 10) -> Path:
    """With messages of ROS 2, or of ROS 1."""
    store = ROS1 if first else ROS2
    with path.open("wb") as file:
        writer = McapWriter(file, chunk_size=chunk_size)
        writer.start(profile="ros1" if first else "ros2")
        for name, messages in topics.items():
            kind = messages[0].__msgtype__
            text = (store.generate_msgdef(kind)[0] if first else store.generate_msgdef(kind, ros_version=2)[0]).encode()
            said = kind.replace("/msg/", "/") if first else kind
            schema = writer.register_schema(said, "ros1msg" if first else "ros2msg", text)
            channel = writer.register_channel(name, "ros1" if first else "cdr", schema)
            serialize = store.serialize_ros1 if first else store.serialize_cdr
            for number, message in enumerate(messages):
                time = BEGIN_NS + number * STEP_NS + LATE_NS
                writer.add_message(channel, time, bytes(serialize(message, kind)), time)
        if finish:
            writer.finish()
    return path


def write_json_mcap(path: Path, name: str, messages) -> Path:
    """Foxglove's messages as JSON; `messages` are dictionaries whose `data` are bytes."""
    with path.open("wb") as file:
        writer = McapWriter(file)
        writer.start()
        channel = writer.register_channel(
            "/camera", "json", writer.register_schema(f"foxglove.{name}", "jsonschema", b"{}")
        )
        for number, message in enumerate(messages):
            sec, nsec = divmod(BEGIN_NS + number * STEP_NS, 1_000_000_000)
            fields = message | {"timestamp": {"sec": sec, "nsec": nsec}, "frame_id": "camera"}
            fields["data"] = base64.b64encode(message["data"]).decode()
            writer.add_message(channel, BEGIN_NS + number * STEP_NS, json.dumps(fields).encode(), 0)
        writer.finish()
    return path


def write_protobuf_mcap(path: Path, pictures) -> Path:
    """Foxglove's CompressedImage in Protobuf; `pictures` are bytes of JPEG."""
    timestamp = descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(timestamp)
    file = descriptor_pb2.FileDescriptorProto(
        name="foxglove/CompressedImage.proto", package="foxglove", syntax="proto3"
    )
    file.dependency.append(timestamp.name)
    kind = file.message_type.add(name="CompressedImage")
    field = descriptor_pb2.FieldDescriptorProto
    for name, number, what in (
        ("timestamp", 1, field.TYPE_MESSAGE),
        ("frame_id", 4, field.TYPE_STRING),
        ("data", 2, field.TYPE_BYTES),
        ("format", 3, field.TYPE_STRING),
    ):
        added = kind.field.add(name=name, number=number, type=what, label=field.LABEL_OPTIONAL)
        if what == field.TYPE_MESSAGE:
            added.type_name = ".google.protobuf.Timestamp"
    definition = descriptor_pb2.FileDescriptorSet(file=[file, timestamp])  # what it needs may come behind it
    pool = descriptor_pool.DescriptorPool()
    for each in (timestamp, file):
        pool.Add(each)
    make = message_factory.GetMessageClass(pool.FindMessageTypeByName("foxglove.CompressedImage"))
    with path.open("wb") as out:
        writer = McapWriter(out)
        writer.start()
        schema = writer.register_schema("foxglove.CompressedImage", "protobuf", definition.SerializeToString())
        channel = writer.register_channel("/camera", "protobuf", schema)
        for number, data in enumerate(pictures):
            message = make(frame_id="camera", data=data, format="jpeg")
            message.timestamp.seconds, message.timestamp.nanos = divmod(BEGIN_NS + number * STEP_NS, 1_000_000_000)
            writer.add_message(channel, BEGIN_NS, message.SerializeToString(), BEGIN_NS)
        writer.finish()
    return path


def _write(writer, topics, store, serialize):
    connections = {
        name: writer.add_connection(name, messages[0].__msgtype__, typestore=store) for name, messages in topics.items()
    }
    for name, messages in topics.items():
        for number, message in enumerate(messages):
            time = BEGIN_NS + number * STEP_NS + LATE_NS
            writer.write(connections[name], time, serialize(message, message.__msgtype__))
