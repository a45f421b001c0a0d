"""MegaDepth: undistorted photos with depth by multi-view stereo, and sets of 64 that see the same."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float64

from cut3r.data.datasets.megadepth import LAYOUT, MegaDepth, metric_map
from cut3r.data.layout import read_npz, write_npz
from cut3r.data.transforms import Rescale, Size
from cut3r.files.listing import visible
from cut3r.files.pickled import read_pickled_npz
from cut3r.io import colmap
from cut3r.io.hdf5 import read_hdf5
from cut3r.io.images import read_image
from datasets_preprocess.megadepth_sets import PADDING, ModelSets, join_sets, model_sets
from datasets_preprocess.runner import Converter, LeftOut, RawScene, Record, Writer

SETS = "megadepth_sets_64.npz"  # as published, beside the scenes; without it we make our own
LARGEST = (600, 800)  # (h, w) that larger landscapes still cover; portraits the other way round
QUALITY = 90


def scenes(raw: Path) -> Iterator[RawScene]:
    """List "<scene>/<k>" of the published sets, or of all reconstructions that have photos."""
    if (raw / SETS).is_file():
        names, sets = read_pickled_npz(raw / SETS, "scenes", "sets")
        for number in sorted(set(sets[:, 0].tolist())):
            yield RawScene(str(names[number]).replace(" ", "/"))
        return
    for folder in visible(raw, "*/dense*"):
        if (folder / "imgs").is_dir():
            yield RawScene(f"{folder.parent.name}/{folder.name.removeprefix('dense')}")


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a reconstruction is made from."""
    dense, model = _folders(raw, scene)
    return [dense / "imgs", dense / "depths", model, raw / SETS]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Write all photos of a reconstruction that have depth, and its sets."""
    dense, model = _folders(raw, scene)
    cameras = colmap.read_cameras(_model_file(model, "cameras"))
    images = colmap.read_images(_model_file(model, "images"), points=not (writer.parity or (raw / SETS).is_file()))
    frames = []
    for image in images:
        if not (dense / "imgs" / image.name).is_file():
            writer.leave_out(image.name, "the reconstruction names it, and there is no photo")
            continue
        if _convert_photo(dense, scene.name, image, cameras[image.camera], writer):
            frames.append(image.name)
    if not frames:
        raise LeftOut("none of its photos has depth")
    if not writer.parity:
        _write_sets(raw, scene.name, images, frames, writer)
    return frames


def finish(out: Path, done: list[Record]) -> None:
    """Join the sets of all reconstructions, unless the published file was put there."""
    models = []
    for record in done:
        path = LAYOUT.path(out, "sets", record.scene)
        if path.is_file():
            names, sets = read_npz(path, "names", "sets")
            models.append(ModelSets(record.scene.replace("/", " "), tuple(names.tolist()), sets))
    if models:
        write_npz(LAYOUT.path(out, "all_sets"), **join_sets(models))


def undistorted_intrinsics(camera: colmap.ColmapCamera, size: Size) -> Float64[np.ndarray, "3 3"]:
    """Estimate the intrinsics of an undistorted photo of `size`: the camera that shows no pixel from outside the
    distorted one, with its principal point in the middle.

    Raises:
        ValueError: Another camera model than SIMPLE_RADIAL.
    """
    if camera.model != "SIMPLE_RADIAL":
        raise ValueError(f"camera model {camera.model}; expected SIMPLE_RADIAL, as in the published models")
    focal, cx, cy, k = camera.parameters.values()
    before = np.array([[focal, 0, cx], [0, focal, cy], [0, 0, 1]])
    (old_h, old_w), (h, w) = camera.size, size
    distortion = np.array([k, 0.0, 0, 0])
    after, _ = cv2.getOptimalNewCameraMatrix(before, distortion, (old_w, old_h), 0.0, (w, h), centerPrincipalPoint=True)
    return np.asarray(after, np.float64)


def _convert_photo(
    dense: Path, scene: str, image: colmap.ColmapImage, camera: colmap.ColmapCamera, writer: Writer
) -> bool:
    """Write a photo; tell whether it has depth. Parity: it is written whatever its depth is."""
    rgb = read_image(dense / "imgs" / image.name)
    source = dense / "depths" / f"{Path(image.name).stem}.h5"
    if not (source.is_file() or writer.parity):
        writer.leave_out(image.name, "there is no depth map")
        return False
    depth = read_hdf5(source, "depth").astype(np.float32)
    if rgb.shape[:2] != depth.shape:
        raise ValueError(f"{image.name}: a photo of {rgb.shape[:2]} with a depth map of {depth.shape} (h, w)")
    if not writer.parity:
        depth = metric_map(depth)
    if not (depth.any() or writer.parity):
        writer.leave_out(image.name, "its depth map is ordinal or empty")
        return False
    size = (rgb.shape[0], rgb.shape[1])
    largest = LARGEST if size[1] >= size[0] else LARGEST[::-1]
    scaling = Rescale.to_cover(size, largest, enlarge=False)
    writer.image("rgb", scene, image.name, scaling.image(rgb), quality=QUALITY)
    writer.depth("depth", scene, image.name, scaling.nearest(depth))
    intrinsics = scaling.intrinsics(undistorted_intrinsics(camera, size))
    writer.npz("camera", scene, image.name, intrinsics=intrinsics, cam2world=image.world_from_cam)
    return True


def _write_sets(raw: Path, scene: str, images: list[colmap.ColmapImage], frames: list[str], writer: Writer) -> None:
    name = scene.replace("/", " ")
    made = published_sets(raw / SETS, name, frames) if (raw / SETS).is_file() else model_sets(name, images, frames)
    writer.npz("sets", scene, names=np.array(made.names, dtype=str), sets=made.sets)


def published_sets(path: Path, scene: str, usable: list[str]) -> ModelSets:
    """Give the published sets of a reconstruction, without the photos that cannot be used."""
    scenes_, images, sets = read_pickled_npz(path, "scenes", "images", "sets")
    own = sets[np.asarray(scenes_)[sets[:, 0]] == scene][:, 1:]
    number = {name: i for i, name in enumerate(usable)}
    rows = [[number.get(str(images[photo]), PADDING) if photo >= 0 else PADDING for photo in row] for row in own]
    return ModelSets(scene, tuple(usable), np.array(rows, np.int64).reshape(len(own), own.shape[1]))


def _folders(raw: Path, scene: RawScene) -> tuple[Path, Path]:
    place, k = scene.name.split("/")
    return raw / place / f"dense{k}", raw / place / "sparse" / "manhattan" / k


def _model_file(model: Path, name: str) -> Path:
    binary = model / f"{name}.bin"
    return binary if binary.is_file() else model / f"{name}.txt"


CONVERTER = Converter(MegaDepth, 1, scenes, convert, finish, sources)
