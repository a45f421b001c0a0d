"""Pictures with nothing but NumPy, for machines where no library for them is installed: PNG, and curves as SVG."""

import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

WIDTH, HEIGHT, MARGIN = 300, 160, 40  # of a panel of curves, pixels
COLORS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b")

Curve = Sequence[tuple[float, float]]  # (x, y)


def png(rgb: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Encode a picture. Source: W3C PNG (third edition), sections 5 and 11."""
    h, w, _ = rgb.shape
    rows = np.concatenate((np.zeros((h, 1), np.uint8), rgb.reshape(h, 3 * w)), axis=1)  # 0: no filter
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows.tobytes())),
        (b"IEND", b""),
    )
    chunks = [struct.pack(">I", len(data)) + kind + data + _checksum(kind + data) for kind, data in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _checksum(data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data))


def curves_svg(panels: Mapping[str, Mapping[str, Curve]], low: Mapping[str, float] | None = None) -> str:
    """Draw a row of panels, each with curves by name over one axis.

    Args:
        low: Where the axis of a panel begins at the lowest; what is below is cut off.
    """
    drawn = [
        _panel(number, title, curves, (low or {}).get(title)) for number, (title, curves) in enumerate(panels.items())
    ]
    size = f'width="{len(panels) * (WIDTH + 2 * MARGIN)}" height="{HEIGHT + 2 * MARGIN}"'
    style = 'font-family="sans-serif" font-size="11"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{"".join(drawn)}</svg>\n'


def _panel(number: int, title: str, curves: Mapping[str, Curve], low: float | None) -> str:
    shown = {name: [point for point in curve if np.isfinite(point).all()] for name, curve in curves.items()}
    points = np.array([point for curve in shown.values() for point in curve] or [(0.0, 0.0), (1.0, 1.0)])
    (left, bottom), (right, top) = points.min(axis=0), points.max(axis=0)
    bottom = bottom if low is None else max(low, bottom)
    scale = (WIDTH / max(right - left, 1e-9), HEIGHT / max(top - bottom, 1e-9))
    lines = _frame(title, ((left, right), (bottom, top)))
    for row, (name, curve) in enumerate(shown.items()):
        places = [((x - left) * scale[0], HEIGHT - (max(y, bottom) - bottom) * scale[1]) for x, y in curve]
        lines += _curve(row, name, [(round(x, 1), round(y, 1)) for x, y in places])
    offset = f"translate({MARGIN + number * (WIDTH + 2 * MARGIN)},{MARGIN})"
    return f'<g transform="{offset}">{"".join(lines)}</g>'


def _frame(title: str, ranges: tuple[tuple[float, float], tuple[float, float]]) -> list[str]:
    (left, right), (bottom, top) = ranges
    numbers = [(-4, 8, top, "end"), (-4, HEIGHT, bottom, "end")]
    numbers += [(0, HEIGHT + 14, left, "start"), (WIDTH, HEIGHT + 14, right, "end")]
    return [
        f'<text x="0" y="-8">{title}</text>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>',
        *(f'<text x="{x}" y="{y}" text-anchor="{at}">{value:.3g}</text>' for x, y, value, at in numbers),
    ]


def _curve(row: int, name: str, places: Curve) -> list[str]:
    color, line = COLORS[row % len(COLORS)], " ".join(f"{x},{y}" for x, y in places)
    return [
        f'<polyline points="{line}" fill="none" stroke="{color}"/>',
        *(f'<circle cx="{x}" cy="{y}" r="2" fill="{color}"/>' for x, y in places),
        f'<text x="{WIDTH - 4}" y="{14 + 13 * row}" text-anchor="end" fill="{color}">{name}</text>',
    ]
