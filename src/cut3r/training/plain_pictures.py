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
    points = np.array([point for curve in curves.values() for point in curve if np.isfinite(point).all()])
    points = points.reshape(-1, 2) if points.size else np.array([[0.0, 0.0], [1.0, 1.0]])
    (left, bottom), (right, top) = points.min(axis=0), points.max(axis=0)
    bottom = bottom if low is None else max(low, bottom)
    scale = (WIDTH / max(right - left, 1e-9), HEIGHT / max(top - bottom, 1e-9))
    lines = [
        f'<text x="0" y="{-8}">{title}</text>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>',
    ]
    lines += [f'<text x="-4" y="{y}" text-anchor="end">{value:.3g}</text>' for y, value in ((8, top), (HEIGHT, bottom))]
    lines += [
        f'<text x="{x}" y="{HEIGHT + 14}" text-anchor="{at}">{value:.3g}</text>'
        for x, value, at in ((0, left, "start"), (WIDTH, right, "end"))
    ]
    for row, (name, curve) in enumerate(curves.items()):
        color = COLORS[row % len(COLORS)]
        places = [
            f"{(x - left) * scale[0]:.1f},{HEIGHT - (max(y, bottom) - bottom) * scale[1]:.1f}"
            for x, y in curve
            if np.isfinite((x, y)).all()
        ]
        lines.append(f'<polyline points="{" ".join(places)}" fill="none" stroke="{color}"/>')
        lines.append(f'<text x="{WIDTH - 4}" y="{14 + 13 * row}" text-anchor="end" fill="{color}">{name}</text>')
    offset = f"translate({MARGIN + number * (WIDTH + 2 * MARGIN)},{MARGIN})"
    return f'<g transform="{offset}">{"".join(lines)}</g>'
