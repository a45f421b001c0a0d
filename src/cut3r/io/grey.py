"""Grey pictures of more than 8 bits: which values become black and white.

A thermal camera writes hundredths of a kelvin, of which a scene uses 1,000 of 65,536; an industrial one 12 bits of 16.
Scaled by what the format could hold, the network would see one flat grey.
"""

import functools
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from PIL import Image, TiffImagePlugin

from cut3r.io.opening import UnreadableImageError, open_picture

logger = logging.getLogger(__name__)

SAMPLES = 8  # pictures of a source whose values are looked at
_FULL_SCALES = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)  # of floats from 0 to 1 and of 8 to 16 bits
_USED_PERCENT = (0.1, 99.9)  # single dead or hot pixels decide nothing
_SAMPLE_FORMAT = 339  # of a TIFF; 1 is unsigned
_said: set[Path] = set()


@dataclass(frozen=True)
class GreyRange:
    """The values that become 0 and 255; what lies outside is clipped."""

    low: float
    high: float


WHOLE_16_BITS = GreyRange(0.0, 65535.0)


class GreyScale:
    """One range for all deep grey pictures of a source, so that its frames do not flicker.

    It is measured over `SAMPLES` of them, spread evenly, when it is first asked for: the same for every run over the
    same files, whichever picture comes first.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._samples = _spread([(path, 0) for path in paths])

    @classmethod
    def of_pages(cls, path: Path, numbers: Sequence[int]) -> "GreyScale":
        """The same for the pages of one file."""
        scale = cls([])
        scale._samples = _spread([(path, number) for number in numbers])
        return scale

    def range_for(self, path: Path, values: Shaped[np.ndarray, "h w"]) -> GreyRange:
        """The range of the source; of the picture alone where no sampled one is deep grey."""
        chosen = self._measured or grey_range([values])
        if chosen != WHOLE_16_BITS:
            _say(path.parent, chosen)
        return chosen

    @functools.cached_property
    def _measured(self) -> GreyRange | None:
        samples = (values for path, page in self._samples if (values := _deep_values(path, page)) is not None)
        try:
            return grey_range(samples)
        except ValueError:  # none is deep grey, or readable
            return None


def grey_range(pictures: Iterable[Shaped[np.ndarray, "_ _"]]) -> GreyRange:
    """Choose what becomes black and white.

    The smallest full scale (1.0, or 8, 10, 12, 14 or 16 bits) that holds all values, from 0, if the pictures use a
    quarter of it; otherwise what they do use.

    Raises:
        ValueError: No value is finite.
    """
    bounds = [_bounds(finite) for values in pictures if (finite := values[np.isfinite(values)]).size]
    if not bounds:
        raise ValueError("none of its values is a finite number")
    (lowest, low, _, _), (_, _, high, highest) = np.min(bounds, axis=0), np.max(bounds, axis=0)
    full = next((scale for scale in _FULL_SCALES if highest <= scale), None)
    if lowest >= 0 and full is not None and high - low >= full / 4:
        return GreyRange(0.0, full)
    return GreyRange(float(low), float(high))


def to_8_bits(values: Shaped[np.ndarray, "h w"], chosen: GreyRange) -> UInt8[np.ndarray, "h w"]:
    """Scale linearly and round; of `WHOLE_16_BITS` this is value / 257. What is no number becomes black."""
    extent = chosen.high - chosen.low or 1.0  # of a constant picture
    scaled = (values.astype(np.float64) - chosen.low) * (255 / extent)
    return np.floor(np.nan_to_num(scaled).clip(0, 255) + 0.5).astype(np.uint8)


def is_deep(image: Image.Image) -> bool:
    """Whether its values are integers of 16 or 32 bits, or floats."""
    return image.mode in {"F", "I"} or image.mode.startswith("I;16")


def deep_values(image: Image.Image) -> Shaped[np.ndarray, "h w"]:
    """The values of a deep grey picture, in integers or floats of any size."""
    values = np.asarray(image)
    unsigned = isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_SAMPLE_FORMAT, (1,)) == (1,)
    return values.view(np.uint32) if image.mode == "I" and unsigned else values  # Pillow's integers are signed


def _spread(pictures: Sequence[tuple[Path, int]]) -> list[tuple[Path, int]]:
    if not pictures:
        return []
    return list(dict.fromkeys(pictures[i * (len(pictures) - 1) // (SAMPLES - 1)] for i in range(SAMPLES)))


def _deep_values(path: Path, page: int) -> Shaped[np.ndarray, "h w"] | None:
    try:
        with open_picture(path) as image:
            image.seek(page)
            return np.array(deep_values(image)) if is_deep(image) else None
    except (UnreadableImageError, OSError):  # said when its turn comes
        return None


def _bounds(finite: Shaped[np.ndarray, "n"]) -> Float[np.ndarray, "4"]:
    return np.array([finite.min(), *np.percentile(finite, _USED_PERCENT), finite.max()], dtype=np.float64)


def _say(folder: Path, chosen: GreyRange) -> None:
    """Once per folder, not once per picture."""
    if folder not in _said:
        _said.add(folder)
        logger.warning(
            "pictures in %s hold grey values of more than 8 bits: %.6g becomes black and %.6g white",
            folder,
            chosen.low,
            chosen.high,
        )
