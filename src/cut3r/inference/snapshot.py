"""All that a session remembers, as a value, and in a file."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cut3r.model.config import shown
from cut3r.model.network import Cut3r
from cut3r.model.state import StreamState
from cut3r.weights.weight_file import read_safetensors

Packed = tuple[dict[str, Tensor], dict[str, str]]

RECORD = "cut3r.session"


@dataclass(frozen=True)
class Snapshot:
    """All that a session remembers: keep it to come back to this moment."""

    state: StreamState
    number: int = 0
    chunk: int = 0
    focals: tuple[float, ...] = ()


def pack(snapshot: Snapshot, model: Cut3r) -> Packed:
    """Turn a snapshot into named tensors and text."""
    state = snapshot.state.to("cpu")
    tensors = {
        "session.tokens": state.tokens,
        "session.memory": state.memory,
        "session.is_new": state.is_new,
        "session.focals": torch.tensor(snapshot.focals, dtype=torch.float64),
    }
    tensors = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    record = {"number": snapshot.number, "chunk": snapshot.chunk, "network": fingerprint(model)}
    return tensors, {RECORD: json.dumps(record | {"checksum": checksum(tensors, record)})}


def unpack(tensors: dict[str, Tensor], metadata: dict[str, str], model: Cut3r, *, name: str) -> Snapshot:
    """Turn what `pack` gave into a snapshot again.

    Raises:
        ValueError: Not a saved session, a damaged one, or one of another network.
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
    _check_tensors(tensors, model, name)
    for count in ("number", "chunk"):
        value = record.get(count)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
            raise _damaged(name, f"its {count} is {shown(value)} and not a count")
    state = StreamState(tensors["session.tokens"], tensors["session.memory"], tensors["session.is_new"])
    return Snapshot(state, record["number"], record["chunk"], tuple(tensors["session.focals"].tolist()))


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


def _check_tensors(tensors: dict[str, Tensor], model: Cut3r, name: str) -> None:
    """Refuse tensors that are not the state of one stream through this network."""
    state, memory = model.config.state, model.memory.slots
    expected = {
        "session.tokens": (torch.float32, [1, state.tokens, model.config.decoder.width]),
        "session.memory": (torch.float32, list(memory.shape)),
        "session.is_new": (torch.bool, [1]),
        "session.focals": (torch.float64, None),  # as many as there are
    }
    for key, (dtype, shape) in expected.items():
        tensor = tensors.get(key)
        if tensor is None:
            raise _damaged(name, f"{key} is missing")
        if tensor.dtype is not dtype or (tensor.ndim != 1 if shape is None else list(tensor.shape) != shape):
            raise _damaged(name, f"{key} is {tensor.dtype} {list(tensor.shape)} instead of {dtype} {shape or '[any]'}")
        if not tensor.isfinite().all():
            raise _damaged(name, f"{key} holds numbers that are not finite (NaN or infinite)")
    if not (tensors["session.focals"] > 0).all():
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
