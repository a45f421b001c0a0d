"""Who decides, after a frame's result is known, whether the frame stays in the state: keyframes, resets."""

from collections.abc import Callable
from enum import Enum

from cut3r.inference.result import FrameResult


class Write(Enum):
    """What becomes of the state after a frame."""

    keep = "keep"  # the frame has been written
    drop = "drop"  # it has not: the state is as before it, though its result stands
    reset = "reset"  # it has been, and then the stream is forgotten: the next frame begins a new world and chunk


# Asked once for each frame of a stream, in order. The session then waits for each result before the next step.
Policy = Callable[[FrameResult], Write]
