"""Rules for long streams: how much of what the decoder proposes each state token takes over.

The first view that is written into a stream is written whole. Rules need no training: they run on any weights. Each has
a name, and constants that are the fields of its class; `memix+NAME` is the mask MeMix around another rule.
"""

import math
from dataclasses import fields
from typing import Any

from cut3r.model.update import Overwrite, UpdateRule
from cut3r.rules.filt3r import FILT3R
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
}
MASK = "memix+"  # before the name of the rule that is masked
SWITCHES = {"true": True, "false": False}


def create(name: str, **constants: object) -> UpdateRule:
    """Make the rule of a name.

    Args:
        name: Of `RULES`, such as "filt3r", or "memix+" and another of them: "memix+ttt3r".
        constants: In place of the published ones. With "memix+", those of the mask and those of the other rule.

    Raises:
        ValueError: No such rule, no such constant, or a value that is none.
    """
    inner = name.removeprefix(MASK)
    if inner not in RULES or name == MASK + "memix":
        raise ValueError(f"there is no update rule {name!r}; choose from {', '.join(RULES)}, or put {MASK} before one")
    if inner == name:
        return _make(name, constants)
    of_mask = _defaults(MeMix)
    others = {key: value for key, value in constants.items() if key not in of_mask}
    if unknown := others.keys() - _defaults(RULES[inner]).keys():
        raise _unknown(name, min(unknown), [*of_mask, *_defaults(RULES[inner])])
    ours = {key: value for key, value in constants.items() if key in of_mask}
    return _make("memix", ours, inner=_make(inner, others))


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
    masked = rule.inner if isinstance(rule, MeMix) and rule.inner != Overwrite() else None
    names = {kind: name for name, kind in RULES.items()}
    if type(rule) not in names or (masked is not None and type(masked) not in names):
        return repr(rule)
    name = names[type(rule)] if masked is None else MASK + names[type(masked)]
    # a constant of both is the mask's: in a combination the other's could not be told from it
    constants = ({} if masked is None else _constants(masked)) | _constants(rule)
    return name + (":" + ",".join(f"{key}={value}" for key, value in constants.items()) if constants else "")


def _make(name: str, constants: dict[str, Any], **inner: UpdateRule) -> UpdateRule:
    defaults = _defaults(RULES[name])
    made = {key: _as(key, value, defaults, name) for key, value in constants.items()}
    rule: UpdateRule = RULES[name](**made, **inner)
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


def _constants(rule: UpdateRule) -> dict[str, Any]:
    return {field.name: getattr(rule, field.name) for field in fields(rule) if field.name != "inner"}  # type: ignore[arg-type]


def _unknown(name: str, key: str, known: list[str]) -> ValueError:
    has = f"it has {', '.join(known)}" if known else "it has none"
    return ValueError(f"the update rule {name} has no constant {key!r}; {has}")
