"""What a session remembers of given cameras and scales, in a file."""

import math
from typing import Any

import torch

from cut3r.geometry.poses import is_rigid
from cut3r.inference.given import Given, Place
from cut3r.inference.scale_votes import Votes


def given_record(given: Given) -> dict[str, Any]:
    """Turn it into what a JSON file can hold, without loss."""
    start = None if given.start is None else [place.tolist() for place in given.start]
    return {
        "scale": given.scale,
        "factor": given.factor,
        "votes": [list(given.votes.kept), given.votes.seen, given.votes.every],
        "known": _list(given.known),
        "placed": _list(given.placed),
        "start": start,
        "ends": [None if end is None else [end[0], end[1].tolist()] for end in given.ends],
        "first": list(given.first),
        "views": [[number, pose.tolist()] for number, pose in given.views.items()],
    }


def read_given(record: Any) -> Given:
    """Undo `given_record`.

    Raises:
        ValueError: It is not what `given_record` gives.
    """
    try:
        kept, seen, every = record["votes"]
        votes = Votes(tuple(map(_number, kept)), _count(seen), max(1, _count(every)))
        start = None if record["start"] is None else (_pose(record["start"][0]), _pose(record["start"][1]))
        first, second = (None if end is None else (_count(end[0]), _pose(end[1])) for end in record["ends"])
        chunk, number = record["first"]
        return Given(
            _positive(record["scale"]),
            _positive(record["factor"]),
            votes,
            _maybe_pose(record["known"]),
            _maybe_pose(record["placed"]),
            start,
            (first, second),
            (int(chunk), int(number)),
            {_count(number): _pose(pose) for number, pose in record["views"]},
        )
    except (KeyError, TypeError, IndexError, AttributeError, OverflowError, RuntimeError) as error:
        raise ValueError(f"its record of what was given cannot be read ({type(error).__name__}: {error})") from error


def _list(place: Place | None) -> list[list[float]] | None:
    return None if place is None else place.tolist()


def _maybe_pose(value: Any) -> Place | None:
    return None if value is None else _pose(value)


def _pose(value: Any) -> Place:
    pose = torch.tensor(value, dtype=torch.float64)
    if pose.shape != (4, 4) or not bool(is_rigid(pose)):
        raise ValueError("its record of what was given has a camera that is no rotation and translation")
    return pose


def _number(value: Any) -> float:
    if not isinstance(value, float | int) or not math.isfinite(value):
        raise ValueError(f"its record of what was given has {str(value)[:50]!r} where a number was expected")
    return float(value)


def _positive(value: Any) -> float:
    if not _number(value) > 0:
        raise ValueError(f"its record of what was given has the scale {value}, which is none")
    return float(value)


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise ValueError(f"its record of what was given has {str(value)[:50]!r} where a count was expected")
    return value
