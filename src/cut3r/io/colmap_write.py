"""Writes COLMAP models: cameras, images and points3D, binary and as text. What reads them: colmap, colmap_points.

Some readers are stricter than COLMAP itself, so images without a 2-D point, points without a track and errors below 0
are refused here. Format: https://colmap.github.io/format.html
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from cut3r.files.atomic import atomic_path
from cut3r.geometry.poses import invert, quaternion_from_matrix
from cut3r.io.colmap import MODELS, SEEN, ColmapCamera, ColmapImage
from cut3r.io.colmap_points import SEEN as TRACK
from cut3r.io.colmap_points import ColmapPoints
from cut3r.io.known_cameras import CORNER

IMAGES_HEAD = "# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then a line of X Y POINT3D_ID of each 2-D point\n"


def write_colmap(
    folder: Path, cameras: dict[int, ColmapCamera], images: Sequence[ColmapImage], points: ColmapPoints
) -> None:
    """Write `cameras`, `images` and `points3D`, each as `.bin` and as `.txt`.

    Raises:
        ValueError: An image without a 2-D point or of an unknown camera, a point without a track or with an error below
            0, a track that names what is not there, or a name that COLMAP's text files cannot hold.
    """
    _check(cameras, images, points)
    for name, text, binary in (
        ("cameras", _text_cameras(cameras), lambda file: _binary_cameras(file, cameras)),
        ("images", _text_images(images), lambda file: _binary_images(file, images)),
        ("points3D", _text_points(points), lambda file: _binary_points(file, points)),
    ):
        _write(folder / f"{name}.bin", binary)
        with atomic_path(folder / f"{name}.txt") as temporary:
            temporary.write_text("".join(text), encoding="utf-8")


def _write(path: Path, content: Callable[[BinaryIO], None]) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        content(file)


def _check(cameras: dict[int, ColmapCamera], images: Sequence[ColmapImage], points: ColmapPoints) -> None:
    counts = {}
    for image in images:
        if image.camera not in cameras:
            raise ValueError(f"the image {image.name} has camera {image.camera}, of which there is none")
        if image.pixels is None or image.points is None or not len(image.pixels):
            raise ValueError(f"the image {image.name} has no 2-D points, which some readers do not take; leave it out")
        if any(character in image.name for character in "\0\n\r"):
            raise ValueError(f"the name {image.name!r} cannot be written; use one without line breaks")
        counts[image.identity] = len(image.pixels)
    if (np.diff(points.starts) < 1).any():
        raise ValueError("a point has no track; expected at least one image that sees it")
    if not (points.errors >= 0).all():
        raise ValueError("the error of a point is not 0 or more; some readers drop such points")
    known = np.array([counts.get(identity, 0) for identity in points.images.tolist()], np.int64)
    if ((points.indices < 0) | (points.indices >= known)).any():
        raise ValueError("a track names a 2-D point that its image does not have")


def _pose(image: ColmapImage) -> tuple[list[float], list[float]]:
    cam_from_world = invert(torch.from_numpy(np.array(image.world_from_cam, np.float64)))
    return quaternion_from_matrix(cam_from_world[:3, :3]).tolist(), cam_from_world[:3, 3].tolist()


def _text_cameras(cameras: dict[int, ColmapCamera]) -> Iterable[str]:
    yield "# CAMERA_ID MODEL WIDTH HEIGHT PARAMETERS\n"
    for identity, camera in cameras.items():
        values = " ".join(repr(float(camera.parameters[name])) for name in MODELS[camera.model].split())
        yield f"{identity} {camera.model} {camera.size[1]} {camera.size[0]} {values}\n"


def _text_images(images: Sequence[ColmapImage]) -> Iterable[str]:
    yield IMAGES_HEAD
    for image in images:
        quaternion, translation = _pose(image)
        numbers = " ".join(map(repr, (*quaternion, *translation)))
        assert image.pixels is not None and image.points is not None, "checked before"
        seen = zip((image.pixels + CORNER).tolist(), image.points.tolist(), strict=True)
        yield f"{image.identity} {numbers} {image.camera} {image.name}\n"
        yield " ".join(f"{x!r} {y!r} {point}" for (x, y), point in seen) + "\n"


def _text_points(points: ColmapPoints) -> Iterable[str]:
    yield "# POINT3D_ID X Y Z R G B ERROR, then pairs of IMAGE_ID and POINT2D_IDX\n"
    track = np.stack((points.images, points.indices), axis=-1)
    ends = zip(points.starts[:-1].tolist(), points.starts[1:].tolist(), strict=True)
    rows = zip(
        points.ids.tolist(), points.world.tolist(), points.colors.tolist(), points.errors.tolist(), ends, strict=True
    )
    for identity, world, color, error, (start, end) in rows:
        numbers = " ".join(map(repr, world)) + " " + " ".join(map(str, color))
        yield f"{identity} {numbers} {error!r} " + " ".join(map(str, track[start:end].ravel().tolist())) + "\n"


def _binary_cameras(file: BinaryIO, cameras: dict[int, ColmapCamera]) -> None:
    file.write(struct.pack("<Q", len(cameras)))
    for identity, camera in cameras.items():
        values = [float(camera.parameters[name]) for name in MODELS[camera.model].split()]
        head = struct.pack("<iiQQ", identity, list(MODELS).index(camera.model), camera.size[1], camera.size[0])
        file.write(head + struct.pack(f"<{len(values)}d", *values))


def _binary_images(file: BinaryIO, images: Sequence[ColmapImage]) -> None:
    file.write(struct.pack("<Q", len(images)))
    for image in images:
        quaternion, translation = _pose(image)
        file.write(struct.pack("<I7dI", image.identity, *quaternion, *translation, image.camera))
        assert image.pixels is not None and image.points is not None, "checked before"
        seen = np.empty(len(image.pixels), SEEN)
        seen["pixel"], seen["point"] = image.pixels + CORNER, image.points
        name = image.name.encode(errors="surrogateescape")
        file.write(name + b"\0" + struct.pack("<Q", len(seen)) + seen.tobytes())


def _binary_points(file: BinaryIO, points: ColmapPoints) -> None:
    file.write(struct.pack("<Q", len(points.ids)))
    track = np.empty(len(points.images), TRACK)
    track["image"], track["index"] = points.images, points.indices
    starts = points.starts.tolist()
    for row, (identity, world) in enumerate(zip(points.ids.tolist(), points.world.tolist(), strict=True)):
        color, start, end = points.colors[row].tolist(), starts[row], starts[row + 1]
        file.write(struct.pack("<q3d3BdQ", identity, *world, *color, points.errors[row], end - start))
        file.write(track[start:end].tobytes())
