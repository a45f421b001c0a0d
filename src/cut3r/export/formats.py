"""How each part of an exported folder is written; which parts a format has, says `FORMATS` in `cut3r.run.formats`.

Pictures, depth and masks come frame by frame (`frame_files`); the others once, when all names are known.
"""

import importlib.util
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from cut3r.export.exported import ExportedFrame
from cut3r.export.scene import Scene
from cut3r.io.colmap import ColmapCamera, ColmapImage
from cut3r.io.colmap_write import write_colmap
from cut3r.io.depth import FARTHEST_MM, MILLIMETRES, write_depth
from cut3r.io.frame import Frame
from cut3r.io.glb import write_glb
from cut3r.io.glb_content import GLTF_FROM_Z_UP
from cut3r.io.images import write_image
from cut3r.io.known_cameras import CORNER
from cut3r.io.mesh import write_mesh
from cut3r.io.metadata import orientation
from cut3r.io.ply import write_ply
from cut3r.io.point_cloud import PointCloud
from cut3r.io.trajectory import write_kitti, write_tum
from cut3r.io.transforms_json import TransformsFrame, write_transforms
from cut3r.run.formats import Part

COPIED = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",)}
MESHES = {Part.mesh, Part.mesh_glb}
NEED_POINTS = {Part.colmap, Part.transforms, Part.points, Part.glb}
NEEDED = {
    **dict.fromkeys(MESHES, ("open3d", "pip install open3d")),
    Part.rerun: ("rerun", "pip install rerun-sdk"),
}
OF_FRAMES = {Part.pictures, Part.depth, Part.masks}

Writer = Callable[[Path, Scene, Sequence[str], set[Part]], None]


def frame_files(
    folder: Path, parts: set[Part], scene: Scene, frame: ExportedFrame, original: Frame | None, pictures: str
) -> str:
    """Write a frame's picture, depth and mask; gives the file name of its picture.

    Args:
        original: Needed by pictures, and by depth and masks if the scene is masked.
        pictures: jpg or png: for those that cannot be copied.

    Raises:
        ValueError: The picture has another size now.
    """
    if original is not None:
        check_size(original, frame)
    mask = None if original is None else original.mask
    if Part.depth in parts:
        depth = frame.depth_original(mask)
        path = folder / Part.depth.value / f"{frame.name}.png"
        write_depth(path, np.where(depth * MILLIMETRES > FARTHEST_MM, 0, depth))
    if Part.masks in parts and scene.masked:
        used = np.ones(frame.size, bool) if mask is None else mask
        white = np.repeat(np.where(used, 255, 0).astype(np.uint8)[..., None], 3, axis=-1)
        write_image(folder / Part.masks.value / f"{frame.name}.png", white)
    if Part.pictures not in parts:
        return frame.name
    assert original is not None, "asked for with the pictures"
    return _write_picture(folder / Part.pictures.value, frame.name, original, pictures)


def check_size(original: Frame, frame: ExportedFrame) -> None:
    """Refuse a picture that has another size than it had."""
    if original.rgb.shape[:2] != frame.size:
        (h, w), (h0, w0) = original.rgb.shape[:2], frame.size
        raise ValueError(
            f"{original.name} has {w}x{h} pixels now, but {w0}x{h0} when it was reconstructed; bring it back"
        )


def _write_picture(folder: Path, name: str, original: Frame, pictures: str) -> str:
    suffix = suffix_to_copy(original)
    path = folder / f"{name}{suffix or f'.{pictures}'}"
    if suffix is not None and original.source is not None:
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(original.source, path)
    else:
        write_image(path, original.rgb)
    return path.name


def suffix_to_copy(original: Frame) -> str | None:
    """The suffix of a file that every reader shows as `original.rgb` does; None if it has to be written anew.

    The pixels are compared: a picture may have been undistorted since it was read.
    """
    if original.source is None or original.time_s is not None:
        return None
    suffix = original.source.suffix.lower()
    if not any(suffix in suffixes for suffixes in COPIED.values()):
        return None
    with Image.open(original.source) as image:
        plain = image.mode == "RGB" and orientation(image) == 1 and getattr(image, "n_frames", 1) == 1
        known = plain and suffix in COPIED.get(image.format or "", ())
        return suffix if known and np.array_equal(np.asarray(image), original.rgb) else None


