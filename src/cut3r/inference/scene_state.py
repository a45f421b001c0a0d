"""A reconstruction as plain arrays, and back: whatever a file holds, nothing but a sound scene comes out of it."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

from cut3r.inference.bounded_points import POINT, Reservoir, VoxelGrid
from cut3r.inference.cameras import CAMERA, MATRICES

Arrays = dict[str, Shaped[np.ndarray, "..."]]
COMMON = ("confidence", "stride", "edges", "max_points")
LARGEST = 2**62  # of numbers that count or measure something


@dataclass(frozen=True)
class SceneState:
    """What a reconstruction consists of: points, cameras (records of CAMERA), their names, and how points are taken."""

    kept: VoxelGrid | Reservoir
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
    if isinstance(kept, VoxelGrid):
        settings |= {"voxel_size": kept.voxel_size, "out_of_range": kept.out_of_range}
    else:
        settings |= {"seen": kept.seen, "generator": kept.generator.bit_generator.state}
    points = {f"points/{name}": kept.records[name].copy() for name in POINT.names or ()}
    frames = {f"cameras/{name}": scene.cameras[name].copy() for name in CAMERA.names or ()}
    return points | frames | {"cameras/name": np.array(scene.names, str), "settings": np.array(json.dumps(settings))}


def unpack(arrays: Arrays) -> SceneState:
    """Undo `pack`.

    Raises:
        ValueError: An array is missing, of another type or length, or holds what no reconstruction can hold.
    """
    settings = _settings(arrays)
    points, cameras = _records(POINT, "points", arrays), _records(CAMERA, "cameras", arrays)
    names = _array(arrays, "cameras/name")
    _require(names.dtype.kind == "U" and names.shape == cameras.shape, "has not one name per camera")
    _check_points(points)
    _check_cameras(cameras)
    edges = settings["edges"]
    return SceneState(
        _kept(points, settings),
        cameras,
        names.tolist(),
        confidence=float(settings["confidence"]),
        stride=settings["stride"],
        edges=None if edges is None else float(edges),
    )


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


def _kept(points: np.ndarray, settings: dict[str, Any]) -> VoxelGrid | Reservoir:
    most = settings["max_points"]
    _require(len(points) <= most, f"holds {len(points)} points, more than its bound of {most}")
    if "voxel_size" in settings:
        size, dropped = settings["voxel_size"], settings["out_of_range"]
        _require(_is_number(size) and size > 0, "has a voxel size that is no positive number")
        _require(_is_count(dropped), "has a count of dropped points that is no whole number")
        grid = VoxelGrid(float(size), most, points, out_of_range=dropped)
        _require(grid.is_sound(), "holds points that are not one per voxel, in the order of their voxels")
        return grid
    seen = settings["seen"]
    _require(_is_count(seen) and seen >= len(points), "has seen fewer points than it holds")
    return Reservoir(most, points, seen=seen, generator=_generator(settings["generator"]))


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
