"""Map-free Relocalization: photos with the cameras of COLMAP's models, and depth that others have computed.

RAW holds scenes, below RAW or RAW/train: `<scene>/seq<k>/*.jpg` with poses.txt, intrinsics.txt and overlaps.npz as
published, and models of COLMAP, below RAW/colmap or RAW: `<scene>/seq<k>/*.bin` as published, or workspaces
`<scene>/dense<k>/{sparse,images,stereo}`. Beside a workspace's `sparse` may lie the `depth` and `sky_mask` that the
CUT3R project released, and above it their `metadata.pkl`; other depth is that of COLMAP's stereo, if it has run, or
is computed.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from cut3r.data.datasets.mapfree import MapFree
from cut3r.data.layout import read_npz
from cut3r.files.damaged import naming_the_file
from cut3r.files.listing import visible
from cut3r.geometry.poses import invert, rotation_angle
from cut3r.io.colmap_dense import read_dense_map
from cut3r.io.images import read_image
from cut3r.io.known_cameras import CORNER
from datasets_preprocess.colmap_stereo import MAPS
from datasets_preprocess.computed_depth import ComputedDepth
from datasets_preprocess.depth_options import DepthOptions
from datasets_preprocess.mapfree_cameras import Camera, read_model, read_published
from datasets_preprocess.mvs import Model, fill_depth, fill_sky
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, LeftOut, RawScene, Writer, require_rigid

logger = logging.getLogger(__name__)

VIDEOS = (0, 1)
NEAR_M, NEAR_RAD = 0.01, np.deg2rad(0.5)  # how far COLMAP's cameras may be from the published ones
RELEASE = "https://drive.google.com/file/d/1gJGEAV5e08CR6nK2gH9i71a7_WJ4ANwc"


@dataclass(frozen=True)
class Video:
    """One of the two videos of a scene: the folder of its workspace, and its photos and cameras by frame."""

    number: int
    folder: Path
    photos: dict[str, Path]
    cameras: dict[str, Camera]
    model: Model | None = None  # of COLMAP, in the unit of the cameras


def scenes(raw: Path) -> Iterator[RawScene]:
    """List the scenes, wherever they are below RAW."""
    names = {
        path.name for place in ("", "train/", "colmap/") for path in visible(raw, f"{place}s[0-9]*") if path.is_dir()
    }
    yield from (RawScene(name) for name in sorted(names))


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a scene is made from."""
    return [path for place in ("", "train", "colmap") if (path := raw / place / scene.name).is_dir()]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Write photos and cameras of both videos, what there is of depth and masks, and who sees the same as whom.

    Raises:
        LeftOut: It has no video with cameras.
        ValueError: A file about the scene is damaged, or no frame of a video can be used.
    """
    published = {} if writer.parity else read_published(_of(raw, scene.name, "poses.txt"))
    found = (_video(raw, scene.name, number, published, parity=writer.parity) for number in VIDEOS)
    videos = [video for video in found if video is not None]
    if not videos:
        raise LeftOut("it has neither a model of COLMAP nor poses.txt and intrinsics.txt")
    if published and not _agree(videos, published):
        logger.info("%s: COLMAP's models are not in one frame, so the cameras are those of poses.txt", scene.name)
        videos = [_with_cameras(video, published) for video in videos]
    options = writer.options or DepthOptions()
    frames = []
    for video in videos:
        done = _convert_video(scene.name, video, writer)
        if not writer.parity:
            _complete(f"{scene.name}/dense{video.number}", done, video, writer, options)
        frames += [f"dense{video.number}/{frame}" for frame in done]
    _write_overlaps(raw, scene.name, writer)
    return frames


def _video(raw: Path, scene: str, number: int, published: dict[str, Camera], *, parity: bool) -> Video | None:
    """Find a video: in a workspace, beside COLMAP's models, or as published without a model."""
    workspace = _of(raw, scene, f"dense{number}")
    photos = _of(raw, scene, f"seq{number}")
    for model in (workspace / "sparse", raw / "colmap" / scene / f"seq{number}"):
        if (model / "images.bin").is_file() or (model / "images.txt").is_file():
            below = workspace / "images" if (workspace / "images").is_dir() else photos.parent
            paths, cameras = read_model(model, below, parity=parity)
            names = {frame: path.relative_to(below).as_posix() for frame, path in paths.items()}
            return Video(number, workspace, paths, cameras, Model(model, below, names))
    own = {photo: camera for photo, camera in published.items() if photo.startswith(f"seq{number}/")}
    if not own:
        return None
    paths = {Path(photo).stem: photos.parent / photo for photo in own}
    return Video(number, workspace, paths, {Path(photo).stem: camera for photo, camera in own.items()})


