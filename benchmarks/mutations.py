"""Ways to damage a file, from a flipped bit to a forged header: each takes good bytes and returns bad ones.

All randomness comes from the generator that is passed in, so a mutation can be made again from its seed.
"""

import contextlib
import io
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

Mutation = Callable[[Random, bytes], bytes]

NASTY_NUMBERS = (0, -1, 1, 2, 3, 7, 255, 10**6, 2**31, 2**63, -(2**63), 10**30, 10**400, 0.5, 2.0, 1e308, -0.0)
NASTY_VALUES: tuple[Any, ...] = (
    *NASTY_NUMBERS,
    *(None, True, False, "", "x", "16", "nan", "\n", "\x00", "\ud800", "a" * 5000, "../../etc/passwd"),
    *([], {}, [1], [[]], {"a": 1}, ["a", "b"], [0, 0], [-5, 7], [10**30] * 2, float("nan"), float("inf")),
)
DTYPES = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool, torch.complex64)
ARRAY_TYPES = ("f8", "f2", ">f4", "i8", "u1", "?", "c8", "U3", "S2")
SPANS = (1, 4, 8, 64, 1000)


def flip_bits(rng: Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 3, 20))):
        changed[_place(rng, content)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(rng: Random, content: bytes) -> bytes:
    return content[: rng.choice((0, 1, rng.randrange(len(content)), rng.randrange(len(content)), len(content) - 1))]


def zero_span(rng: Random, content: bytes) -> bytes:
    start = _place(rng, content)
    end = min(len(content), start + rng.choice(SPANS))
    return content[:start] + bytes(end - start) + content[end:]


def delete_span(rng: Random, content: bytes) -> bytes:
    start = _place(rng, content)
    return content[:start] + content[start + rng.choice(SPANS) :]


def repeat_span(rng: Random, content: bytes) -> bytes:
    start = _place(rng, content)
    end = start + rng.choice(SPANS)
    return content[:end] + content[start:]


def insert_noise(rng: Random, content: bytes) -> bytes:
    place = rng.choice((_place(rng, content), len(content)))
    return content[:place] + rng.randbytes(rng.choice(SPANS)) + content[place:]


def huge_number(rng: Random, content: bytes) -> bytes:
    """Overwrite what may be a length, an offset or a count."""
    size = rng.choice((2, 4, 8))
    number = rng.choice((2 ** (8 * size) - 1, 2 ** (8 * size - 1), 2 ** (8 * size - 1) - 1, 2 ** (4 * size)))
    place = _place(rng, content)
    return content[:place] + number.to_bytes(size, "little") + content[place + size :]


def change_digits(rng: Random, content: bytes) -> bytes:
    """Exchange a number that is written out: a shape, an offset, a setting."""
    found = list(re.finditer(rb"\d+", content))
    if not found:
        return flip_bits(rng, content)
    number = rng.choice(found)
    value = str(rng.choice(NASTY_NUMBERS)).encode()
    return content[: number.start()] + value + content[number.end() :]


BYTES: tuple[Mutation, ...] = (
    *(flip_bits, flip_bits, flip_bits, cut, cut, zero_span, delete_span),
    *(repeat_span, insert_noise, huge_number, huge_number, change_digits, change_digits),
)


def _place(rng: Random, content: bytes) -> int:
    """A place in the file, more often near an end: that is where headers and tables of contents are."""
    last = len(content) - 1
    return max(0, rng.choice((rng.randint(0, last), min(last, rng.randrange(600)), last - rng.randrange(600))))


def json_value(rng: Random, content: bytes) -> bytes:
    """Exchange, remove, rename or bury one entry of a JSON text, or of a JSON text inside it."""
    return json.dumps(mutated_value(rng, json.loads(content))).encode("utf-8", "surrogatepass")


def mutated_value(rng: Random, value: Any) -> Any:
    inner = _inner_json(value)
    if inner is not None and rng.random() < 0.8:
        return json.dumps(mutated_value(rng, inner))
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not keys or rng.random() < 0.05:
        return rng.choice((*NASTY_VALUES, [value], {"a": value}))
    key = rng.choice(keys)
    changed = value.copy()
    match rng.randrange(8):
        case 0:
            del changed[key]
        case 1 if isinstance(value, dict):
            changed[rng.choice((f"{key}x", "", "__class__", "_orig_mod." + str(key)))] = changed.pop(key)
        case _:
            changed[key] = mutated_value(rng, value[key])
    return changed


def _inner_json(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("{"):
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return None


def safetensors_header(rng: Random, content: bytes) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header = json_value(rng, content[8 : 8 + length])
    claimed = len(header) if rng.random() < 0.9 else rng.choice((0, 1, 2**20, 2**40, 2**63, len(header) + 8))
    return claimed.to_bytes(8, "little") + header + content[8 + length :]


def safetensors_tensors(rng: Random, content: bytes) -> bytes:
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    tensors = mutated_tensors(rng, safetensors.torch.load(content), dense=True)
    return safetensors.torch.save({name: tensor.clone() for name, tensor in tensors.items()}, metadata)


def mutated_tensors(rng: Random, tensors: dict[str, Tensor], *, dense: bool = False) -> dict[str, Any]:
    """Change, remove, rename or add one entry."""
    changed: dict[str, Any] = dict(tensors)
    name = rng.choice(list(tensors))
    tensor = tensors[name]
    match rng.randrange(6):
        case 0:
            del changed[name]
        case 1:
            changed[rng.choice((f"{name}x", f"module.{name}", f"x.{name}", "\n", ""))] = changed.pop(name)
        case 2:
            changed["extra"] = tensor.clone()
        case _:
            changed[name] = mutated_tensor(rng, tensor, dense=dense)
    return changed


def mutated_tensor(rng: Random, tensor: Tensor, *, dense: bool) -> Any:
    changes: list[Callable[[], Any]] = [
        lambda: _filled(rng, tensor, rng.choice((torch.nan, torch.inf, -torch.inf, 3e38))),
        lambda: _filled(rng, tensor, rng.choice((torch.nan, torch.inf))),
        lambda: tensor.to(rng.choice(DTYPES)),
        lambda: tensor.reshape(-1)[: rng.randrange(tensor.numel() + 1)].clone(),
        lambda: torch.cat((tensor, tensor)) if tensor.ndim else tensor.reshape(1, 1),
        lambda: tensor[None].clone(),
        lambda: tensor.reshape(-1)[:1].reshape(()).clone(),
    ]
    if not dense:
        changes += [
            lambda: tensor.reshape(-1)[:1].expand(rng.choice((2**20, 2**40))),
            lambda: tensor.to("meta"),
            lambda: torch.sparse_coo_tensor(torch.zeros(1, 1, dtype=torch.int64), torch.ones(1), check_invariants=True),
            lambda: rng.choice(NASTY_VALUES),
        ]
    return rng.choice(changes)()


def _filled(rng: Random, tensor: Tensor, value: float) -> Tensor:
    changed = tensor.clone() if tensor.is_floating_point() else tensor.double()
    if changed.numel():
        changed.view(-1)[rng.randrange(changed.numel())] = value
    return changed


def torch_content(rng: Random, content: bytes) -> bytes:
    """What `torch.save` makes of other content of the same kind, in the format of today or that of 2019."""
    loaded = torch.load(io.BytesIO(content), weights_only=False)  # the good file, which is ours
    match rng.randrange(4):
        case 0:
            loaded["args"] = rng.choice((*NASTY_VALUES, {"model": rng.choice(NASTY_VALUES)}))
        case 1:
            loaded = mutated_value(rng, loaded | {"model": None}) if rng.random() < 0.3 else loaded["model"]
        case _:
            loaded["model"] = mutated_tensors(rng, loaded["model"])
    file = io.BytesIO()
    torch.save(loaded, file, _use_new_zipfile_serialization=rng.random() < 0.8)
    return file.getvalue()


def npz_arrays(rng: Random, content: bytes) -> bytes:
    with np.load(io.BytesIO(content)) as file:
        arrays: dict[str, Any] = {name: file[name] for name in file.files}
    name = rng.choice(list(arrays))
    match rng.randrange(6):
        case 0:
            del arrays[name]
        case 1:
            arrays[f"{name}x"] = arrays.pop(name)
        case _:
            arrays[name] = _mutated_array(rng, arrays[name])
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _mutated_array(rng: Random, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "U" and array.ndim == 0 and rng.random() < 0.8:  # a text, mostly JSON
        return np.array(json_value(rng, str(array).encode()).decode("utf-8", "replace").replace("\0", "0"))
    changes: list[Callable[[], Any]] = [
        lambda: np.zeros(array.shape, rng.choice(ARRAY_TYPES)),
        lambda: array.reshape(-1)[: rng.randrange(array.size + 1)],
        lambda: np.repeat(array[None], 2, axis=0),
        lambda: np.asfortranarray(array),
        lambda: np.full(array.shape, rng.choice((np.nan, np.inf, -np.inf, 1e38)), "f4"),
        lambda: np.full(array.shape, rng.choice((0, -1, 2**30)), "i4"),
    ]
    return np.asarray(rng.choice(changes)())


def zip_members(rng: Random, content: bytes) -> bytes:
    """Drop, double, rename, exchange, compress or damage one member, with a CRC that agrees."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    place = rng.randrange(len(members))
    name, data = members[place]
    compression = zipfile.ZIP_STORED
    match rng.randrange(7):
        case 0:
            del members[place]
        case 1:
            members.append((name, rng.choice((data, b"", rng.choice(members)[1]))))
        case 2:
            members[place] = (rng.choice((f"{name}x", f"../{name}", "data.pkl", "a" * 60_000)), data)
        case 3:
            members[place] = (name, rng.choice(members)[1])
        case 4:
            compression = zipfile.ZIP_DEFLATED
        case _ if data:
            members[place] = (name, rng.choice(BYTES)(rng, data))
    return _zip(members, compression)


def deflate_bomb(rng: Random, content: bytes) -> bytes:
    """Exchange a member by megabytes of one byte, compressed to kilobytes."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    place = rng.randrange(len(members))
    members[place] = (members[place][0], rng.choice((b"\0", b"(", b"]")) * (rng.choice((1, 8)) << 20))
    return _zip(members, zipfile.ZIP_DEFLATED)


def _zip(members: list[tuple[str, bytes]], compression: int) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a doubled name
        with zipfile.ZipFile(file, "w", compression) as archive:
            for name, data in members:
                archive.writestr(name, data)
    return file.getvalue()


def pickle_member(rng: Random, content: bytes) -> bytes:
    """Damage the pickle in a file of `torch.save`, which is a program, or put another pickle in its place."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]

    def forged(data: bytes) -> bytes:
        if rng.random() < 0.2:
            return pickle.dumps(rng.choice(NASTY_VALUES), protocol=2)
        return rng.choice(BYTES)(rng, data)

    return _zip([(n, forged(data) if n.endswith("data.pkl") else data) for n, data in members], zipfile.ZIP_STORED)
