"""A sloping wall with soft colours, as a mesh of two triangles that a phone without distortion goes along."""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from cut3r.data.view import RawFrame
from datasets_preprocess.scannetpp import ScanNetppOptions
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import viewed_plane

H, W = 96, 128
INTRINSICS = np.array([[110.0, 0, 62.5], [0, 108.0, 48.0], [0, 0, 1]])
OPTIONS = ScanNetppOptions(target_height=H, target_width=W)
DEPTH, PICTURE = 0.003, 8  # whole millimetres; pictures are undistorted and resampled
CORNERS = np.array([[-9.0, -9, 3.5], [9, -9, 1.7], [9, 9, 3.5], [-9, 9, 5.3]])  # of the wall z = 3.5 - 0.1 x + 0.1 y
NORMAL, OFFSET = np.array([0.1, -0.1, 1.0]), 3.5


def write(raw: Path) -> dict[str, list[RawFrame]]:
    folder = raw / "data" / "0a1b2c3d4e"
    names = [f"frame_{10 * i:06d}" for i in range(4)]
    frames, lines = [], ["# images"] * 4
    for number, name in enumerate(names):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_euler("xyz", [2 * number, 3 * number, number], degrees=True).as_matrix()
        pose[:3, 3] = 0.15 * number, 0.05 * number, -0.1 * number
        frames.append(viewed_plane((H, W), INTRINSICS, pose, NORMAL, OFFSET))
        save_image(folder / "iphone" / "rgb" / f"{name}.png", frames[-1].rgb)
        (folder / "iphone" / "rgb" / f"{name}.png").rename(folder / "iphone" / "rgb" / f"{name}.jpg")
        save_image(folder / "iphone" / "rgb_masks" / f"{name}.png", np.full(frames[-1].size, 255, np.uint8))
        cam_from_world = np.linalg.inv(pose)
        x, y, z, w = Rotation.from_matrix(cam_from_world[:3, :3]).as_quat()
        values = " ".join(f"{value:.12f}" for value in (w, x, y, z, *cam_from_world[:3, 3]))
        lines += [f"{number + 1} {values} 1 {name}.jpg", ""]
    (h, w), k = frames[0].size, frames[0].intrinsics
    (fx, fy), (cx, cy) = k.diagonal()[:2], k[:2, 2] + 0.5
    for device, model, text in (("iphone", f"1 OPENCV {w} {h} {fx} {fy} {cx} {cy} 0 0 0 0\n", lines), ("dslr", "", [])):
        (folder / device / "colmap").mkdir(parents=True)
        (folder / device / "colmap" / "cameras.txt").write_text("# cameras\n" + model)
        (folder / device / "colmap" / "images.txt").write_text("\n".join(text or ["# images"]) + "\n")
    (folder / "scans").mkdir()
    vertices = "\n".join(" ".join(map(str, corner)) for corner in CORNERS)
    head = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    faces = "element face 2\nproperty list uchar int vertex_indices\nend_header\n"
    (folder / "scans" / "mesh_aligned_0.05.ply").write_text(f"{head}{faces}{vertices}\n3 0 2 1\n3 0 3 2\n")
    (raw / "pairs" / folder.name).mkdir(parents=True)
    pairs = np.array([(i, j, 1 / (1 + abs(i - j))) for i in range(4) for j in range(4) if i != j])
    np.savez(raw / "pairs" / folder.name / "selected_pairs.npz", selection=names, pairs=pairs)
    return {folder.name: frames}
