"""One folder that splat trainers take as it is: COLMAP model, transforms.json, pictures, depth, masks, points.

    images/NAME.jpg         the original pictures, upright; no others
    sparse/0/               cameras, images, points3D of COLMAP, .bin and .txt
    transforms.json         the same cameras for nerfstudio
    pointcloud.ply          the same points; the only .ply
    depth/NAME.png          16 bits, millimetres, 0: unknown
    masks/NAME.png          white: use; only if there are masks
    README.txt

All of them share one world: metres, z up. It is made beside its place under a temporary name, and is whole when it is
there. What readers demand: tests/export/test_readers.py.
"""

import datetime
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from PIL import Image

from cut3r.export.exported import ExportedFrame
from cut3r.export.tracks import Tracks
from cut3r.files.disk import DiskFullError, is_disk_full, temporary_name
from cut3r.io.colmap import ColmapCamera, ColmapImage
from cut3r.io.colmap_write import write_colmap
from cut3r.io.depth import FARTHEST_MM, MILLIMETRES, write_depth
from cut3r.io.frame import Frame
from cut3r.io.images import write_image
from cut3r.io.known_cameras import CORNER
from cut3r.io.metadata import orientation
from cut3r.io.ply import write_ply
from cut3r.io.point_cloud import PointCloud
from cut3r.io.transforms_json import TransformsFrame, write_transforms

SIGN = "A scene exported by cut3r"  # how README.txt begins: a folder of ours may be replaced
COPIED = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",)}


@dataclass(frozen=True)
class Scene:
    """What is written. `upright` is the world of the files from that of the frames; one mask per frame, or None."""

    frames: Sequence[ExportedFrame]
    tracks: Tracks
    upright: Float64[np.ndarray, "4 4"]
    masked: bool

    @property
    def points(self) -> Float64[np.ndarray, "p 3"]:
        """In the world of the files."""
        return self.tracks.world @ self.upright[:3, :3].T + self.upright[:3, 3]

    def pose(self, frame: ExportedFrame) -> Float64[np.ndarray, "4 4"]:
        """`world_from_cam` in the world of the files."""
        return self.upright @ frame.world_from_cam.numpy()


def check_target(folder: Path, *, overwrite: bool) -> None:
    """Refuse to replace what is not ours.

    Raises:
        ValueError: The folder holds something, and it is no exported scene, or is not to be replaced.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file; name another folder for the scene")
    if not any(folder.iterdir()):
        return
    ours = _is_ours(folder)
    if ours and overwrite:
        return
    if ours:
        raise ValueError(
            f"{folder} holds a scene that was exported before; replace it with --overwrite, or name another"
        )
    raise ValueError(
        f"{folder} holds files of others, which would be lost; name an empty or a new folder for the scene"
    )


def write_scene(
    folder: Path,
    scene: Scene,
    originals: Iterable[Frame],
    *,
    pictures: str,
    command: str,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write all of it.

    Args:
        originals: The original pictures of the frames, in their order, with masks if the scene is masked.
        pictures: jpg or png: for those that cannot be copied.
        command: What made the scene, for the README.

    Raises:
        DiskFullError: There is no room. What was at the folder before stays.
    """
    folder = folder.resolve()  # of a link, what it leads to is replaced
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(temporary_name(folder))
    try:
        temporary.mkdir()
        names = []
        for number, (frame, original) in enumerate(zip(scene.frames, originals, strict=True)):
            names.append(_write_picture(temporary, scene, frame, original, pictures))
            if on_progress is not None:
                on_progress(number + 1, len(scene.frames))
        _write_model(temporary / "sparse" / "0", scene, names)
        _write_transforms(temporary, scene, names)
        write_ply(temporary / "pointcloud.ply", PointCloud(scene.points.astype(np.float32), scene.tracks.colors))
        (temporary / "README.txt").write_text(_readme(scene, command), encoding="utf-8")
        _put_in_place(temporary, folder)
    except OSError as error:
        if is_disk_full(error, folder.parent) and not isinstance(error, DiskFullError):
            raise DiskFullError(folder.parent) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    readme = folder / "README.txt"
    return readme.is_file() and readme.read_bytes().startswith(SIGN.encode())


def _put_in_place(temporary: Path, folder: Path) -> None:
    if not folder.exists():
        temporary.rename(folder)
        return
    old = folder.with_name(temporary_name(folder))
    folder.rename(old)
    try:
        temporary.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old)


