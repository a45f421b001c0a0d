"""Where a stream stands in its chunk: what a session remembers beside the network's state, as a value and in a file."""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from cut3r.geometry.registration import Similarity
from cut3r.inference.chunk_points import is_similarity
from cut3r.inference.joints import Joint, Sight
from cut3r.inference.keyframes import LastKey
from cut3r.inference.places import Anchor, ClosedLoop, Places
from cut3r.inference.seen_area import SeenArea
from cut3r.inference.watch import Watch
from cut3r.model.encoder import Tokens
from cut3r.model.state import StreamState

Tensors = dict[str, Shaped[Tensor, "..."]]
OVERLAP, WATCH, AREA, ANCHOR = "session.overlap.", "session.watch.", "session.area.", "session.anchor."
LARGEST = 1 << 62


@dataclass(frozen=True)
class Kept:
    """A frame of the overlap: its tokens, to show it to the next chunk, and where this chunk saw its points."""

    number: int
    tokens: Tokens
    sight: Sight


@dataclass(frozen=True)
class Course:
    """Bounded by the overlap, except for one joint per chunk.

    `written` counts the frames in the state since the reset, without the overlap. The next chunk is rehearsed while the
    present one ends: `shadow` is its state, which has seen the last frames of the overlap as in `rehearsed`.
    """

    written: int = 0
    overlap: tuple[Kept, ...] = ()
    watch: Watch = field(default_factory=Watch)
    key: LastKey = field(default_factory=LastKey)
    area: SeenArea = field(default_factory=SeenArea.nothing)
    joints: tuple[Joint, ...] = ()
    places: Places = field(default_factory=Places)
    rehearsed: tuple[Sight, ...] = ()
    shadow: StreamState | None = None
    unrehearsed: int = 0  # frames at the end of the overlap that must be rehearsed again: the course is out of a file


def pack_course(course: Course) -> tuple[Tensors, dict[str, Any]]:
    """Turn it into named tensors and what a JSON file can hold. The shadow is left out: the overlap gives it again."""
    tensors: Tensors = {}
    for k, kept in enumerate(course.overlap):
        parts = {"features": kept.tokens.features.cpu(), "points": kept.sight.points}
        parts |= {"confidence": kept.sight.confidence, "pose": kept.sight.chunk_from_cam}
        tensors |= {f"{OVERLAP}{k}.{name}": tensor for name, tensor in parts.items()}
    watch = course.watch
    for name in ("trusts", "steps"):
        if values := getattr(watch, name):
            tensors[WATCH + name] = torch.tensor(values, dtype=torch.float64)
    for name in ("last", "tokens"):
        if (tensor := getattr(watch, name)) is not None:
            tensors[WATCH + name] = tensor
    if len(course.area.points):
        tensors |= {f"{AREA}points": course.area.points, f"{AREA}sides": course.area.sides.float()}
    if course.key.chunk_from_cam is not None:
        tensors[f"{WATCH}key"] = course.key.chunk_from_cam
    if course.key.sharpness:
        tensors[f"{WATCH}sharpness"] = torch.tensor(course.key.sharpness, dtype=torch.float64)
    for k, anchor in enumerate(course.places.anchors):
        parts = {"image": torch.from_numpy(anchor.image), "said": anchor.said, "points": anchor.sight.points}
        parts |= {"confidence": anchor.sight.confidence, "pose": anchor.sight.chunk_from_cam}
        tensors |= {f"{ANCHOR}{k}.{name}": tensor for name, tensor in parts.items()}
    record = {
        "places": _places_record(course.places),
        "written": course.written,
        "key": [course.key.number, course.key.time_s, course.key.put_off],
        "voxel": course.area.voxel,
        "overlap": [{"number": kept.number, "grid": list(kept.tokens.grid)} for kept in course.overlap],
        "rehearsed": len(course.rehearsed) or course.unrehearsed,
        "weak": watch.weak,
        "joints": [joint.report() for joint in course.joints],
    }
    return tensors, record


