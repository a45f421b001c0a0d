"""ScanNet++ (version 1): undistorted DSLR and phone images, with depth rendered from the laser scan."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from PIL import Image

from cut3r.data.datasets.scannetpp import LAYOUT, ScanNetpp
from cut3r.data.layout import read_npz
from cut3r.data.transforms import Rescale, Size
from cut3r.files.listing import visible
from cut3r.geometry.poses import invert
from cut3r.io import colmap
from cut3r.io.images import read_image
from cut3r.io.known_cameras import CORNER
from datasets_preprocess.all_metadata import renumber, write_all_metadata
from datasets_preprocess.mesh import read_mesh, render_depth
from datasets_preprocess.runner import Converter, RawScene, Record, Writer, require_rigid

logger = logging.getLogger(__name__)

RENDERED_AT = (0.375, 0.875)  # (x, y) of where the original renders a pixel, from its corner
MESH = "scans/mesh_aligned_0.05.ply"
PAIRS_URL = "https://download.europe.naverlabs.com/ComputerVision/DUSt3R/scannetpp_pairs.zip"


@dataclass(frozen=True)
class ScanNetppOptions:
    """The size in pixels that the written images cover."""

    target_height: int = 690
    target_width: int = 920


@dataclass(frozen=True)
class Camera:
    """A distorted camera. Intrinsics are OpenCV's: the centre of the top-left pixel is (0, 0)."""

    fisheye: bool
    size: Size
    intrinsics: Float64[np.ndarray, "3 3"]
    distortion: Float64[np.ndarray, "4"]


@dataclass(frozen=True)
class Source:
    """An image of either camera before conversion."""

    image: Path
    mask: Path
    camera: Camera
    world_from_cam: Float64[np.ndarray, "4 4"]


def scenes(raw: Path) -> Iterator[RawScene]:
    """List RAW/data/<scene>."""
    for folder in (path for path in visible(raw, "data/*") if path.is_dir()):
        yield RawScene(folder.name)


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a scene is made from."""
    folder = raw / "data" / scene.name
    return [folder / "dslr", folder / "iphone", folder / MESH, raw / "pairs" / scene.name]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Undistort, shrink and write the selected images with rendered depth.

    Raises:
        FileNotFoundError: RAW/pairs has no selection of images for this scene.
    """
    folder = raw / "data" / scene.name
    selection = raw / "pairs" / scene.name / "selected_pairs.npz"
    if not selection.is_file():
        raise FileNotFoundError(f"there is no {selection}; download {PAIRS_URL} and unpack it as {raw / 'pairs'}")
    selected, pairs = read_npz(selection, "selection", "pairs")
    sources = read_sources(folder)
    names = [name for name in selected.tolist() if name in sources]
    for name in set(selected.tolist()) - set(names):
        logger.warning("%s: %s is selected but has no pose; it is left out", scene.name, name)

    vertices, faces = read_mesh(folder / MESH)
    intrinsics = []
    for name in names:
        require_rigid(sources[name].world_from_cam, name)
        intrinsics.append(_convert_image(scene.name, name, sources[name], vertices, faces, writer))
    poses = np.stack([sources[name].world_from_cam for name in names])
    pairs = renumber(pairs, selected.tolist(), names)
    order = sorted(range(len(names)), key=names.__getitem__)
    in_order = [names[i] for i in order]
    writer.npz("selected", scene.name, trajectories=poses, intrinsics=intrinsics, images=names, pairs=pairs)
    writer.npz(
        "scene",
        scene.name,
        trajectories=poses[order],
        intrinsics=np.stack(intrinsics)[order],
        images=in_order,
        pairs=renumber(pairs, names, in_order),
    )
    return in_order


def finish(out: Path, done: list[Record]) -> None:
    """Write the file about all scenes."""
    scenes = ((record.scene, LAYOUT.path(out, "selected", record.scene)) for record in done)
    write_all_metadata(LAYOUT.path(out, "all"), scenes)


