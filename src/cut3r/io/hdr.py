"""High dynamic range and wide colour to sRGB.

Light is counted relative to reference white (ITU-R BT.2408): 203 nits of a PQ signal, 75 % of an HLG signal. HLG is
taken as scene light, without its display's gamma. Up to 80 % of reference white nothing changes but the coding, so that
a clip and its HDR version look alike; above, a shoulder brings the brightest light that is kept to 255.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorTrc
from jaxtyping import Float, UInt8, UInt16

REFERENCE_NITS = 203.0
PEAK_NITS = 1000.0  # what phones and most films are graded for; brighter PQ is cut off
KNEE = 0.8  # of reference white
BAND = 32  # rows at a time, which stay in the processor's cache

# Chromaticities (x, y) of red, green and blue; all of them have the white point D65.
_WHITE = (0.3127, 0.3290)
_BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_WIDE = {
    ColorPrimaries.BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    ColorPrimaries.SMPTE432: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),  # Display P3
}

Curve = Callable[[Float[np.ndarray, "*n"]], Float[np.ndarray, "*n"]]


@dataclass(frozen=True)
class Transfer:
    """How a signal in 0..1 codes light relative to reference white, and the brightest light that is kept."""

    name: str
    to_light: Curve
    peak: float


def pq_light(signal: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Source: SMPTE ST 2084."""
    m1, m2 = 2610 / 16384, 2523 / 32
    c1, c2, c3 = 3424 / 4096, 2413 / 128, 2392 / 128
    power = signal ** (1 / m2)
    return 10000 / REFERENCE_NITS * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)


def hlg_light(signal: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Source: ARIB STD-B67, inverse of the camera's curve."""

    def scene(coded: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        return np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - c) / a) + b) / 12)

    return scene(signal) / scene(np.array([0.75]))


def srgb_light(signal: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Source: IEC 61966-2-1."""
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def srgb_signal(light: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Inverse of `srgb_light`."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


PQ = Transfer("PQ", pq_light, PEAK_NITS / REFERENCE_NITS)
HLG = Transfer("HLG", hlg_light, float(hlg_light(np.ones(1))[0]))
STANDARD = Transfer("standard range", srgb_light, 1.0)


def transfer_of(color_trc: int, color_primaries: int) -> Transfer | None:
    """Which curve a frame's tags ask to undo; None for ordinary video, whose numbers are taken as sRGB as they are."""
    if color_trc == ColorTrc.SMPTE2084:
        return PQ
    if color_trc == ColorTrc.ARIB_STD_B67:
        return HLG
    return STANDARD if color_primaries == ColorPrimaries.BT2020 else None


def to_srgb(rgb: UInt16[np.ndarray, "h w 3"], transfer: Transfer, color_primaries: int) -> UInt8[np.ndarray, "h w 3"]:
    """Convert a full-range signal, 65535 at its top, to 8-bit sRGB with the primaries of BT.709."""
    to_light, to_code = _tables(transfer)
    matrix, step = _to_bt709(color_primaries), _code_step(transfer)
    out = np.empty(rgb.shape, np.uint8)
    for top in range(0, len(rgb), BAND):
        light = cv2.transform(to_light[rgb[top : top + BAND]], matrix)
        np.clip(light, 0, transfer.peak, out=light)  # colours outside BT.709 have negative parts
        np.sqrt(light, out=light)
        light *= step
        np.take(to_code, light.astype(np.uint16), out=out[top : top + BAND], mode="clip")
    return out


@cache
def _tables(transfer: Transfer) -> tuple[Float[np.ndarray, "65536"], UInt8[np.ndarray, "65536"]]:
    """Signal to light, and the square root of light (which spreads the dark levels) to an 8-bit code."""
    to_light = transfer.to_light(np.arange(65536) / 65535).astype(np.float32)
    light = (np.arange(65536) / _code_step(transfer)) ** 2
    code = 255 * srgb_signal(np.minimum(_compress(light, transfer.peak), 1))
    return to_light, np.round(code).astype(np.uint8)


def _code_step(transfer: Transfer) -> np.float32:
    return np.float32(65535 / transfer.peak**0.5)


def _compress(light: Float[np.ndarray, "*n"], peak: float) -> Float[np.ndarray, "*n"]:
    """Unchanged below the knee, then smoothly on to 1 at `peak`. Source: Reinhard et al. 2002, eq. 4."""
    if peak <= 1:
        return light
    above, top = np.maximum(light - KNEE, 0) / (1 - KNEE), (peak - KNEE) / (1 - KNEE)
    return np.minimum(light, KNEE) + (1 - KNEE) * above * (1 + above / top**2) / (1 + above)


@cache
def _to_bt709(color_primaries: int) -> Float[np.ndarray, "3 3"]:
    """Matrix between linear lights, from the given primaries; unknown ones are taken for BT.2020, HDR's usual."""
    if color_primaries == ColorPrimaries.BT709:
        return np.eye(3, dtype=np.float32)
    wide = _WIDE.get(ColorPrimaries(color_primaries), _WIDE[ColorPrimaries.BT2020])
    return (np.linalg.inv(_to_xyz(_BT709)) @ _to_xyz(wide)).astype(np.float32)


def _to_xyz(primaries: tuple[tuple[float, float], ...]) -> Float[np.ndarray, "3 3"]:
    """Columns are the primaries, scaled so that equal parts give the white point. Source: SMPTE RP 177."""
    x, y = np.array(primaries).T
    columns = np.stack((x / y, np.ones(3), (1 - x - y) / y))
    white = np.array((_WHITE[0] / _WHITE[1], 1, (1 - sum(_WHITE)) / _WHITE[1]))
    return columns * np.linalg.solve(columns, white)
