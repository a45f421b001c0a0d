"""DL3DV-10K: COLMAP's dense workspaces, or the published parts of the processed data, become one folder per scene."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64

from cut3r.data.datasets.dl3dv import Dl3dv, at_size, read_mask
from cut3r.data.layout import read_npy, read_npz
from cut3r.files.listing import visible
from cut3r.io import colmap
from cut3r.io.colmap_dense import read_dense_map
from cut3r.io.images import read_image
from cut3r.io.known_cameras import CORNER
from datasets_preprocess.depth_agreement import Seen, agreeing_views
from datasets_preprocess.dl3dv_package import CAMERAS, convert_package
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, LeftOut, RawScene, Writer, require_rigid

DEPTH_MAPS = "stereo/depth_maps/{}.geometric.bin"
PARTS = {"rgb": ("rgb", ".png"), "camera": ("cam", ".npz"), "depth": ("depth", ".npy")}
MASKS = {"sky": "sky_mask", "outlier": "outlier_mask"}
NEAREST_VIEWS, AGREEING_VIEWS = 4, 2  # a depth is kept if so many of the nearest views agree
TOLERANCE = 0.05  # of the depth
LEAST_VALID = 0.05  # the median share of a scene's pixels that have depth
SHIFT = np.array([[0, 0, CORNER], [0, 0, CORNER], [0, 0, 0]])


@dataclass(frozen=True)
class Dl3dvOptions:
    """A list of scenes to leave out, one "<bucket>/<hash>" or "<hash>" a line; others have published such lists."""

    exclude: Path | None = None


class _Frame(NamedTuple):
    image: Path
    depth: Float32[np.ndarray, "h w"]
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
        return convert_package(raw / scene.facts["package"], scene.name, writer)
    if "published" in scene.facts:
        return _join(raw, scene.name, writer)
    workspace = raw / scene.facts["workspace"]
    done, shares = _convert_workspace(workspace, scene.name, writer)
    if writer.parity:
        return done
    if np.median(shares) < LEAST_VALID:
        raise LeftOut(f"half of its depth maps cover less than {LEAST_VALID:.0%} of the picture")
    _write_masks(workspace, scene.name, done, writer)
    return done


def _convert_workspace(workspace: Path, name: str, writer: Writer) -> tuple[list[str], list[float]]:
    """Write pictures, cameras and depth; give the frames, and the share of the pixels of each that has depth."""
    cameras, images = read_model(workspace / "sparse")
    by_frame = {Path(image.name).stem: image for image in images}

    def read(frame: str) -> _Frame:
        image = by_frame[frame]
        return _read_frame(workspace, image, cameras.get(image.camera), parity=writer.parity)

    done, shares = [], []
    for frame, content in readable_frames(sorted(by_frame), read, writer):
        if content.image.suffix.lower() == ".png":
            writer.copy("rgb", name, frame, content.image)
        else:
            writer.image("rgb", name, frame, read_image(content.image))
        writer.npz("camera", name, frame, intrinsic=content.intrinsics, pose=content.world_from_cam)
        writer.npy("depth", name, frame, content.depth)
        done.append(frame)
        shares.append(float((content.depth > 0).mean()))
    return done, shares


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
    workspace: Path, image: colmap.ColmapImage, camera: colmap.ColmapCamera | None, *, parity: bool
) -> _Frame:
    path = workspace / "images" / image.name
    lens = None if camera is None else camera.lens()
    if lens is None or lens.distortion:
        raise ValueError(f"{image.name} has no pinhole camera; expected the model of COLMAP's image_undistorter")
    require_rigid(image.world_from_cam, f"{image.name} in {workspace / 'sparse'}")
    size = read_image(path).shape[:2]
    if size != lens.size:
        raise ValueError(f"{path} is of size {size}, its camera's pictures of {lens.size} (h, w)")
    depth = read_dense_map(workspace / DEPTH_MAPS.format(image.name))
    if depth.ndim != 2:
        raise ValueError(f"the depth map of {image.name} has {depth.shape[2]} channels; expected one")
    if parity:
        return _Frame(path, depth, lens.intrinsics + SHIFT, image.world_from_cam)
    known = at_size(np.where(np.isfinite(depth), np.maximum(depth, 0), 0).astype(np.float32), (size[0], size[1]))
    return _Frame(path, known, lens.intrinsics, image.world_from_cam)


def _write_masks(workspace: Path, name: str, frames: list[str], writer: Writer) -> None:
    """Copy the masks that lie in the workspace; else nothing is sky, and what other views contradict is an outlier."""

    @lru_cache(maxsize=8 * NEAREST_VIEWS)
    def seen(number: int) -> Seen:
        pose, intrinsics = read_npz(writer.path("camera", name, frames[number]), "pose", "intrinsic")
        return Seen(read_npy(writer.path("depth", name, frames[number])), intrinsics, pose)

    centres = np.stack([read_npz(writer.path("camera", name, frame), "pose")[0][:3, 3] for frame in frames])
    for number, frame in enumerate(frames):
        own = {kind: workspace / folder / f"{frame}.png" for kind, folder in MASKS.items()}
        depth = seen(number).depth
        sky = read_mask(own["sky"]) if own["sky"].is_file() else np.zeros(depth.shape, bool)
        if own["outlier"].is_file():
            outlier = read_mask(own["outlier"])
        else:
            nearest = np.argsort(np.linalg.norm(centres - centres[number], axis=1), kind="stable")
            others = [int(other) for other in nearest if other != number][:NEAREST_VIEWS]
            agreeing = agreeing_views(seen(number), (seen(other) for other in others), TOLERANCE)
            outlier = (depth > 0) & (agreeing < min(AGREEING_VIEWS, len(others)))
        for kind, mask in (("sky", sky), ("outlier", outlier)):
            writer.png8(kind, name, frame, _grey(mask))


def _grey(mask: Bool[np.ndarray, "h w"]) -> np.ndarray:
    return np.where(mask, 255, 0).astype(np.uint8)


def _releases(raw: Path, name: str) -> list[Path]:
    folders = (raw, *(path for path in visible(raw, "*") if path.is_dir()))
    return [folder for folder in folders if (folder / name).is_dir()]


def _join(raw: Path, name: str, writer: Writer) -> list[str]:
    """Copy the files of a scene from wherever they have been unpacked to; frames that lack one are left out."""
    folders = [release / name / "dense" for release in _releases(raw, name)]
    frames = sorted({path.stem for folder in folders for path in visible(folder, "rgb/*.png")})
    kinds = {**PARTS, **{kind: (folder, ".png") for kind, folder in MASKS.items()}}

    def find(frame: str) -> dict[str, Path]:
        return {kind: _published(folders, part, frame + suffix) for kind, (part, suffix) in kinds.items()}

    done = []
    for frame, paths in readable_frames(frames, find, writer):
        pose, intrinsics = read_npz(paths.pop("camera"), "pose", "intrinsic")
        for kind, path in paths.items():
            writer.copy(kind, name, frame, path)
        writer.npz("camera", name, frame, intrinsic=intrinsics if writer.parity else intrinsics - SHIFT, pose=pose)
        done.append(frame)
    return done


def _published(folders: list[Path], part: str, file: str) -> Path:
    places = [place for folder in folders for place in (folder / part / file, folder / part / part / file)]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"there is no {part}/{file}")
    return found


@lru_cache(maxsize=1)
def _excluded(options: Dl3dvOptions) -> frozenset[str]:
    assert options.exclude is not None
    return frozenset(options.exclude.read_text().split())


CONVERTER = Converter(Dl3dv, 1, scenes, convert, sources=sources, options=Dl3dvOptions)
