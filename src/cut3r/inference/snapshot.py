"""All that a session remembers, as a value, and in a file."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from cut3r.files.limits import shown
from cut3r.geometry.registration import Similarity
from cut3r.inference.chunk_file import is_origin
from cut3r.inference.chunk_points import is_similarity
from cut3r.inference.course import Course, is_of_course, pack_course, unpack_course
from cut3r.inference.given import Given, chained, scaling
from cut3r.inference.given_record import given_record, read_given
from cut3r.inference.result import FrameResult
from cut3r.model.network import Cut3r
from cut3r.model.state import StreamState
from cut3r.model.update import OVERWRITE, UpdateRule
from cut3r.weights.weight_file import read_safetensors

Packed = tuple[dict[str, Tensor], dict[str, str]]

RECORD, PREFIX = "cut3r.session", "session."
FOCALS, PLACE = f"{PREFIX}focals", f"{PREFIX}world_from_chunk"


@dataclass(frozen=True)
class Snapshot:
    """All that a session remembers: keep it to come back to this moment."""

    state: StreamState
    number: int = 0
    chunk: int = 0
    focals: tuple[float, ...] = ()
    world_from_chunk: Similarity | None = None  # None: at the origin
    rule: UpdateRule = OVERWRITE  # that wrote the state
    given: Given = field(default_factory=Given)  # what frames brought along
    course: Course = field(default_factory=Course)  # where it stands in its chunk, where streams are cut into chunks


def in_its_place(now: Snapshot, result: FrameResult) -> Snapshot:
    """With a place for the chunk of a result: that of the result; the scale of the stream for a new world."""
    place = result.world_from_chunk or scaling(now.given.scale)
    stands = None if is_origin(place) else place
    return replace(
        now, world_from_chunk=stands, course=replace(now.course, places=now.course.places.placed(result.chunk, place))
    )


def moved(now: Snapshot, step: Similarity) -> Snapshot:
    """With the whole world elsewhere."""
    places = {chunk: chained(step, place) for chunk, place in now.course.places.world_from_chunk.items()}
    there = replace(now.course.places, world_from_chunk=places, changed=places)
    return replace(now, world_from_chunk=places[now.chunk], course=replace(now.course, places=there))


def pack(snapshot: Snapshot, model: Cut3r) -> Packed:
    """Turn a snapshot into named tensors and text."""
    tensors = {PREFIX + name: tensor for name, tensor in snapshot.state.to("cpu").tensors().items()}
    tensors[FOCALS] = torch.tensor(snapshot.focals, dtype=torch.float64)
    tensors[PLACE] = (snapshot.world_from_chunk or Similarity.identity()).matrix().double()
    of_course, course = pack_course(snapshot.course)
    tensors |= of_course
    tensors = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    record = {"number": snapshot.number, "chunk": snapshot.chunk, "network": fingerprint(model), "course": course}
    record |= {"rule": repr(snapshot.rule), "given": given_record(snapshot.given)}
    return tensors, {RECORD: json.dumps(record | {"checksum": checksum(tensors, record)})}


def unpack(
    tensors: dict[str, Tensor], metadata: dict[str, str], model: Cut3r, rule: UpdateRule = OVERWRITE, *, name: str
) -> Snapshot:
    """Turn what `pack` gave into a snapshot again.

    Raises:
        ValueError: Not a saved session, a damaged one, or one of another network or another rule.
    """
    if RECORD not in metadata:
        raise ValueError(f"{name} is not a saved session; expected a file written by Session.save")
    record = _record(metadata[RECORD], name)
    if record.pop("checksum", None) != checksum(tensors, record):
        raise _damaged(name, "its content does not have the checksum that it was saved with")
    if record.get("network") != fingerprint(model):
        raise ValueError(
            f"{name} was saved by a session of another network (or other weights); load the checkpoint it was made with"
        )
    if (wrote := record.get("rule", repr(OVERWRITE))) != repr(rule):  # files from before there were rules have none
        raise ValueError(
            f"{name} was saved by a session that writes by {str(wrote)[:300]}, and this one by {rule!r}; "
            "make the session with that rule (update=...)"
        )
    _check_tensors(tensors, model, rule, name)
    for count in ("number", "chunk"):
        value = record.get(count)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
            raise _damaged(name, f"its {count} is {shown(value)} and not a count")
    course = Course()
    if "course" in record:  # files from before there were chunks have none
        try:
            course = unpack_course(tensors, record["course"], model.device)
        except ValueError as error:
            raise _damaged(name, str(error)) from error
    given = Given()
    if "given" in record:  # files from before anything could be given have none
        try:
            given = read_given(record["given"])
        except ValueError as error:
            raise _damaged(name, str(error)) from error
    own = {key: tensor for key, tensor in tensors.items() if key.startswith(PREFIX) and not is_of_course(key)}
    of_state = {key.removeprefix(PREFIX): tensor for key, tensor in own.items()}
    focals = tuple(of_state.pop(FOCALS.removeprefix(PREFIX)).tolist())
    place = of_state.pop(PLACE.removeprefix(PREFIX))
    moved = None if torch.equal(place, torch.eye(4).double()) else Similarity.from_matrix(place)
    state, number, chunk = StreamState.from_tensors(of_state), record["number"], record["chunk"]
    return Snapshot(state, number, chunk, focals, moved, rule, given, course)


def read_session_file(path: Path) -> Packed:
    """Read the tensors and the text of a file of `Session.save`.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a saved session.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no saved session at {path}")
    try:
        return read_safetensors(path)
    except ValueError as error:
        raise ValueError(f"{path} is not a saved session; expected a file written by Session.save") from error


