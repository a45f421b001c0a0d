"""What the page says in words: how far the stream is, how fast, how well it tracks, and what is drawn."""

import math
from dataclasses import dataclass
from datetime import timedelta

from cut3r.inference.quality import Trust
from cut3r.inference.result import FrameResult
from cut3r.inference.view import View

ELSEWHERE = (
    ": the stream was reset, and nobody has said where they stand beside these. Step to one of them to see its world."
)


def clock(seconds: float) -> str:
    """Minutes and seconds, as players show them; hours where there are some."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment_of(number: int, time_s: float | None) -> str:
    """When a frame was taken; pictures without a time are counted."""
    return f"frame {number}" if time_s is None or not math.isfinite(time_s) else clock(time_s)


class Tracking:
    """Follows how far results are to be trusted. `text` is one sentence, such as "Tracking good; lost at 1:12"."""

    def __init__(self) -> None:
        self._judged = False  # sessions judge where they cut streams or choose keyframes
        self._now = Trust.good
        self._since = ""
        self._lost: list[str] = []  # when it began, each time
        self._doubtful: set[int] = set()  # chunks

    def add(self, result: FrameResult | View) -> None:
        quality = result.quality if isinstance(result, FrameResult) else None
        trust = quality.trust if quality is not None else Trust.good
        if not result.camera_is_finite or not bool(result.valid.any()):
            trust = Trust.lost
        self._judged |= quality is not None
        time_s = result.time_s if isinstance(result, View) else result.frame.time_s
        if trust is not self._now:
            self._since = moment_of(result.number, time_s)
            self._now = trust
            if trust is Trust.lost:
                self._lost.append(self._since)
        if quality is not None and quality.is_doubtful:
            self._doubtful.add(result.chunk)

    def text(self) -> str:
        now = f"Tracking **{self._now.value}**" if self._judged else "Every frame has a camera"
        if self._now is not Trust.good:
            now = f"Tracking **{self._now.value}** since {self._since}"
        earlier = self._lost[:-1] if self._now is Trust.lost else self._lost
        said = [now]
        if earlier:
            more = f" and {len(earlier) - 3} times more" if len(earlier) > 3 else ""
            said.append(f"lost at {', '.join(earlier[:3])}{more}")
            said[0] = now if self._judged or self._now is not Trust.good else "Tracking **good**"
        if self._doubtful:
            count = len(self._doubtful)
            said.append(f"{count} chunk{'s' if count > 1 else ''} may stand wrong")
        return "; ".join(said)


@dataclass(frozen=True)
class Status:
    """Of the `frames` that arrived (of `expected`, if that is known) every `stride`-th is kept, with `points` drawn of
    those that are visible; of `lost` ones the camera was not finite; `elsewhere` ones of those kept stand in other
    worlds than the current one. `memory` and `tracking` are words."""

    frames: int = 0
    stride: int = 1
    points: int = 0
    queries: int = 0
    fps: float = 0.0
    finished: bool = False
    lost: int = 0
    elsewhere: int = 0
    expected: int | None = None
    seconds_left: float | None = None
    memory: str = ""
    tracking: str = ""
    moved: int = 0

    def text(self) -> str:
        if self.frames == 0:
            return "The stream ended without a frame." if self.finished else "Waiting for the first frame ..."
        of = f" of {self.expected:,}" if self.expected is not None and not self.finished else ""
        frames = f"{self.frames:,}{of} frame" + ("s" if self.frames > 1 or of else "")
        speed = f" · {self.fps:.1f} fps" if self.fps > 0 and not self.finished else ""
        left = "" if self.seconds_left is None or self.finished else f" · {_duration(self.seconds_left)} left"
        head = f"**{'Finished' if self.finished else 'Running'}** · {frames}{speed}{left}"
        lines = [f"{head} · {self.points:,} points{f' · {self.memory}' if self.memory else ''}"]
        lines += [f"{self.tracking}."] if self.tracking else []
        lines += [f"{self.lost} of them left out: their camera is not finite."] if self.lost else []
        lines += [f"{self.elsewhere} of those kept are hidden{ELSEWHERE}"] if self.elsewhere else []
        if self.stride > 1:
            lines.append(f"Showing every {self.stride}th frame, so that memory stays bounded.")
        return "\n\n".join(lines)


def _duration(seconds: float) -> str:
    return f"{timedelta(seconds=round(seconds))}"