def read_sources(folder: Path) -> dict[str, Source]:
    """Read the cameras of both devices, by image name without its extension.

    Raises:
        ValueError: Both have an image of the same name.
    """
    sources: dict[str, Source] = {}
    for model, images, masks in (
        ("dslr/colmap", "dslr/resized_images", "dslr/resized_anon_masks"),
        ("iphone/colmap", "iphone/rgb", "iphone/rgb_masks"),
    ):
        cameras = read_cameras(folder / model / "cameras.txt")
        for image in colmap.read_images(folder / model / "images.txt"):
            name = Path(image.name).stem
            if name in sources:
                raise ValueError(f"{folder.name} has two images called {name}")
            mask = folder / masks / f"{name}.png"
            sources[name] = Source(folder / images / image.name, mask, cameras[image.camera], image.world_from_cam)
    return sources


def read_cameras(path: Path) -> dict[int, Camera]:
    """Read COLMAP's cameras.txt, models OPENCV and OPENCV_FISHEYE.

    Raises:
        ValueError: A line that is no camera of these.
    """
    return {identity: _camera(camera, path) for identity, camera in colmap.read_cameras(path).items()}


def _camera(camera: colmap.ColmapCamera, path: Path) -> Camera:
    if camera.model not in ("OPENCV", "OPENCV_FISHEYE"):
        raise ValueError(f"{path}: camera model {camera.model}; expected OPENCV or OPENCV_FISHEYE")
    fx, fy, cx, cy, *distortion = camera.parameters.values()
    intrinsics = np.array([[fx, 0, cx - CORNER], [0, fy, cy - CORNER], [0, 0, 1]])
    return Camera(camera.model == "OPENCV_FISHEYE", camera.size, intrinsics, np.array(distortion))


def undistortion(camera: Camera) -> tuple[Float64[np.ndarray, "3 3"], tuple[np.ndarray, np.ndarray]]:
    """Give the pinhole camera that sees all of the distorted image, and the map of its pixels into that."""
    h, w = camera.size
    if camera.fisheye:
        new = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
            camera.intrinsics, camera.distortion, (w, h), np.eye(3), balance=0.0
        )
        new[:2, 2] = w / 2, h / 2
        return new, cv2.fisheye.initUndistortRectifyMap(
            camera.intrinsics, camera.distortion, np.eye(3), new, (w, h), cv2.CV_32FC1
        )
    new, _ = cv2.getOptimalNewCameraMatrix(
        camera.intrinsics, camera.distortion, (w, h), 1.0, (w, h), centerPrincipalPoint=True
    )
    maps = cv2.initUndistortRectifyMap(camera.intrinsics, camera.distortion, np.eye(3), new, (w, h), cv2.CV_32FC1)
    return new, maps


def written_intrinsics(
    pinhole: Float64[np.ndarray, "3 3"], scaling: Rescale, *, parity: bool
) -> Float64[np.ndarray, "3 3"]:
    """Give the intrinsics of the smaller image that are stored.

    Parity: 06_scannetpp.md quirk 1, half a pixel is taken away before and added after, as if these were COLMAP's.
    """
    half = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    return scaling.intrinsics(pinhole - half) + half if parity else scaling.intrinsics(pinhole)


def _convert_image(
    scene: str,
    name: str,
    source: Source,
    vertices: Float[np.ndarray, "n 3"],
    faces: np.ndarray,
    writer: Writer,
) -> Float64[np.ndarray, "3 3"]:
    pinhole, (map_x, map_y) = undistortion(source.camera)
    options = writer.options or ScanNetppOptions()
    scaling = Rescale.to_cover(source.camera.size, (options.target_height, options.target_width))
    rgb = cv2.remap(read_image(source.image), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    mask = cv2.remap(
        _read_mask(source.mask), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=255
    )
    intrinsics = written_intrinsics(pinhole, scaling, parity=writer.parity)
    cam_from_world = invert(torch.from_numpy(source.world_from_cam)).numpy()
    points_cam = vertices @ cam_from_world[:3, :3].T + cam_from_world[:3, 3]
    shift = np.zeros((3, 3))
    if writer.parity:  # the original's renderer reads the first of four samples of a pixel
        shift[:2, 2] = RENDERED_AT
    depth = render_depth(points_cam, faces, intrinsics - shift, scaling.new, front_only=writer.parity)
    depth[scaling.nearest(mask) < 255] = 0
    writer.image("rgb", scene, name, scaling.image(rgb))
    writer.png16("depth", scene, name, (depth * 1000).astype(np.uint16))
    return intrinsics


def _read_mask(path: Path) -> UInt8[np.ndarray, "h w"]:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


CONVERTER = Converter(ScanNetpp, 1, scenes, convert, finish, sources, ScanNetppOptions)