def _write_picture(folder: Path, scene: Scene, frame: ExportedFrame, original: Frame, pictures: str) -> str:
    """Write the frame's picture, depth and mask; gives the picture's file name."""
    if original.rgb.shape[:2] != frame.size:
        (h, w), (h0, w0) = original.rgb.shape[:2], frame.size
        raise ValueError(
            f"{original.name} has {w}x{h} pixels now, but {w0}x{h0} when it was reconstructed; bring it back"
        )
    suffix = _suffix_to_copy(original)
    name = f"{frame.name}{suffix or f'.{pictures}'}"
    path = folder / "images" / name
    if suffix is not None and original.source is not None:
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(original.source, path)
    else:
        write_image(path, original.rgb)
    depth = frame.depth_original(original.mask)
    write_depth(folder / "depth" / f"{frame.name}.png", np.where(depth * MILLIMETRES > FARTHEST_MM, 0, depth))
    if scene.masked:
        mask = np.ones(frame.size, bool) if original.mask is None else original.mask
        white = np.repeat(np.where(mask, 255, 0).astype(np.uint8)[..., None], 3, axis=-1)
        write_image(folder / "masks" / f"{frame.name}.png", white)
    return name


def _suffix_to_copy(original: Frame) -> str | None:
    """The suffix of a file that every reader shows as `original.rgb` does; None if it has to be written anew."""
    if original.source is None or original.time_s is not None:
        return None
    suffix = original.source.suffix.lower()
    if not any(suffix in suffixes for suffixes in COPIED.values()):
        return None
    with Image.open(original.source) as image:
        plain = image.mode == "RGB" and orientation(image) == 1 and getattr(image, "n_frames", 1) == 1
        same = (image.height, image.width) == original.rgb.shape[:2]
        return suffix if plain and same and suffix in COPIED.get(image.format or "", ()) else None


def _write_model(folder: Path, scene: Scene, names: Sequence[str]) -> None:
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
    write_colmap(folder, cameras, images, scene.tracks.colmap(scene.points))


def _write_transforms(folder: Path, scene: Scene, names: Sequence[str]) -> None:
    frames = [
        TransformsFrame(
            f"images/{name}",
            frame.size,
            frame.intrinsics_original,
            scene.pose(frame),
            f"masks/{frame.name}.png" if scene.masked else None,
            f"depth/{frame.name}.png",
        )
        for frame, name in zip(scene.frames, names, strict=True)
    ]
    write_transforms(
        folder / "transforms.json", frames, ply_file_path="pointcloud.ply", applied_transform=scene.upright[:3]
    )


def _readme(scene: Scene, command: str) -> str:
    tracks = scene.tracks
    said = (
        "white: use this pixel, black: ignore it (PostShot asks which of them to remove)"
        if scene.masked
        else "none given"
    )
    return f"""{SIGN} on {datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}
{command}

{len(scene.frames)} pictures, {len(tracks.world):,} points. Metres; z is up. Pinhole cameras without distortion. They
look along +z of their own axes in sparse/0 (OpenCV), along -z in transforms.json (OpenGL).
{_about_cameras(scene.frames)}

images/          the pictures
sparse/0/        COLMAP model: cameras, poses, points with their tracks
transforms.json  the same for nerfstudio; applied_transform leads from the reconstruction's world to this one
pointcloud.ply   the same points
depth/           16 bits, millimetres, 0: unknown (and beyond 65.535 m)
masks/           {said}

A point is seen by {len(tracks.frames) / len(tracks.world):.1f} pictures on average, and projects
{tracks.errors.mean():.2f} pixels from where they see it.
"""


def _about_cameras(frames: Sequence[ExportedFrame]) -> str:
    if len({(frame.size, frame.intrinsics_original.tobytes()) for frame in frames}) == 1:
        return "All pictures have one camera."
    focals = [frame.intrinsics_original[0, 0] for frame in frames]
    return (
        f"Each picture has its own camera, with focal lengths of {min(focals):.1f} to {max(focals):.1f} pixels.\n"
        "Programs that know one camera only, such as LichtFeld's reader of transforms.json, should open sparse/0; or\n"
        "align the run with cut3r align --align full --shared-focal first."
    )
