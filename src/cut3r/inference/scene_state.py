"""A reconstruction as plain arrays, and back: whatever a file holds, nothing but a sound scene comes out of it."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

from cut3r.inference.bounded_points import POINT, Reservoir, VoxelGrid
from cut3r.inference.cameras import CAMERA, MATRICES
from cut3r.inference.chunk_points import ChunkPlace, ChunkPoints, is_similarity

Arrays = dict[str, Shaped[np.ndarray, "..."]]
COMMON = ("confidence", "stride", "edges", "max_points")
LARGEST = 2**62  # of numbers that count or measure something


@dataclass(frozen=True)
class SceneState:
    """What a reconstruction consists of: points, cameras (records of CAMERA), their names, and how points are taken."""

    kept: ChunkPoints
    places: list[ChunkPlace]
    cameras: Shaped[np.ndarray, "v"]
    names: list[str]
    confidence: float
    stride: int
    edges: float | None


def pack(scene: SceneState) -> Arrays:
    """Give a scene as plain arrays."""
    kept = scene.kept
    settings: dict[str, Any] = {"confidence": scene.confidence, "stride": scene.stride, "edges": scene.edges}
    settings["max_points"] = kept.max_points
    if kept.sample is None:
        settings |= {"voxel_size": kept.voxel_size, "out_of_range": [grid.out_of_range for grid in kept.grids]}
    else:
        settings |= {"seen": kept.sample.seen, "generator": kept.sample.generator.bit_generator.state}
    parts = kept.records()
    points = {
        f"points/{name}": np.concatenate([part[name] for part in parts]) if parts else np.empty(0, POINT)[name]
        for name in POINT.names or ()
    }
    chunks: Arrays = {
        "chunks/number": np.array([place.number for place in scene.places], np.int32),
        "chunks/first_frame": np.array([place.first_frame for place in scene.places], np.int32),
        "chunks/points": np.array([len(part) for part in parts] if kept.sample is None else [], np.int64),
        "chunks/world_from_chunk": np.array([p.world_from_chunk for p in scene.places], np.float64).reshape(-1, 4, 4),
    }
    frames = {f"cameras/{name}": scene.cameras[name].copy() for name in CAMERA.names or ()}
    rest = {"cameras/name": np.array(scene.names, str), "settings": np.array(json.dumps(settings))}
    return {**points, **chunks, **frames, **rest}


def unpack(arrays: Arrays) -> SceneState:
    """Undo `pack`.

    Raises:
        ValueError: An array is missing, of another type or length, or holds what no reconstruction can hold.
    """
    settings = _settings(arrays)
    if "cameras/chunk" in arrays:  # files of before poses could be given have none
        arrays = {"cameras/given": np.zeros(arrays["cameras/chunk"].shape, bool)} | arrays
    points, cameras = _records(POINT, "points", arrays), _records(CAMERA, "cameras", arrays)
    names = _array(arrays, "cameras/name")
    _require(names.dtype.kind == "U" and names.shape == cameras.shape, "has not one name per camera")
    _check_points(points)
    _check_cameras(cameras)
    places = _places(arrays)
    _require(np.isin(cameras["chunk"], [place.number for place in places]).all(), "has cameras of no chunk")
    edges = settings["edges"]
    return SceneState(
        _kept(points, _array(arrays, "chunks/points"), len(places), settings),
        places,
        cameras,
        names.tolist(),
        confidence=float(settings["confidence"]),
        stride=settings["stride"],
        edges=None if edges is None else float(edges),
    )


def _places(arrays: Arrays) -> list[ChunkPlace]:
    number, first = _array(arrays, "chunks/number"), _array(arrays, "chunks/first_frame")
    matrices = _array(arrays, "chunks/world_from_chunk")
    for array, kind, shape in ((number, "i4", ()), (first, "i4", ()), (matrices, "f8", (4, 4))):
        _require(array.dtype == kind and array.shape[1:] == shape and array.ndim > 0, "has chunks of another type")
    _require(len(number) == len(first) == len(matrices), "has not one place per chunk")
    rising = (np.diff(number, prepend=-1) > 0).all() and (np.diff(first, prepend=-1) > 0).all()
    _require(rising, "has chunks that do not follow one another")
    _require(all(map(is_similarity, matrices)), "has a chunk whose place is no rotation, scale and translation")
    return [ChunkPlace(*place) for place in zip(number.tolist(), first.tolist(), matrices.copy(), strict=True)]


def _check_points(points: np.ndarray) -> None:
    _require(np.isfinite(points["point"]).all(), "holds points that are not finite")
    _require(np.isfinite(points["confidence"]).all(), "holds confidences that are not finite")
    _require((points["frame"] >= 0).all(), "holds points of frames with a negative number")


def _check_cameras(cameras: np.ndarray) -> None:
    _require(all(np.isfinite(cameras[name]).all() for name in MATRICES), "holds cameras that are not finite")
    _require(not np.isinf(cameras["time_s"]).any(), "holds infinite time stamps")
    _require((cameras["image_size"] > 0).all() and (cameras["original_size"] > 0).all(), "holds images without a size")
    _require((cameras["chunk"] >= 0).all(), "holds frames of chunks with a negative number")


def _settings(arrays: Arrays) -> dict[str, Any]:
    text = _array(arrays, "settings")
    _require(text.shape == () and text.dtype.kind == "U", "has settings that are no text")
    try:
        settings = json.loads(str(text))
    except (ValueError, RecursionError) as error:
        raise _damaged(f"has settings that are no JSON ({error})") from error
    _require(isinstance(settings, dict), "has settings without names")
    special = ("voxel_size", "out_of_range") if "voxel_size" in settings else ("seen", "generator")
    _require(settings.keys() == {*COMMON, *special}, f"has the settings {sorted(settings)!r:.200}")
    edges = settings["edges"]
    _require(_is_number(settings["confidence"]), "has a confidence that is no finite number")
    _require(edges is None or (_is_number(edges) and edges > 0), "has depth edges that are no positive number")
    _require(_is_count(settings["stride"]) and settings["stride"] > 0, "has a stride below 1")
    _require(_is_count(settings["max_points"]), "has a bound on its points that is no whole number")
    return settings


def _kept(points: np.ndarray, counts: np.ndarray, chunks: int, settings: dict[str, Any]) -> ChunkPoints:
    most = settings["max_points"]
    _require(len(points) <= most, f"holds {len(points)} points, more than its bound of {most}")
    _require(counts.dtype == np.int64 and counts.ndim == 1 and (counts >= 0).all(), "has no counts of points")
    if "voxel_size" in settings:
        return _grids(points, counts, chunks, settings)
    seen = settings["seen"]
    _require(_is_count(seen) and seen >= len(points), "has seen fewer points than it holds")
    kept = ChunkPoints(None, most)
    kept.sample = Reservoir(most, points, seen=seen, generator=_generator(settings["generator"]))
    return kept


def _grids(points: np.ndarray, counts: np.ndarray, chunks: int, settings: dict[str, Any]) -> ChunkPoints:
    size, dropped, most = settings["voxel_size"], settings["out_of_range"], settings["max_points"]
    _require(_is_number(size) and size > 0, "has a voxel size that is no positive number")
    whole = isinstance(dropped, list) and all(map(_is_count, dropped)) and len(dropped) == len(counts) == chunks
    _require(whole, "has not one count of points, and of dropped ones, per chunk")
    _require(counts.max(initial=0) <= len(points) == counts.sum(), "holds another number of points than its chunks")
    kept = ChunkPoints(float(size), most)
    for part, lost in zip(np.split(points, np.cumsum(counts)[:-1]) if chunks else [], dropped, strict=True):
        kept.grids.append(VoxelGrid(float(size), most, part, out_of_range=lost))
        _require(kept.grids[-1].is_sound(), "holds points that are not one per voxel, in the order of their voxels")
    return kept


def _generator(state: Any) -> np.random.Generator:
    generator = np.random.default_rng()
    try:
        generator.bit_generator.state = state
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise _damaged(f"has a random generator without a state ({error})") from error
    return generator


def _records(kind: np.dtype, prefix: str, arrays: Arrays) -> np.ndarray:
    """Put arrays back together to records."""
    names = kind.names or ()
    first = _array(arrays, f"{prefix}/{names[0]}")
    records = np.empty(len(first) if first.ndim else 0, kind)
    for name in names:
        array, field = _array(arrays, f"{prefix}/{name}"), records[name]
        if array.dtype != field.dtype or array.shape != field.shape:
            found, expected = f"{array.dtype} {array.shape}", f"{field.dtype} {field.shape}"
            raise _damaged(f"has {prefix}/{name} as {found} instead of {expected}")
        records[name] = array
    return records


def _array(arrays: Arrays, name: str) -> np.ndarray:
    _require(name in arrays, f"has no '{name}'")
    return arrays[name]


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and abs(value) < LARGEST  # nan is not


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _require(condition: bool | np.bool_, complaint: str) -> None:
    if not condition:
        raise _damaged(complaint)


def _damaged(complaint: str) -> ValueError:
    return ValueError(f"the saved reconstruction {complaint}; it is damaged or of another version, so make it again")
