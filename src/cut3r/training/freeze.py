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


def freeze(model: nn.Module, what: Freeze, train_only: Sequence[str] = ()) -> None:
    """Set `requires_grad` in place; a parameter that does not learn by design stays so.

    Args:
        train_only: Patterns of our parameter names, such as "heads.*" or "*.norm?.*"; if any are given, what matches
            none of them is frozen too (partial fine-tuning).

    Raises:
        ValueError: A pattern that matches no parameter.
    """
    names = [name for name, _ in model.named_parameters()]
    for pattern in train_only:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(
                f"run.train_only: {pattern!r} matches no parameter; names look like {names[0]!r}, "
                "and * stands for any text"
            )
    for name, parameter in model.named_parameters():
        frozen = any(fnmatchcase(name, pattern) for pattern in _PATTERNS[what])
        left_out = bool(train_only) and not any(fnmatchcase(name, pattern) for pattern in train_only)
        if frozen or left_out:
            parameter.requires_grad_(False)
