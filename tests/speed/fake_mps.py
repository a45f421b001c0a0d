"""Apple's GPU, without one: tensors that say they are on `mps` and compute on the CPU, as strictly as the real device.

Refused, with the words of PyTorch: float64 on the device, tensors of the device and of the host in one operation,
operators that PyTorch has not written for it (by the list of operators that comes with PyTorch; what composite ones
call inside is not always seen), NumPy arrays of device tensors, and copies to the host that do not wait. CUDA's
functions need no forgery: they fail on machines without CUDA as they do on a Mac.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torchgen
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

aten, COMPOSITE = torch.ops.aten, torch._C.DispatchKey.CompositeImplicitAutograd
MPS, CPU = torch.device("mps:0"), torch.device("cpu")
FROM_OR_TO_HOST = {aten._to_copy.default, aten.copy_.default, aten._local_scalar_dense.default}
INDICES_FROM_HOST = {aten.index.Tensor, aten.index_put_.default}
WHOLE = {aten.scaled_dot_product_attention.default}  # consists of others, among them one for the device alone


class OnMps(Tensor):
    """A tensor that says it is on the device. `inner` has its numbers."""

    @staticmethod
    def __new__(cls, inner: Tensor) -> "OnMps":
        if inner.dtype in (torch.float64, torch.complex128):
            raise TypeError(
                f"Cannot convert a MPS Tensor to {inner.dtype}: MPS doesn't support it, use float32 instead"
            )
        return Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=MPS,
        )

    def __init__(self, inner: Tensor) -> None:
        self.inner = inner

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


class FakeMps(TorchDispatchMode):
    """Makes what is asked for on the device; `operators` are the names of those that ran there."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {}, self)