def _write_model(folder: Path, scene: Scene, names: Sequence[str], parts: set[Part]) -> None:
    assert scene.tracks is not None
    cameras: dict[int, ColmapCamera] = {}
    numbers: dict[tuple[object, ...], int] = {}
    images = []
    for number, (frame, name) in enumerate(zip(scene.frames, names, strict=True)):
        (fx, _, cx), (_, fy, cy), _ = frame.intrinsics_original.tolist()
        values = {"fx": fx, "fy": fy, "cx": cx + CORNER, "cy": cy + CORNER}
        identity = numbers.setdefault((frame.size, *values.values()), len(numbers) + 1)
        cameras[identity] = ColmapCamera("PINHOLE", frame.size, values)
        seen = scene.tracks.pixels[number], scene.tracks.points[number] + 1
        images.append(ColmapImage(number + 1, name, identity, scene.pose(frame), *seen))
    write_colmap(folder / Part.colmap.value, cameras, images, scene.tracks.colmap(scene.points))


def _write_transforms(folder: Path, scene: Scene, names: Sequence[str], parts: set[Part]) -> None:
    frames = [
        TransformsFrame(
            f"{Part.pictures.value}/{name}",
            frame.size,
            frame.intrinsics_original,
            scene.pose(frame),
            f"{Part.masks.value}/{frame.name}.png" if scene.masked and Part.masks in parts else None,
            f"{Part.depth.value}/{frame.name}.png" if Part.depth in parts else None,
        )
        for frame, name in zip(scene.frames, names, strict=True)
    ]
    points = Part.points.value if Part.points in parts else None
    path = folder / Part.transforms.value
    write_transforms(path, frames, ply_file_path=points, applied_transform=scene.upright[:3])


def _write_points(folder: Path, scene: Scene, names: Sequence[str], parts: set[Part]) -> None:
    write_ply(folder / Part.points.value, _cloud(scene))


def _write_glb(folder: Path, scene: Scene, names: Sequence[str], parts: set[Part]) -> None:
    poses = np.stack([scene.pose(frame) for frame in scene.frames])
    intrinsics = np.stack([frame.intrinsics_original for frame in scene.frames])
    sizes = np.array([frame.size for frame in scene.frames])
    path = folder / Part.glb.value
    write_glb(path, _cloud(scene), poses, intrinsics, sizes, gltf_from_world=GLTF_FROM_Z_UP)


def _cloud(scene: Scene) -> PointCloud:
    assert scene.tracks is not None
    return PointCloud(scene.points.astype(np.float32), scene.tracks.colors)


def _write_tum(folder: Path, scene: Scene, names: Sequence[str], parts: set[Part]) -> None:
    write_tum(folder / Part.tum.value, scene.upright @ scene.path.world_from_cam, scene.path.times_s)


def _write_kitti(folder: Path, scene: Scene, names: Sequence[str], parts: set[Part]) -> None:
    write_kitti(folder / Part.kitti.value, scene.upright @ scene.path.world_from_cam)


def _write_mesh(part: Part, folder: Path, scene: Scene, names: Sequence[str], parts: set[Part]) -> None:
    assert scene.surface is not None
    write_mesh(folder / part.value, scene.surface.mesh)


WRITERS: dict[Part, Writer] = {
    Part.colmap: _write_model,
    Part.transforms: _write_transforms,
    Part.points: _write_points,
    Part.glb: _write_glb,
    Part.tum: _write_tum,
    Part.kitti: _write_kitti,
    Part.mesh: partial(_write_mesh, Part.mesh),
    Part.mesh_glb: partial(_write_mesh, Part.mesh_glb),
}


def check_packages(parts: set[Part]) -> None:
    """See that what writes some parts is there, before long work.

    Raises:
        ValueError: A package is missing.
    """
    for part in parts & NEEDED.keys():
        package, command = NEEDED[part]
        if importlib.util.find_spec(package) is None:
            raise ValueError(f"{part.value} needs the package {package}, which is not installed: {command}")
