"""The arrays of a saved reconstruction, checked before a scene is made of them: a file is not to be trusted."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Shaped

from cut3r.model.config import shown

MOST_POINTS = 1 << 31


def read_records(
    kind: np.dtype, prefix: str, arrays: Mapping[str, Shaped[np.ndarray, "..."]]
) -> Shaped[np.ndarray, "n"]:
    """Put one array per field back together to records.

    Raises:
        ValueError: A field is missing, or has another type, shape or length than the others.
    """
    names = kind.names or ()
    first = arrays.get(f"{prefix}/{names[0]}")
    records = np.empty(len(first) if first is not None and first.ndim else 0, kind)
    for name in names:
        array, place = arrays.get(f"{prefix}/{name}"), records[name]
        if array is None:
            raise _damaged(f"{prefix}/{name} is missing")
        if array.dtype != place.dtype or array.shape != place.shape:
            raise _damaged(f"{prefix}/{name} is {array.dtype} {array.shape} instead of {place.dtype} {place.shape}")
        records[name] = array
    return records


def read_settings(arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> dict[str, Any]:
    """Read the settings of a reconstruction.

    Raises:
        ValueError: They are missing or incomplete, or one has a value that no reconstruction has.
    """
    text = arrays.get("settings")
    try:
        settings = json.loads(str(text))
    except (ValueError, RecursionError) as error:
        raise _damaged("its settings are no JSON") from error
    if not isinstance(settings, dict):
        raise _damaged(f"its settings are {shown(settings)}")
    _number(settings, "confidence", -math.inf, math.inf)  # anything but NaN
    _number(settings, "stride", 1, MOST_POINTS, whole=True)
    _number(settings, "max_points", 1, MOST_POINTS, whole=True)
    if "voxel_size" in settings:
        _number(settings, "voxel_size", 1e-12, 1e12)
        _number(settings, "out_of_range", 0, 1 << 62, whole=True)
    else:
        _number(settings, "seen", 0, 1 << 62, whole=True)
    return settings


def read_names(arrays: Mapping[str, Shaped[np.ndarray, "..."]], count: int) -> list[str]:
    """Read the names of as many frames.

    Raises:
        ValueError: There are more, fewer or none.
    """
    names = arrays.get("cameras/name")
    if names is None or names.dtype.kind != "U" or names.shape != (count,):
        raise _damaged(f"cameras/name does not hold one name for each of {count} frames")
    return names.tolist()


def restore_generator(generator: np.random.Generator, state: Any) -> None:
    """Set a random generator to a saved state.

    Raises:
        ValueError: It is no such state.
    """
    try:
        generator.bit_generator.state = state
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError) as error:
        raise _damaged("its random generator has no such state") from error


def check_points(records: Shaped[np.ndarray, "p"], most: int) -> None:
    """Refuse points that no reconstruction keeps.

    Raises:
        ValueError: More than `most`, or a point or confidence that is not a number.
    """
    if len(records) > most:
        raise _damaged(f"it holds {len(records):,} points and says it keeps {most:,} at most")
    if not np.isfinite(records["point"]).all() or np.isnan(records["confidence"]).any():
        raise _damaged("some of its points or confidences are not numbers (NaN or infinite)")


def _number(settings: dict[str, Any], name: str, least: float | int, most: float | int, *, whole: bool = False) -> None:
    value = settings.get(name)
    if not isinstance(value, int if whole else int | float) or isinstance(value, bool) or not least <= value <= most:
        raise _damaged(f"its {name} is {shown(value)}")


def _damaged(what: str) -> ValueError:
    return ValueError(f"a saved reconstruction is damaged: {what}")
