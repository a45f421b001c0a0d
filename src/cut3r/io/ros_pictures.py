"""Picture messages of ROS and Foxglove become upright RGB, or grey of 16 bits and more that is still to be scaled.

Source: sensor_msgs/image_encodings (names of encodings); Foxglove's RawImage, CompressedImage, CompressedVideo.
"""

import io
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from cut3r.io.content import HEAD_BYTES, Kind, recognise_head
from cut3r.io.grey import deep_values, is_deep
from cut3r.io.opening import DECODE_ERRORS

RAW = ("sensor_msgs/Image", "foxglove/RawImage")
COMPRESSED = ("sensor_msgs/CompressedImage", "foxglove/CompressedImage")
VIDEO = ("foxglove/CompressedVideo",)
PICTURES = (*RAW, *COMPRESSED, *VIDEO)
CODECS = {"h264": "h264", "h265": "hevc", "vp9": "vp9", "av1": "av1"}  # Foxglove's names of formats: FFmpeg's
_MOST_PIXELS = 89_478_485  # of a message; more are a mistake


@dataclass(frozen=True)
class _Layout:
    """Bytes of a value, values of a pixel in memory, and OpenCV's conversion to RGB; None where none is needed."""

    bits: int
    channels: int
    conversion: int | None = None


# OpenCV names a Bayer pattern after its second row: its BG begins with red, which ROS calls rggb.
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}
ENCODINGS = {
    **{name: _Layout(8, 3) for name in ("rgb8",)},
    **{name: _Layout(8, 3, cv2.COLOR_BGR2RGB) for name in ("bgr8", "8UC3")},
    **{name: _Layout(8, 4, cv2.COLOR_BGRA2RGB) for name in ("bgra8", "8UC4")},
    "rgba8": _Layout(8, 4, cv2.COLOR_RGBA2RGB),
    **{name: _Layout(8, 1, cv2.COLOR_GRAY2RGB) for name in ("mono8", "8UC1")},
    **{name: _Layout(16, 1) for name in ("mono16", "16UC1")},
    "32FC1": _Layout(32, 1),
    "rgb16": _Layout(16, 3),
    **{name: _Layout(16, 3, cv2.COLOR_BGR2RGB) for name in ("bgr16", "16UC3")},
    "rgba16": _Layout(16, 4, cv2.COLOR_RGBA2RGB),
    "bgra16": _Layout(16, 4, cv2.COLOR_BGRA2RGB),
    **{f"bayer_{name}8": _Layout(8, 1, code) for name, code in _BAYER.items()},
    **{f"bayer_{name}16": _Layout(16, 1, code) for name, code in _BAYER.items()},
    **{name: _Layout(8, 2, cv2.COLOR_YUV2RGB_UYVY) for name in ("yuv422", "uyvy")},
    **{name: _Layout(8, 2, cv2.COLOR_YUV2RGB_YUY2) for name in ("yuv422_yuy2", "yuyv")},
}
DEEP = ("mono16", "16UC1", "32FC1")  # grey that is scaled by what the recording uses


class DamagedPictureError(ValueError):
    """This one picture cannot be decoded; the next one may be."""


Picture = UInt8[np.ndarray, "h w 3"] | Shaped[np.ndarray, "h w"]


def picture_of(message: Any, kind: str) -> Picture:
    """Decode one message of `RAW` or `COMPRESSED`: RGB, or deep grey as it is.

    Raises:
        ValueError: An encoding that is not known, or data that do not fit it.
        DamagedPictureError: A compressed picture that is damaged.
    """
    if kind in RAW:
        return _raw(message)
    if kind in COMPRESSED:
        return _compressed(bytes(message.data), str(message.format))
    raise ValueError(f"messages of {kind} hold no pictures")


def stamp_ns(message: Any) -> int:
    """When the picture was taken, in nanoseconds on the recorder's clock; 0 if it does not say."""
    stamp = message.header.stamp if hasattr(message, "header") else getattr(message, "timestamp", None)
    if stamp is None:
        return 0
    seconds = _first_of(stamp, "sec", "seconds")
    return seconds * 1_000_000_000 + _first_of(stamp, "nanosec", "nsec", "nanos")


def _first_of(stamp: Any, *names: str) -> int:
    """ROS 1, ROS 2, Protobuf and JSON call the same differently."""
    return int(next((getattr(stamp, name) for name in names if hasattr(stamp, name)), 0))


def frame_id(message: Any) -> str:
    """The coordinate frame of its camera."""
    holder = message.header if hasattr(message, "header") else message
    return str(getattr(holder, "frame_id", ""))


def _raw(message: Any) -> Picture:
    h, w, step, encoding = int(message.height), int(message.width), int(message.step), str(message.encoding)
    layout = ENCODINGS.get(encoding)
    if layout is None:
        raise ValueError(f"its encoding {encoding!r} is not known; known are {', '.join(sorted(ENCODINGS))}")
    if not 0 < h * w <= _MOST_PIXELS:
        raise ValueError(f"it has {w}x{h} pixels, expected 1 to {_MOST_PIXELS:,}")
    row = w * layout.channels * layout.bits // 8
    data = np.frombuffer(message.data, np.uint8) if isinstance(message.data, bytes) else np.asarray(message.data)
    step = step or row
    if step < row or len(data) < step * (h - 1) + row:
        raise ValueError(f"its {w}x{h} pixels as {encoding} need {h} rows of {row} bytes, and it has {len(data)} bytes")
    if len(data) < step * h:  # the last row may lack its padding
        data = np.pad(data, (0, step * h - len(data)))
    order = ">" if getattr(message, "is_bigendian", 0) else "<"
    rows = np.ascontiguousarray(data[: step * h].reshape(h, step)[:, :row])
    kind = {8: "u1", 16: f"{order}u2", 32: f"{order}f4"}[layout.bits]
    values = rows.view(kind).reshape((h, w, layout.channels) if layout.channels > 1 else (h, w))
    if encoding in DEEP:
        return values.astype(values.dtype.newbyteorder("="))
    if layout.bits == 16:  # the high byte, as of 16-bit colour in files
        values = (values >> 8).astype(np.uint8)
    return np.asarray(values if layout.conversion is None else cv2.cvtColor(values, layout.conversion), np.uint8)


def _compressed(data: bytes, encoding: str) -> Picture:
    """JPEG, PNG, WebP, ...: told by the first bytes, for ROS has several ways to name them."""
    if "compressedDepth" in encoding:
        data = data[data.find(b"\x89PNG") :] if b"\x89PNG" in data[:64] else data  # behind a header of 12 bytes
    content = recognise_head(data[:HEAD_BYTES])
    if content is None or content.kind is not Kind.picture:
        raise ValueError(f"its format {encoding!r} is no picture that is known here, such as jpeg or png")
    try:
        with Image.open(io.BytesIO(data), formats=[content.name]) as image:
            image.load()
            if is_deep(image):
                return np.array(deep_values(image))
            return np.asarray(image.convert("RGB"))
    except (*DECODE_ERRORS, Image.DecompressionBombError) as error:
        raise DamagedPictureError(f"its {content.name} is damaged ({str(error) or type(error).__name__})") from error
