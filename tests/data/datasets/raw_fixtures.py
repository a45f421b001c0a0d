"""Small downloads as their owners would publish them: section 7 of each dataset's file."""

import gzip
import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation


def save_image(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def textured(h: int, w: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


def make_tartanair(raw: Path, *, frames: int = 6, environment: str = "abandoned") -> None:
    for mode in ("Easy", "Hard"):
        folder = raw / environment / mode / "P000"
        (folder / "depth_left").mkdir(parents=True)
        (folder / "flow").mkdir()
        for i in range(frames):
            save_image(folder / "image_left" / f"{i:06d}_left.png", textured(48, 64, i))
            depth = (5 + np.arange(48 * 64, dtype=np.float32) / 1000).reshape(48, 64)
            depth[:5] = 20000
            np.save(folder / "depth_left" / f"{i:06d}_left_depth.npy", depth)
            if i + 1 < frames:
                np.save(folder / "flow" / f"{i:06d}_{i + 1:06d}_flow.npy", np.zeros((48, 64, 2), dtype=np.float32))
                np.save(folder / "flow" / f"{i:06d}_{i + 1:06d}_mask.npy", np.zeros((48, 64), dtype=np.uint8))
        lines = [f"{1 + 0.1 * i} 2 3 .1 .2 .3 {np.sqrt(0.86)}" for i in range(frames)]
        (folder / "pose_left.txt").write_text("\n".join(lines) + "\n")


def center_tartanair(out: Path) -> None:
    """The fixture's images are smaller than the official calibration; give the cameras a principal point inside."""
    for path in out.rglob("*_cam.npz"):
        with np.load(path) as camera:
            pose, intrinsics = camera["camera_pose"], camera["camera_intrinsics"].copy()
        intrinsics[:2, 2] = 32, 24
        np.savez(path, camera_pose=pose, camera_intrinsics=intrinsics)


CO3D_SEQUENCES = {  # name: (quality, (w, h), file numbers)
    "100_1_2": (0.9, (80, 100), [1, 2, 3, 4, 5, 6]),
    "101_3_4": (0.2, (80, 100), [1, 3, 5, 7, 9, 11]),
    "102_5_6": (0.51, (100, 60), [1, 3, 5, 7, 9, 11]),
}


def make_co3d(raw: Path) -> None:
    records, entries = [], []
    for sequence, (_, (w, h), numbers) in CO3D_SEQUENCES.items():
        folder = raw / "apple" / sequence
        for k, number in enumerate(numbers):
            name = f"frame{number:06d}"
            save_image(folder / "images" / f"{name}.jpg", textured(h, w, number))
            depth = (2 + np.arange(h * w) / (h * w)).reshape(h, w).astype(np.float16)
            depth[0, 0] = 0
            if sequence == "102_5_6" and k == 3:
                depth[:] = 0
            save_image(folder / "depths" / f"{name}.jpg.geometric.png", depth.view(np.uint16))
            mask = np.zeros((h, w), dtype=np.uint8)
            mask[h // 4 : -h // 4, w // 4 : -w // 4] = 255
            mask[0, 0] = 100
            save_image(folder / "masks" / f"{name}.png", mask)
            path = f"apple/{sequence}/images/{name}.jpg"
            viewpoint = {
                "R": Rotation.from_euler("xyz", [10, 20, 30 + 5 * k], degrees=True).as_matrix().tolist(),
                "T": [0.1, 0.2, 3 + 0.1 * k],
                "focal_length": [3.5, 3.6],
                "principal_point": [0.02, -0.01],
            }
            depth_record = {"path": path.replace("images", "depths") + ".geometric.png", "scale_adjustment": 1.0}
            image_record = {"path": path, "size": [h, w]}
            record = {"sequence_name": sequence, "frame_number": k, "viewpoint": viewpoint}
            records.append({**record, "image": image_record, "depth": depth_record})
            entries.append([sequence, k, path])
    save_jgz(raw / "apple" / "frame_annotations.jgz", records)
    qualities = [{"sequence_name": n, "viewpoint_quality_score": q} for n, (q, _, _) in CO3D_SEQUENCES.items()]
    save_jgz(raw / "apple" / "sequence_annotations.jgz", qualities)
    lists = raw / "apple" / "set_lists"
    lists.mkdir()
    (lists / "set_lists_fewview_train.json").write_text(json.dumps({"train": entries, "val": [], "test": []}))
    decoy = {"train": entries[:2], "val": [], "test": entries[:3]}
    for name in ("fewview_dev", "manyview_dev_0"):
        (lists / f"set_lists_{name}.json").write_text(json.dumps(decoy))


def save_jgz(path: Path, content: object) -> None:
    with gzip.open(path, "wt") as file:
        json.dump(content, file)


SCANNETPP_SCENE = "0123456789"
SQUARE = """ply
format ascii 1.0
element vertex 4
property float x
property float y
property float z
element face 2
property list uchar int vertex_indices
end_header
-2 -2 3
2 -2 3
2 2 3
-2 2 3
3 0 2 1
3 0 3 2
"""


def make_scannetpp(raw: Path, *, images: int = 6) -> None:
    folder = raw / "data" / SCANNETPP_SCENE
    (folder / "scans").mkdir(parents=True)
    (folder / "scans" / "mesh_aligned_0.05.ply").write_text(SQUARE)
    dslr = [f"DSC{i:05d}" for i in range(images)]
    phone = [f"frame_{10 * i:06d}" for i in range(images)]
    _scannetpp_camera(folder / "dslr", "resized_images", "resized_anon_masks", dslr, ".JPG", "OPENCV_FISHEYE")
    _scannetpp_camera(folder / "iphone", "rgb", "rgb_masks", phone, ".jpg", "OPENCV")
    count = 2 * images
    pairs = [(i, j, 1 / (1 + j - i)) for i in range(count) for j in range(i + 1, count)]
    (raw / "pairs" / SCANNETPP_SCENE).mkdir(parents=True)
    np.savez(raw / "pairs" / SCANNETPP_SCENE / "selected_pairs.npz", selection=[*dslr, *phone], pairs=np.array(pairs))


def _scannetpp_camera(folder: Path, images: str, masks: str, names: list[str], suffix: str, model: str) -> None:
    (folder / "colmap").mkdir(parents=True)
    lines = ["# image list"] * 4
    for i, name in enumerate(names):
        save_image(folder / images / f"{name}{suffix}", textured(48, 64, i))
        mask = np.full((48, 64), 255, dtype=np.uint8)
        mask[20:24, 30:34] = 0
        save_image(folder / masks / f"{name}.png", mask)
        lines += [f"{i + 1} 1 0 0 0 {-0.1 * i} 0 0 1 {name}{suffix}", "1e-05 2.5 -1"]
    (folder / "colmap" / "images.txt").write_text("\n".join(lines) + "\n")
    header = "# camera list\n" * 3
    (folder / "colmap" / "cameras.txt").write_text(f"{header}1 {model} 64 48 40 40 32 24 0 0 0 0\n")
    (folder / "colmap" / "points3D.txt").write_text("# points\n" * 3 + "1 0 0 3 255 0 0 0.1 1 0\n")
