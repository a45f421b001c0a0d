"""Pictures of depth: input, prediction, truth and error, small and of equal height."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.colors import Colormap
from PIL import Image

from eval.protocols.base import Look
from eval.report.drawing import DEPTH_MAP, ERROR_MAP, round_up

LARGEST = 384  # pixels of the longer side; larger pictures are thinned
QUALITY = 82
LEAST_ERROR = 0.10  # the scale of errors ends here or higher


@dataclass(frozen=True)
class DepthPicture:
    """One system's depth of a frame: data URIs of the map and of its error."""

    label: str
    predicted: str
    error: str
    mean_error: float  # of the pixels shown


@dataclass(frozen=True)
class DepthRow:
    """One frame: input (None if its picture was not there), truth, and the systems.

    Attributes:
        depth_range_m: Ends of the colour scale of depth; beyond them colours stay the same.
        error_limit: End of the colour scale of errors, as a share of the true depth.
    """

    number: int
    image: str | None
    truth: str
    systems: list[DepthPicture]
    depth_range_m: tuple[float, float]
    error_limit: float


def depth_rows(looks: Mapping[str, Look], every: Mapping[str, int]) -> list[DepthRow]:
    """Draw the frames that the runs kept of one sequence.

    Args:
        looks: By system (eval/protocols/depth.py).
        every: Of each system, to number its frames as the whole set does.
    """
    frames: dict[int, dict[str, tuple[np.ndarray, np.ndarray, np.ndarray | None]]] = {}
    for label, look in looks.items():
        for key in look:
            kind, _, number = key.rpartition("_")
            if kind == "true" and f"predicted_{number}" in look:
                maps = (look[f"predicted_{number}"], look[key], look.get(f"image_{number}"))
                frames.setdefault(int(number) * every[label], {})[label] = maps
    return [_row(number, frames[number]) for number in sorted(frames)]


def _row(number: int, systems: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray | None]]) -> DepthRow:
    _, true, image = next(iter(systems.values()))
    errors = {label: relative_error(predicted, truth) for label, (predicted, truth, _) in systems.items()}
    ends = depth_range(true)
    known = [error[np.isfinite(error)] for error in errors.values()]
    high = max((float(np.quantile(values, 0.95)) for values in known if values.size), default=LEAST_ERROR)
    limit = max(LEAST_ERROR, round_up(high))
    pictures = [
        DepthPicture(
            label,
            predicted=colored(predicted.astype(np.float32), ends, DEPTH_MAP, np.isfinite(predicted)),
            error=colored(errors[label], (0.0, limit), ERROR_MAP, np.isfinite(errors[label])),
            mean_error=float(np.nanmean(errors[label])) if np.isfinite(errors[label]).any() else float("nan"),
        )
        for label, (predicted, _, _) in systems.items()
    ]
    truth = colored(true.astype(np.float32), ends, DEPTH_MAP, known_depth(true))
    return DepthRow(number, None if image is None else encoded(image), truth, pictures, ends, limit)


def known_depth(true: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    known: np.ndarray = np.isfinite(true) & (true > 0)
    return known


def depth_range(true: Float[np.ndarray, "h w"]) -> tuple[float, float]:
    """Give the ends of a scale in metres that leaves out the nearest and the farthest 1 % of the true depth."""
    values = true[known_depth(true)].astype(np.float32)
    if not values.size:
        return 0.0, 1.0
    low, high = (float(end) for end in np.quantile(values, (0.01, 0.99)))
    return (low, high) if high > low else (low, low + 1.0)


def relative_error(predicted: Float[np.ndarray, "h w"], true: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """|predicted - true| / true; nan where the truth is unknown or the prediction is not finite."""
    known = known_depth(true) & np.isfinite(predicted)
    target = np.where(known, true, 1).astype(np.float32)
    guess = np.where(known, predicted, 1).astype(np.float32)
    error: np.ndarray = np.where(known, np.abs(guess - target) / target, np.float32(np.nan))
    return error


def colored(
    values: Float[np.ndarray, "h w"], ends: tuple[float, float], colormap: Colormap, shown: Bool[np.ndarray, "h w"]
) -> str:
    """Colour a map between two ends, as a data URI; transparent where it is not shown."""
    low, high = ends
    share = np.clip((np.where(shown, values, low) - low) / (high - low), 0, 1)
    pixels = colormap(share, bytes=True)
    pixels[..., 3] = np.where(shown, 255, 0)
    return encoded(pixels)


def encoded(pixels: UInt8[np.ndarray, "h w channels"]) -> str:
    """A picture as a data URI (WebP), thinned if it is large."""
    step = -(-max(pixels.shape[:2]) // LARGEST)
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[::step, ::step])).save(out, format="WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
