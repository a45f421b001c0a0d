"""Options of converters: dataclasses whose fields become flags of the command line and part of the records.

Fields that are no arguments (`init=False`) are part of the records only: what follows from the others on this machine.
"""

import argparse
import json
import re
from dataclasses import MISSING, Field, asdict, fields
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

PREFIX = "option_"  # of the parsed names, so that they meet no other flag


def as_json(options: Any) -> dict[str, Any]:
    """Give options as JSON knows them, for records: enumerations by name, paths and other things as text."""
    if options is None:
        return {}
    content: dict[str, Any] = json.loads(json.dumps(asdict(options), default=_plain))
    return content


def add_flags(parser: argparse.ArgumentParser, kind: type) -> None:
    """Add a flag per field. Help comes from the docstring: its first paragraph, and lines `field: what it is`."""
    about, of_fields = _docstring(kind)
    group = parser.add_argument_group("options of this dataset", about)
    hints = get_type_hints(kind)
    for field in (field for field in fields(kind) if field.init):
        default = _default(field)
        text = f"{of_fields.get(field.name, '')} (default: {_shown(default)})".strip()
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            dest=PREFIX + field.name,
            default=argparse.SUPPRESS,
            help=text.replace("%", "%%"),
            **_kind_of_flag(field.name, hints[field.name]),
        )


def from_flags(kind: type | None, args: argparse.Namespace) -> Any:
    """Build the options from the flags that were given; None if the converter has no options.

    Raises:
        ValueError: The dataclass refuses the values.
    """
    if kind is None:
        return None
    given = {
        name.removeprefix(PREFIX): tuple(value) if isinstance(value, list) else value
        for name, value in vars(args).items()
        if name.startswith(PREFIX)
    }
    return kind(**given)


def _kind_of_flag(name: str, hint: Any) -> dict[str, Any]:
    """Say to argparse how to read a value."""
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (each for each in get_args(hint) if each is not NoneType)
    if get_origin(hint) is tuple:
        inner = get_args(hint)
        count = "+" if len(inner) == 2 and inner[1] is Ellipsis else len(inner)
        return {**_kind_of_flag(name, inner[0]), "nargs": count}
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"type": _member_of(hint), "metavar": "|".join(hint.__members__)}
    if hint in (int, float, str, Path):
        return {"type": hint, "metavar": name.upper()}
    raise TypeError(f"option {name} is {hint}; flags can be int, float, str, Path, bool, Enum, and tuples of these")


def _member_of(kind: type[Enum]) -> Any:
    def member(text: str) -> Enum:
        if text not in kind.__members__:
            raise argparse.ArgumentTypeError(f"'{text}' is none of {', '.join(kind.__members__)}")
        return kind[text]

    return member


def _docstring(kind: type) -> tuple[str, dict[str, str]]:
    paragraphs = re.split(r"\n\s*\n", (kind.__doc__ or "").strip())
    names = {field.name for field in fields(kind)}
    of_fields: dict[str, str] = {}
    name = ""
    for line in (line.strip() for paragraph in paragraphs[1:] for line in paragraph.splitlines()):
        before, colon, after = line.partition(": ")
        if colon and before in names:
            name = before
            of_fields[name] = after
        elif name and line:
            of_fields[name] += f" {line}"
    return " ".join(paragraphs[0].split()), of_fields


def _default(field: "Field[Any]") -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return None if field.default is MISSING else field.default


def _shown(value: Any) -> str:
    if isinstance(value, tuple | list):
        return " ".join(_shown(each) for each in value)
    return str(_plain(value)) if isinstance(value, Enum) else str(value)


def _plain(value: Any) -> str:
    return value.name if isinstance(value, Enum) else str(value)
