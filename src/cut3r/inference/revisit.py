"""Several passes over the same footage: the last one sees every frame with the knowledge of all."""

from collections.abc import Callable, Generator, Iterable

from cut3r.inference.result import FrameResult
from cut3r.inference.session import Session
from cut3r.io.frames import Frame


def revisit(
    session: Session,
    open_again: Callable[[int], Iterable[Frame]],
    *,
    passes: int = 2,
    freeze: bool = False,
    done: int = 0,
    lookahead: int = 0,
    on_absorbed: Callable[[int, Frame], None] | None = None,
) -> Generator[FrameResult, None, None]:
    """Show a session the same frames `passes` times and give the results of the last pass. One pass is plain streaming.

    The world stays the camera of the first frame of the first pass. Memory does not grow with the number of frames; the
    work does, with the number of passes.

    Args:
        open_again: Opens the footage, leaving out the first so many frames; called once per pass.
        freeze: Let only the first pass change the state. The last pass then sees each frame against the same knowledge,
            and their order does not matter.
        lookahead: Frames that are read ahead, as in `Session.stream`.
        done: Results that an interrupted run has already given; the session is where that run stopped.
        on_absorbed: Told the pass (from 0) and the frame after each frame of the earlier passes.

    Raises:
        ValueError: `passes` is below 1.
    """
    if passes < 1:
        raise ValueError(f"passes is {passes}, expected at least 1")
    earlier = 0 if done else passes - 1
    for number in range(min(earlier, 1) if freeze else earlier):  # a frozen pass changes nothing, so it can be left out
        for frame in session.absorb_stream(open_again(0), lookahead=lookahead):
            if on_absorbed is not None:
                on_absorbed(number, frame)
    yield from session.stream(open_again(done), lookahead=lookahead, update=passes == 1 or not freeze)
