"""Settings on the command line: names and folders as they stand, whatever characters they hold.

Hydra reads `name=value` by a grammar of its own in which [ ] ( ) , = # and letters with accents mean something or are
not allowed. What is text by the schema is put into quotes before Hydra sees it.
"""

import re
from collections.abc import Iterable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

SETTING = re.compile(r"(?P<plus>\+{0,2})(?P<name>[\w.]+)=(?P<value>.*)", re.DOTALL)
QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
MULTIRUN = ("-m", "--multirun")


def quote_text_settings(arguments: Iterable[str], kind: Any) -> list[str]:
    """Quote the values of settings that are paths or text; leave everything else as it is.

    Where a list of texts belongs, a single one becomes a list. A list in brackets is left as it is.
    Left as they are too: null, what is in quotes already, interpolations (${...}) and, with --multirun, lists of values
    and sweeps such as range(1,3).

    Args:
        kind: The dataclass of all settings.

    Raises:
        ValueError: Such a setting is empty, or holds bytes that are no text.
    """
    arguments = list(arguments)
    sweeps = any(argument in MULTIRUN for argument in arguments)
    return [_quote_setting(argument, kind, sweeps=sweeps) for argument in arguments]


def quoted(text: str) -> str:
    """Write text in Hydra's quotes. Backslashes mean something only in front of a quote."""
    escaped = re.sub(r"(\\*)'", lambda found: 2 * found[1] + r"\'", text)
    return "'" + re.sub(r"\\+$", lambda found: 2 * found[0], escaped) + "'"


def unreadable_setting(override: str) -> str:
    """Say that Hydra cannot read a setting, and how to quote its value."""
    name, _, value = override.partition("=")
    return (
        f"the setting {override!r} cannot be read, because [ ] ( ) {{ }} , = # and some others mean something there; "
        f"put a text with them into quotes, and those into quotes of the shell: \"{name}='{value.strip(chr(39))}'\""
    )


def _quote_setting(argument: str, kind: Any, *, sweeps: bool) -> str:
    setting = SETTING.fullmatch(argument)
    hint = None if setting is None else _hint(kind, setting["name"].split("."))
    is_list = hint == list[str]
    if setting is None or not (is_list or _is_text(hint)):
        return argument
    value = setting["value"].strip()
    if value in ("", "''", '""'):
        raise ValueError(
            f"{setting['name']} is empty; give it a value, or leave it out for the default (is a variable of the shell "
            "not set?)"
        )
    if any("\ud800" <= character <= "\udfff" for character in value):  # how Python keeps bytes that are no text
        raise ValueError(f"{setting['name']} is {value!r}, which is no text in UTF-8; rename it")
    means_something = value == "null" or "${" in value or QUOTED.fullmatch(value)
    if means_something or (sweeps and ("," in value or re.fullmatch(r"\w+\(.*\)", value))):
        return argument
    if is_list and value.startswith("["):
        return argument
    text = f"[{quoted(value)}]" if is_list else quoted(setting["value"])
    return f"{setting['plus']}{setting['name']}={text}"


def _is_text(hint: Any) -> bool:
    """Whether a setting is a path or text, perhaps optional."""
    return bool({str, Path} & {hint, *get_args(hint)}) and get_origin(hint) not in (list, dict, tuple)


def _hint(kind: Any, names: list[str]) -> Any:
    """The type of the setting that a chain of names leads to; None if there is none."""
    if not names:
        return kind
    if is_dataclass(kind):
        return _hint(get_type_hints(kind).get(names[0]), names[1:])
    return _hint(get_args(kind)[1], names[1:]) if get_origin(kind) is dict else None
