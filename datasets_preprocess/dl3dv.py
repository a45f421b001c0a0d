"""DL3DV-10K: COLMAP's dense workspaces, or the published parts of the processed data, become one folder per scene."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64

from cut3r.data.datasets.dl3dv import Dl3dv, at_size, read_mask
from cut3r.data.layout import read_npy, read_npz
from cut3r.files.listing import visible
from cut3r.io import colmap
from cut3r.io.colmap_dense import read_dense_map
from cut3r.io.images import read_image
from cut3r.io.known_cameras import CORNER
from datasets_preprocess.colmap_stereo import MAPS
from datasets_preprocess.depth_options import DepthOptions
from datasets_preprocess.dl3dv_masks import MASKS, write_masks
from datasets_preprocess.dl3dv_package import CAMERAS, convert_package
from datasets_preprocess.mvs import Model, fill_depth
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, LeftOut, RawScene, Writer, require_rigid

PARTS = {"rgb": ("rgb", ".png"), "camera": ("cam", ".npz"), "depth": ("depth", ".npy")}
LEAST_VALID = 0.05  # the median share of a scene's pixels that have depth
FindMask = Callable[[str, str], Path | None]
SHIFT = np.array([[0, 0, CORNER], [0, 0, CORNER], [0, 0, 0]])


@dataclass(frozen=True)
class Dl3dvOptions(DepthOptions):
    """Which scenes are converted, and what is computed where the download lacks it.

    exclude: a file of scenes to leave out, one "<bucket>/<hash>" or "<hash>" a line; others have published such lists.
    mvs: who computes missing depth: colmap (with CUDA, on the PATH), sweep (our own, slower), off (nobody); auto takes
        colmap if it can run here.
    sky: whether sky is looked for (detect) in pictures without a mask.
    """

    exclude: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.exclude is not None and not self.exclude.is_file():
            raise ValueError(f"there is no file {self.exclude} of scenes to leave out")


class _Frame(NamedTuple):
    image: Path
    depth: Float32[np.ndarray, "h w"] | None
    intrinsics: Float64[np.ndarray, "3 3"]
    world_from_cam: Float64[np.ndarray, "4 4"]


def scenes(raw: Path) -> Iterator[RawScene]:
    """List "<bucket>/<hash>" of workspaces, of published processed data (in RAW or in folders of RAW, which are
    joined), and of official packages. A second workspace of a scene adds its folder's name."""
    found: dict[str, dict[str, str]] = {}
    for model in visible(raw, "*/*/dense*/sparse"):
        workspace = model.parent
        name = workspace.parent.relative_to(raw).as_posix()
        name += "" if workspace.name == "dense" else f"-{workspace.name}"
        found.setdefault(name, {"workspace": workspace.relative_to(raw).as_posix()})
    for release in (raw, *(path for path in visible(raw, "*") if path.is_dir())):
        for part in visible(release, "*/*/dense/rgb"):
            found.setdefault(part.parents[1].relative_to(release).as_posix(), {"published": ""})
        for file in visible(release, f"*/*/{CAMERAS}"):
            package = file.parent
            found.setdefault(package.relative_to(release).as_posix(), {"package": str(package.relative_to(raw))})
    for name, facts in sorted(found.items()):
        yield RawScene(name, facts=facts)


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a scene is made from."""
    if "workspace" in scene.facts:
        workspace = raw / scene.facts["workspace"]
        return [workspace / part for part in ("images", "sparse", "stereo/depth_maps", *MASKS.values())]
    return [folder / scene.name for folder in _releases(raw, scene.name)]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Write pictures, cameras, depth and masks of one scene.

    Raises:
        LeftOut: It is excluded, or has almost no depth.
        ValueError: The model is damaged, or no frame can be used.
    """
    options = writer.options or Dl3dvOptions()
    if options.exclude is not None and not {scene.name, scene.name.split("/")[-1]}.isdisjoint(_excluded(options)):
        raise LeftOut(f"{options.exclude} lists it")
    if "package" in scene.facts:
        frames = convert_package(raw / scene.facts["package"], scene.name, writer)
        return _finished(scene.name, frames, writer, options, None, _no_mask) or frames
    if "published" in scene.facts:
        folders = [release / scene.name / "dense" for release in _releases(raw, scene.name)]
        frames = _join(folders, scene.name, writer, options)
        return frames if writer.parity else _complete(scene, frames, writer, options, None, partial(_mask_in, folders))
    workspace = raw / scene.facts["workspace"]
    frames, model = _convert_workspace(workspace, scene.name, writer, options)
    return frames if writer.parity else _complete(scene, frames, writer, options, model, partial(_mask_in, [workspace]))


def _complete(
    scene: RawScene, frames: list[str], writer: Writer, options: Dl3dvOptions, model: Model | None, mask: FindMask
) -> list[str]:
    done = _finished(scene.name, frames, writer, options, model, mask)
    shares = [float((read_npy(writer.path("depth", scene.name, frame)) > 0).mean()) for frame in done]
    if not done:
        raise LeftOut("none of its pictures has depth")
    if "workspace" in scene.facts and np.median(shares) < LEAST_VALID:
        raise LeftOut(f"half of its depth maps cover less than {LEAST_VALID:.0%} of the picture")
    return done


def _finished(
    name: str, frames: list[str], writer: Writer, options: Dl3dvOptions, model: Model | None, mask: FindMask
) -> list[str]:
    """Compute missing depth and masks; give the frames that have depth. If any has, the others are left out."""
    if writer.parity:
        return []
    fill_depth(name, frames, writer, options, model)
    done = [frame for frame in frames if writer.path("depth", name, frame).is_file()]
    if done:
        write_masks(name, done, writer, mask, options.sky)
        for frame in set(frames) - set(done):
            writer.leave_out(frame, "it has no depth")
    return done


