"""How a job ended: done, left out on purpose, or failed; and by which rule it was made."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any


class Outcome(Enum):
    """A job that failed may succeed another time; one that was left out will not."""

    done = "done"
    left_out = "left out"
    failed = "failed"


class LeftOut(Exception):
    """Raised by a job that is left out on purpose, for the reason that is the message."""


@dataclass(frozen=True)
class Rule:
    """What decides how results look: they are made again when it changes.

    `options` are those of the program, as JSON knows them.
    """

    version: int = 1
    parity: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """What a job gives when it is done.

    `left_out` holds the frames that were not made, each with its reason; `written` counts bytes; `facts` (JSON) are
    for whoever reads the record; `remark` is for the log.
    """

    frames: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    written: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """How the job of a scene ended, and what it was made from.

    `reason` says why if it is not done. `raw` is the fingerprint of its sources and `size` their bytes, `written` the
    bytes of its results. `options` is None in records of older versions, which knew none; their `raw` may be empty.
    `finished` counts seconds since 1970. `trace` is where an unexpected error came from; it is not kept in files.
    """

    scene: str
    outcome: Outcome
    frames: tuple[str, ...] = ()
    reason: str = ""
    seconds: float = 0.0
    version: int = 1
    parity: bool = False
    raw: str = ""
    options: Mapping[str, Any] | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0
    written: int = 0
    finished: float = 0.0
    remark: str = ""
    trace: str = ""

    @property
    def done(self) -> bool:
        return self.outcome is Outcome.done

    @property
    def failed(self) -> bool:
        return self.outcome is Outcome.failed

    def follows(self, rule: Rule) -> bool:
        """Tell whether it was made as this rule says; records of older versions count as made with any options."""
        return (self.version, self.parity) == (rule.version, rule.parity) and self.options in (None, rule.options)

    def to_json(self) -> str:
        """One line; what is long comes last, so that readers may leave it out."""
        values = ((name, getattr(self, name)) for name in _SHORT)
        content = {name: value for name, value in values if value or name in ("scene", "version", "options")}
        return json.dumps({**content, "outcome": self.outcome.value, "facts": self.facts, "frames": self.frames})

    @classmethod
    def from_json(cls, text: bytes, *, with_frames: bool = True) -> "Record":
        """Read a line, or the content of a file of older versions, which said `done` instead of `outcome`.

        Raises:
            ValueError: It is no record.
        """
        return cls._from_content(_decode((text if with_frames else _head(text)).decode()), with_frames=with_frames)

    @classmethod
    def from_lines(cls, lines: Sequence[bytes], *, with_frames: bool = True) -> "list[Record]":
        """Read many lines at once, with half the calls.

        Raises:
            ValueError: One of them is no record.
        """
        text = b",".join(line if with_frames else _head(line.strip()) for line in lines)
        contents = _decode(f"[{text.decode()}]")
        if len(contents) != len(lines):
            raise ValueError(f"{len(lines)} lines hold {len(contents)} values")
        return [cls._from_content(content, with_frames=with_frames) for content in contents]

    @classmethod
    def _from_content(cls, content: Any, *, with_frames: bool) -> "Record":
        try:
            outcome = content.get("outcome", "done" if content.get("done") else "failed")
            frames = tuple(content["frames"]) if with_frames and "frames" in content else ()
            if not with_frames:
                content["facts"] = {}
            known = {name: content[name] for name in _NAMES & content.keys()}
            return cls(outcome=_OUTCOMES[outcome], frames=frames, **known)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"this is no record of a job: {error}") from error


def _head(line: bytes) -> bytes:
    """Cut off what is long: reading it takes most of the time. No other key has an object with this name, and inside of
    texts JSON writes \\" for each quotation mark."""
    start = line.find(_LONG)
    return line[:start] + b"}" if start >= 0 else line


_decode = json.JSONDecoder().decode  # json.loads would look for the encoding of each of 200,000 lines
_LONG = b', "facts": {'
_SHORT = tuple(each.name for each in fields(Record) if each.name not in ("outcome", "facts", "frames", "trace"))
_NAMES = frozenset((*_SHORT, "facts"))
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