def fingerprint(model: Cut3r) -> str:
    """Tell networks apart by their configuration and a part of their weights that is cheap to read."""
    digest = hashlib.sha256(repr(model.config).encode())
    for part in (model.memory.slots, model.decoder.pose_token):
        digest.update(part.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()


def _record(text: str, name: str) -> dict:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(name, "its record is no JSON") from error
    if not isinstance(record, dict):
        raise _damaged(name, f"its record is {shown(record)}")
    return record


@torch.inference_mode()
def _check_tensors(tensors: dict[str, Tensor], model: Cut3r, rule: UpdateRule, name: str) -> None:
    """Refuse tensors that are not the state of one stream through this network, written by this rule."""
    expected: dict[str, tuple[torch.dtype, list[int] | None]] = {
        PREFIX + key: (tensor.dtype, list(tensor.shape))
        for key, tensor in model.initial_state(1, rule).tensors().items()
    }
    expected |= {FOCALS: (torch.float64, None), PLACE: (torch.float64, [4, 4])}  # as many focals as there are
    ours = (key for key in tensors if key.startswith(PREFIX) and not is_of_course(key))
    if unknown := sorted(key for key in ours if key not in expected):
        raise _damaged(name, f"it holds {shown(unknown[0])}, which no session has")
    for key, (dtype, shape) in expected.items():
        tensor = tensors.get(key)
        if tensor is None:
            raise _damaged(name, f"{key} is missing")
        if tensor.dtype is not dtype or (tensor.ndim != 1 if shape is None else list(tensor.shape) != shape):
            raise _damaged(name, f"{key} is {tensor.dtype} {list(tensor.shape)} instead of {dtype} {shape or '[any]'}")
        if not tensor.isfinite().all():
            raise _damaged(name, f"{key} holds numbers that are not finite (NaN or infinite)")
    if not is_similarity(tensors[PLACE].numpy()):
        raise _damaged(name, f"{PLACE} is no rotation, scale and translation")
    if not (tensors[FOCALS] > 0).all():
        raise _damaged(name, "session.focals holds focal lengths that are not positive")


def checksum(tensors: dict[str, Tensor], record: dict) -> str:
    """The SHA-256 of everything that a saved session holds."""
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode())
    for key, tensor in sorted(tensors.items()):
        digest.update(f"{key} {tensor.dtype} {list(tensor.shape)}".encode())
        if tensor.numel():  # NumPy gives empty arrays strides that torch does not view as bytes
            digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _damaged(name: str, what: str) -> ValueError:
    return ValueError(f"{name} is a damaged saved session: {what}; go on from another copy, or start anew")
