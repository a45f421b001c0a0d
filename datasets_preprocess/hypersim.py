"""Hypersim: radiance becomes pictures, distance becomes depth, tilted and shifted lenses become pinhole cameras."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64, Int, UInt8

from cut3r.data.datasets.hypersim import Hypersim
from cut3r.data.transforms import principal_window
from cut3r.files.listing import visible, visible_folders
from cut3r.io.hdf5 import read_hdf5
from datasets_preprocess.hypersim_cameras import OPENCV_FROM_OPENGL, SceneCamera, original_camera, scene_camera
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, LeftOut, RawScene, Unlisted, Writer, require_rigid
from datasets_preprocess.tables import read_table

PARAMETERS = "metadata_camera_parameters.csv"
PARAMETERS_URL = "https://github.com/apple/ml-hypersim/blob/main/contrib/mikeroberts3000"
UNIT = "meters_per_asset_unit"
NOTHING = -1  # the entity of pixels that show no surface
LARGEST_SKEW = 1.0  # pixels; less is taken for none
LUMA = np.array([0.3, 0.59, 0.11], np.float32)
BRIGHT, PERCENTILE = 0.8, 90  # so bright are so many percent of the pixels at most
DARKEST = 1e-4  # of a picture that is not black
GAMMA = 2.2


@dataclass(frozen=True)
class Trajectory:
    """The files of one camera's path through a scene, and its poses at all key frames."""

    colours: Path
    geometry: Path
    camera: SceneCamera
    world_from_nominal: Float64[np.ndarray, "v 4 4"]  # metres, OpenCV's axes


@dataclass(frozen=True)
class Loaded:
    """A frame in our terms."""

    rgb: UInt8[np.ndarray, "h w 3"]
    depth: Float32[np.ndarray, "h w"]
    world_from_cam: Float64[np.ndarray, "4 4"]


def scenes(raw: Path) -> Iterator[RawScene | Unlisted]:
    """List "<scene>/<camera>" of the tables RAW/<scene>/_detail/metadata_cameras.csv.

    Raises:
        FileNotFoundError: RAW has no table of the cameras' parameters.
    """
    if not (raw / PARAMETERS).is_file():
        raise FileNotFoundError(f"there is no {raw / PARAMETERS}; copy it there from {PARAMETERS_URL}")
    for folder in visible_folders(raw):
        if not (folder / "_detail").is_dir():
            continue
        try:
            cameras = read_table(folder / "_detail" / "metadata_cameras.csv", "camera_name")
        except (FileNotFoundError, ValueError) as error:  # of this scene only
            yield Unlisted(folder.name, str(error))
            continue
        yield from (RawScene(f"{folder.name}/{camera['camera_name'].strip()}") for camera in cameras)


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a trajectory is made from."""
    name, camera = scene.name.split("/")
    detail, images = raw / name / "_detail", raw / name / "images"
    folders = (images / f"scene_{camera}_{kind}_hdf5" for kind in ("final", "geometry"))
    return [raw / PARAMETERS, detail / "metadata_scene.csv", detail / camera, *folders]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Write pictures, planar depth and cameras; frames keep their numbers, some of which are withheld.

    Raises:
        LeftOut: Its pictures are not published, or no upright crop shows what the camera sees.
        ValueError: Its tables are damaged.
    """
    trajectory = read_trajectory(raw, *scene.name.split("/"), parity=writer.parity)
    intrinsics = without_skew(trajectory.camera, parity=writer.parity).astype(np.float32)
    names = _frames(trajectory, equal=writer.parity)
    frames = []
    for frame, loaded in readable_frames(names, partial(_load, trajectory), writer):
        writer.image("rgb", scene.name, frame, loaded.rgb)
        depth = writer.npy if writer.parity else writer.depth  # as it is, or 0 where it is not finite
        depth("depth", scene.name, frame, loaded.depth)
        pose = loaded.world_from_cam.astype(np.float32)
        writer.npz("camera", scene.name, frame, intrinsics=intrinsics, pose=pose)
        frames.append(frame)
    return frames


def read_trajectory(raw: Path, scene: str, camera: str, *, parity: bool = False) -> Trajectory:
    """Read the camera and the poses of a trajectory.

    Raises:
        LeftOut: One of its folders is missing.
        ValueError: Its tables are damaged.
    """
    detail, images = raw / scene / "_detail", raw / scene / "images"
    folders = detail / camera, images / f"scene_{camera}_final_hdf5", images / f"scene_{camera}_geometry_hdf5"
    if missing := [folder for folder in folders if not folder.is_dir()]:
        raise LeftOut(f"there is no {missing[0]}; perhaps it is not published")
    rows = {row["scene_name"]: row for row in read_table(raw / PARAMETERS, "scene_name")}
    if scene not in rows:
        raise ValueError(f"{raw / PARAMETERS} has no row of {scene}")
    positions = read_hdf5(folders[0] / "camera_keyframe_positions.hdf5", "dataset")
    orientations = read_hdf5(folders[0] / "camera_keyframe_orientations.hdf5", "dataset")
    if positions.shape[1:] != (3,) or orientations.shape != (len(positions), 3, 3):
        raise ValueError(f"{folders[0]} holds positions {positions.shape} and orientations {orientations.shape}")
    world_from_nominal = np.tile(np.eye(4), (len(positions), 1, 1))
    world_from_nominal[:, :3, :3] = orientations @ OPENCV_FROM_OPENGL
    world_from_nominal[:, :3, 3] = positions * metres_per_unit(detail / "metadata_scene.csv", first=parity)
    return Trajectory(
        folders[1], folders[2], (original_camera if parity else scene_camera)(rows[scene]), world_from_nominal
    )


