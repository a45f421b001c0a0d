"""The string in an official checkpoint that says what network it holds, read as data and never evaluated.

It looks like `ARCroco3DStereo(ARCroco3DStereoConfig(state_size=768, ..., depth_mode=('exp', -inf, inf)))`.
A key that is missing has its published value.
"""

import ast
import math
import re
from typing import Any

from cut3r.model.config import (
    DecoderConfig,
    EncoderConfig,
    HeadKind,
    ModelConfig,
    StateConfig,
    StatePositions,
    published_224_linear,
    published_512_dpt,
    shown,
)

NETWORK, CONFIG = "ARCroco3DStereo", "ARCroco3DStereoConfig"
LONGEST = 20_000  # characters; ast needs stack in proportion to the nesting, which a hostile string could make deep

STATE_POSITIONS = {"2d": StatePositions.grid, "1d": StatePositions.line, "none": StatePositions.none}
# Settings with one published value: another one would be another network, which the shapes do not always show.
FIXED: dict[str, tuple[object, ...]] = {
    "output_mode": ("pts3d+pose",),
    "depth_mode": (("exp", -math.inf, math.inf),),
    "conf_mode": (("exp", 1, math.inf),),
    "pose_mode": (("exp", -math.inf, math.inf),),
    "rgb_head": (True,),
    "pose_head": (True,),
    "norm_im2_in_dec": (True,),
    "patch_embed_cls": ("PatchEmbedDust3R", "ManyAR_PatchEmbed"),  # same weights
}
# Settings of training, or without effect on what the network computes from an upright image.
WITHOUT_EFFECT = {"landscape_only", "freeze", "load_only_encoder", "mask_ratio", "gradient_checkpointing"}
NUMBERS = {
    "state_size": 768,
    "local_mem_size": 256,
    "enc_embed_dim": 1024,
    "enc_depth": 24,
    "enc_num_heads": 16,
    "ray_enc_depth": 2,
    "dec_embed_dim": 768,
    "dec_depth": 12,
    "dec_num_heads": 12,
    "state_dec_num_heads": 16,
    "patch_size": 16,
    "mlp_ratio": 4,
}
TRANSLATED = {"head_type", "img_size", "pos_embed", "state_pe"}


def config_from_constructor(text: str) -> ModelConfig:
    """Read the configuration of a network from its constructor string.

    Raises:
        ValueError: The string is no such call, or describes a network that this one is not.
    """
    settings = parse_constructor(text)
    known = NUMBERS.keys() | TRANSLATED | FIXED.keys() | WITHOUT_EFFECT
    if unknown := sorted(settings.keys() - known):
        raise ValueError(
            f"the checkpoint's constructor has settings that this implementation does not know: {_first(unknown)}; "
            "its network may differ, so it is not loaded"
        )
    for key, allowed in FIXED.items():
        if key in settings and settings[key] not in allowed:
            raise ValueError(
                f"the checkpoint was made with {key}={shown(settings[key])}, but only "
                f"{' or '.join(map(repr, allowed))} is supported, as in the published checkpoints"
            )
    number = {key: _whole_number(key, settings.get(key, default)) for key, default in NUMBERS.items()}
    head = _choice(settings, "head_type", "dpt", {kind.value: kind for kind in HeadKind})
    published = published_224_linear() if head is HeadKind.linear else published_512_dpt()
    return ModelConfig(
        head=head,
        image_size=_image_size(settings.get("img_size", published.image_size)),
        patch_size=number["patch_size"],
        mlp_ratio=number["mlp_ratio"],
        rope_base=_rope_base(settings.get("pos_embed", "RoPE100")),
        encoder=EncoderConfig(
            width=number["enc_embed_dim"],
            depth=number["enc_depth"],
            heads=number["enc_num_heads"],
            ray_depth=number["ray_enc_depth"],
        ),
        decoder=DecoderConfig(
            width=number["dec_embed_dim"],
            depth=number["dec_depth"],
            heads=number["dec_num_heads"],
            state_heads=number["state_dec_num_heads"],
        ),
        state=StateConfig(
            tokens=number["state_size"],
            positions=_choice(settings, "state_pe", "2d", STATE_POSITIONS),
            memory_slots=number["local_mem_size"],
        ),
    )


