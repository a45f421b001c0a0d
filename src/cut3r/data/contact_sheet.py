"""Pairs of frames as one picture to look at: do depth, masks and cameras mean what the reader says?

Each row shows a pair: picture a; its depth in colours; what is known of each pixel; picture b; picture b as frame a
would see it, by the depth of a and both cameras; and the difference of that to picture a. Where all is right, the last
tile is nearly white.
"""

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt

from cut3r.data.geometry_report import shown
from cut3r.data.reprojection import Samples, colors_at, reproject, residuals
from cut3r.data.view import RawFrame
from cut3r.files.atomic import atomic_path
from cut3r.io.images import resize
from cut3r.io.turbo import turbo

TILE = 220  # pixels, the width of each; heights follow
GAP, TITLE, CAPTION, BAR = 6, 20, 16, 10
TEXT, FAINT = (30, 30, 30), (120, 120, 120)
COLUMNS = ("a", "depth of a", "what is known", "b", "b seen from a", "difference")
KNOWN, UNKNOWN, SKY, FOREGROUND = (150, 190, 150), (40, 40, 40), (120, 170, 230), (240, 160, 60)
LEGEND = {"known": KNOWN, "unknown": UNKNOWN, "sky": SKY, "foreground": FOREGROUND}
NOTHING = (196, 196, 216)  # where b shows nothing of a
SPARSE, DOT = 0.2, 1.5  # maps with a smaller share of known pixels show them larger, with this radius in pixels
STRONGEST = 0.5  # the difference of colours that is black
RANGE = (0.02, 0.98)  # quantiles of the depth at the ends of the scale


def contact_sheet(
    pairs: Sequence[tuple[RawFrame, RawFrame]],
    titles: Sequence[str],
    path: str | os.PathLike[str],
    *,
    unit: str = "m",
) -> None:
    """Write a PNG with a row for each pair.

    Args:
        titles: One per pair.
        unit: Of depth, for the labels of the scale.

    Raises:
        ValueError: There are no pairs, not as many titles as pairs, or a pose is not rigid.
    """
    if not pairs or len(pairs) != len(titles):
        raise ValueError(f"{len(pairs)} pairs with {len(titles)} titles; give one title for each of at least one pair")
    rows = [_row(a, b, title, unit) for (a, b), title in zip(pairs, titles, strict=True)]
    with atomic_path(path) as temporary:
        Image.fromarray(np.concatenate(rows)).save(temporary, format="PNG", optimize=True)


def warped(a: RawFrame, b: RawFrame) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """Give picture b as frame a sees it, and where: at the pixels with known depth that b sees too."""
    samples = Samples(*np.nonzero(a.depth > 0))
    found = residuals(samples, a, b)
    seen = found.seen_again
    rows, columns = samples.rows[seen], samples.columns[seen]
    picture = np.full_like(a.rgb, 0)
    picture[rows, columns] = np.rint(255 * colors_at(b.rgb, found.pixels[seen])).astype(np.uint8)
    covered = np.zeros(a.size, dtype=bool)
    covered[rows, columns] = True
    return picture, covered


