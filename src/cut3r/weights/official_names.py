"""The names of the official checkpoints' entries and ours: one table, read in both directions.

In a pattern `#` stands for a number and `*` for the rest of the name. Each row names the same parameters twice. The
block tables below it are spliced into every stack of blocks.
"""

import re
from functools import lru_cache

_SELF_BLOCK = (("#.norm1.*", "#.norm1.*"), ("#.attn.*", "#.attn.*"), ("#.norm2.*", "#.norm2.*"), ("#.mlp.*", "#.mlp.*"))
_CROSS_BLOCK = (
    *_SELF_BLOCK,
    ("#.norm_y.*", "#.norm_partner.*"),
    ("#.cross_attn.projq.*", "#.cross.q.*"),
    ("#.cross_attn.projk.*", "#.cross.k.*"),
    ("#.cross_attn.projv.*", "#.cross.v.*"),
    ("#.cross_attn.proj.*", "#.cross.proj.*"),
    ("#.norm3.*", "#.norm3.*"),
)
_MODULATED_BLOCK = (
    ("#.norm1.norm.*", "#.norm1.norm.*"),
    ("#.norm1.mlp.1.*", "#.norm1.modulation.*"),
    ("#.attn.*", "#.attn.*"),
    ("#.norm2.norm.*", "#.norm2.norm.*"),
    ("#.norm2.mlp.1.*", "#.norm2.modulation.*"),
    ("#.mlp.*", "#.mlp.*"),
)
_DPT_HEAD = (
    ("act_postprocess.#.0.*", "lateral.#.*"),
    ("act_postprocess.#.1.*", "resize.#.*"),
    *((f"scratch.layer{level + 1}_rn.*", f"to_features.{level}.*") for level in range(4)),
    *(
        (f"scratch.refinenet{level + 1}.{theirs}.*", f"fusions.{level}.{ours}.*")
        for level in range(4)
        for theirs, ours in (("resConfUnit1", "skip_unit"), ("resConfUnit2", "out_unit"), ("out_conv", "out"))
    ),
    ("head.#.*", "output.#.*"),
)
_DPT_HEADS = (("dpt_self", "points_cam"), ("dpt_cross", "points_world"), ("dpt_rgb", "rgb"))


def _splice(official: str, ours: str, block: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((f"{official}.{theirs}", f"{ours}.{own}") for theirs, own in block)


TABLE: tuple[tuple[str, str], ...] = (
    ("patch_embed.proj.*", "encoder.image.patch.*"),
    *_splice("enc_blocks", "encoder.image.blocks", _SELF_BLOCK),
    ("enc_norm.*", "encoder.image.norm.*"),
    ("patch_embed_ray_map.proj.*", "encoder.rays.patch.*"),
    *_splice("enc_blocks_ray_map", "encoder.rays.blocks", _SELF_BLOCK),
    ("enc_norm_ray_map.*", "encoder.rays.norm.*"),
    ("masked_img_token", "encoder.no_image"),
    ("masked_ray_map_token", "encoder.no_rays"),
    ("decoder_embed.*", "decoder.embed.*"),
    ("decoder_embed_state.*", "decoder.embed_state.*"),
    *_splice("dec_blocks", "decoder.image_blocks", _CROSS_BLOCK),
    *_splice("dec_blocks_state", "decoder.state_blocks", _CROSS_BLOCK),
    ("dec_norm.*", "decoder.norm.*"),
    ("dec_norm_state.*", "decoder.norm_state.*"),
    ("pose_token", "decoder.pose_token"),
    ("register_tokens.weight", "decoder.initial_tokens"),
    ("pose_retriever.mem", "memory.slots"),
    ("pose_retriever.masked_token", "memory.blank"),
    ("pose_retriever.proj_q.*", "memory.key.*"),
    *_splice("pose_retriever.read_blocks", "memory.read_blocks", _CROSS_BLOCK),
    *_splice("pose_retriever.write_blocks", "memory.write_blocks", _CROSS_BLOCK),
    ("downstream_head.pose_head.mlp.*", "heads.pose.*"),
    *_splice("downstream_head.final_transform", "heads.modulated", _MODULATED_BLOCK),
    ("downstream_head.proj.*", "heads.points_cam.mlp.*"),
    ("downstream_head.cross_proj.*", "heads.points_world.mlp.*"),
    ("downstream_head.rgb_proj.*", "heads.rgb.mlp.*"),
    *(row for theirs, own in _DPT_HEADS for row in _splice(f"downstream_head.{theirs}", f"heads.{own}", _DPT_HEAD)),
)
# Second names: the official dpt heads hold these modules twice, so their files hold these entries twice.
TWINS: tuple[tuple[str, str], ...] = tuple(
    (f"downstream_head.{theirs}.scratch.layer_rn.#.*", f"heads.{own}.to_features.#.*") for theirs, own in _DPT_HEADS
)


def ours_from_official(name: str) -> str | None:
    """Translate an official name; None when the table has no row for it."""
    found = _translate(name, source=0)
    assert len(found) <= 1, f"{name} matches several rows: {found}"
    return found[0] if found else None


def official_from_ours(name: str) -> list[str]:
    """Translate our name into the official one, followed by its second name if it has one.

    Raises:
        ValueError: The table has no row for it.
    """
    found = _translate(name, source=1)
    if not found:
        raise ValueError(f"{name!r} has no official name: it is not a parameter of the published networks")
    return found


def _translate(name: str, source: int) -> list[str]:
    rows = _compiled(source)
    return [target.format(*match.groups()) for pattern, target in rows if (match := pattern.fullmatch(name))]


@lru_cache
def _compiled(source: int) -> list[tuple[re.Pattern[str], str]]:
    """The table as pairs of a regular expression for column `source` and a format string for the other column."""
    return [
        (
            re.compile(re.escape(row[source]).replace(r"\#", r"(\d+)").replace(r"\*", "(.+)")),
            row[1 - source].replace("#", "{}").replace("*", "{}"),
        )
        for row in (*TABLE, *TWINS)
    ]
