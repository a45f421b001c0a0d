"""Protocol buffer messages, without their library and without generated code: fields by number, decoded on demand.

Repeated numbers may be packed or stand one by one, also mixed, and a message that comes in several parts is merged, as
the format demands. Source: https://protobuf.dev/programming-guides/encoding/.
"""

from collections import defaultdict
from enum import IntEnum

import numpy as np
from jaxtyping import Float32, Float64, Int64

VARINT_BYTES = 10  # of 64 bits, at most; what negative numbers take


class Wire(IntEnum):
    """How a field is stored."""

    varint = 0
    eight_bytes = 1
    counted = 2  # texts, messages, packed numbers
    four_bytes = 5


class Message:
    """The fields of a message. One that is absent is empty: no bytes, no numbers, a message without fields."""

    def __init__(self, data: bytes | memoryview) -> None:
        """Find the fields.

        Raises:
            ValueError: The data is no message.
        """
        self._fields: dict[int, list[tuple[Wire, int | memoryview]]] = defaultdict(list)
        view, at = memoryview(data), 0
        while at < len(view):
            key, at = _varint(view, at)
            wire, number = _wire(key & 7), key >> 3
            value: int | memoryview
            if wire is Wire.varint:
                value, at = _varint(view, at)
            else:
                length = {Wire.eight_bytes: 8, Wire.four_bytes: 4}.get(wire, 0)
                if wire is Wire.counted:
                    length, at = _varint(view, at)
                if at + length > len(view):
                    raise ValueError(f"field {number} of a message has {length} bytes, {len(view) - at} are left")
                value, at = view[at : at + length], at + length
            self._fields[number].append((wire, value))

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def bytes(self, number: int) -> memoryview:
        """Give the last value of a field of bytes."""
        return self._counted(number)[-1] if number in self else memoryview(b"")

    def text(self, number: int) -> str:
        return str(self.bytes(number), "utf-8")

    def message(self, number: int) -> "Message":
        """Give a message of which there is one at most; several are its parts."""
        return Message(b"".join(self._counted(number)))

    def messages(self, number: int) -> list["Message"]:
        return [Message(value) for value in self._counted(number)]

    def integer(self, number: int) -> int:
        """Give the last number of a field, 0 if there is none."""
        numbers = self.integers(number)
        return int(numbers[-1]) if len(numbers) else 0

    def integers(self, number: int) -> Int64[np.ndarray, "n"]:
        """Give all numbers of a field of int32, int64, bool or enum."""
        parts = [np.zeros(0, np.int64)]
        single: list[int] = []
        for wire, value in self._fields.get(number, []):
            if isinstance(value, int):
                single.append(value)
                continue
            self._expect(wire is Wire.counted, number, "whole numbers")
            parts += [_signed(single), decode_varints(value)]
            single = []
        return np.concatenate([*parts, _signed(single)])

    def floats(self, number: int) -> Float32[np.ndarray, "n"]:
        return self._numbers(number, Wire.four_bytes, "<f4")

    def doubles(self, number: int) -> Float64[np.ndarray, "n"]:
        return self._numbers(number, Wire.eight_bytes, "<f8")

    def _numbers(self, number: int, wire: Wire, dtype: str) -> np.ndarray:
        values = self._fields.get(number, [])
        size = np.dtype(dtype).itemsize
        parts = [value for kind, value in values if kind in (wire, Wire.counted) and not isinstance(value, int)]
        whole = len(parts) == len(values) and all(len(part) % size == 0 for part in parts)
        self._expect(whole, number, f"numbers of {size} bytes")
        return np.frombuffer(b"".join(parts), dtype)

    def _counted(self, number: int) -> list[memoryview]:
        values = self._fields.get(number, [])
        counted = [value for wire, value in values if wire is Wire.counted and not isinstance(value, int)]
        self._expect(len(counted) == len(values), number, "bytes")
        return counted

    def _expect(self, fits: bool, number: int, what: str) -> None:
        if not fits:
            raise ValueError(f"field {number} of a message holds something else; expected {what}")


def decode_varints(data: bytes | memoryview) -> Int64[np.ndarray, "n"]:
    """Decode numbers of seven bits per byte, lowest first; the last byte of each is below 128.

    Raises:
        ValueError: The last number is broken off, or one has more than 64 bits.
    """
    values = np.frombuffer(data, np.uint8)
    if not len(values):
        return np.zeros(0, np.int64)
    ends = np.flatnonzero(values < 128)
    if not len(ends) or ends[-1] != len(values) - 1:
        raise ValueError("the last of packed numbers is broken off")
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > VARINT_BYTES:
        raise ValueError(f"a packed number has {lengths.max()} bytes; expected {VARINT_BYTES} at most")
    numbers = np.zeros(len(ends), np.uint64)
    for k in range(int(lengths.max())):
        longer = np.flatnonzero(lengths > k)
        numbers[longer] |= (values[starts[longer] + k] & np.uint8(127)).astype(np.uint64) << np.uint64(7 * k)
    return numbers.view(np.int64)


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """Decode the number at a place; give it and the place behind it."""
    number = 0
    for k, byte in enumerate(view[at : at + VARINT_BYTES]):
        number |= (byte & 127) << 7 * k
        if byte < 128:
            return number & 0xFFFFFFFFFFFFFFFF, at + k + 1
    raise ValueError("a number of a message is broken off")


def _wire(code: int) -> Wire:
    if code not in set(Wire):
        raise ValueError(f"a field of a message is stored in the way {code}, which is not known; expected 0, 1, 2 or 5")
    return Wire(code)


def _signed(numbers: list[int]) -> Int64[np.ndarray, "n"]:
    return np.array(numbers, np.uint64).view(np.int64)
