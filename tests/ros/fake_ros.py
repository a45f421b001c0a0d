"""As much of ROS 2's Python as the node uses: its messages have the fields of the real ones, and no others."""

import sys
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_HUMBLE)
MESSAGES = {
    "sensor_msgs": ("Image", "CameraInfo", "PointCloud2", "PointField"),
    "geometry_msgs": ("PoseStamped", "TransformStamped"),
    "nav_msgs": ("Path",),
}


class Message:
    """Made with default values, as those of rclpy; a field that the type lacks is refused."""

    def __init__(self, kind, **fields):
        self.__dict__["kind"] = kind
        for name, (node, what) in STORE.fielddefs[kind][1]:
            self.__dict__[name] = default(node.name, what)
        for name, value in fields.items():
            setattr(self, name, value)

    def __setattr__(self, name, value):
        if name not in self.__dict__:
            raise AttributeError(f"{self.kind} has no field {name}")
        self.__dict__[name] = value


def default(node, what):
    if node == "NAME":
        return Message(what)
    if node == "BASE":
        return "" if what[0] == "string" else False if what[0] == "bool" else 0.0 if what[0].startswith("f") else 0
    return [] if node == "SEQUENCE" else [0.0] * what[1]


def transmitted(message):
    """What arrives on the other side: serialised as CDR, and read again."""
    return STORE.deserialize_cdr(STORE.serialize_cdr(_real(message), message.kind), message.kind)


def _real(message):
    if not isinstance(message, Message):  # one that arrived, and is passed on
        return message
    values = {}
    for name, (node, what) in STORE.fielddefs[message.kind][1]:
        value = getattr(message, name)
        if node.name == "NAME":
            value = _real(value)
        elif node.name in ("SEQUENCE", "ARRAY"):
            inner, inner_what = what[0]
            if inner.name == "NAME":
                value = [_real(each) for each in value]
            elif isinstance(value, bytes):
                value = np.frombuffer(value, np.uint8)
            else:
                value = np.array(value, inner_what[0])
        values[name] = value
    return STORE.types[message.kind](**values)


class FakeNode:
    """Keeps what is declared, published and said. `given` are parameters of the command line."""

    given: ClassVar[dict[str, object]] = {}

    def __init__(self, name):
        self.said, self.published, self.subscribed = [], {}, {}

    def declare_parameter(self, name, value, descriptor):
        given = self.given.get(name, value)
        if not descriptor.dynamic_typing and type(given) is not type(value):
            raise TypeError(f"{name} is declared as {type(value).__name__}, and {given!r} was given")
        return SimpleNamespace(value=given)

    def create_subscription(self, kind, topic, callback, qos):
        self.subscribed[topic] = (kind, callback)

    def create_publisher(self, kind, topic, qos):
        messages = self.published.setdefault(topic, [])
        return SimpleNamespace(publish=lambda message: messages.append(transmitted(message)))

    def get_logger(self):
        return SimpleNamespace(**dict.fromkeys(("info", "warning", "error", "fatal"), self.said.append))

    def destroy_node(self):
        pass


def install(monkeypatch):
    """Let the node be imported."""
    sent = []
    broadcaster = SimpleNamespace(sendTransform=lambda transform: sent.append(transmitted(transform)))
    modules = {
        "rclpy": {"init": lambda args: None, "spin": None, "try_shutdown": lambda: None},
        "rclpy.node": {"Node": FakeNode},
        "rclpy.qos": {
            "QoSProfile": lambda **_: None,
            "ReliabilityPolicy": SimpleNamespace(BEST_EFFORT=2),
            "qos_profile_sensor_data": None,
        },
        "tf2_ros": {"TransformBroadcaster": lambda node: broadcaster},
        "rcl_interfaces": {},
        "rcl_interfaces.msg": {
            "ParameterDescriptor": lambda dynamic_typing=False: SimpleNamespace(dynamic_typing=dynamic_typing)
        },
    }
    for package, names in MESSAGES.items():
        modules[package] = {}
        kinds = {name: f"{package}/msg/{name}" for name in names}
        modules[f"{package}.msg"] = {
            name: lambda kind=kind, **fields: Message(kind, **fields) for name, kind in kinds.items()
        }
    for name, content in modules.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return sent