def _row(a: RawFrame, b: RawFrame, title: str, unit: str) -> UInt8[np.ndarray, "h w 3"]:
    height = max(_tile_size(frame)[0] for frame in (a, b))
    width = len(COLUMNS) * (TILE + GAP) + GAP
    sheet = Image.new("RGB", (width, TITLE + CAPTION + height + BAR + CAPTION + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    draw.text((GAP, 4), f"{title}   {_numbers(a, b)}", fill=TEXT, font=font)
    near, far = _depth_range(a)
    top = TITLE + CAPTION
    for i, (name, tile) in enumerate(zip(COLUMNS, _tiles(a, b, near, far), strict=True)):
        left = GAP + i * (TILE + GAP)
        draw.text((left, TITLE), name, fill=FAINT, font=font)
        sheet.paste(Image.fromarray(tile), (left, top))
    below = top + _tile_size(a)[0] + 2
    _draw_scale(sheet, GAP + TILE + GAP, below, (near, far), unit)
    _draw_legend(draw, GAP + 2 * (TILE + GAP), below)
    return np.asarray(sheet)


def _numbers(a: RawFrame, b: RawFrame) -> str:
    check = reproject(a, b)
    known = float((a.depth > 0).mean())
    return (
        f"{a.size[1]} x {a.size[0]}, {shown(known)} known, seen again {shown(check.seen_again)}, "
        f"depth error {shown(check.depth_error)}, colour error {shown(check.photometric)}"
    )


def _tiles(a: RawFrame, b: RawFrame, near: float, far: float) -> list[UInt8[np.ndarray, "h w 3"]]:
    picture, covered = warped(a, b)
    difference = np.abs(picture.astype(float) - a.rgb).mean(axis=-1) / 255
    shade = 255 * (1 - np.clip(difference / STRONGEST, 0, 1))
    shades = np.repeat(shade[..., None], 3, axis=-1).astype(np.uint8)
    size = _tile_size(a)
    flat = [_visible(a.depth > 0, _depth_colors(a, near, far), UNKNOWN), _mask(a)]
    seen = [_visible(covered, picture, NOTHING), _visible(covered, shades, NOTHING)]
    tiles = [_nearest(tile, size) for tile in (*flat, *seen)]
    return [resize(a.rgb, size), *tiles[:2], resize(b.rgb, _tile_size(b)), *tiles[2:]]


def _depth_colors(frame: RawFrame, near: float, far: float) -> UInt8[np.ndarray, "h w 3"]:
    share = (frame.depth.astype(np.float64) - near) / max(far - near, np.finfo(float).tiny)
    return turbo(share)


def _mask(frame: RawFrame) -> UInt8[np.ndarray, "h w 3"]:
    colors = np.full((*frame.size, 3), UNKNOWN, dtype=np.uint8)
    colors[frame.depth > 0] = KNOWN
    if frame.foreground is not None:
        colors[frame.foreground] = FOREGROUND
        colors[frame.foreground & (frame.depth == 0)] = tuple(value // 2 for value in FOREGROUND)
    colors[frame.depth < 0] = SKY
    return colors


def _visible(
    kept: Bool[np.ndarray, "h w"], picture: UInt8[np.ndarray, "h w 3"], other: tuple[int, int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """The kept pixels of a picture; larger if they are few, so that one sees them."""
    if 0 < kept.mean() < SPARSE:
        distance, (rows, columns) = distance_transform_edt(~kept, return_indices=True)
        kept, picture = distance <= DOT, picture[rows, columns]
    return np.where(kept[..., None], picture, np.array(other, dtype=np.uint8))


def _depth_range(frame: RawFrame) -> tuple[float, float]:
    """The ends of the scale; nan without depth."""
    known = frame.depth[frame.depth > 0]
    low, high = np.quantile(known, RANGE) if len(known) else (np.nan, np.nan)
    return float(low), float(high)


def _draw_scale(sheet: Image.Image, left: int, top: int, ends: tuple[float, float], unit: str) -> None:
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    if np.isnan(ends[0]):
        draw.text((left, top), "no depth", fill=TEXT, font=font)
        return
    ramp: Float[np.ndarray, "w"] = np.linspace(0, 1, TILE)
    sheet.paste(Image.fromarray(np.repeat(turbo(ramp)[None], BAR, axis=0)), (left, top))
    below = top + BAR + 1
    near, middle, far = ends[0], sum(ends) / 2, ends[1]
    draw.text((left, below), f"{near:.3g} {unit}", fill=TEXT, font=font)
    draw.text((left + TILE // 2, below), f"{middle:.3g} {unit}", fill=TEXT, font=font, anchor="ma")
    draw.text((left + TILE, below), f"{far:.3g} {unit}", fill=TEXT, font=font, anchor="ra")


def _draw_legend(draw: ImageDraw.ImageDraw, left: int, top: int) -> None:
    font = ImageFont.load_default(size=11)
    for name, color in LEGEND.items():
        draw.rectangle((left, top + 1, left + BAR - 2, top + BAR - 1), fill=color)
        draw.text((left + BAR + 1, top - 2), name, fill=TEXT, font=font)
        left += BAR + 5 + round(draw.textlength(name, font=font))


def _tile_size(frame: RawFrame) -> tuple[int, int]:
    h, w = frame.size
    return max(1, round(h * TILE / w)), TILE


def _nearest(picture: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Enlarge without mixing colours; reduce by taking every n-th pixel."""
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.NEAREST))
