"""MVImgNet: pictures that cover 640x480, without distortion, with cameras from COLMAP's models."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8

from cut3r.data.datasets.mvimgnet import MvImgNet
from cut3r.data.transforms import Rescale
from cut3r.files.listing import visible
from cut3r.io.colmap import ColmapCamera, ColmapImage, read_cameras, read_images
from cut3r.io.images import read_image
from cut3r.io.known_cameras import CORNER
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, LeftOut, RawScene, Writer, require_rigid
from datasets_preprocess.undistort import undistort

OUTER = "MVImgNet_by_categories"  # the full release is without it
TARGET = (480, 640)  # (h, w) that the written pictures cover
SHIFT = np.array([[0, 0, CORNER], [0, 0, CORNER], [0, 0, 0]])


@dataclass(frozen=True)
class MvImgNetOptions:
    """Convert only the objects with a point cloud <pcd_dir>/<class>/<instance>.pcd, as those of MVPNet; None: all."""

    pcd_dir: Path | None = None


class _Frame(NamedTuple):
    rgb: UInt8[np.ndarray, "h w 3"]
    intrinsics: Float64[np.ndarray, "3 3"]
    world_from_cam: Float64[np.ndarray, "4 4"]


def scenes(raw: Path) -> Iterator[RawScene]:
    """List the objects "<class>_<instance>"."""
    for outer in (raw / OUTER, raw):
        for images in visible(outer, "*/*/images"):
            folder = images.parent
            yield RawScene(f"{folder.parent.name}_{folder.name}", facts={"folder": str(folder.relative_to(raw))})


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what an object is made from."""
    return [raw / scene.facts["folder"] / part for part in ("images", "sparse")]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Resample and write the pictures of one object that its model knows.

    Raises:
        FileNotFoundError: It has no model.
        LeftOut: It has no point cloud, and one is asked for.
        ValueError: The model is damaged, or no picture can be used.
    """
    folder = raw / scene.facts["folder"]
    _require_point_cloud(folder, writer.options or MvImgNetOptions())
    cameras = read_cameras(folder / "sparse" / "0" / "cameras.bin")
    images = {Path(image.name).stem: image for image in read_images(folder / "sparse" / "0" / "images.bin")}
    pictured = {path.stem for path in visible(folder / "images", "*.jpg")}

    def read(frame: str) -> _Frame:
        if frame not in images:
            raise ValueError(f"the model does not hold {frame}.jpg")
        image = images[frame]
        return _read_frame(folder / "images" / image.name, image, cameras.get(image.camera), parity=writer.parity)

    done = []
    for frame, content in readable_frames(sorted(pictured | set(images)), read, writer):
        scaling = Rescale.to_cover((content.rgb.shape[0], content.rgb.shape[1]), TARGET)
        intrinsics = scaling.intrinsics(content.intrinsics)
        writer.image("rgb", scene.name, frame, scaling.image(content.rgb))
        stored = intrinsics + SHIFT if writer.parity else intrinsics
        writer.npz("camera", scene.name, frame, intrinsics=stored, pose=content.world_from_cam)
        done.append(frame)
    return done


def scrambled_intrinsics(camera: ColmapCamera) -> Float64[np.ndarray, "3 3"]:
    """Take the first four parameters for fx, fy, cx, cy, whatever they are. Parity: 25_mvimgnet.md, section 6.

    Raises:
        ValueError: There are not so many.
    """
    parameters = list(camera.parameters.values())
    if len(parameters) < 4:
        raise ValueError(f"camera model {camera.model} has {len(parameters)} parameters; the original expects four")
    fx, fy, cx, cy = parameters[:4]
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def _read_frame(path: Path, image: ColmapImage, camera: ColmapCamera | None, *, parity: bool) -> _Frame:
    if camera is None:
        raise ValueError(f"{image.name} has camera {image.camera}, which cameras.bin lacks")
    require_rigid(image.world_from_cam, f"{image.name} in images.bin")
    rgb = read_image(path)
    if parity:
        return _Frame(rgb, scrambled_intrinsics(camera) - SHIFT, image.world_from_cam)
    lens = camera.lens()
    if lens is None:
        raise ValueError(f"camera model {camera.model} is no perspective camera; undistort the pictures first")
    return _Frame(*undistort(rgb, lens), image.world_from_cam)


def _require_point_cloud(folder: Path, options: MvImgNetOptions) -> None:
    if options.pcd_dir is None:
        return
    cloud = options.pcd_dir / folder.parent.name / f"{folder.name}.pcd"
    if not cloud.is_file():
        raise LeftOut(f"there is no {cloud}")


CONVERTER = Converter(MvImgNet, 1, scenes, convert, sources=sources, options=MvImgNetOptions)
