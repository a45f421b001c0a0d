"""scene_meta.json of the WAI format (the MapAnything project): one file with what is known of all frames of a scene.

It is like nerfstudio's transforms.json, pixels counting from the corner of the picture, but poses are `world_from_cam`
with OpenCV axes, unless `camera_convention` says opengl. `frame_modalities` says in which field of a frame the path of
its picture, depth map or mask stands. https://github.com/facebookresearch/map-anything
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from cut3r.io.json_fields import an_object, numbers, read_json
from cut3r.io.known_cameras import OPENGL_FROM_OPENCV, Lens, pose_of_matrix
from cut3r.io.transforms_json import lens_of_fields

METRIC = "metric"  # scale_type
OPENCV, OPENGL = "opencv", "opengl"  # camera_convention
IMAGE = "image"
DEPTHS = ("depth", "rendered_depth")  # what sets call the depth that is their truth, the likeliest first
DEPTH_FORMAT, PREDICTED = "depth", "pred"  # of modalities: their format; what their names begin with


@dataclass(frozen=True)
class SceneMeta:
    """A scene_meta.json: `top` is all of it, `frames` by their names, `keys` the fields of frames by modality."""

    where: Path
    top: Mapping[str, Any]
    frames: Mapping[str, Mapping[str, Any]]
    keys: Mapping[str, tuple[str, str]]  # field and format

    @classmethod
    def read(cls, path: Path) -> "SceneMeta":
        """Raises ValueError if the file is damaged, or two of its frames have the same name."""
        top = an_object(read_json(path), str(path))
        listed = top.get("frames")
        if not isinstance(listed, list) or not all(isinstance(frame, dict) for frame in listed):
            raise ValueError(f"{path}: frames is no list of objects; expected a scene in the WAI format")
        frames = {_name(frame, f"{path}, frame {number}"): frame for number, frame in enumerate(listed)}
        if len(frames) != len(listed):
            raise ValueError(f"{path}: {len(listed)} frames have only {len(frames)} names; expected one name for each")
        return cls(path, top, frames, dict(_keys(top.get("frame_modalities") or {}, "")))

    @property
    def is_metric(self) -> bool:
        return bool(self.top.get("scale_type") == METRIC)

    def depth_modality(self) -> str:
        """Choose the depth that is the set's truth.

        Raises:
            ValueError: There is none, or several.
        """
        for name in DEPTHS:
            if name in self.keys:
                return name
        kinds = ((name, form) for name, (_, form) in self.keys.items() if not name.startswith(PREDICTED))
        found = [name for name, form in kinds if form == DEPTH_FORMAT]
        if len(found) != 1:
            raise ValueError(
                f"{self.where}: it is not clear which modality is depth ({', '.join(self.keys) or 'there is none'}); "
                "name it with data.wai.NAME.depth"
            )
        return found[0]

    def path(self, name: str, modality: str) -> Path:
        """Give the file of a modality of a frame.

        Raises:
            ValueError: The frame has none.
        """
        key, _ = self.keys.get(modality, (modality, ""))
        fields = self.frames[name]
        found = fields.get(key, fields.get("file_path") if modality == IMAGE else None)
        if not isinstance(found, str):
            raise ValueError(
                f"{self.where}, frame {name}: it has no {modality}; there are {', '.join(self.keys) or 'no modalities'}"
            )
        return self.where.parent / found

    def camera(self, name: str) -> tuple[Lens, Float64[np.ndarray, "4 4"]]:
        """Give the lens and `world_from_cam` of a frame.

        Raises:
            ValueError: It is no pinhole camera, or has no pose.
        """
        fields, where = {**self.top, **self.frames[name]}, f"{self.where}, frame {name}"
        lens, why = lens_of_fields(fields, where)
        if lens is None:
            raise ValueError(f"{where}: {why}")
        world_from_cam = pose_of_matrix(numbers(fields, "transform_matrix", 16, where).reshape(4, 4), where)
        convention = str(fields.get("camera_convention", OPENCV)).lower()
        if convention not in (OPENCV, OPENGL):
            raise ValueError(f"{where}: camera_convention is {convention}; expected {OPENCV} or {OPENGL}")
        return lens, world_from_cam if convention == OPENCV else world_from_cam @ OPENGL_FROM_OPENCV


def _name(frame: Mapping[str, Any], where: str) -> str:
    for field_name in ("frame_name", "file_path", "image"):
        if isinstance(frame.get(field_name), str):
            return str(frame[field_name])
    raise ValueError(f"{where}: it has no frame_name; expected a scene in the WAI format")


def _keys(modalities: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Go through modalities, and those inside of others: pred_depth/moge."""
    for name, entry in modalities.items():
        if isinstance(entry, str):
            yield prefix + name, (entry, "")
        elif isinstance(entry, dict) and "frame_key" in entry:
            yield prefix + name, (str(entry["frame_key"]), str(entry.get("format", "")))
        elif isinstance(entry, dict):
            yield from _keys(entry, f"{prefix}{name}/")
