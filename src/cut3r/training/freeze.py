"""Which parameters learn: the published choices, and patterns of names."""

from collections.abc import Sequence
from enum import Enum
from fnmatch import fnmatchcase

from torch import nn


class Freeze(Enum):
    """What stays as it is. `encoder` includes the ray encoder and the place holders for a missing image or ray map."""

    none = "none"
    encoder = "encoder"
    encoder_and_head = "encoder_and_head"
    encoder_and_decoder = "encoder_and_decoder"
    decoder = "decoder"  # Parity: the embeddings, the initial state and the last norms still learn


_ENCODER = ("encoder.*",)
_PATTERNS = {
    Freeze.none: (),
    Freeze.encoder: _ENCODER,
    Freeze.encoder_and_head: (*_ENCODER, "heads.*"),
    Freeze.encoder_and_decoder: (*_ENCODER, "decoder.*", "memory.*"),
    Freeze.decoder: ("decoder.image_blocks.*", "decoder.state_blocks.*", "decoder.pose_token", "memory.*"),
}


def freeze(model: nn.Module, what: Freeze, train_only: Sequence[str] = (), *, rest_learns: bool = True) -> None:
    """Set `requires_grad` in place; a parameter that does not learn by design stays so.

    Args:
        train_only: Patterns of our parameter names, such as "heads.*" or "*.norm?.*"; if any are given, what matches
            none of them is frozen too (partial fine-tuning).
        rest_learns: Whether what is not frozen learns if `train_only` names nothing.

    Raises:
        ValueError: A pattern that matches no parameter, or only such as `what` freezes.
    """
    names = [name for name, _ in model.named_parameters()]
    free = [name for name in names if not _matches(name, _PATTERNS[what])]
    for pattern in train_only:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(
                f"run.train_only: {pattern!r} matches no parameter; names look like {names[0]!r}, "
                "and * stands for any text"
            )
        if not any(fnmatchcase(name, pattern) for name in free):
            raise ValueError(
                f"run.train_only: all that {pattern!r} matches is frozen by run.freeze={what.value}; set "
                "run.freeze=none, or leave the pattern out"
            )
    learns_alone = train_only or not rest_learns
    learning = {name for name in free if _matches(name, train_only)} if learns_alone else set(free)
    for name, parameter in model.named_parameters():
        if name not in learning:
            parameter.requires_grad_(False)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
