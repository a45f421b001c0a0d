import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from cut3r.data.view import RawFrame
from cut3r.io.exr import write_exr
from datasets_preprocess.bedlam import PICTURE as SIZE
from tests.data.datasets.raw_walks import render_walk

GROUP, SEQUENCE = "20221013_3_250_batch01hand_orbit_bigOffice", "seq_000000"
COARSER = 16  # pixels come in blocks: all pictures are published in one size
FAULT = "is each pose that of its picture"  # the original counts files and cameras, of which there are five times more
FAULT_SURVIVES = True
FULL_SIZE = {"repeat": 1}  # where pictures are drawn as large as they are published
COLUMNS = ("name", "x", "y", "z", "yaw", "pitch", "roll", "focal_length", "sensor_width", "sensor_height", "hfov")


def write_faulty(raw: Path) -> None:
    """Write more frames: the original takes every fifth file, and the cameras of the first frames."""
    write(raw, count=16)


def write(raw: Path, *, count: int = 3, repeat: int = COARSER) -> dict[str, list[RawFrame]]:
    """Write the 6-FPS download: of every fifth frame a picture, of all frames a camera.

    Args:
        repeat: 1 leaves the pictures small, so that they do not fit their cameras, for tests of other things.
    """
    h, w = SIZE
    focal, group = 1000.0, raw / GROUP
    coarse = np.array([[focal, 0, w / 2], [0, focal, h / 2], [0, 0, COARSER]]) / COARSER
    walk = render_walk((h // COARSER, w // COARSER), coarse, frames=count, speed=0.1 if count == 3 else 1.0)
    exact = np.array([[focal, 0, w / 2], [0, focal, h / 2], [0, 0, 1]])
    frames = [replace(f, rgb=finer(f.rgb, repeat), depth=finer(f.depth, repeat), intrinsics=exact) for f in walk]
    rows = [{"name": f"{SEQUENCE}_{number:04d}.png", **dict.fromkeys(COLUMNS[1:], 0)} for number in range(5 * count)]
    for number, frame in enumerate(frames):
        name = f"{SEQUENCE}_{5 * number:04d}"
        save(group, name, frame.rgb, frame.depth * 100)
        rows[5 * number] |= camera(frame)
    write_tables(group, rows)
    return {f"{GROUP}_{SEQUENCE}": frames}


def finer(pixels: np.ndarray, repeat: int) -> np.ndarray:
    return pixels.repeat(repeat, axis=0).repeat(repeat, axis=1)


def save(group: Path, name: str, rgb: np.ndarray, centimetres: np.ndarray) -> None:
    picture = group / "png" / SEQUENCE / f"{name}.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    alpha = np.full((*rgb.shape[:2], 1), 7, np.uint8)
    Image.fromarray(np.concatenate((rgb, alpha), axis=-1)).save(picture)
    depth = group / "depth" / SEQUENCE / f"{name}_depth.exr"
    write_exr(depth, centimetres[..., None], channels=("Depth",))


def camera(frame: RawFrame) -> dict[str, float]:
    """Write a pose in Unreal Engine's terms, by another way than the converter's: Euler angles of SciPy."""
    right, down, forward = frame.world_from_cam[:3, 3] * 100
    unreal_from_opencv = np.array([[0, 0, 1.0], [1, 0, 0], [0, -1, 0]])
    turned = unreal_from_opencv @ frame.world_from_cam[:3, :3] @ unreal_from_opencv.T
    yaw, pitch, roll = Rotation.from_matrix(turned).as_euler("ZYX", degrees=True)
    angles = {"yaw": yaw, "pitch": -pitch, "roll": -roll}
    return {"x": forward, "y": right, "z": -down, **angles, "focal_length": 1000 * 36 / 1280}


def write_tables(group: Path, rows: list[dict]) -> None:
    (group / "ground_truth" / "camera").mkdir(parents=True)
    with (group / "ground_truth" / "camera" / f"{SEQUENCE}_camera.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    lines = ["Index,Type,Comment", f"0,Group,sequence_name={SEQUENCE};frames=15;hfov=65.4", "1,Body,", "2,Body"]
    (group / "be_seq.csv").write_text("\n".join(lines) + "\n")