class Bindings(TorchFunctionMode):
    """Goes around what a PyTorch without MPS does before it asks a tensor: it looks the device up.

    Names the device by its number, and does here what methods of tensors do there.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args = tuple(numbered(each) for each in args)
        kwargs = {name: numbered(value) for name, value in (kwargs or {}).items()}
        if args and isinstance(args[0], OnMps):
            if func is Tensor.numpy:
                raise TypeError("can't convert mps:0 device type tensor to numpy. Use Tensor.cpu() first")
            if func is Tensor.tolist:
                return args[0].inner.tolist()
            if func is Tensor.__invert__:
                return torch.bitwise_not(args[0])
            if func is Tensor.contiguous:
                return aten.contiguous.default(*args, **kwargs)
            if func is Tensor.__getitem__:
                return wrapped(args[0].inner[changed(inner, (args[1],))[0]], {})
            if func is Tensor.__setitem__:
                args[0].inner[changed(inner, (args[1],))[0]] = inner(args[2])
                return None
        return func(*args, **kwargs)


def numbered(value: object) -> object:
    is_device = isinstance(value, str | torch.device) and str(value) == "mps"
    return MPS if is_device else value


@contextmanager
def fake_mps(monkeypatch: Any) -> Iterator[FakeMps]:
    """A machine with such a device, in this thread."""
    monkeypatch.setattr("cut3r.speed.device._has_mps", lambda: True)
    with FakeMps() as mode, Bindings():
        yield mode


def compute(func: Any, args: Any, kwargs: dict[str, Any], mode: FakeMps | None = None) -> Any:
    tensors = [each for each in leaves((*args, *kwargs.values())) if isinstance(each, Tensor)]
    ours = [each for each in tensors if isinstance(each, OnMps)]
    asked = kwargs.get("device")
    there = bool(ours) if asked is None else torch.device(asked).type == "mps"
    if not ours and not there:
        return func(*args, **kwargs)
    if not is_written_for_mps(func):
        if func.has_kernel_for_dispatch_key(COMPOSITE):
            return decomposed(func, args, kwargs, mode)
        raise NotImplementedError(f"The operator '{func}' is not currently implemented for the MPS device")
    if mode is not None:
        mode.operators.add(str(func))
    check_devices(func, args, tensors, ours, kwargs)
    on_host = {key: CPU if key == "device" and value is not None else value for key, value in kwargs.items()}
    result = func(*changed(inner, args), **dict(zip(on_host, changed(inner, on_host.values()), strict=True)))
    if func is aten.copy_.default and not isinstance(args[0], OnMps):
        return args[0]
    if not there or func is aten._local_scalar_dense.default:
        return result
    by_inner = {id(each.inner): each for each in ours}  # in-place operators give back what they got
    return changed(lambda each: wrapped(each, by_inner), (result,))[0]


def decomposed(func: Any, args: Any, kwargs: dict[str, Any], mode: FakeMps | None) -> Any:
    """Look into an operator that consists of others."""
    if mode is None:
        return func._op_dk(COMPOSITE, *args, **kwargs)
    with mode:
        return func._op_dk(COMPOSITE, *args, **kwargs)


def check_devices(func: Any, args: Any, tensors: list[Tensor], ours: list[OnMps], kwargs: dict[str, Any]) -> None:
    if func in FROM_OR_TO_HOST:
        waits = not (kwargs.get("non_blocking") or (func is aten.copy_.default and len(args) > 2 and args[2]))
        to_host = torch.device(kwargs.get("device") or MPS).type == "cpu" or not isinstance(args[0], OnMps)
        assert waits or not (ours and to_host), (
            "a copy to the host that does not wait gives numbers that are not there yet"
        )
        return
    if func in INDICES_FROM_HOST:
        tensors = [args[0], *args[2:3]]
    strangers = [each for each in tensors if not isinstance(each, OnMps) and each.ndim]
    if ours and strangers:
        raise RuntimeError(f"Expected all tensors to be on the same device, but {func} got one of mps:0 and one of cpu")


def wrapped(value: object, known: dict[int, OnMps]) -> object:
    if not isinstance(value, Tensor):
        return value
    if id(value) in known:
        return known[id(value)]
    with torch.inference_mode(False):  # so that PyTorch can note which tensor it is a view of
        return OnMps(value)


def leaves(values: Iterable[Any]) -> Iterator[Any]:
    """Arguments of operators are values, or lists of them."""
    for value in values:
        yield from leaves(value) if isinstance(value, list | tuple) else (value,)


def changed(change: Callable[[Any], Any], values: Iterable[Any]) -> list[Any]:
    return [
        type(value)(changed(change, value)) if isinstance(value, list | tuple) else change(value) for value in values
    ]


def inner(value: object) -> object:
    return value.inner if isinstance(value, OnMps) else value


@cache
def is_written_for_mps(func: Any) -> bool:
    """Whether PyTorch has the operator for the device, or one that works on every device."""
    operators = written()
    name = func.name().removeprefix("aten::")
    if func in WHOLE:
        return True
    if func.namespace != "aten" or name not in operators:
        return func.namespace in ("prim", "aten")
    keys, delegate = operators[name]
    if delegate:
        keys = keys | operators[delegate][0]
    return any("MPS" in key or key.startswith("CompositeExplicit") for key in keys)


@cache
def written() -> dict[str, tuple[frozenset[str], str]]:
    """PyTorch's operators: for which devices each is written, and the other one that a structured one delegates to."""
    text = (Path(torchgen.__file__).parent / "packaged/ATen/native/native_functions.yaml").read_text()
    found = {}
    for block in re.split(r"^- func: ", text, flags=re.MULTILINE)[1:]:
        name = block.split("(", 1)[0]
        lines = (
            re.findall(r"^    ([\w, ]+): \w+", block.split("  dispatch:\n")[1], re.M)
            if "  dispatch:\n" in block
            else []
        )
        delegate = re.search(r"^  structured_delegate: ([\w.]+)", block, re.MULTILINE)
        found[name] = (frozenset(key for line in lines for key in line.split(", ")), delegate[1] if delegate else "")
    return found
