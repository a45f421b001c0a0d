"""Rules for long streams: how much of what the decoder proposes each state token takes over.

The first view that is written into a stream is written whole. Rules need no training: they run on any weights. Each has
a name, and constants that are the fields of its class; `memix+NAME` is the mask MeMix around another rule, `frame+NAME`
a gate for whole views, `memix+frame+NAME` both.
"""

import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from cut3r.model.update import Overwrite, UpdateRule
from cut3r.rules.filt3r import FILT3R
from cut3r.rules.frame_gate import FrameGate
from cut3r.rules.memix import MeMix
from cut3r.rules.recal3r import ReCal3R
from cut3r.rules.ttsa3r import TTSA3R
from cut3r.rules.ttt3r import TTT3R

RULES: dict[str, type[Any]] = {
    "overwrite": Overwrite,
    "ttt3r": TTT3R,
    "ttsa3r": TTSA3R,
    "filt3r": FILT3R,
    "recal3r": ReCal3R,
    "memix": MeMix,
    "frame": FrameGate,
}
AROUND = ("memix", "frame")  # rules around another one, whose name follows after a plus, in this order
SWITCHES = {"true": True, "false": False}


def create(name: str, **constants: object) -> UpdateRule:
    """Make the rule of a name.

    Args:
        name: Of `RULES`, such as "filt3r"; or "memix+", "frame+" or both before another of them: "memix+ttt3r".
        constants: In place of the published ones; of a combination, those of all its parts. One that two of them have
            is the outer one's.

    Raises:
        ValueError: No such rule, no such constant, or a value that is none.
    """
    names = name.split("+")
    if not _can_be_nested(names):
        raise ValueError(
            f"there is no update rule {name!r}; choose from {', '.join(RULES)}, "
            f"or put {'+, '.join(AROUND)}+ or both before one"
        )
    left, shares = dict(constants), list[dict[str, object]]()
    for each in names:
        known = _defaults(RULES[each])
        shares.append({key: left.pop(key) for key in known if key in left})
    if left:
        raise _unknown(name, min(left), [key for each in names for key in _defaults(RULES[each])])
    rule: UpdateRule | None = None
    for each, share in zip(reversed(names), reversed(shares), strict=True):
        rule = _make(each, share, **({} if rule is None else {"inner": rule}))
    assert rule is not None
    return rule


def rule_of(text: str) -> UpdateRule:
    """Read NAME or NAME:constant=value,... as `create` makes it.

    Raises:
        ValueError: As `create`, or the text is of another form.
    """
    name, colon, rest = text.strip().partition(":")
    constants: dict[str, object] = {}
    for part in rest.split(",") if colon else []:
        key, equals, value = (word.strip() for word in part.partition("="))
        if not (key and equals and value):
            raise ValueError(f"the update rule {text!r} cannot be read; write NAME:constant=value,constant=value")
        if key in constants:
            raise ValueError(f"the update rule {text!r} gives {key} twice; keep one")
        constants[key] = SWITCHES.get(value.lower(), value)
    return create(name, **constants)


def text_of(rule: UpdateRule) -> str:
    """Write a rule with all its constants, as `rule_of` reads it; a rule without a name as its `repr`."""
    kinds = {kind: name for name, kind in RULES.items()}
    names, constants = list[str](), dict[str, Any]()
    part: UpdateRule | None = rule
    while type(part) in kinds:
        names.append(kinds[type(part)])
        constants = _constants(part) | constants  # one that two parts have is the outer one's
        part = getattr(part, "inner", None)
        if part is None or part == Overwrite():
            break
    if not names or not (part is None or part == Overwrite()) or _has_foreign_part(rule):
        return repr(rule)
    return "+".join(names) + (":" + ",".join(f"{key}={value}" for key, value in constants.items()) if constants else "")


def _can_be_nested(names: Sequence[str]) -> bool:
    around = [AROUND.index(name) for name in names if name in AROUND]
    return all(name in AROUND for name in names[:-1]) and names[-1] in RULES and around == sorted(set(around))


def _has_foreign_part(rule: UpdateRule) -> bool:
    """Whether something in the rule is of a class that no name stands for."""
    usual = type(rule)()
    return any(type(getattr(rule, name)) is not type(getattr(usual, name)) for name in _parts(usual)) or (
        hasattr(rule, "inner") and _has_foreign_part(rule.inner)
    )


def _make(name: str, constants: dict[str, Any], **inner: UpdateRule) -> UpdateRule:
    usual = RULES[name]()
    defaults = _constants(usual)
    made = {key: _as(key, value, defaults, name) for key, value in constants.items()}
    parts = _parts(usual)
    own = {key: value for key, value in made.items() if not any(key in _constants(part) for part in parts.values())}
    for part_name, part in parts.items():
        own[part_name] = type(part)(**{key: value for key, value in made.items() if key in _constants(part)})
    rule: UpdateRule = RULES[name](**own, **inner)
    return rule


def _as(key: str, value: object, defaults: dict[str, Any], name: str) -> object:
    """A value of the type that a constant has."""
    if key not in defaults:
        raise _unknown(name, key, list(defaults))
    kind = type(defaults[key])
    wanted = {float: "a number", int: "a whole number", bool: "true or false"}[kind]
    error = ValueError(f"{key} of the update rule {name} is {value!r}; give {wanted}, such as {key}={defaults[key]}")
    if isinstance(value, bool) != (kind is bool):
        raise error
    try:
        made = kind(value)
    except (TypeError, ValueError, OverflowError):
        raise error from None
    if not math.isfinite(made) or not (isinstance(value, str) or made == value):  # 2.5 is no whole number
        raise error
    return made


def _defaults(kind: type[Any]) -> dict[str, Any]:
    return _constants(kind())


def _constants(rule: Any) -> dict[str, Any]:
    """The constants by name, those of its parts among them, and not those of a rule inside."""
    own = {each.name: getattr(rule, each.name) for each in fields(rule) if each.name != "inner"}
    parts = _parts(rule)
    of_parts = {key: value for part in parts.values() for key, value in _constants(part).items()}
    return {key: value for key, value in own.items() if key not in parts} | of_parts


def _parts(rule: Any) -> dict[str, Any]:
    """Fields that have constants of their own."""
    every = {each.name: getattr(rule, each.name) for each in fields(rule) if each.name != "inner"}
    return {name: value for name, value in every.items() if is_dataclass(value)}


def _unknown(name: str, key: str, known: list[str]) -> ValueError:
    has = f"it has {', '.join(known)}" if known else "it has none"
    return ValueError(f"the update rule {name} has no constant {key!r}; {has}")
