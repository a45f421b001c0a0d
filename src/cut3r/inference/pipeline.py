"""Frames on their way through a session: read ahead, encoded together, steps launched before results are waited for."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Bool, UInt8
from torch import Tensor

from cut3r.inference.engine import Encoded, PendingPrediction
from cut3r.inference.prefetch import Prefetch
from cut3r.inference.preprocess import PixelMap
from cut3r.inference.snapshot import Snapshot
from cut3r.io.frame import Frame
from cut3r.model.state import StreamState

Result = TypeVar("Result")

IN_FLIGHT = 1  # steps that a GPU works on beyond the one whose result is waited for
ENCODED_TOGETHER = 4  # frames; on a GPU, a single one does not fill it


@dataclass(frozen=True)
class Prepared:
    """A frame as the network sees it."""

    frame: Frame
    image: UInt8[np.ndarray, "h w 3"]
    pixel_map: PixelMap
    counts: Bool[Tensor, "h w"]  # False in padding and where the frame's mask is


@dataclass(frozen=True)
class Launched:
    """A frame whose step has been started."""

    prepared: Prepared
    encoded: Encoded
    pending: PendingPrediction
    before: StreamState
    after: StreamState
    writes: bool = True  # whether the frame may change what is remembered


@dataclass(frozen=True)
class Pipeline(Generic[Result]):
    """The stages of a session. It obeys whoever changes the session between two results.

    Args:
        now: Where the session stands.
        asynchronous: Work is only started by a call and done later, as on a GPU.
        waits: Each step needs the result of the one before.
    """

    prepare: Callable[[Frame], Prepared]
    encode: Callable[[list[Prepared]], list[Encoded]]
    launch: Callable[[Prepared, Encoded, StreamState], Launched]
    finish: Callable[[Launched], Result]
    now: Callable[[], Snapshot]
    asynchronous: bool
    waits: bool = False

    def run(self, frames: Iterable[Frame], lookahead: int) -> Iterator[Result]:
        """Give the result of each frame, in order."""
        most = IN_FLIGHT if self.asynchronous and not self.waits else 0
        launched: deque[Launched] = deque()
        with Prefetch(frames, self.prepare, most=lookahead) as prepared:
            for each in chain(self._encoded(iter(prepared)), [None]):  # None: there are no more
                if each is not None:
                    launched.append(self.launch(*each, launched[-1].after if launched else self.now().state))
                while len(launched) > (0 if each is None else most):
                    result = self.finish(launched.popleft())
                    given = self.now()
                    yield result
                    if self.now() is not given:  # the caller reset, restored, pushed or absorbed meanwhile
                        launched = self._launch_again(launched)
            prepared.check()

    def _encoded(self, prepared: Iterator[Prepared]) -> Iterator[tuple[Prepared, Encoded]]:
        """Encode in blocks of frames of equal size; on a GPU each block before the one in front of it is decoded."""
        most, early = (ENCODED_TOGETHER, 1) if self.asynchronous else (1, 0)
        waiting: deque[tuple[list[Prepared], list[Encoded]]] = deque()
        for block in _blocks(prepared, most):
            waiting.append((block, self.encode(block)))
            if len(waiting) > early:
                yield from zip(*waiting.popleft(), strict=True)
        for rest in waiting:
            yield from zip(*rest, strict=True)

    def _launch_again(self, launched: Iterable[Launched]) -> deque[Launched]:
        """Repeat steps from where the session stands now."""
        again: deque[Launched] = deque()
        for each in launched:
            again.append(self.launch(each.prepared, each.encoded, again[-1].after if again else self.now().state))
        return again


def _blocks(prepared: Iterator[Prepared], most: int) -> Iterator[list[Prepared]]:
    """Successive frames of one size, at most so many together; a full block does not wait for the next frame."""
    block: list[Prepared] = []
    for each in prepared:
        if block and block[0].image.shape != each.image.shape:
            yield block
            block = []
        block.append(each)
        if len(block) == most:
            yield block
            block = []
    if block:
        yield block
