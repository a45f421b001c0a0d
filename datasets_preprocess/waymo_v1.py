"""Waymo Open Dataset, Perception v1: a TFRecord file per segment, a `Frame` message per record.

Source: the field numbers of dataset.proto and label.proto, as 08_waymo.md section 2 lists them.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from datasets_preprocess.protobuf import Message
from datasets_preprocess.tfrecord import Place, read_records
from datasets_preprocess.waymo_frames import TOP, Camera, Laser, Picture, Sweep, WaymoFrame, arrange, pose

LARGEST_IMAGE = 1 << 26  # bytes of a range image; the largest has 64 x 2650 x 6 numbers of at most 10 bytes


def read_frames(path: Path, *, check: bool = True) -> Iterator[WaymoFrame]:
    """Read frame by frame; a file has about a gigabyte.

    Calibrations are those of the first frame.

    Args:
        check: Compare the checksums of the records.

    Raises:
        ValueError: The file is broken off, or a record is damaged or no frame; names its byte.
    """
    calibration: Message | None = None
    for number, (place, data) in enumerate(read_records(path, check=check)):
        with _naming_the_record(path, place):
            message = Message(data)
            calibration = message.message(1) if calibration is None else calibration
            frame = _frame(number, message, calibration)
        yield frame


@contextmanager
def _naming_the_record(path: Path, place: Place) -> Iterator[None]:
    try:
        yield
    except (ValueError, zlib.error) as error:
        raise ValueError(
            f"{path}: the record at byte {place.offset} is no frame of Waymo v1 ({error}); download it again"
        ) from error


def _frame(number: int, frame: Message, context: Message) -> WaymoFrame:
    cameras = [_camera(message) for message in context.messages(2)]
    lasers = {laser.name: laser for laser in map(_laser, context.messages(3))}
    pictures = [_picture(message) for message in frame.messages(4) if message.bytes(2)]
    sweeps = [sweep for message in frame.messages(5) if (sweep := _sweep(message, lasers)) is not None]
    return WaymoFrame(
        number,
        _pose(frame.message(3), "a frame"),
        {camera.name: camera for camera in cameras},
        tuple(sorted(pictures, key=lambda picture: picture.camera)),
        tuple(sorted(sweeps, key=lambda sweep: sweep.laser.name)),
    )


def _camera(message: Message) -> Camera:
    size = message.integer(5), message.integer(4)
    name = message.integer(1)
    return Camera.of(name, size, message.doubles(2), _pose(message.message(3), f"camera {name}"))


def _laser(message: Message) -> Laser:
    name = message.integer(1)
    low, high = (float(message.doubles(number).sum()) for number in (3, 4))  # one number or none, which is 0
    return Laser(name, message.doubles(2), (low, high), _pose(message.message(5), f"laser {name}"))


def _picture(message: Message) -> Picture:
    name = message.integer(1)
    return Picture(name, bytes(message.bytes(2)), _pose(message.message(3), f"a picture of camera {name}"))


def _sweep(message: Message, lasers: dict[int, Laser]) -> Sweep | None:
    """Decompress the first returns; None if the laser has none."""
    name, returns = message.integer(1), message.message(2)
    if not returns.bytes(2):
        return None
    if name not in lasers:
        raise ValueError(f"laser {name} has no calibration")
    ranges = _matrix(returns.bytes(2), f"the range image of laser {name}", whole=False)
    projections = _matrix(returns.bytes(3), f"the camera projection of laser {name}", whole=True)
    poses = _matrix(returns.bytes(4), f"the poses of laser {name}", whole=False) if name == TOP else None
    return Sweep(lasers[name], ranges[..., 0], projections, poses)


def _matrix(compressed: memoryview, what: str, *, whole: bool) -> np.ndarray:
    """Undo the compression of a MatrixInt32 (`whole`) or MatrixFloat."""
    inflater = zlib.decompressobj()
    data = inflater.decompress(compressed, LARGEST_IMAGE)
    if not inflater.eof:
        raise ValueError(f"{what} is broken off, or larger than {LARGEST_IMAGE} bytes")
    matrix = Message(data)
    values = matrix.integers(1).astype(np.int32) if whole else matrix.floats(1)
    return arrange(values, matrix.message(2).integers(1), what)


def _pose(transform: Message, what: str) -> np.ndarray:
    return pose(transform.doubles(1), what)