def metres_per_unit(path: Path, *, first: bool = False) -> float:
    """Read the unit of a scene's positions.

    Args:
        first: It is the first parameter of the table, as the original thinks.

    Raises:
        ValueError: It is missing, or not above 0.
    """
    rows = read_table(path, "parameter_name", "parameter_value")
    found = [row["parameter_value"] for row in rows if first or row["parameter_name"].strip() == UNIT]
    if not found or not 0 < float(found[0]) < np.inf:
        raise ValueError(f"{path} gives {found or 'nothing'} as {UNIT}; expected a number above 0")
    return float(found[0])


def without_skew(camera: SceneCamera, *, parity: bool = False) -> Float64[np.ndarray, "3 3"]:
    """Give the intrinsics that are stored, in which a skew below a pixel is none.

    Raises:
        LeftOut: Its pixels are skewed more, or its principal point is too close to the border.
    """
    intrinsics, skew = camera.intrinsics.copy(), abs(camera.intrinsics[0, 1])
    if skew >= LARGEST_SKEW or (parity and skew != 0):
        raise LeftOut(f"the pixels of its camera are skewed by {skew:.3g} pixels")
    if not parity:
        intrinsics[0, 1] = 0
        try:
            principal_window(camera.size, intrinsics)
        except ValueError as error:
            raise LeftOut(str(error)) from error
    return intrinsics


def tone_map(radiance: Float[np.ndarray, "h w 3"], entities: Int[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Make a picture that is as bright as its surfaces allow: the brightest tenth of them may be saturated."""
    colours = np.nan_to_num(radiance.astype(np.float32), posinf=float(np.finfo(np.float16).max))
    brightness = (colours * LUMA).sum(axis=-1)[entities != NOTHING]
    scale = 1.0
    if brightness.size:
        bright = float(np.percentile(brightness, PERCENTILE))
        scale = BRIGHT**GAMMA / bright if bright >= DARKEST else 0.0
    shown = np.clip(np.maximum(np.float32(scale) * colours, 0) ** np.float32(1 / GAMMA), 0, 1)
    return (shown * 255).astype(np.uint8)


def _frames(trajectory: Trajectory, *, equal: bool) -> list[str]:
    """List the frames that have any file.

    Raises:
        ValueError: They differ between kinds, and must be equal.
    """
    colours, depths = (
        {path.name.split(".")[1] for path in visible(folder, f"frame.*.{kind}.hdf5")}
        for folder, kind in ((trajectory.colours, "color"), (trajectory.geometry, "depth_meters"))
    )
    if equal and colours != depths:
        raise ValueError(f"{len(colours)} pictures and {len(depths)} depth maps in {trajectory.colours.parent} differ")
    return [f"{int(number):06d}" for number in sorted(colours | depths)]


def _load(trajectory: Trajectory, frame: str) -> Loaded:
    number = int(frame)
    if number >= len(trajectory.world_from_nominal):
        raise ValueError(f"there are {len(trajectory.world_from_nominal)} poses, and none of frame {number}")
    world_from_cam = trajectory.world_from_nominal[number].copy()
    world_from_cam[:3, :3] @= trajectory.camera.nominal_from_cam
    require_rigid(world_from_cam, f"frame {number}")
    radiance = read_hdf5(trajectory.colours / f"frame.{number:04d}.color.hdf5", "dataset")
    distance = read_hdf5(trajectory.geometry / f"frame.{number:04d}.depth_meters.hdf5", "dataset")
    entities = read_hdf5(trajectory.geometry / f"frame.{number:04d}.render_entity_id.hdf5", "dataset")
    size = trajectory.camera.size
    if not (*size, 3) == radiance.shape == (*distance.shape, 3) == (*entities.shape, 3):
        raise ValueError(
            f"radiance {radiance.shape}, distance {distance.shape}, entities {entities.shape}; expected {size} (h, w)"
        )
    if (entities == 0).any():
        raise ValueError(f"entity 0 in frame {number}, which stands for nothing known")
    return Loaded(tone_map(radiance, entities), trajectory.camera.planar(distance), world_from_cam)


CONVERTER = Converter(Hypersim, 1, scenes, convert, sources=sources)