def unpack_course(tensors: Tensors, record: Any, device: torch.device) -> Course:
    """Undo `pack_course`.

    Raises:
        ValueError: It is not what `pack_course` gives; the message says what is wrong with it.
    """
    try:
        written, weak, rehearsed = (_count(record[name]) for name in ("written", "weak", "rehearsed"))
        key_number, key_time, put_off = record["key"]
        voxel, key_time = float(record["voxel"]), None if key_time is None else float(key_time)
        places = _places(tensors, record["places"])
        joints = tuple(Joint.reported(said) for said in record["joints"])
        frames = [
            (_count(said["number"]), (_count(said["grid"][0]), _count(said["grid"][1]))) for said in record["overlap"]
        ]
    except (KeyError, TypeError, IndexError, AttributeError, RuntimeError, OverflowError) as error:
        raise ValueError(f"its record of chunks cannot be read ({type(error).__name__}: {error})") from error
    if rehearsed > len(frames):
        raise ValueError("it has rehearsed more frames than it keeps")
    overlap = tuple(_kept(tensors, k, number, grid, device) for k, (number, grid) in enumerate(frames))
    shapes: dict[str, tuple[int | None, ...]] = {"trusts": (None,), "steps": (None,), "last": (4, 4), "tokens": (None,)}
    shapes |= {"key": (4, 4), "sharpness": (None,)}
    there = {key: _tensor(tensors, WATCH + key, shape) for key, shape in shapes.items() if WATCH + key in tensors}
    numbers = (tuple(there[key].tolist()) if key in there else () for key in ("trusts", "steps", "sharpness"))
    trusts, steps, sharpness = numbers
    watch = Watch(trusts, steps, weak, there.get("last"), there.get("tokens"))
    key = LastKey(int(key_number), key_time, there.get("key"), _count(put_off), sharpness)
    return Course(written, overlap, watch, key, _area(tensors, voxel), joints, places, unrehearsed=rehearsed)


def is_of_course(name: str) -> bool:
    """Whether a tensor of a session's file belongs to its course."""
    return name.startswith((OVERLAP, WATCH, AREA, ANCHOR))


def _kept(tensors: Tensors, k: int, number: int, grid: tuple[int, int], device: torch.device) -> Kept:
    features = _tensor(tensors, f"{OVERLAP}{k}.features", (1, grid[0] * grid[1], None))
    return Kept(number, Tokens(features.to(device), grid), Sight(*_seen(tensors, f"{OVERLAP}{k}")))


def _seen(tensors: Tensors, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Points, confidences and camera of a frame."""
    points = _tensor(tensors, f"{name}.points", (None, 3))
    return points, _tensor(tensors, f"{name}.confidence", (len(points),)), _tensor(tensors, f"{name}.pose", (4, 4))


def _places_record(places: Places) -> dict[str, Any]:
    return {
        "anchors": [[anchor.number, anchor.chunk, anchor.order] for anchor in places.anchors],
        "searched": places.searched,
        "loops": [loop.report() for loop in places.loops],
        "world_from_chunk": _matrices(places.world_from_chunk),
        "changed": _matrices(places.changed),
    }


def _places(tensors: Tensors, record: Any) -> Places:
    anchors = tuple(_anchor(tensors, k, *(_count(value) for value in said)) for k, said in enumerate(record["anchors"]))
    loops = tuple(ClosedLoop.reported(said) for said in record["loops"])
    stand, changed = (_similarities(record[name]) for name in ("world_from_chunk", "changed"))
    return Places(anchors, loops, stand, changed, _count(record["searched"]))


def _anchor(tensors: Tensors, k: int, number: int, chunk: int, order: int) -> Anchor:
    image = tensors.get(f"{ANCHOR}{k}.image")
    if image is None or image.dtype is not torch.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(f"{ANCHOR}{k}.image is no picture")
    points, confidence, pose = _seen(tensors, f"{ANCHOR}{k}")
    said = _tensor(tensors, f"{ANCHOR}{k}.said", (None,))
    return Anchor(number, chunk, image.numpy(), said, Sight(points, confidence, pose), order)


def _matrices(places: dict[int, Similarity]) -> list[list[Any]]:
    return [[number, place.matrix().tolist()] for number, place in sorted(places.items())]


def _similarities(said: list[list[Any]]) -> dict[int, Similarity]:
    matrices = {_count(number): torch.tensor(matrix, dtype=torch.float64) for number, matrix in said}
    if not all(is_similarity(matrix.numpy()) for matrix in matrices.values()):
        raise ValueError("its record of chunks has a place that is no rotation, scale and translation")
    return {number: Similarity.from_matrix(matrix) for number, matrix in matrices.items()}


def _area(tensors: Tensors, voxel: float) -> SeenArea:
    if f"{AREA}points" not in tensors:
        return SeenArea.nothing()
    points = _tensor(tensors, f"{AREA}points", (None, 3))
    if not voxel > 0:
        raise ValueError("its record of chunks has a voxel that is no positive length")
    return SeenArea(points, _tensor(tensors, f"{AREA}sides", (len(points),)).long(), voxel)


def _tensor(tensors: Tensors, name: str, shape: tuple[int | None, ...]) -> Tensor:
    tensor = tensors.get(name)
    if tensor is None:
        raise ValueError(f"{name} is missing")
    fits = tensor.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, tensor.shape, strict=True))
    if not fits or not tensor.is_floating_point():
        raise ValueError(f"{name} is {tensor.dtype} {list(tensor.shape)} instead of numbers of shape {list(shape)}")
    if not bool(tensor.isfinite().all()):
        raise ValueError(f"{name} holds numbers that are not finite (NaN or infinite)")
    return tensor


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < LARGEST:
        raise ValueError(f"its record of chunks has {str(value)[:50]!r} where a count was expected")
    return value
