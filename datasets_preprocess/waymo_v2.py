"""Waymo Open Dataset, Perception v2: a Parquet file per segment in a folder per component. Needs the package pyarrow.

Rows carry the keys segment, time, and camera or laser; they are read in small batches, because the range images of a
segment have gigabytes.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from datasets_preprocess.waymo_frames import DISTORTION, TOP, Camera, Laser, Picture, Sweep, WaymoFrame, arrange, pose

COMPONENTS = (
    "camera_calibration",
    "camera_image",
    "lidar",
    "lidar_calibration",
    "lidar_camera_projection",
    "lidar_pose",
    "vehicle_pose",
)
INSTALL = 'pip install "cut3r[preprocess]"'
SEGMENT, TIME, CAMERA, LASER = (
    "key.segment_context_name",
    "key.frame_timestamp_micros",
    "key.camera_name",
    "key.laser_name",
)
RETURN = "range_image_return1"  # the first
FEW_ROWS = 4  # of range images or pictures, some megabytes each
VEHICLE_POSE = "[VehiclePoseComponent].world_from_vehicle.transform"
IMAGE, IMAGE_POSE = PICTURE_COLUMNS = ("[CameraImageComponent].image", "[CameraImageComponent].pose.transform")
RANGES, PROJECTIONS, POSES = "LiDARComponent", "LiDARCameraProjectionComponent", "LiDARPoseComponent"
LENS = tuple(f"[CameraCalibrationComponent].intrinsic.{name}" for name in ("f_u", "f_v", "c_u", "c_v", *DISTORTION))
CAMERA_POSE, WIDTH, HEIGHT = (f"[CameraCalibrationComponent].{n}" for n in ("extrinsic.transform", "width", "height"))
CAMERA_COLUMNS = (*LENS, CAMERA_POSE, WIDTH, HEIGHT)
LASER_COLUMNS = LASER_POSE, LOWEST, HIGHEST, INCLINATIONS = tuple(
    f"[LiDARCalibrationComponent].{name}"
    for name in ("extrinsic.transform", "beam_inclination.min", "beam_inclination.max", "beam_inclination.values")
)

Row = dict[str, Any]


def read_frames(folder: Path, segment: str) -> Iterator[WaymoFrame]:
    """Read frame by frame, in the order of time.

    Args:
        folder: Of the components.
        segment: The name of its files, without suffix.

    Raises:
        ValueError: A component is missing or damaged, or pyarrow is not installed.
    """
    paths = {name: folder / name / f"{segment}.parquet" for name in COMPONENTS}
    missing = [name for name, path in paths.items() if not path.is_file()]
    if missing:
        raise ValueError(f"{folder} lacks {', '.join(missing)} of segment {segment}; download these components, too")
    cameras = {row[CAMERA]: _camera(row) for row in _rows(paths["camera_calibration"], (CAMERA, *CAMERA_COLUMNS))}
    lasers = {row[LASER]: _laser(row) for row in _rows(paths["lidar_calibration"], (LASER, *LASER_COLUMNS))}
    poses = {row[TIME]: row[VEHICLE_POSE] for row in _rows(paths["vehicle_pose"], (TIME, VEHICLE_POSE))}
    if not poses:
        raise ValueError(f"{paths['vehicle_pose']} is empty; download it again")
    pictures = _ByTime(paths["camera_image"], CAMERA, PICTURE_COLUMNS)
    ranges, projections, pixel_poses = (
        _ByTime(paths[name], LASER, image_columns(component))
        for name, component in (("lidar", RANGES), ("lidar_camera_projection", PROJECTIONS), ("lidar_pose", POSES))
    )
    for number, time in enumerate(sorted(poses)):
        arrays = _Arrays(ranges.at(time), projections.at(time), pixel_poses.at(time))
        yield WaymoFrame(
            number,
            pose(poses[time], "a frame"),
            cameras,
            tuple(_picture(name, row) for name, row in sorted(pictures.at(time).items()) if row[IMAGE] is not None),
            arrays.sweeps(lasers),
        )


def image_columns(component: str) -> tuple[str, str]:
    """Name the columns of the first returns: values and shape."""
    return f"[{component}].{RETURN}.values", f"[{component}].{RETURN}.shape"


def _camera(row: Row) -> Camera:
    name, size = int(row[CAMERA]), (int(row[HEIGHT]), int(row[WIDTH]))
    return Camera.of(name, size, np.array([row[column] for column in LENS]), pose(row[CAMERA_POSE], f"camera {name}"))


def _laser(row: Row) -> Laser:
    rising = np.zeros(0) if row[INCLINATIONS] is None else np.asarray(row[INCLINATIONS], np.float64)
    span = float(row[LOWEST] or 0), float(row[HIGHEST] or 0)
    return Laser(int(row[LASER]), rising, span, pose(row[LASER_POSE], f"laser {row[LASER]}"))


def _picture(name: int, row: Row) -> Picture:
    return Picture(name, row[IMAGE], pose(row[IMAGE_POSE], f"a picture of camera {name}"))


class _Arrays:
    """The rows of the range images of one frame, by laser."""

    def __init__(self, ranges: dict[int, Row], projections: dict[int, Row], poses: dict[int, Row]) -> None:
        self.ranges, self.projections, self.poses = ranges, projections, poses

    def sweeps(self, lasers: dict[int, Laser]) -> tuple[Sweep, ...]:
        """Give what came back, by laser. Raises ValueError where a laser has no calibration or no projection."""
        sweeps = []
        for name, row in sorted(self.ranges.items()):
            ranges = _image(row, RANGES, name)
            if ranges is None:
                continue
            projections = _image(self.projections.get(name), PROJECTIONS, name)
            if name not in lasers or projections is None:
                raise ValueError(f"laser {name} has no calibration, or no camera projection; download it again")
            poses = _image(self.poses.get(name), POSES, name) if name == TOP else None
            sweeps.append(Sweep(lasers[name], ranges[..., 0], projections, poses))
        return tuple(sweeps)


def _image(row: Row | None, component: str, laser: int) -> np.ndarray | None:
    values, shape = (None, None) if row is None else (row[column] for column in image_columns(component))
    return None if values is None or shape is None else arrange(values, shape, f"{component} of laser {laser}")


class _ByTime:
    """Rows of a component, frame by frame; those that come before their time wait in memory."""

    def __init__(self, path: Path, key: str, columns: tuple[str, ...]) -> None:
        keys = list(_rows(path, (TIME, SEGMENT), batch_rows=1 << 16))
        if len(segments := {row[SEGMENT] for row in keys}) > 1:
            raise ValueError(f"{path} holds {len(segments)} segments; expected one file per segment")
        self._key = key
        self._left = Counter(row[TIME] for row in keys)
        self._rows = _rows(path, (TIME, key, *columns), batch_rows=FEW_ROWS)
        self._early: dict[int, dict[int, Row]] = defaultdict(dict)

    def at(self, time: int) -> dict[int, Row]:
        """Give the rows of a time by camera or laser; each time once."""
        while self._left[time]:
            row = next(self._rows)
            self._left[row[TIME]] -= 1
            self._early[row[TIME]][int(row[self._key])] = row
        return self._early.pop(time, {})


def _rows(path: Path, columns: tuple[str, ...], *, batch_rows: int = 1024) -> Iterator[Row]:
    """Read rows with these columns; lists come as arrays."""
    with _opened(path) as file:
        absent = [column for column in columns if column not in file.schema_arrow.names]
        if absent:
            raise ValueError(f"it lacks the columns {', '.join(absent)}")
        for batch in file.iter_batches(batch_rows, columns=list(columns)):
            for k in range(batch.num_rows):
                yield {name: _value(batch.column(name)[k]) for name in columns}


def _value(scalar: Any) -> Any:
    """Unpack a number, bytes or text; the elements of a list become an array; what is missing, None."""
    if scalar.is_valid and hasattr(scalar, "values"):  # a list; `as_py` would make a Python number of each
        return scalar.values.to_numpy(zero_copy_only=False)
    return scalar.as_py()


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(f"{path}: Parquet files need the package pyarrow ({error}): {INSTALL}") from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise ValueError(f"{path} cannot be read ({error}); download it again") from error
