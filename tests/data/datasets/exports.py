"""A synthetic walk as apps and programs export it: one function per form, `write(folder, frames)`."""

import json
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from cut3r.data.view import RawFrame
from cut3r.geometry.poses import invert
from cut3r.io.colmap_dense import write_dense_map
from cut3r.io.depth import write_depth
from cut3r.io.exr import write_exr
from cut3r.io.images import write_image
from cut3r.io.known_cameras import Lens
from tests.data.datasets.colmap_model import write_model

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
SCALE = 3.7  # of a model whose unit is arbitrary
COARSE = 4  # pixels of a picture per pixel of a phone's depth, in both directions
BARREL = (-0.12, 0.02, 0.001, -0.002, 0.0)
PINCUSHION = (0.08, 0.01, -0.001, 0.001, 0.0)


def coarse(depth: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(depth[COARSE // 2 :: COARSE, COARSE // 2 :: COARSE])


def millimetres(depth: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint(depth * 1000).astype(np.uint16))


def bent(frame: RawFrame, distortion: Sequence[float]) -> RawFrame:
    """What a lens with distortion shows of the frame: nearest pixels of it."""
    lens = Lens(frame.intrinsics, frame.size, tuple(distortion))
    h, w = frame.size
    pixels = np.stack(np.meshgrid(np.arange(w), np.arange(h)), axis=-1).reshape(-1, 2).astype(np.float64)
    focal, center = frame.intrinsics.diagonal()[:2], frame.intrinsics[:2, 2]
    wanted = (pixels - center) / focal
    rays = wanted.copy()
    for _ in range(50):
        rays += wanted - lens.distort(rays)
    column, row = np.rint(rays * focal + center).astype(int).reshape(h, w, 2).transpose(2, 0, 1)
    inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
    column, row = column.clip(0, w - 1), row.clip(0, h - 1)
    return replace(frame, rgb=frame.rgb[row, column], depth=np.where(inside, frame.depth[row, column], np.float32(0)))


def nerfstudio(folder: Path, frames: list[RawFrame], distortion: Sequence[float] = (0, 0, 0, 0, 0)) -> None:
    """Depth in 1/5000 m, which the file says; of one camera."""
    entries = []
    for i, frame in enumerate(frames):
        seen = bent(frame, distortion) if any(distortion) else frame
        write_image(make(folder / f"images/frame_{i + 9:05d}.png"), seen.rgb)
        Image.fromarray(np.rint(seen.depth * 5000).astype(np.uint16)).save(make(folder / f"depths/d{i}.png"))
        pose = (frame.world_from_cam @ OPENGL).tolist()
        path = f"./images/frame_{i + 9:05d}.png"
        entries.append({"file_path": path, "depth_file_path": f"depths/d{i}.png", "transform_matrix": pose})
    names = dict(zip(("k1", "k2", "p1", "p2", "k3"), distortion, strict=True))
    content = {**lens_of(frames[0]), **names, "camera_model": "OPENCV", "depth_unit_scale_factor": 0.0002}
    (folder / "transforms.json").write_text(json.dumps({**content, "frames": entries[::-1]}))


def nerfstudio_barrel(folder: Path, frames: list[RawFrame]) -> None:
    nerfstudio(folder, frames, BARREL)


def nerfstudio_pincushion(folder: Path, frames: list[RawFrame]) -> None:
    nerfstudio(folder, frames, PINCUSHION)


def instant_ngp(folder: Path, frames: list[RawFrame]) -> None:
    """Names without suffix, the lens with each frame, depth of whole numbers."""
    entries = []
    for i, frame in enumerate(frames):
        write_image(make(folder / f"images/{i}.png"), frame.rgb)
        Image.fromarray(np.rint(frame.depth * 6553.5).astype(np.uint16)).save(make(folder / f"images/{i}.depth.png"))
        pose = (frame.world_from_cam @ OPENGL).tolist()
        paths = {"file_path": f"images/{i}", "depth_path": f"images/{i}.depth.png"}
        entries.append({**lens_of(frame), **paths, "transform_matrix": pose})
    (folder / "transforms.json").write_text(json.dumps({"integer_depth_scale": 1 / 6553.5, "frames": entries}))


def colmap(folder: Path, frames: list[RawFrame]) -> None:
    """A sensor's depth, in metres, beside a model in metres; of two cameras, of which one has distortion."""
    images = []
    for i, frame in enumerate(frames):
        seen = bent(frame, BARREL[:2]) if i >= 2 else frame
        name = f"cam{i // 2}/{i}.png"
        write_image(make(folder / "images" / name), seen.rgb)
        write_depth(make(folder / "depth" / f"cam{i // 2}/{i}.npy"), seen.depth)
        images.append((name, 1 + i // 2, invert(torch.from_numpy(frame.world_from_cam)).numpy()))
    K, size = frames[0].intrinsics, frames[0].size
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2] + 0.5, K[1, 2] + 0.5
    cameras = {1: ("PINHOLE", size, [fx, fy, cx, cy]), 2: ("RADIAL", size, [fx, cx, cy, *BARREL[:2]])}
    write_model(folder / "sparse/0", cameras, images)


def colmap_unscaled(folder: Path, frames: list[RawFrame]) -> None:
    """A sensor's coarse depth in metres beside a text model of arbitrary unit, whose points tell it."""
    images, points = [], []
    for i, frame in enumerate(frames):
        write_image(make(folder / f"images/{i}.png"), frame.rgb)
        millimetres(coarse(frame.depth)).save(make(folder / f"depth/{i}.png"))
        rows, columns = np.random.default_rng(i).integers(0, frame.size, (40, 2)).T
        rays = np.stack((columns, rows, np.ones(40)), axis=1) @ np.linalg.inv(frame.intrinsics).T
        world = (frame.depth[rows, columns, None] * rays) @ frame.world_from_cam[:3, :3].T + frame.world_from_cam[:3, 3]
        pose = invert(torch.from_numpy(frame.world_from_cam)).numpy()
        x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
        seen = [f"{columns[k] + 0.5} {rows[k] + 0.5} {40 * i + k + 1}" for k in range(40)]
        place = " ".join(map(str, SCALE * pose[:3, 3]))
        images += [f"{i + 1} {w} {x} {y} {z} {place} 1 {i}.png", " ".join([*seen, "3 4 -1"])]
        where = [" ".join(map(str, SCALE * point)) for point in world]
        points += [f"{40 * i + k + 1} {where[k]} 9 9 9 0.5 {i + 1} {k}" for k in range(40)]
    K, (h, w) = frames[0].intrinsics, frames[0].size
    camera = f"1 PINHOLE {w} {h} {K[0, 0]} {K[1, 1]} {K[0, 2] + 0.5} {K[1, 2] + 0.5}"
    for name, lines in (("cameras", [camera]), ("images", images), ("points3D", points)):
        make(folder / f"sparse/0/{name}.txt").write_text("\n".join(lines) + "\n")


def colmap_dense(folder: Path, frames: list[RawFrame]) -> None:
    """An undistorted workspace, in an arbitrary unit, with some depth that is no number."""
    images = []
    for i, frame in enumerate(frames):
        write_image(make(folder / f"images/{i}.png"), frame.rgb)
        depth = np.float32(SCALE) * frame.depth
        depth[:3] = -1
        write_dense_map(make(folder / f"stereo/depth_maps/{i}.png.geometric.bin"), depth)
        pose = invert(torch.from_numpy(frame.world_from_cam)).numpy().copy()
        pose[:3, 3] *= SCALE
        images.append((f"{i}.png", 1, pose))
    K = frames[0].intrinsics
    parameters = [K[0, 0], K[1, 1], K[0, 2] + 0.5, K[1, 2] + 0.5]
    write_model(folder / "sparse", {1: ("PINHOLE", frames[0].size, parameters)}, images)


def record3d(folder: Path, frames: list[RawFrame], *, exr: bool = False) -> None:
    """Depth with fewer pixels; the right half of each is not sure."""
    for i, frame in enumerate(frames):
        depth = coarse(frame.depth)
        write_image(make(folder / ("rgb" if exr else "rgbd") / f"{i}.png"), frame.rgb)
        if exr:
            write_exr(make(folder / f"depth/{i}.exr"), depth[..., None], channels=("R",))
        else:
            make(folder / f"rgbd/{i}.depth").write_bytes(stored(depth.astype("<f4").tobytes()))
            (folder / f"rgbd/{i}.conf").write_bytes(stored(unsure(depth.shape, 2).tobytes()))
    K, (h, w) = frames[0].intrinsics, frames[0].size
    poses = [world_from_cam @ OPENGL for world_from_cam in (frame.world_from_cam for frame in frames)]
    rows = [[*Rotation.from_matrix(pose[:3, :3]).as_quat(), *pose[:3, 3]] for pose in poses]
    content = {"K": K.T.ravel().tolist(), "poses": rows, "w": w, "h": h, "dw": w // COARSE, "dh": h // COARSE}
    (folder / "metadata").write_text(json.dumps(content))


def record3d_exr(folder: Path, frames: list[RawFrame]) -> None:
    record3d(folder, frames, exr=True)


def polycam(folder: Path, frames: list[RawFrame], *, corrected: bool = False) -> None:
    for i, frame in enumerate(frames):
        name = str(1_000_000 + 333 * i)
        K, (h, w) = frame.intrinsics, frame.size
        lens = {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2], "width": w, "height": h}
        pose = frame.world_from_cam @ OPENGL
        camera = {**lens, **{f"t_{row}{column}": pose[row, column] for row in range(3) for column in range(4)}}
        kinds = ("corrected_images", "corrected_cameras") if corrected else ("images", "cameras")
        write_image(make(folder / f"keyframes/{kinds[0]}/{name}.png"), frame.rgb)
        make(folder / f"keyframes/{kinds[1]}/{name}.json").write_text(json.dumps(camera))
        if corrected:  # what the phone first thought, which must not be read
            off = {**camera, "t_03": camera["t_03"] + i}
            write_image(make(folder / f"keyframes/images/{name}.png"), frame.rgb[::-1].copy())
            make(folder / f"keyframes/cameras/{name}.json").write_text(json.dumps(off))
        millimetres(coarse(frame.depth)).save(make(folder / f"keyframes/depth/{name}.png"))
        sure = Image.fromarray(unsure(coarse(frame.depth).shape, 255))
        sure.save(make(folder / f"keyframes/confidence/{name}.png"))
    (folder / "mesh_info.json").write_text("{}")


def polycam_corrected(folder: Path, frames: list[RawFrame]) -> None:
    polycam(folder, frames, corrected=True)


def scanner_app(folder: Path, frames: list[RawFrame]) -> None:
    for i, frame in enumerate(frames):
        pose, K = frame.world_from_cam @ OPENGL, frame.intrinsics
        camera = {"cameraPoseARFrame": pose.ravel().tolist(), "intrinsics": K.ravel().tolist(), "time": 0.1 * i}
        write_image(make(folder / f"frame_{i:05d}.png"), frame.rgb)
        (folder / f"frame_{i:05d}.json").write_text(json.dumps(camera))
        millimetres(coarse(frame.depth)).save(folder / f"depth_{i:05d}.png")
        Image.fromarray(unsure(coarse(frame.depth).shape, 2)).save(folder / f"conf_{i:05d}.png")
    (folder / "info.json").write_text('{"title": "a scan"}')


FORMS = {
    write.__name__: write
    for write in (
        nerfstudio,
        nerfstudio_barrel,
        nerfstudio_pincushion,
        instant_ngp,
        colmap,
        colmap_unscaled,
        colmap_dense,
        record3d,
        record3d_exr,
        polycam,
        polycam_corrected,
        scanner_app,
    )
}


def lens_of(frame: RawFrame) -> dict[str, float]:
    """nerfstudio counts pixels from the corner."""
    K, (h, w) = frame.intrinsics, frame.size
    return {"fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2] + 0.5, "cy": K[1, 2] + 0.5, "w": w, "h": h}


def unsure(shape: tuple[int, ...], top: int) -> np.ndarray:
    """A confidence that is low in the right eighth, medium left of it, and high in the left half."""
    w = shape[1]
    confidence = np.full(shape, top, np.uint8)
    confidence[:, w // 2 :] = 1 if top == 2 else 54
    confidence[:, w - w // 8 :] = 0
    return confidence


def stored(content: bytes) -> bytes:
    """LZFSE without compression."""
    return b"bvx-" + struct.pack("<I", len(content)) + content + b"bvx$"


def make(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
