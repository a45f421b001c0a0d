"""Pairs of predicted and true depth at the valid pixels of a whole video, in bounded memory.

A video is one long list of pixels. It is added frame by frame and gone through as often as needed in blocks that fit
into the processor's cache. What exceeds the limit lies in an unnamed temporary file and is read into one buffer, so the
process stays as small for an hour of video as for a minute. (The file is in the system's folder for such files; TMPDIR
names another one, with 8 to 13 bytes for each valid pixel.)

Where the frames begin and end leaves no trace: the same pixels in the same order give the same blocks.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

BLOCK = 65_536  # pixels: the few arrays of this length that a formula needs stay in the cache
MEMORY_LIMIT = 64 * 2**20  # bytes: a dozen frames; reading from the system's file cache is hardly slower
DISPARITY_GUARD = 1e-8


class PairBlock(NamedTuple):
    """Views into a buffer: they hold until the next block is asked for."""

    prediction: Float32[np.ndarray, "n"]
    target: Float[np.ndarray, "n"]  # float32 or float64, as it was added
    kept: Bool[np.ndarray, "n"] | None  # pixels to score; None for all. Alignments use the others too


@runtime_checkable
class PairSource(Protocol):
    """What alignments need: pairs that can be gone through again and again."""

    def __len__(self) -> int: ...

    def blocks(self) -> Iterator[PairBlock]: ...


class DepthPairs:
    """The valid pixels so far. Close it, or use it in a `with`, to be rid of the file.

    Attributes:
        not_finite: How many pixels to score have a prediction that is not finite.
    """

    def __init__(self, *, keep_failed: bool = False, memory_limit: int = MEMORY_LIMIT) -> None:
        """Start without pixels.

        Args:
            keep_failed: Keep pixels whose prediction is not finite, instead of only counting them.
            memory_limit: Bytes of pixels in memory; more go to the file.
        """
        self.not_finite = 0
        self._keep_failed = keep_failed
        self._memory_limit = memory_limit
        self._layout: _Layout | None = None  # known from the first pixels on
        self._in_memory: list[UInt8[np.ndarray, "bytes"]] = []
        self._file: FileIO | None = None
        self._blocks_in_file = 0
        self._last = np.empty(0, np.uint8)  # the block being filled
        self._filled = 0

    def add(
        self,
        prediction: Float32[np.ndarray, "*shape"],
        target: Float[np.ndarray, "*shape"],
        valid: Bool[np.ndarray, "*shape"],
        kept: Bool[np.ndarray, "*shape"] | None = None,
    ) -> None:
        """Add the valid pixels of a frame, or of several.

        Args:
            target: float32 or float64, and always the same.
            kept: The valid pixels to score, where not all are; given for every frame or for none.

        Raises:
            ValueError: Another kind of target, or with a mask, than before.
        """
        p, g, k = prediction[valid], target[valid], None if kept is None else kept[valid]
        finite = np.isfinite(p)
        if not finite.all():
            self.not_finite += int(np.count_nonzero(~finite if k is None else ~finite & k))
            if not self._keep_failed:
                p, g, k = p[finite], g[finite], None if k is None else k[finite]
        self.append(p, g, k)

    def append(
        self,
        prediction: Float32[np.ndarray, "n"],
        target: Float[np.ndarray, "n"],
        kept: Bool[np.ndarray, "n"] | None = None,
    ) -> None:
        """Add pixels as they are, and count nothing."""
        layout = self._layout_for(target, kept)
        columns = [column for column in (prediction, target, kept) if column is not None]
        start = 0
        while start < len(target):
            end = min(start + BLOCK - self._filled, len(target))
            for own, column in zip(layout.columns(self._last), columns, strict=True):
                own[self._filled : self._filled + end - start] = column[start:end]
            self._filled += end - start
            start = end
            if self._filled == BLOCK:
                self._put_away(layout)

    def blocks(self) -> Iterator[PairBlock]:
        """Go through all pixels in the order in which they came."""
        if self._layout is None:
            return
        for buffer in self._in_memory:
            yield self._layout.block(buffer, BLOCK)
        if self._file is not None:
            buffer = np.empty_like(self._last)
            for index in range(self._blocks_in_file):
                self._file.seek(index * len(buffer))
                if self._file.readinto(buffer.data) != len(buffer):
                    raise OSError("the temporary file with the pixels of this video is shorter than what was written")
                yield self._layout.block(buffer, BLOCK)
        if self._filled:
            yield self._layout.block(self._last, self._filled)

    def __len__(self) -> int:
        return (len(self._in_memory) + self._blocks_in_file) * BLOCK + self._filled

    @property
    def bytes_in_file(self) -> int:
        return self._blocks_in_file * self._layout.block_bytes if self._layout else 0

    def close(self) -> None:
        """Forget all pixels."""
        if self._file is not None:
            self._file.close()
        self._file, self._layout = None, None
        self._in_memory, self._blocks_in_file, self._filled = [], 0, 0

    def __enter__(self) -> "DepthPairs":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _layout_for(self, target: np.ndarray, kept: np.ndarray | None) -> "_Layout":
        layout = _Layout(target.dtype, kept is not None)
        if self._layout is None:
            if target.dtype not in (np.float32, np.float64):
                raise ValueError(f"the true depth is {target.dtype}; convert it to float32 or float64")
            self._layout, self._last = layout, np.empty(layout.block_bytes, np.uint8)
        if layout != self._layout:
            raise ValueError(f"these pixels have {layout}, those before had {self._layout}; add all frames alike")
        return layout

    def _put_away(self, layout: "_Layout") -> None:
        """Store the full block, and start the next."""
        self._filled = 0
        if (len(self._in_memory) + 1) * layout.block_bytes <= self._memory_limit:
            self._in_memory.append(self._last)
            self._last = np.empty_like(self._last)
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (open until close)
        self._file.seek(self._blocks_in_file * layout.block_bytes)
        if self._file.write(self._last.data) != layout.block_bytes:
            raise OSError(f"the temporary folder {tempfile.gettempdir()} is full; set TMPDIR to a larger one")
        self._blocks_in_file += 1


@dataclass(frozen=True)
class InverseTargets:
    """The same pairs with disparity as target, for predictions that are disparities."""

    pairs: DepthPairs

    def __len__(self) -> int:
        return len(self.pairs)

    def blocks(self) -> Iterator[PairBlock]:
        """Go through all pixels; targets are in 1 / metres."""
        for block in self.pairs.blocks():
            yield block._replace(target=1 / (block.target + DISPARITY_GUARD))


@dataclass(frozen=True)
class _Layout:
    """How the columns of a block lie behind each other in its buffer."""

    target: np.dtype
    has_mask: bool

    @property
    def block_bytes(self) -> int:
        return BLOCK * (4 + self.target.itemsize + self.has_mask)

    def columns(self, buffer: UInt8[np.ndarray, "bytes"]) -> list[np.ndarray]:
        mask_at = BLOCK * (4 + self.target.itemsize)
        columns = [buffer[: BLOCK * 4].view(np.float32), buffer[BLOCK * 4 : mask_at].view(self.target)]
        return [*columns, buffer[mask_at:].view(np.bool_)] if self.has_mask else columns

    def block(self, buffer: UInt8[np.ndarray, "bytes"], pixels: int) -> PairBlock:
        prediction, target, *kept = (column[:pixels] for column in self.columns(buffer))
        return PairBlock(prediction, target, kept[0] if kept else None)
