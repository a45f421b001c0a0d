"""All that a session remembers, as a value, and in a file."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from cut3r.model.network import Cut3r
from cut3r.model.state import StreamState

Packed = tuple[dict[str, Tensor], dict[str, str]]


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
        "session.tokens": state.tokens.contiguous(),
        "session.memory": state.memory.contiguous(),
        "session.is_new": state.is_new,
        "session.focals": torch.tensor(snapshot.focals, dtype=torch.float64),
    }
    record = {"number": snapshot.number, "chunk": snapshot.chunk, "network": fingerprint(model)}
    return {name: tensor.clone() for name, tensor in tensors.items()}, {"cut3r.session": json.dumps(record)}


def unpack(tensors: dict[str, Tensor], metadata: dict[str, str], model: Cut3r, *, name: str) -> Snapshot:
    """Turn what `pack` gave into a snapshot again.

    Raises:
        ValueError: Not a saved session, or one of another network.
    """
    if "cut3r.session" not in metadata:
        raise ValueError(f"{name} is not a saved session; expected a file written by Session.save")
    record = json.loads(metadata["cut3r.session"])
    if record["network"] != fingerprint(model):
        raise ValueError(
            f"{name} was saved by a session of another network (or other weights); load the checkpoint it was made with"
        )
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
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a saved session ({error}); expected a file written by Session.save") from error


def fingerprint(model: Cut3r) -> str:
    """Tell networks apart by their configuration and a part of their weights that is cheap to read."""
    digest = hashlib.sha256(repr(model.config).encode())
    for part in (model.memory.slots, model.decoder.pose_token):
        digest.update(part.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()
