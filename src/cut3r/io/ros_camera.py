"""The calibration that a recording has for a topic with pictures, as messages of ROS or Foxglove."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from cut3r.io.calibration import read_calibration
from cut3r.io.decode import SaidOnce
from cut3r.io.known_cameras import KnownCameras
from cut3r.io.recording import BrokenRecordingError, Recording, Topic
from cut3r.io.ros_pictures import frame_id
from cut3r.io.topics import base
from cut3r.io.undistort import undistortion

CALIBRATIONS = ("sensor_msgs/CameraInfo", "foxglove/CameraCalibration")
_RECTIFIED = "rect"  # image_proc calls rectified pictures image_rect, image_rect_color


def camera_of(
    recording: Recording, topic: Topic, picture: Any, size: tuple[int, int] | None, name: str, say: SaidOnce
) -> KnownCameras | None:
    """Find the calibration for a topic: beside it, or the only one whose coordinate frame is that of its pictures.

    Args:
        picture: A message of the topic.
        size: (h, w) of its pictures, None if unknown.

    Returns:
        None if there is none, or none that can be used, which is said.
    """
    found = _topic_of(recording, topic, frame_id(picture))
    if found is None:
        return None
    what = f"{found.name} of {name}"
    try:
        message = next(recording.messages(found))[1]
        cameras = replace(calibration_of_message(message, what, rectified=is_rectified(topic.name)), what=what)
        lens = cameras.only_lens()
        if lens is not None and size is not None:
            lens.at(size) if lens.is_straight else undistortion(lens, size)
        cameras.require_lenses()
    except (BrokenRecordingError, StopIteration, ValueError) as error:
        say(logging.WARNING, "intrinsics are estimated, for those of %s cannot be used: %s", what, error)
        return None
    say(logging.INFO, "intrinsics are those of %s; --intrinsics takes others", what)
    return cameras


def calibration_of_message(message: Any, what: str, *, rectified: bool) -> KnownCameras:
    """Understand a CameraInfo of ROS 1, ROS 2 or Foxglove.

    Args:
        rectified: The pictures have been undistorted, so that P counts and not K and D.

    Raises:
        ValueError: Not calibrated (zeros), or of a part of the picture.
    """
    matrix, projection, distortion = (_field(message, name) for name in "KPD")
    region = getattr(message, "roi", None)
    if region is not None and (region.x_offset or region.y_offset):
        raise ValueError(f"it is for a part of the picture, from {region.x_offset}, {region.y_offset}")
    if rectified:
        matrix, distortion = [*projection[0:3], *projection[4:7], *projection[8:11]], []
    if len(matrix) != 9 or not matrix[0]:
        raise ValueError("it holds zeros: the camera was not calibrated")
    fields = {"K": matrix, "D": distortion, "width": int(message.width), "height": int(message.height)}
    if not (fields["width"] and fields["height"]):
        fields = {"K": matrix, "D": distortion}
    model = "" if rectified else str(message.distortion_model)
    return read_calibration(Path(what), fields | {"distortion_model": model})


def is_rectified(topic: str) -> bool:
    return _RECTIFIED in base(topic).rpartition("/")[2]


def _topic_of(recording: Recording, topic: Topic, frame: str) -> Topic | None:
    known = [each for each in recording.topics.values() if each.kind in CALIBRATIONS and each.count]
    folder = base(topic.name).rpartition("/")[0]
    beside = [each for each in known if each.name.rpartition("/")[0] == folder]
    if len(beside) == 1:
        return beside[0]
    same = [each for each in (beside or known) if frame and _frame_of(recording, each) == frame]
    return same[0] if len(same) == 1 else None


def _frame_of(recording: Recording, topic: Topic) -> str:
    message = next(recording.messages(topic), None)
    return "" if message is None else frame_id(message[1])


def _field(message: Any, name: str) -> list[float]:
    """Capital letters in ROS 1, small ones in ROS 2."""
    value = getattr(message, name, None)
    return [float(each) for each in (getattr(message, name.lower(), ()) if value is None else value)]
