from pathlib import Path

import numpy as np
from PIL import Image

from cut3r.data.view import RawFrame
from tests.data.datasets.raw_walks import render_walk

FAULT = "principal point looks counted from the bottom"  # where the original counts it from the top
HOUSE = "17DRP5sb8fy"
INTRINSICS = np.array([[100.0, 0, 75], [0, 105, 55], [0, 0, 1]])


def write(raw: Path) -> dict[str, list[RawFrame]]:
    return write_house(raw, render_walk((120, 160), INTRINSICS, frames=3))


def write_faulty(raw: Path) -> None:
    """Write a camera that turns more, so that its principal point shows."""
    write_house(raw, render_walk((120, 160), INTRINSICS, frames=8, speed=1.0))


def write_house(raw: Path, frames: list[RawFrame]) -> dict[str, list[RawFrame]]:
    folder, count = raw / HOUSE / HOUSE, len(frames)
    for part in ("color_images", "depth_images", "camera_parameters"):
        (folder / f"undistorted_{part}").mkdir(parents=True)
    (folder / "image_overlap_data").mkdir()
    (fx, fy), (cx, cy) = frames[0].intrinsics.diagonal()[:2], frames[0].intrinsics[:2, 2]
    calibration = f"intrinsics_matrix {fx} 0 {cx}  0 {fy} {frames[0].size[0] - 1 - cy}  0 0 1"
    lines = ["dataset matterport", f"n_images {count}", "", calibration]
    for number, frame in enumerate(frames):
        depth, color = f"pano_d0_{number}.png", f"pano_i0_{number}.jpg"
        Image.fromarray(frame.rgb).save(folder / "undistorted_color_images" / color, quality=95)
        units = np.rint(frame.depth * 4000).astype(np.uint16)
        Image.fromarray(units).save(folder / "undistorted_depth_images" / depth)
        opengl = frame.world_from_cam @ np.diag([1.0, -1, -1, 1])
        lines.append(" ".join(["scan", depth, color, *(f"{value:.9f}" for value in opengl.ravel())]))
    (folder / f"undistorted_camera_parameters/{HOUSE}.conf").write_text("\n".join(lines) + "\n")
    pairs = [f"II {i} {j} {1.0 if i == j else 0.5} 1 2 3 4" for i in range(count) for j in range(i, count)]
    (folder / f"image_overlap_data/{HOUSE}_iis.txt").write_text("\n".join(["C house.conf", *pairs]) + "\n")
    return {HOUSE: frames}
