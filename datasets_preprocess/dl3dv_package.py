"""The official packages of DL3DV-10K: pictures at a part of their size, cameras in nerfstudio's file, no depth."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8

from cut3r.io.images import read_image
from cut3r.io.known_cameras import KnownCamera
from cut3r.io.transforms_json import read_transforms
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Writer
from datasets_preprocess.undistort import undistort

CAMERAS = "transforms.json"
FOLDERS = ("images_4", "images_8", "images_2", "images")  # of one size each; a quarter is that of the processed data


class _Frame(NamedTuple):
    rgb: UInt8[np.ndarray, "h w 3"]
    intrinsics: Float64[np.ndarray, "3 3"]
    world_from_cam: Float64[np.ndarray, "4 4"]


def convert_package(package: Path, name: str, writer: Writer) -> list[str]:
    """Undistort and write the pictures of a scene, with their cameras.

    Raises:
        FileNotFoundError: There is no folder of pictures.
        ValueError: transforms.json is damaged, or no frame can be used.
    """
    folder = next((package / each for each in FOLDERS if (package / each).is_dir()), None)
    if folder is None:
        raise FileNotFoundError(f"{package} has no pictures; expected them in one of {', '.join(FOLDERS)}")
    cameras = {Path(str(camera.name)).stem: camera for camera in read_transforms(package / CAMERAS).cameras}

    def read(frame: str) -> _Frame:
        return _read_frame(folder / Path(str(cameras[frame].name)).name, cameras[frame])

    done = []
    for frame, content in readable_frames(sorted(cameras), read, writer):
        writer.image("rgb", name, frame, content.rgb)
        writer.npz("camera", name, frame, intrinsic=content.intrinsics, pose=content.world_from_cam)
        done.append(frame)
    return done


def _read_frame(path: Path, camera: KnownCamera) -> _Frame:
    if camera.lens is None or camera.world_from_cam is None:
        raise ValueError(f"{CAMERAS} gives {path.name} no pinhole camera: {camera.no_lens}")
    rgb, intrinsics = undistort(read_image(path), camera.lens, inside=True)
    return _Frame(rgb, intrinsics, camera.world_from_cam)