def _convert_workspace(
    workspace: Path, name: str, writer: Writer, options: Dl3dvOptions
) -> tuple[list[str], Model | None]:
    """Write pictures, cameras, and depth where COLMAP's stereo has run; give the frames, and the model."""
    cameras, images = read_model(workspace / "sparse")
    by_frame = {Path(image.name).stem: image for image in images}
    needs_depth = writer.parity or not options.computes

    def read(frame: str) -> _Frame:
        image = by_frame[frame]
        return _read_frame(workspace, image, cameras.get(image.camera), parity=writer.parity, needs_depth=needs_depth)

    done = []
    for frame, content in readable_frames(sorted(by_frame), read, writer):
        if content.image.suffix.lower() == ".png":
            writer.copy("rgb", name, frame, content.image)
        else:
            writer.image("rgb", name, frame, read_image(content.image))
        writer.npz("camera", name, frame, intrinsic=content.intrinsics, pose=content.world_from_cam)
        if content.depth is not None:
            writer.npy("depth", name, frame, content.depth)
        done.append(frame)
    found = colmap.find_model(workspace / "sparse")
    names = {frame: image.name for frame, image in by_frame.items()}
    return done, None if found is None else Model(found, workspace / "images", names)


def read_model(folder: Path) -> tuple[dict[int, colmap.ColmapCamera], list[colmap.ColmapImage]]:
    """Read cameras and images of a model, binary or text.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is damaged.
    """
    found = colmap.find_model(folder)
    if found is None:
        raise FileNotFoundError(f"there is no COLMAP model in {folder}")
    suffix = ".bin" if (found / "cameras.bin").is_file() else ".txt"
    return colmap.read_cameras(found / f"cameras{suffix}"), colmap.read_images(found / f"images{suffix}")


def _read_frame(
    workspace: Path,
    image: colmap.ColmapImage,
    camera: colmap.ColmapCamera | None,
    *,
    parity: bool,
    needs_depth: bool,
) -> _Frame:
    path = workspace / "images" / image.name
    lens = None if camera is None else camera.lens()
    if lens is None or lens.distortion:
        raise ValueError(f"{image.name} has no pinhole camera; expected the model of COLMAP's image_undistorter")
    require_rigid(image.world_from_cam, f"{image.name} in {workspace / 'sparse'}")
    size = read_image(path).shape[:2]
    if size != lens.size:
        raise ValueError(f"{path} is of size {size}, its camera's pictures of {lens.size} (h, w)")
    stereo = workspace / MAPS.format(image.name)
    if not needs_depth and not stereo.is_file():
        return _Frame(path, None, lens.intrinsics, image.world_from_cam)
    depth = read_dense_map(stereo)
    if depth.ndim != 2:
        raise ValueError(f"the depth map of {image.name} has {depth.shape[2]} channels; expected one")
    if parity:
        return _Frame(path, depth, lens.intrinsics + SHIFT, image.world_from_cam)
    known = at_size(np.where(np.isfinite(depth), np.maximum(depth, 0), 0).astype(np.float32), (size[0], size[1]))
    return _Frame(path, known, lens.intrinsics, image.world_from_cam)


def _releases(raw: Path, name: str) -> list[Path]:
    folders = (raw, *(path for path in visible(raw, "*") if path.is_dir()))
    return [folder for folder in folders if (folder / name).is_dir()]


def _join(folders: list[Path], name: str, writer: Writer, options: Dl3dvOptions) -> list[str]:
    """Copy the files of a scene from wherever they have been unpacked to; frames that lack one that cannot be computed
    are left out."""
    frames = sorted({path.stem for folder in folders for path in visible(folder, "rgb/*.png")})
    kinds = {**PARTS, **{kind: (folder, ".png") for kind, folder in MASKS.items()}}
    needed = kinds if writer.parity or not options.computes else ("rgb", "camera")
    opened = {"rgb": read_image, "depth": read_npy, "sky": read_mask, "outlier": read_mask}

    def read(frame: str) -> tuple[dict[str, Path], dict[str, np.ndarray]]:
        places = {kind: _published(folders, part, frame + suffix) for kind, (part, suffix) in kinds.items()}
        paths = {kind: path for kind, path in places.items() if kind in needed or path.is_file()}
        pose, intrinsics = read_npz(paths["camera"], "pose", "intrinsic")
        require_rigid(pose, f"{frame} in {paths['camera']}")
        for kind in paths.keys() & opened.keys():
            opened[kind](paths[kind])  # raises if it is damaged
        return paths, {"intrinsic": intrinsics if writer.parity else intrinsics - SHIFT, "pose": pose}

    done = []
    for frame, (paths, camera) in readable_frames(frames, read, writer):
        for kind, path in paths.items():
            if kind != "camera":
                writer.copy(kind, name, frame, path)
        writer.npz("camera", name, frame, **camera)
        done.append(frame)
    return done


def _published(folders: list[Path], part: str, file: str) -> Path:
    """Where a file is, or would be if it is nowhere."""
    places = [place for folder in folders for place in (folder / part / file, folder / part / part / file)]
    return next((place for place in places if place.is_file()), places[0])


def _mask_in(folders: list[Path], kind: str, frame: str) -> Path | None:
    path = _published(folders, MASKS[kind], f"{frame}.png")
    return path if path.is_file() else None


def _no_mask(kind: str, frame: str) -> Path | None:
    return None


@lru_cache(maxsize=1)
def _excluded(options: Dl3dvOptions) -> frozenset[str]:
    assert options.exclude is not None
    return frozenset(options.exclude.read_text().split())


CONVERTER = Converter(Dl3dv, 2, scenes, convert, sources=sources, options=Dl3dvOptions)
