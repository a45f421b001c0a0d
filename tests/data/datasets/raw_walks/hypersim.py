import csv
from pathlib import Path

import h5py
import numpy as np
from scipy.spatial.transform import Rotation

from cut3r.data.view import RawFrame
from datasets_preprocess.hypersim_cameras import HALF, OPENCV_FROM_OPENGL
from tests.data.datasets.raw_walks import render_walk

SIZE = (60, 96)
FAULT = "rays of the camera look wrong by up to [123]"  # tilted lenses are taken for shifted ones
FAULT_SURVIVES = True
UNIT = 0.0254  # metres
TILT = Rotation.from_euler("xyz", [0.2, -0.1, 0.03]).as_matrix()  # of the lens: camera from nominal camera
TILTED_UP = Rotation.from_euler("x", 0.1).as_matrix()


def write(raw: Path) -> dict[str, list[RawFrame]]:
    """Write a walk with a tilted and shifted lens, and a gap in the numbers of its frames."""
    intrinsics = np.array([[70.0, 0, 52], [0, 70, 27], [0, 0, 1]])
    return write_scene(raw, render_walk(SIZE, intrinsics, frames=4), [0, 1, 3, 4], TILT)


def write_faulty(raw: Path) -> None:
    """Write a longer walk with a lens that is tilted up, which the original takes for a shifted one."""
    intrinsics = np.array([[70.0, 0, 47.5], [0, 70, 36], [0, 0, 1]])
    write_scene(raw, render_walk(SIZE, intrinsics, frames=8, speed=1.0), list(range(8)), TILTED_UP)
    write_scene_tables(raw / "ai_001_001", unit_first=True)


def write_scene(raw: Path, frames: list[RawFrame], numbers: list[int], tilt: np.ndarray) -> dict[str, list[RawFrame]]:
    scene, size, intrinsics = raw / "ai_001_001", frames[0].size, frames[0].intrinsics
    count = max(numbers) + 2
    positions, orientations = np.zeros((count, 3)), np.tile(np.eye(3), (count, 1, 1))
    rays = np.stack([*np.mgrid[: size[0], : size[1]][::-1], np.ones(size)], axis=-1) @ np.linalg.inv(intrinsics).T
    for number, frame in zip(numbers, frames, strict=True):
        positions[number] = frame.world_from_cam[:3, 3] / UNIT
        orientations[number] = frame.world_from_cam[:3, :3] @ tilt @ OPENCV_FROM_OPENGL
        radiance = (frame.rgb / 255.0) ** 2.2
        write_frame(scene, number, radiance, frame.depth * np.linalg.norm(rays, axis=-1))
    detail = scene / "_detail" / "cam_00"
    write_array(detail / "camera_keyframe_positions.hdf5", positions)
    write_array(detail / "camera_keyframe_orientations.hdf5", orientations)
    write_scene_tables(scene)
    write_parameters(raw, "ai_001_001", cam_from_uv(intrinsics + HALF, tilt, size), size)
    return {"ai_001_001/cam_00": frames}


def write_frame(scene: Path, number: int, radiance: np.ndarray, distance: np.ndarray) -> None:
    """Write a frame without surfaces that would set the brightness: it is shown as it is."""
    images = scene / "images"
    geometry = images / "scene_cam_00_geometry_hdf5"
    write_array(images / "scene_cam_00_final_hdf5" / f"frame.{number:04d}.color.hdf5", radiance.astype(np.float16))
    write_array(geometry / f"frame.{number:04d}.depth_meters.hdf5", distance.astype(np.float16))
    write_array(geometry / f"frame.{number:04d}.render_entity_id.hdf5", np.full(distance.shape, -1, np.int16))


def write_scene_tables(scene: Path, camera: str = "cam_00", *, unit_first: bool = False) -> None:
    (scene / "_detail" / "metadata_cameras.csv").write_text(f"camera_name\n{camera}\n")
    lines = ["something_else,7", f"meters_per_asset_unit,{UNIT}"]
    rows = lines[::-1] if unit_first else lines
    (scene / "_detail" / "metadata_scene.csv").write_text("\n".join(["parameter_name,parameter_value", *rows]) + "\n")


def write_parameters(raw: Path, scene: str, matrix: np.ndarray, size: tuple[int, int] = SIZE) -> None:
    row: dict[str, object] = {"scene_name": scene}
    row |= {"settings_output_img_width": float(size[1]), "settings_output_img_height": float(size[0])}
    row |= {f"M_cam_from_uv_{i}{j}": matrix[i, j] for i in range(3) for j in range(3)}
    row |= {f"M_proj_{i}{j}": value for (i, j), value in np.ndenumerate(projection(matrix))}
    with (raw / "metadata_camera_parameters.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(row))
        table.writeheader()
        table.writerow(row)


def cam_from_uv(
    corner_intrinsics: np.ndarray, cam_from_nominal: np.ndarray, size: tuple[int, int] = SIZE
) -> np.ndarray:
    h, w = size
    pixel_from_uv = np.array([[w / 2, 0, w / 2], [0, -h / 2, h / 2], [0, 0, 1]])
    return OPENCV_FROM_OPENGL @ cam_from_nominal.T @ np.linalg.inv(corner_intrinsics) @ pixel_from_uv


def projection(matrix: np.ndarray) -> np.ndarray:
    """The renderer's 4 x 4 matrix: u, v, what the depth buffer holds, and what all are divided by."""
    uv_from_cam = np.linalg.inv(matrix)
    full = np.zeros((4, 4))
    full[[0, 1, 3], :3] = uv_from_cam / abs(uv_from_cam[2, 2])
    full[2, 2:] = -1.002, -2.002
    return full


def write_array(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["dataset"] = values
