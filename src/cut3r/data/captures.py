"""Recordings as apps and programs export them: which picture, depth map and camera belong together.

nerfstudio, instant-ngp   transforms.json; depth_file_path (or depth_path) of each frame, or depth/ with the same names.
COLMAP                    a model (in sparse/0, ...) and images/; depth/ with the same names, or the dense maps of an
                          undistorted workspace, stereo/depth_maps/NAME.geometric.bin, in the unit of the model.
Record3D                  metadata; rgbd/0.jpg, 0.depth, 0.conf, or rgb/0.jpg and depth/0.exr.
Polycam (raw data)        keyframes/ images, depth, cameras, confidence; corrected_images, corrected_cameras go first.
3D Scanner App            frame_00000.jpg and .json, depth_00000.png, conf_00000.png.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cut3r.data.shot import DepthFile
from cut3r.files.listing import visible
from cut3r.io import arkit
from cut3r.io.colmap import find_model, read_colmap
from cut3r.io.images import IMAGE_SUFFIXES, is_image
from cut3r.io.json_fields import a_number, read_json
from cut3r.io.known_cameras import KnownCamera
from cut3r.io.transforms_json import is_transforms, read_transforms

DEPTH_FOLDERS = ("depth", "depths")
DEPTH_SUFFIXES = (".png", ".npy", ".exr", ".npz", ".pfm")
DENSE_MAPS = "stereo/depth_maps"
RECORD3D_METADATA = ("metadata", "metadata.json")
POLYCAM = (("corrected_cameras", "corrected_images"), ("cameras", "images"))  # what an app improved goes first


@dataclass(frozen=True)
class Taken:
    """What an export says of one moment. `name` is that of its picture, which need not be there, nor its depth."""

    name: str
    picture: Path | None
    depth: DepthFile | None
    camera: KnownCamera


@dataclass(frozen=True)
class Capture:
    """An export. `metric`: its unit is the metre, as far as its format goes.

    `model`: the COLMAP model whose unit the depth maps of a sensor can tell.
    """

    form: str
    taken: tuple[Taken, ...]
    metric: bool = True
    model: Path | None = None


def is_capture(folder: Path) -> bool:
    """Tell whether a folder is an export of one of these forms; only its cameras are looked for."""
    return any(find(folder) is not None for find, _ in FORMS)


def open_capture(folder: Path) -> Capture | None:
    """Read what belongs together; None if it is of none of these forms.

    Raises:
        ValueError: Files of cameras that are damaged, or with poses that are none.
    """
    for find, read in FORMS:
        if (found := find(folder)) is not None:
            return read(folder, found)
    return None


def _find_transforms(folder: Path) -> Path | None:
    path = folder / "transforms.json"
    return path if path.is_file() and is_transforms(read_json(path)) else None


def _read_transforms(folder: Path, path: Path) -> Capture:
    content = read_json(path)
    frames = [frame for frame in content["frames"] if isinstance(frame, dict)]
    depths = _depth_maps(folder)
    taken = []
    for frame, camera in zip(frames, read_transforms(path).cameras, strict=True):
        picture = _picture(folder / str(camera.name))
        fields = {**content, **frame}
        named = frame.get("depth_file_path", frame.get("depth_path"))
        file = _find_depth(depths, str(camera.name)) if named is None else folder / str(named)
        depth = None if file is None or not file.is_file() else DepthFile(file, _per_metre(fields, file, str(path)))
        taken.append(Taken(str(camera.name), picture, depth, camera))
    return Capture("transforms.json", tuple(taken))


def _per_metre(fields: Mapping[str, Any], file: Path, where: str) -> float | None:
    """Of a depth map, if the file says it: nerfstudio's scale is of all numbers, instant-ngp's of whole ones."""
    whole = file.suffix.lower() == ".png"
    for name in ("depth_unit_scale_factor", *(("integer_depth_scale",) if whole else ())):
        if fields.get(name) is not None:
            scale = a_number(fields, name, where)
            if scale <= 0:
                raise ValueError(f"{where}: {name} is {scale:g}; expected metres per unit of depth, 0.001 for mm")
            return 1 / scale
    return None


def _read_colmap(folder: Path, model: Path) -> Capture:
    depths, dense = _depth_maps(folder), folder / DENSE_MAPS
    sensor = bool(depths)
    taken = []
    for camera in read_colmap(model).cameras:
        name = str(camera.name)
        file = _find_depth(depths, name) if sensor else dense / f"{name}.geometric.bin"
        depth = DepthFile(file) if file is not None and file.is_file() else None
        taken.append(Taken(name, _existing(folder / "images" / name), depth, camera))
    return Capture("COLMAP", tuple(taken), sensor, model if sensor else None)


def _find_record3d(folder: Path) -> Path | None:
    paths = (folder / name for name in RECORD3D_METADATA)
    return next((path for path in paths if path.is_file() and arkit.is_record3d(read_json(path))), None)


def _read_record3d(folder: Path, metadata: Path) -> Capture:
    content, taken = read_json(metadata), []
    says_size = "dw" in content and "dh" in content
    size = tuple(round(a_number(content, side, str(metadata))) for side in ("dh", "dw")) if says_size else None
    for camera in arkit.read_record3d(metadata).cameras:
        name = str(camera.name)
        picture = _picture(folder / "rgbd" / name) or _picture(folder / "rgb" / name)
        places = (folder / f"rgbd/{name}.depth", *(folder / f"depth/{name}{suffix}" for suffix in DEPTH_SUFFIXES))
        file = next((place for place in places if place.is_file()), None)
        confidence = _existing(folder / f"rgbd/{name}.conf") if size else None
        depth = None if file is None else DepthFile(file, size=size, confidence=confidence)  # type: ignore[arg-type]
        taken.append(Taken(name, picture, depth, camera))
    return Capture("Record3D", tuple(taken))


def _find_polycam(folder: Path) -> Path | None:
    """The folder that holds depth beside cameras and pictures."""
    for place in (folder / "keyframes", folder):
        if (place / "depth").is_dir() and any(
            (place / cameras).is_dir() and (place / pictures).is_dir() for cameras, pictures in POLYCAM
        ):
            return place if arkit.find_camera_files(place) else None
    return None


def _read_polycam(folder: Path, place: Path) -> Capture:
    cameras, pictures = next(pair for pair in POLYCAM if all((place / name).is_dir() for name in pair))
    return Capture("Polycam", tuple(_phone(arkit.find_camera_files(place / cameras), place / pictures, place)))


def _phone(files: Iterable[Path], pictures: Path, place: Path) -> Iterator[Taken]:
    depths = _depth_maps(place)
    for camera in arkit.read_camera_files(list(files), f"the folder {place}").cameras:
        name = str(camera.name)
        file, confidence = _find_depth(depths, name), _existing(place / f"confidence/{name}.png")
        depth = None if file is None else DepthFile(file, confidence=confidence)
        yield Taken(name, _picture(pictures / name), depth, camera)


def _find_scanner_app(folder: Path) -> list[Path] | None:
    """Camera files beside their pictures."""
    beside = [path for path in visible(folder, "*.json") if _picture(path.with_suffix("")) is not None]
    return [path for path in beside if arkit.is_camera_file(read_json(path))] or None


def _read_scanner_app(folder: Path, files: list[Path]) -> Capture:
    taken = []
    for each in _phone(files, folder, folder):
        number = each.name.removeprefix("frame_")
        file, confidence = (_existing(folder / f"{kind}_{number}.png") for kind in ("depth", "conf"))
        depth = each.depth if file is None else DepthFile(file, confidence=confidence)
        taken.append(Taken(each.name, each.picture, depth, each.camera))
    return Capture("3D Scanner App", tuple(taken))


FORMS: tuple[tuple[Callable[[Path], Any], Callable[[Path, Any], Capture]], ...] = (
    (_find_transforms, _read_transforms),
    (_find_record3d, _read_record3d),
    (_find_polycam, _read_polycam),
    (_find_scanner_app, _read_scanner_app),
    (find_model, _read_colmap),
)


def _depth_maps(folder: Path) -> dict[str, Path]:
    """Depth maps in a folder of them, by the paths of their pictures without suffix: a/b.png, or a/b.jpg.png: a/b."""
    found: dict[str, Path] = {}
    for place in DEPTH_FOLDERS:
        for path in visible(folder / place, "**/*"):
            if path.suffix.lower() in DEPTH_SUFFIXES:
                found.setdefault(plain_name(path.relative_to(folder / place).with_suffix("").as_posix()), path)
    return found


def _find_depth(depths: Mapping[str, Path], picture: str) -> Path | None:
    """The depth map of a picture: that of the same path, with as many folders in common as there are."""
    parts = Path(plain_name(picture)).parts
    tails = ("/".join(parts[first:]) for first in range(len(parts)))
    return next((depths[tail] for tail in tails if tail in depths), None)


def plain_name(picture: str) -> str:
    """Without ./ and the suffix of a picture."""
    path = Path(picture)
    return (path.with_suffix("") if is_image(path) else path).as_posix()


def _picture(path: Path) -> Path | None:
    """The picture of this name; instant-ngp and apps leave the suffix out."""
    if is_image(path) and path.is_file():
        return path
    names = (path.with_name(path.name + suffix) for suffix in (".jpg", ".png", ".jpeg", *sorted(IMAGE_SUFFIXES)))
    return next((each for each in names if each.is_file()), None)


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None
