"""Fields of JSON and YAML files that others wrote: numbers and lists of them, or one sentence that names the field."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from cut3r.io.numbers import number


def read_json(path: Path) -> Any:
    """Raises ValueError if the file is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no JSON file ({error}); copy or export it again") from error


def an_object(content: Any, where: str, *keys: str | int) -> Mapping[str, Any]:
    """Go down to an object through the fields of objects and the numbers of lists.

    Raises:
        ValueError: One of them is missing, or what is there is no object.
    """
    found = content
    for key in keys:
        inside = isinstance(found, list if isinstance(key, int) else dict)
        try:
            found = found[key] if inside else None
        except (KeyError, IndexError):
            found = None
    if not isinstance(found, dict):
        raise ValueError(f"{where}: {'.'.join(map(str, keys)) or 'it'} is {_shown(found)}; expected an object")
    return found


def a_number(fields: Mapping[str, Any], name: str, where: str) -> float:
    """Raises ValueError if the field is missing or no finite number."""
    value = as_number(fields.get(name))
    if not math.isfinite(value):
        raise ValueError(f"{where}: {name} is {_shown(fields.get(name))}; expected a finite number")
    return value


def numbers(fields: Mapping[str, Any], name: str, count: int | None, where: str) -> Float64[np.ndarray, "count"]:
    """A list of numbers, which may be nested; they need not be finite.

    Raises:
        ValueError: The field is missing, or no list of so many numbers.
    """
    values = np.array([as_number(value) for value in _flat(fields.get(name))])
    if not isinstance(fields.get(name), list) or (count is not None and len(values) != count):
        expected = "numbers" if count is None else f"{count} numbers"
        raise ValueError(f"{where}: {name} is {_shown(fields.get(name))}; expected a list of {expected}")
    return values


def as_number(value: Any) -> float:
    """Give a number, also one in a string (YAML takes 1e3 for a word); nan for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return number(str(value))
    except ValueError:  # a word
        return math.nan


def _flat(value: Any) -> list[Any]:
    return [leaf for part in value for leaf in _flat(part)] if isinstance(value, list) else [value]


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