def _agree(videos: list[Video], published: dict[str, Camera]) -> bool:
    """Tell whether one rigid motion takes the cameras of all videos to the published ones."""
    ours, theirs = [], []
    for video in videos:
        for frame, camera in video.cameras.items():
            if (photo := f"seq{video.number}/{frame}.jpg") in published:
                ours.append(camera.world_from_cam)
                theirs.append(published[photo].world_from_cam)
    if not ours:
        return True
    a, b = torch.from_numpy(np.stack(ours)), torch.from_numpy(np.stack(theirs))
    moved = b[0] @ invert(a[0]) @ a
    apart = (moved[:, :3, 3] - b[:, :3, 3]).norm(dim=-1).max()
    turned = rotation_angle(moved[:, :3, :3], b[:, :3, :3]).max()
    return bool(apart <= NEAR_M and turned <= NEAR_RAD)


def _with_cameras(video: Video, published: dict[str, Camera]) -> Video:
    own = {Path(photo).stem: c for photo, c in published.items() if photo.startswith(f"seq{video.number}/")}
    model = video.model if _agree([video], published) else None  # else it may have another unit
    return Video(video.number, video.folder, video.photos, {f: own[f] for f in video.cameras if f in own}, model)


def _convert_video(scene: str, video: Video, writer: Writer) -> list[str]:
    folder, frames = f"{scene}/dense{video.number}", []
    ours = ComputedDepth(folder, list(video.cameras), writer).ours()
    for frame, (rgb, camera) in readable_frames(video.cameras, partial(_read, video), writer):
        intrinsics = camera.intrinsics.copy()
        if not writer.parity:
            intrinsics[:2, 2] -= CORNER  # 10_mapfree.md quirk 3
        writer.image("rgb", folder, frame, rgb)
        writer.npz("camera", folder, frame, intrinsic=intrinsics, pose=camera.world_from_cam)
        _take_depth(video, folder, frame, writer, replace=frame in ours)
        frames.append(frame)
    return frames


def _complete(folder: str, frames: list[str], video: Video, writer: Writer, options: DepthOptions) -> None:
    """Compute what depth and, if wanted, masks of the sky are missing, and say what still is."""
    fill_depth(folder, frames, writer, options, video.model)
    fill_sky(folder, frames, writer, options)
    blind = sum(not writer.path("depth", folder, frame).is_file() for frame in frames)
    if blind:
        hint = f"put what is released ({RELEASE}) beside RAW's models or into {writer.out}, or see --mvs"
        logger.warning("%s: %d of %d frames have no depth and are not read; %s", folder, blind, len(frames), hint)


def _read(video: Video, frame: str) -> tuple[UInt8[np.ndarray, "h w 3"], Camera]:
    camera = video.cameras[frame]
    require_rigid(camera.world_from_cam, frame)
    return read_image(video.photos[frame]), camera


def _take_depth(video: Video, folder: str, frame: str, writer: Writer, *, replace: bool) -> None:
    """Copy the released depth and mask, or convert COLMAP's stereo."""
    released = {"depth": f"depth/{frame}.npy", "sky": f"sky_mask/{frame}.jpg"}
    for kind, name in released.items():
        if (path := video.folder / name).is_file():
            writer.copy(kind, folder, frame, path)
    stereo = video.folder / MAPS.format(f"seq{video.number}/{frame}.jpg")
    if stereo.is_file() and (replace or not writer.path("depth", folder, frame).is_file()):
        writer.depth("depth", folder, frame, read_dense_map(stereo))


def _write_overlaps(raw: Path, scene: str, writer: Writer) -> None:
    """Copy the released groups, or write the published overlaps, both ways around: 10_mapfree.md quirk 8."""
    released, published = _of(raw, scene, "metadata.pkl"), _of(raw, scene, "overlaps.npz")
    if released.is_file():
        writer.copy("groups", scene, "", released)
    elif published.is_file() and not writer.parity:
        places, scores = read_npz(published, "idxs", "overlaps")
        with naming_the_file(published):
            both = np.concatenate((places, places[:, [2, 3, 0, 1]]))
            both, first = np.unique(both, axis=0, return_index=True)
        writer.npz("overlaps", scene, places=both, scores=np.tile(scores, 2)[first])


def _of(raw: Path, scene: str, name: str) -> Path:
    """Find a file or folder of a scene; where it would be below RAW/train if it is nowhere."""
    places = (raw / scene / name, raw / "colmap" / scene / name, raw / "train" / scene / name)
    return next((path for path in places if path.exists() and (name[:3] != "seq" or _has_photos(path))), places[-1])


def _has_photos(folder: Path) -> bool:
    return bool(visible(folder, "*.jpg"))


CONVERTER = Converter(MapFree, 2, scenes, convert, sources=sources, options=DepthOptions)
