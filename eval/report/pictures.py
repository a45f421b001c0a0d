"""Pictures of depth: input, prediction, truth and error, small and of equal height."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.colors import Colormap
from PIL import Image

from eval.protocols.base import Look
from eval.report.drawing import DEPTH_MAP, ERROR_MAP, round_up

LARGEST = 384  # pixels of the longer side; larger pictures are thinned
ENCODING: dict[str, dict[str, int]] = {"WEBP": {"quality": 82, "method": 4}, "JPEG": {"quality": 68}}
BLANK = 128  # grey, where a small picture has no value
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
    """One frame: input (None if its picture was not there), truth, and the systems."""

    number: int
    image: str | None
    truth: str
    systems: list[DepthPicture]


@dataclass(frozen=True)
class DepthScales:
    """The colours of one sequence, the same for all its frames and systems, so that these can be compared.

    Attributes:
        depth_m: Ends of the scale of depth; beyond them colours stay the same.
        error: End of the scale of errors, as a share of the true depth.
    """

    depth_m: tuple[float, float]
    error: float


@dataclass(frozen=True)
class DepthPictures:
    rows: list[DepthRow]
    scales: DepthScales

    @property
    def worst(self) -> DepthRow | None:
        """The frame with the largest mean error of a system."""

        def error(row: DepthRow) -> float:
            known = [each.mean_error for each in row.systems if np.isfinite(each.mean_error)]
            return max(known, default=-1.0)

        return max(self.rows, key=error, default=None)


Maps = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # prediction, truth, picture


def depth_pictures(looks: Mapping[str, Look], every: Mapping[str, int]) -> DepthPictures:
    """Draw the frames that the runs kept of one sequence.

    Args:
        looks: By system (eval/protocols/depth.py).
        every: Of each system, to number its frames as the whole set does.
    """
    frames = _frames(looks, every, "")
    scales = _scales([maps for systems in frames.values() for maps in systems.values()])
    return DepthPictures([_row(number, frames[number], scales) for number in sorted(frames)], scales)


def small_strips(looks: Mapping[str, Look], every: Mapping[str, int], scales: DepthScales) -> list[tuple[int, str]]:
    """Draw many small frames: input, truth, and each system's prediction and error side by side, as JPEG data URIs by
    number. Frames that not all systems kept are left out."""
    frames = _frames(looks, every, "small_")
    return [(number, _strip(frames[number], scales)) for number in sorted(frames) if len(frames[number]) == len(looks)]


def _strip(systems: Mapping[str, Maps], scales: DepthScales) -> str:
    _, true, image = next(iter(systems.values()))
    blank = np.full((*true.shape, 3), BLANK, np.uint8)
    parts = [blank if image is None else image, _flat(true, scales.depth_m, DEPTH_MAP, known_depth(true))]
    for predicted, truth, _ in systems.values():
        error = relative_error(predicted, truth)
        parts.append(_flat(predicted, scales.depth_m, DEPTH_MAP, np.isfinite(predicted)))
        parts.append(_flat(error, (0.0, scales.error), ERROR_MAP, np.isfinite(error)))
    same = [part[: true.shape[0], : true.shape[1]] for part in parts]
    return encoded(np.concatenate(same, axis=1), kind="JPEG", largest=10_000)


def _flat(
    values: Float[np.ndarray, "h w"], ends: tuple[float, float], colormap: Colormap, shown: Bool[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Colours for a format that knows no transparency."""
    pixels = _pixels(values.astype(np.float32), ends, colormap, shown)
    return np.where(shown[..., None], pixels[..., :3], np.uint8(BLANK))


def _frames(looks: Mapping[str, Look], every: Mapping[str, int], size: str) -> dict[int, dict[str, Maps]]:
    """The maps of one size, by the number of the frame in the whole set, then by system."""
    frames: dict[int, dict[str, Maps]] = {}
    for label, look in looks.items():
        for key in look:
            kind, _, number = key.rpartition("_")
            if kind == f"{size}true" and f"{size}predicted_{number}" in look:
                maps = (look[f"{size}predicted_{number}"], look[key], look.get(f"{size}image_{number}"))
                frames.setdefault(int(number) * every[label], {})[label] = maps
    return frames


def _scales(maps: Sequence[Maps]) -> DepthScales:
    values = [error[np.isfinite(error)] for error in (relative_error(predicted, true) for predicted, true, _ in maps)]
    high = float(np.quantile(np.concatenate(values), 0.95)) if any(each.size for each in values) else LEAST_ERROR
    depth = np.concatenate([true[known_depth(true)] for _, true, _ in maps]) if maps else np.zeros(0)
    return DepthScales(depth_range(depth), max(LEAST_ERROR, round_up(high)))


def _row(number: int, systems: Mapping[str, Maps], scales: DepthScales) -> DepthRow:
    _, true, image = next(iter(systems.values()))
    errors = {label: relative_error(predicted, truth) for label, (predicted, truth, _) in systems.items()}
    pictures = [
        DepthPicture(
            label,
            predicted=colored(predicted.astype(np.float32), scales.depth_m, DEPTH_MAP, np.isfinite(predicted)),
            error=colored(errors[label], (0.0, scales.error), ERROR_MAP, np.isfinite(errors[label])),
            mean_error=float(np.nanmean(errors[label])) if np.isfinite(errors[label]).any() else float("nan"),
        )
        for label, (predicted, _, _) in systems.items()
    ]
    truth = colored(true.astype(np.float32), scales.depth_m, DEPTH_MAP, known_depth(true))
    return DepthRow(number, None if image is None else encoded(image), truth, pictures)


def known_depth(true: Float[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
    known: np.ndarray = np.isfinite(true) & (true > 0)
    return known


def depth_range(true: Float[np.ndarray, "*shape"]) -> tuple[float, float]:
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
    pixels = _pixels(values, ends, colormap, shown)
    pixels[..., 3] = np.where(shown, 255, 0)
    return encoded(pixels)


def _pixels(
    values: Float[np.ndarray, "h w"], ends: tuple[float, float], colormap: Colormap, shown: Bool[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 4"]:
    low, high = ends
    pixels: np.ndarray = colormap(np.clip((np.where(shown, values, low) - low) / (high - low), 0, 1), bytes=True)
    return pixels


def encoded(pixels: UInt8[np.ndarray, "h w channels"], *, kind: str = "WEBP", largest: int = LARGEST) -> str:
    """A picture as a data URI, thinned if it is large."""
    step = -(-max(pixels.shape[:2]) // largest)
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[::step, ::step])).save(out, format=kind, **ENCODING[kind])
    return f"data:image/{kind.lower()};base64," + base64.b64encode(out.getvalue()).decode()