def constructor_from_config(config: ModelConfig) -> str:
    """Write the constructor string of a network; `config_from_constructor` gives the configuration back.

    Raises:
        ValueError: The configuration has something that official files cannot say.
    """
    encoder, decoder, state = config.encoder, config.decoder, config.state
    positions = {ours: theirs for theirs, ours in STATE_POSITIONS.items()}[state.positions]
    settings: dict[str, object] = {
        "state_size": state.tokens,
        "state_pe": positions,
        "pos_embed": f"RoPE{config.rope_base:.12g}",
        "rgb_head": True,
        "pose_head": True,
        "img_size": config.image_size,
        "head_type": config.head.value,
        **{key: FIXED[key][0] for key in ("output_mode", "depth_mode", "conf_mode", "pose_mode")},
        "enc_embed_dim": encoder.width,
        "enc_depth": encoder.depth,
        "enc_num_heads": encoder.heads,
        "dec_embed_dim": decoder.width,
        "dec_depth": decoder.depth,
        "dec_num_heads": decoder.heads,
        "landscape_only": False,
    }
    also = {
        "local_mem_size": state.memory_slots,
        "ray_enc_depth": encoder.ray_depth,
        "state_dec_num_heads": decoder.state_heads,
        "patch_size": config.patch_size,
        "mlp_ratio": config.mlp_ratio,
    }
    settings |= {key: value for key, value in also.items() if value != NUMBERS[key]}
    text = f"{NETWORK}({CONFIG}({', '.join(f'{key}={value!r}' for key, value in settings.items())}))"
    if config_from_constructor(text) != config:
        raise ValueError(
            "official files cannot describe this network: in them ray_heads, memory_depth, head_blocks, dpt_features, "
            "dpt_stages and ray_direction have their published values; save it in our own format with save()"
        )
    return text


def parse_constructor(text: str) -> dict[str, Any]:
    """Read the keyword arguments of the call as literals: numbers, strings, booleans, None, tuples, lists, inf.

    Raises:
        ValueError: Anything else in the string; none of it is evaluated.
    """
    if len(text) > LONGEST:
        raise ValueError(f"the constructor string has {len(text)} characters, and a real one has a few hundred")
    try:
        call = ast.parse(text.strip(), mode="eval").body
        name, positional, keywords = _call_parts(call)
        if name == NETWORK and len(positional) == 1 and not keywords:
            name, positional, keywords = _call_parts(positional[0])
            if name != CONFIG:
                raise ValueError(f"found {name}(...) inside {NETWORK}(...)")
        elif name != NETWORK:
            raise ValueError(f"found {name}(...)")
        if positional:
            raise ValueError("found an argument without a name")
        return {key: _literal(node) for key, node in keywords.items()}
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        start = text if len(text) <= 120 else text[:117] + "..."
        raise ValueError(
            f"cannot read the constructor {start!r}: {str(error)[:200]}; "
            f"expected {NETWORK}({CONFIG}(name=value, ...)) with plain values"
        ) from error


def _first(names: list[str], count: int = 5) -> str:
    listed = [name if len(name) <= 40 else name[:37] + "..." for name in names[:count]]
    return ", ".join(listed) + (", ..." if len(names) > count else "")


def _call_parts(node: ast.expr) -> tuple[str, list[ast.expr], dict[str, ast.expr]]:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise ValueError("it is not a call of a class by its name")
    keywords: dict[str, ast.expr] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise ValueError("found ** among the arguments")
        if keyword.arg in keywords:
            raise ValueError(f"found {keyword.arg} twice")
        keywords[keyword.arg] = keyword.value
    return node.func.id, node.args, keywords


def _literal(node: ast.expr) -> object:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str | None):
        return node.value
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(_literal(element) for element in node.elts)
    if isinstance(node, ast.Name) and node.id == "inf":
        return math.inf
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _literal(node.operand)
        if isinstance(value, int | float):
            return -value
    raise ValueError(f"{ast.unparse(node)[:60]!r} is not a plain value")


def _whole_number(key: str, value: object) -> int:
    whole = isinstance(value, float) and value.is_integer()  # mlp_ratio=4.0
    if not (isinstance(value, int) or whole) or isinstance(value, bool) or value <= 0:  # type: ignore[operator]
        raise ValueError(
            f"the checkpoint's constructor has {key}={shown(value)}, and expected is a whole number above 0"
        )
    return int(value)  # type: ignore[call-overload]


def _choice(settings: dict[str, Any], key: str, default: str, table: dict[str, Any]) -> Any:
    value = settings.get(key, default)
    if value not in table:
        raise ValueError(
            f"the checkpoint's constructor has {key}={shown(value)}, and supported is {' or '.join(table)}"
        )
    return table[value]


def _image_size(value: object) -> tuple[int, int]:
    sides = value if isinstance(value, tuple) else (value, value)
    if len(sides) != 2:
        raise ValueError(f"the checkpoint's constructor has img_size={shown(value)}, and expected is (height, width)")
    return _whole_number("img_size", sides[0]), _whole_number("img_size", sides[1])


def _rope_base(value: object) -> float:
    named = re.fullmatch(r"RoPE(\d+(?:\.\d+)?)", value) if isinstance(value, str) else None
    if named is None:
        raise ValueError(
            f"the checkpoint's constructor has pos_embed={shown(value)}, and supported is rotary, such as 'RoPE100'"
        )
    return float(named[1])
