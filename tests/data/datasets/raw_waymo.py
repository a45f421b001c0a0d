"""Writes frames as segments of the Waymo Open Dataset: v1 (TFRecord of protocol buffers) and v2 (Parquet)."""

import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from datasets_preprocess.waymo_frames import TOP, Camera, Laser, Picture, Sweep, WaymoFrame

CONTEXT = "1005081002024129653_5313_150_5333_150"
SEGMENT = f"segment-{CONTEXT}_with_camera_labels.tfrecord"
START, STEP = 1_500_000_000_000_000, 100_000  # microseconds


def crc_of_byte(crc: int) -> int:
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


CRC_OF_BYTE = [crc_of_byte(byte) for byte in range(256)]


def masked_crc(data: bytes) -> int:
    """CRC-32C byte by byte, masked, as the definitions say."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_OF_BYTE[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def write_records(path: Path, records: Iterable[bytes], *, sums: bool = True) -> None:
    """Write a TFRecord file; without checksums of the data, which take a while, they are 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for data in records:
            length = struct.pack("<Q", len(data))
            file.write(length + struct.pack("<I", masked_crc(length)))
            file.write(data + struct.pack("<I", masked_crc(data) if sums else 0))


def varint(number: int) -> bytes:
    number &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number: int, content: int | bytes) -> bytes:
    """A number, or counted bytes."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def doubles(number: int, values: Sequence[float] | np.ndarray, *, packed: bool = False) -> bytes:
    parts = [struct.pack("<d", value) for value in values]
    return field(number, b"".join(parts)) if packed else b"".join(varint(number << 3 | 1) + part for part in parts)


def transform(pose: np.ndarray, *, packed: bool = False) -> bytes:
    return doubles(1, pose.ravel(), packed=packed)


def matrix(values: np.ndarray) -> bytes:
    whole = values.dtype.kind == "i"
    data = b"".join(map(varint, values.ravel().tolist())) if whole else values.astype("<f4").tobytes()
    shape = b"".join(field(1, n) for n in values.shape)
    return zlib.compress(field(1, data) + field(2, shape))


def context_message(frame: WaymoFrame, lasers: Iterable[Laser], *, packed: bool = False) -> bytes:
    parts = [field(1, CONTEXT.encode())]
    for camera in frame.cameras.values():
        numbers = doubles(2, intrinsic_numbers(camera), packed=packed)
        pose = field(3, transform(camera.vehicle_from_cam, packed=packed))
        h, w = camera.size
        parts.append(field(2, field(1, camera.name) + numbers + pose + field(4, w) + field(5, h)))
    for laser in lasers:
        angles = doubles(2, laser.inclinations, packed=packed) + doubles(3, laser.span[:1]) + doubles(4, laser.span[1:])
        pose = field(5, transform(laser.vehicle_from_laser, packed=packed))
        parts.append(field(3, field(1, laser.name) + angles + pose))
    return b"".join(parts)


def frame_message(frame: WaymoFrame, lasers: Iterable[Laser], *, packed: bool = False) -> bytes:
    parts = [field(1, context_message(frame, lasers, packed=packed)), field(2, START + STEP * frame.number)]
    parts.append(field(3, transform(frame.world_from_vehicle, packed=packed)))
    for picture in frame.pictures:
        pose = field(3, transform(picture.world_from_vehicle, packed=packed))
        parts.append(field(4, field(1, picture.camera) + field(2, picture.jpeg) + pose))
    for sweep in reversed(frame.sweeps):  # a reader must bring them in order
        image = field(2, matrix(four_channels(sweep))) + field(3, matrix(sweep.projections.astype(np.int32)))
        if sweep.pixel_poses is not None:
            image += field(4, matrix(sweep.pixel_poses.astype(np.float32)))
        parts.append(field(5, field(1, sweep.laser.name) + field(2, image)))
    return b"".join(parts)


def write_v1(raw: Path, frames: Sequence[WaymoFrame], *, packed: bool = False, sums: bool = True) -> Path:
    path = raw / SEGMENT
    lasers = lasers_of(frames)
    write_records(path, [frame_message(frame, lasers, packed=packed) for frame in frames], sums=sums)
    return path


def write_v2(raw: Path, frames: Sequence[WaymoFrame], *, shuffle: int | None = None) -> None:
    """Write the components, in the order of time, or in another one."""
    pictures = [(frame, picture) for frame in frames for picture in frame.pictures]
    sweeps = [(frame, sweep) for frame in frames for sweep in frame.sweeps]
    tops = [(frame, sweep) for frame, sweep in sweeps if sweep.laser.name == TOP]
    cameras = [{"key.camera_name": camera.name, **camera_columns(camera)} for camera in frames[0].cameras.values()]
    lasers = [{"key.laser_name": laser.name, **laser_columns(laser)} for laser in lasers_of(frames)]
    tables = {
        "camera_calibration": cameras,
        "lidar_calibration": lasers,
        "vehicle_pose": [
            {**at(frame), "[VehiclePoseComponent].world_from_vehicle.transform": frame.world_from_vehicle.ravel()}
            for frame in frames
        ],
        "camera_image": [
            {**at(frame), "key.camera_name": picture.camera, **picture_columns(picture)} for frame, picture in pictures
        ],
        "lidar": [row(frame, sweep, "LiDARComponent", four_channels(sweep)) for frame, sweep in sweeps],
        "lidar_camera_projection": [
            row(frame, sweep, "LiDARCameraProjectionComponent", sweep.projections) for frame, sweep in sweeps
        ],
        "lidar_pose": [row(frame, sweep, "LiDARPoseComponent", sweep.pixel_poses) for frame, sweep in tops],
    }
    for name, rows in tables.items():
        if shuffle is not None:
            rows = [rows[k] for k in np.random.default_rng(shuffle).permutation(len(rows))]
        write_component(raw, name, rows)


def write_component(raw: Path, name: str, rows: list[dict]) -> None:
    (raw / name).mkdir(parents=True, exist_ok=True)
    if rows:
        table = pa.Table.from_pylist([{"key.segment_context_name": CONTEXT, **row} for row in rows])
    else:
        table = pa.table({column: pa.array([], kind) for column, kind in EMPTY[name].items()})
    pq.write_table(table, raw / name / f"{CONTEXT}.parquet", row_group_size=7)


KEYS = {"key.segment_context_name": pa.string(), "key.frame_timestamp_micros": pa.int64(), "key.laser_name": pa.int8()}
EMPTY = {
    name: {
        **KEYS,
        f"[{component}].range_image_return1.values": pa.list_(pa.float32()),
        f"[{component}].range_image_return1.shape": pa.list_(pa.int32()),
    }
    for name, component in (
        ("lidar", "LiDARComponent"),
        ("lidar_camera_projection", "LiDARCameraProjectionComponent"),
        ("lidar_pose", "LiDARPoseComponent"),
    )
}
EMPTY["lidar_calibration"] = {
    "key.laser_name": pa.int8(),
    "[LiDARCalibrationComponent].extrinsic.transform": pa.list_(pa.float64()),
    "[LiDARCalibrationComponent].beam_inclination.min": pa.float64(),
    "[LiDARCalibrationComponent].beam_inclination.max": pa.float64(),
    "[LiDARCalibrationComponent].beam_inclination.values": pa.list_(pa.float64()),
}


def at(frame: WaymoFrame) -> dict:
    return {"key.frame_timestamp_micros": START + STEP * frame.number}


def row(frame: WaymoFrame, sweep: Sweep, component: str, values: np.ndarray) -> dict:
    image = f"[{component}].range_image_return1"
    columns = {f"{image}.values": values.ravel(), f"{image}.shape": np.array(values.shape, np.int32)}
    return {**at(frame), "key.laser_name": sweep.laser.name, **columns}


def camera_columns(camera: Camera) -> dict:
    names = ("f_u", "f_v", "c_u", "c_v", "k1", "k2", "p1", "p2", "k3")
    columns = {f"intrinsic.{name}": value for name, value in zip(names, intrinsic_numbers(camera), strict=True)}
    columns |= {"extrinsic.transform": camera.vehicle_from_cam.ravel(), "width": camera.size[1]}
    return {f"[CameraCalibrationComponent].{name}": value for name, value in columns.items()} | {
        "[CameraCalibrationComponent].height": camera.size[0]
    }


def laser_columns(laser: Laser) -> dict:
    component = "[LiDARCalibrationComponent]"
    return {
        f"{component}.extrinsic.transform": laser.vehicle_from_laser.ravel(),
        f"{component}.beam_inclination.min": laser.span[0],
        f"{component}.beam_inclination.max": laser.span[1],
        f"{component}.beam_inclination.values": laser.inclinations if len(laser.inclinations) else None,
    }


def picture_columns(picture: Picture) -> dict:
    component = "[CameraImageComponent]"
    return {f"{component}.image": picture.jpeg, f"{component}.pose.transform": picture.world_from_vehicle.ravel()}


def four_channels(sweep: Sweep) -> np.ndarray:
    """Range, intensity, elongation, no-label zone."""
    return np.stack((sweep.ranges, *np.ones((3, *sweep.ranges.shape))), axis=-1).astype(np.float32)


def intrinsic_numbers(camera: Camera) -> list[float]:
    k = camera.intrinsics
    return [k[0, 0], k[1, 1], k[0, 2], k[1, 2], *camera.distortion]


def lasers_of(frames: Sequence[WaymoFrame]) -> list[Laser]:
    return list({sweep.laser.name: sweep.laser for frame in frames for sweep in frame.sweeps}.values())
