"""Which topic of a recording is meant."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from cut3r.io.recording import Topic

TRANSPORTS = (
    "compressed",
    "compressedDepth",
    "theora",
    "ffmpeg",
    "foxglove",
)  # what image_transport puts behind a topic
_NAMED_AT_MOST = 12


def choose(topics: Mapping[str, Topic], wanted: str | None, kinds: Iterable[str], name: str) -> Topic:
    """Take the one that is wanted, or the only one with pictures. Depth, and the same pictures compressed, count only
    where nothing else is there.

    Raises:
        ValueError: None, several, or another kind.
    """
    pictures = {each.name: each for each in topics.values() if each.kind in kinds and each.count}
    if wanted is not None:
        return _wanted(topics, pictures, wanted, name)
    if not pictures:
        there = _listed(topics.values()) if topics else "nothing"
        raise ValueError(f"{name} holds no topic with pictures; it has {there}")
    colour = [each for each in pictures.values() if not is_depth(each.name)] or list(pictures.values())
    chosen = [each for each in colour if base(each.name) == each.name or base(each.name) not in pictures]
    if len(chosen) > 1:
        raise ValueError(f"{name} holds {len(chosen)} topics with pictures; choose one with --topic: {_listed(chosen)}")
    return chosen[0]


def is_depth(name: str) -> bool:
    return "depth" in name.lower()


def base(name: str) -> str:
    """The topic of the pictures that another topic has in compressed form."""
    head, _, last = name.rpartition("/")
    return head if last in TRANSPORTS else name


def _wanted(topics: Mapping[str, Topic], pictures: Mapping[str, Topic], wanted: str, name: str) -> Topic:
    spelled = wanted if wanted in topics else f"/{wanted.strip('/')}"
    if spelled in pictures:
        return pictures[spelled]
    if spelled in topics:
        what = topics[spelled].kind if topics[spelled].count else "no message"
        raise ValueError(f"{spelled} of {name} holds {what}; {_those(pictures)}")
    close = get_close_matches(spelled, pictures, n=1)
    raise ValueError(f"{name} has no topic {wanted}; {f'did you mean {close[0]}?' if close else _those(pictures)}")


def _those(pictures: Mapping[str, Topic]) -> str:
    return f"pictures are in {_listed(pictures.values())}" if pictures else "no topic has pictures"


def _listed(topics: Iterable[Topic]) -> str:
    words = [f"{each.name} ({each.kind}, {each.count})" for each in topics]
    more = len(words) - _NAMED_AT_MOST
    return ", ".join(words[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
