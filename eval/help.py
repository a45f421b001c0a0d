"""What the command line says of itself: the protocols, their sets, and every setting, from the dataclass' docstring."""

import inspect
import re
import shutil
import textwrap
from dataclasses import MISSING, fields
from enum import Enum
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from eval.sets import LONG, PROTOCOLS, SETS

ABOUT = {
    "monodepth": "depth of single pictures",
    "video_depth": "depth of sequences",
    "relpose": "camera paths",
    "mv_recon": "points of several views",
    "pose_pairs": "relative poses of pairs of frames",
    "query": "pictures and depth of unseen views",
    "all": "every protocol on every set that is on the disk; rooms need no download",
}
INDENT = 24
WIDEST = 110


def overview() -> str:
    """Say what `python -m eval` can be told first."""
    return "\n".join(
        [
            "usage: python -m eval PROTOCOL dataset=NAME weights=FILE|NAME [setting=value ...]",
            "",
            *(_entry(name, f"{ABOUT[name]}: {', '.join(SETS[name])}") for name in PROTOCOLS),
            _entry("all", "every protocol on every set that is on the disk (or on dataset=NAME), for one report"),
            "",
            "python -m eval PROTOCOL --help   its sets, and every setting",
            "python -m eval reproduce --data DIR   all published numbers, from what is on the disk",
            "python -m eval.prepare list      how sets are made from their downloads",
            "python -m eval.report FOLDER     a page and tables of finished runs",
        ]
    )


def protocol_help(protocol: str) -> str:
    """Say which sets a protocol has and what every setting means."""
    from eval.config import EvalConfig  # here: it needs PyTorch, which the overview does not

    long = [f"{name}_s{each.step}_N (N up to {each.most})" for name, each in LONG.items() if each.protocol == protocol]
    sets = [*SETS.get(protocol, ("all", *dict.fromkeys(name for sets in SETS.values() for name in sets))), *long]
    return "\n".join(
        [
            f"usage: python -m eval {protocol} dataset=NAME weights=FILE|NAME [setting=value ...]",
            "",
            f"{ABOUT[protocol].capitalize()}. Sets: {', '.join(sets)}",
            "",
            *(_entry(setting, text) for setting, text in described(EvalConfig).items()),
        ]
    )


def described(kind: Any) -> dict[str, str]:
    """Give each field of a dataclass, as "name=default", with what its docstring says of it and its choices."""
    text = inspect.getdoc(kind) or ""
    said = {name: " ".join(lines.split()) for name, lines in _attributes(text)}
    hints = get_type_hints(kind)
    missing = [each.name for each in fields(kind) if each.name not in said]
    assert not missing, f"the docstring of {kind.__name__} does not describe {', '.join(missing)}"
    return {
        f"{each.name}={_text(_default(each))}": said[each.name] + _choices(hints[each.name]) for each in fields(kind)
    }


def _attributes(docstring: str) -> list[tuple[str, str]]:
    """The entries of "Attributes:": a name, a colon, and text that may go on in lines farther in."""
    section = docstring.partition("Attributes:\n")[2]
    return re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, re.M)


def _choices(hint: Any) -> str:
    kinds = [hint, *(get_args(hint) if get_origin(hint) in (list, UnionType) else ())]
    enums = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Enum)]
    return "".join(f" [{', '.join(member.name for member in kind)}]" for kind in enums)


def _default(field: Any) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _text(value: Any) -> str:
    if value is None or value in ("", []):
        return ""
    if isinstance(value, Enum):
        return value.name
    return str(value).lower() if isinstance(value, bool) else str(value)


def _entry(name: str, text: str) -> str:
    width = min(WIDEST, shutil.get_terminal_size().columns) - INDENT
    lines = textwrap.wrap(text, max(width, 40))
    first = f"{name:<{INDENT - 1}} {lines[0]}" if len(name) < INDENT else f"{name}\n{'':{INDENT}}{lines[0]}"
    return "\n".join([first, *(f"{'':{INDENT}}{line}" for line in lines[1:])])
