import csv
from pathlib import Path

import h5py
import numpy as np
from scipy.spatial.transform import Rotation

from cut3r.data.view import RawFrame
from datasets_preprocess.hypersim_cameras import HALF, OPENCV_FROM_OPENGL
from tests.data.datasets.raw_walks import render_walk

SIZE = (60, 96)
UNIT = 0.0254  # metres
TILT = Rotation.from_euler("xyz", [0.2, -0.1, 0.03]).as_matrix()  # of the lens: camera from nominal camera


def write(raw: Path) -> dict[str, list[RawFrame]]:
    """Write a walk with a tilted and shifted lens, and a gap in the numbers of its frames."""
    intrinsics = np.array([[70.0, 0, 52], [0, 70, 27], [0, 0, 1]])
    frames, scene = render_walk(SIZE, intrinsics, frames=4), raw / "ai_001_001"
    numbers = [0, 1, 3, 4]
    positions, orientations = np.zeros((6, 3)), np.tile(np.eye(3), (6, 1, 1))
    rays = np.stack([*np.mgrid[: SIZE[0], : SIZE[1]][::-1], np.ones(SIZE)], axis=-1) @ np.linalg.inv(intrinsics).T
    for number, frame in zip(numbers, frames, strict=True):
        positions[number] = frame.world_from_cam[:3, 3] / UNIT
        orientations[number] = frame.world_from_cam[:3, :3] @ TILT @ OPENCV_FROM_OPENGL
        radiance = (frame.rgb / 255.0) ** 2.2
        write_frame(scene, number, radiance, frame.depth * np.linalg.norm(rays, axis=-1))
    detail = scene / "_detail" / "cam_00"
    write_array(detail / "camera_keyframe_positions.hdf5", positions)
    write_array(detail / "camera_keyframe_orientations.hdf5", orientations)
    write_scene_tables(scene)
    write_parameters(raw, "ai_001_001", cam_from_uv(intrinsics + HALF, TILT))
    return {"ai_001_001/cam_00": frames}


def write_frame(scene: Path, number: int, radiance: np.ndarray, distance: np.ndarray) -> None:
    """Write a frame without surfaces that would set the brightness: it is shown as it is."""
    images = scene / "images"
    geometry = images / "scene_cam_00_geometry_hdf5"
    write_array(images / "scene_cam_00_final_hdf5" / f"frame.{number:04d}.color.hdf5", radiance.astype(np.float16))
    write_array(geometry / f"frame.{number:04d}.depth_meters.hdf5", distance.astype(np.float16))
    write_array(geometry / f"frame.{number:04d}.render_entity_id.hdf5", np.full(distance.shape, -1, np.int16))


def write_scene_tables(scene: Path, camera: str = "cam_00") -> None:
    (scene / "_detail" / "metadata_cameras.csv").write_text(f"camera_name\n{camera}\n")
    (scene / "_detail" / "metadata_scene.csv").write_text(
        f"parameter_name,parameter_value\nsomething_else,7\nmeters_per_asset_unit,{UNIT}\n"
    )


def write_parameters(raw: Path, scene: str, matrix: np.ndarray, size: tuple[int, int] = SIZE) -> None:
    row: dict[str, object] = {"scene_name": scene}
    row |= {"settings_output_img_width": float(size[1]), "settings_output_img_height": float(size[0])}
    row |= {f"M_cam_from_uv_{i}{j}": matrix[i, j] for i in range(3) for j in range(3)}
    with (raw / "metadata_camera_parameters.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(row))
        table.writeheader()
        table.writerow(row)


def cam_from_uv(corner_intrinsics: np.ndarray, cam_from_nominal: np.ndarray) -> np.ndarray:
    h, w = SIZE
    pixel_from_uv = np.array([[w / 2, 0, w / 2], [0, -h / 2, h / 2], [0, 0, 1]])
    return OPENCV_FROM_OPENGL @ cam_from_nominal.T @ np.linalg.inv(corner_intrinsics) @ pixel_from_uv


def write_array(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["dataset"] = values
