"""How a job ended: done, left out on purpose, or failed; and by which rule it was made."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
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


@dataclass(frozen=True)
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
        """One line."""
        content = {**asdict(self), "outcome": self.outcome.value}
        del content["trace"]
        return json.dumps(content)

    @classmethod
    def from_json(cls, text: str | bytes, *, with_frames: bool = True) -> "Record":
        """Read a line, or the content of a file of older versions, which said `done` instead of `outcome`.

        Raises:
            ValueError: It is no record.
        """
        content = json.loads(text)
        try:
            old = Outcome.done if content.pop("done", False) else Outcome.failed
            outcome = Outcome(content.pop("outcome")) if "outcome" in content else old
            frames = tuple(content.pop("frames", ()))
            if not with_frames:
                frames, content["facts"] = (), {}
            known = {name: value for name, value in content.items() if name in _NAMES}
            return cls(outcome=outcome, frames=frames, **known)
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"this is no record of a job: {error}") from error


_NAMES = {each.name for each in fields(Record)} - {"outcome", "frames"}
