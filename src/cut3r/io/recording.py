"""Recordings of robots as topics with messages: .mcap files, ROS 1 bags, ROS 2 bags (a folder, or its .db3).

Messages are read one at a time, in the order in which they were recorded. Needs the packages of cut3r[ros].
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cut3r.io.content import Kind, recognise

METADATA = "metadata.yaml"  # in the folder of a ROS 2 bag
_SIGN = b"rosbag2_bagfile_information"
_STORES = (".db3", ".mcap", ".db3.zstd", ".mcap.zstd")
INSTALL = "pip install 'cut3r[ros]'"


class BrokenRecordingError(ValueError):
    """A recording cannot be read, or cannot be read any further; the message names it and says why."""


@dataclass(frozen=True)
class Topic:
    """A stream of messages. `kind` is like sensor_msgs/Image, whatever the format's way of writing it.

    `first_ns` and `last_ns` are of the whole recording, in nanoseconds on its clock; `count` of its messages.
    """

    name: str
    kind: str
    count: int
    first_ns: int
    last_ns: int

    @property
    def duration_s(self) -> float:
        return max(self.last_ns - self.first_ns, 0) / 1e9


class Recording(ABC):
    """An open recording. Several topics may be read at once, each from its beginning.

    Attributes:
        topics: By their names, sorted.
        in_order: Reading can begin at any time, so that samples are cheap.
    """

    topics: dict[str, Topic]
    in_order: bool = True

    @abstractmethod
    def messages(self, topic: Topic, *, from_ns: int | None = None) -> Iterator[tuple[int, Any]]:
        """Give times of recording in nanoseconds, and messages whose fields are attributes.

        Raises:
            BrokenRecordingError: What comes is damaged.
        """

    @abstractmethod
    def close(self) -> None: ...


def is_recording(path: Path) -> bool:
    """By content: a file of these formats, or the folder of a ROS 2 bag."""
    if path.is_dir():
        return is_bag_folder(path)
    content = recognise(path) if path.is_file() else None
    return content is not None and content.kind is Kind.recording


def is_bag_folder(folder: Path) -> bool:
    metadata = folder / METADATA
    return metadata.is_file() and _SIGN in metadata.read_bytes()


def files_of(path: Path) -> list[Path]:
    """What a recording is made of, in its order."""
    if not path.is_dir():
        return [path]
    return [path / METADATA, *sorted(file for file in path.iterdir() if file.name.endswith(_STORES))]


def open_recording(path: Path) -> Recording:
    """Open what `is_recording`.

    Raises:
        ValueError: A package is missing, or the recording is damaged.
    """
    content = None if path.is_dir() else recognise(path)
    try:
        if content is not None and content.name == "MCAP":
            from cut3r.io.mcap_file import McapRecording  # here: its package is optional

            return McapRecording(path)
        from cut3r.io.ros_bag import RosBag

        return RosBag(path, is_first_version=content is not None and content.name == "ROS bag")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("mcap", "rosbags", "google"):
            raise ValueError(f"reading {path.name} needs the package {error.name}: {INSTALL}") from error
        raise


def kind_of(name: str) -> str:
    """sensor_msgs/msg/Image, sensor_msgs/Image and foxglove.CompressedImage without their differences."""
    package, _, message = name.replace("/msg/", "/").replace(".", "/").partition("/")
    return f"{package.removesuffix('_msgs') if package == 'foxglove_msgs' else package}/{message}"


def broken(path: Path, error: Exception | str, remedy: str) -> BrokenRecordingError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return BrokenRecordingError(f"{path.name} cannot be read ({reason.rstrip('.')}); {remedy}")
