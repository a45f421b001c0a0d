"""One camera's fields in the files of programs that nest them, as flat names: fx, fy, cx, cy, width, height, model.

Kalibr's camchain: cam0, cam1, ... each with camera_model and a list of intrinsics. camodocal (VINS, KITTI-360):
model_type, mirror_parameters, distortion_parameters, projection_parameters. Basalt: value0 with lists of cameras.
ORB-SLAM: Camera.fx, Camera.fy, ... VSLAM-LAB: a list of cameras.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cut3r.io.json_fields import numbers
from cut3r.io.wide_lens import WIDE

logger = logging.getLogger(__name__)

CAMERA = re.compile(r"cam\d+")
CAMODOCAL = {
    "gamma1": "fx",
    "gamma2": "fy",
    "mu": "fx",
    "mv": "fy",
    "u0": "cx",
    "v0": "cy",
    "image_width": "width",
    "image_height": "height",
    "k2": "k1",  # of Kannala-Brandt, which counts its coefficients from the power
    "k3": "k2",
    "k4": "k3",
    "k5": "k4",
}
PARTS = ("mirror_parameters", "distortion_parameters", "projection_parameters")
OWN_NAMES = {"double_sphere": "ds", "mei": "omni", "kb4": "equidistant"} | dict.fromkeys(
    ("kannala_brandt", "kannalabrandt", "kannalabrandt8"), "equidistant"
)
VSLAM_LAB = {
    "distortion_type": "distortion_model",
    "distortion_coefficients": "distortion",
    "image_dimension": "resolution",
    "cam_model": "camera_model",
}
ORB_SLAM = ("Camera", "Camera1")


def split_camera(path: Path) -> tuple[Path, str | None]:
    """Take camchain.yaml:cam1 apart: the file, and which of its cameras."""
    name, _, camera = path.name.rpartition(":")
    return (path.with_name(name), camera) if name and CAMERA.fullmatch(camera) else (path, None)


def fields_of(content: Mapping[str, Any], camera: str | None, path: Path) -> Mapping[str, Any]:
    """Give the fields of a camera; of several, the first.

    Raises:
        ValueError: There is no such camera.
    """
    cameras: dict[str, Mapping[str, Any]] = {
        name: each for name, each in content.items() if CAMERA.fullmatch(str(name)) and isinstance(each, dict)
    }
    if isinstance(content.get("value0"), dict):
        cameras = _of_basalt(content["value0"])
    if camera is not None and camera not in cameras:
        raise ValueError(f"{path} has no {camera}; its cameras are called {', '.join(cameras) or 'nothing'}")
    if not cameras:
        return _of_one(content)
    chosen = camera or next(iter(cameras))
    if camera is None and len(cameras) > 1:
        logger.info("%s has %d cameras, and %s is taken; name another as %s:cam1", path, len(cameras), chosen, path)
    return _of_kalibr(cameras[chosen], f"{path}, {chosen}")


def model_of(fields: Mapping[str, Any]) -> str:
    """What kind of lens it is: a name of `WIDE`, "equidistant", or what the file says."""
    words = " ".join(str(fields.get(name, "")) for name in ("camera_model", "model", "distortion_model")).lower()
    found = [OWN_NAMES.get(word, word) for word in re.split(r"[\s-]+", words)]
    return next((word for word in found if word in WIDE), " ".join(filter(None, found)))


def _of_kalibr(fields: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Parameters of the model come before the focal lengths."""
    kind = WIDE.get(model_of(fields))
    if kind is None or "intrinsics" not in fields or fields.get("camera_model") == "pinhole":
        return fields
    values = numbers(fields, "intrinsics", len(kind.own) + 4, where).tolist()
    own = dict(zip(kind.own, values, strict=False))
    rest = {name: value for name, value in fields.items() if name != "intrinsics"}
    return rest | own | dict(zip(("fx", "fy", "cx", "cy"), values[len(own) :], strict=True))


def _of_one(content: Mapping[str, Any]) -> Mapping[str, Any]:
    if "model_type" in content:
        return _of_camodocal(content)
    cameras = content.get("cameras")
    if isinstance(cameras, list) and cameras and isinstance(cameras[0], dict):
        return _of_vslam_lab(cameras[0])
    parts = {name: str(name).partition(".") for name in content}
    named = {field: content[name] for name, (owner, _, field) in parts.items() if owner in ORB_SLAM and field}
    return named | {"model": f"{named.get('type', '')} {named.get('model', '')}"} if "fx" in named else content


def _of_vslam_lab(camera: Mapping[str, Any]) -> Mapping[str, Any]:
    fields = {VSLAM_LAB.get(name, name): value for name, value in camera.items()}
    focal, center = (fields.pop(name, None) for name in ("focal_length", "principal_point"))
    if isinstance(focal, list) and isinstance(center, list):
        fields["intrinsics"] = [*focal, *center]
    return fields


def _of_camodocal(content: Mapping[str, Any]) -> Mapping[str, Any]:
    flat: dict[str, Any] = {}
    kannala = str(content["model_type"]).upper() == "KANNALA_BRANDT"
    for fields in (content, *(content[part] for part in PARTS if isinstance(content.get(part), dict))):
        for name, value in fields.items():
            flat[CAMODOCAL.get(name, name) if kannala or not re.fullmatch(r"k\d", name) else name] = value
    return {name: value for name, value in flat.items() if name not in PARTS} | {"model": content["model_type"]}


def _of_basalt(content: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    cameras, sizes = content.get("intrinsics", ()), content.get("resolution", ())
    found: dict[str, Mapping[str, Any]] = {}
    for number, camera in enumerate(cameras):
        size = {"resolution": sizes[number]} if number < len(sizes) else {}
        found[f"cam{number}"] = {**camera["intrinsics"], **size, "model": camera["camera_type"]}
    return found
