"""Multi-view reconstruction: python -m eval mv_recon dataset=sevenscenes weights=512-dpt.

Points in the frame of the first camera against the true surface: accuracy, completion and normal consistency, after a
scale and a shift along the optical axis (as published), and after a closed-form similarity on corresponding pixels.
Source: spec/eval_metrics.md 3, eval_datasets.md 3.7.
"""

import logging
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cut3r.data.transforms import Size, central_window, crop, fit
from cut3r.data.view import RawFrame
from cut3r.geometry.cameras import unproject
from cut3r.geometry.poses import invert, transform
from cut3r.geometry.registration import register
from cut3r.io.frames import Frame
from cut3r.io.images import read_image, resize
from cut3r.metrics.points import f_score, middle, one_way
from eval.protocols.base import EvaluationProtocol, Item, Look, Metrics, NotScoredError, Score
from eval.protocols.clouds import icp, normals, voxel_means
from eval.protocols.depth_frames import nearest
from eval.sequences.sequence import Sequence
from eval.systems.base import Wanted
from eval.systems.saved import Predictions

logger = logging.getLogger(__name__)

F_SCORES_M = {"f_2cm": 0.02, "f_5cm": 0.05, "f_10cm": 0.1}
PUBLISHED_SIZE = 512
CROP_HALF = 112  # of a picture of the published size: the inner 224 x 224 are scored
SMALL_SIZE = 224  # the network of this size gets the inner square of the published picture
SHAPE_TOLERANCE = 0.03  # multiples of 14 and of 16 pixels are not quite 4:3
MANY_VIEWS = 100  # from which on both clouds are thinned, unless asked otherwise
GRID_M = 0.01
POINT_BYTES, POINT_US = 200, 50  # that a point costs in one alignment (measured with 800,000)
SCALE_RANGE = (1e-3, 1e3)
LOOK_POINTS = 20_000  # per cloud, in the report


class ReconAlignment(Enum):
    published = "published"  # medians of depth and size, the inner square
    uncropped = "uncropped"  # the same, of whole pictures
    sim3 = "sim3"  # the best similarity on corresponding pixels, whole pictures


@dataclass
class ReconOptions:
    """`conf_thresh` leaves out points with less confidence; `voxel_m` thins both clouds to a grid before they are
    compared (0: not). Numbers with and without are not comparable."""

    alignments: list[ReconAlignment]
    conf_thresh: float = 0.0
    voxel_m: float = 0.0


@dataclass(frozen=True)
class Views:
    """All views of known cameras of a sequence: the truth in the frame of the first camera, and what was predicted
    there; metres."""

    true: Float[Tensor, "v h w 3"]
    predicted: Float[Tensor, "v h w 3"]
    valid: Bool[Tensor, "v h w"]
    colors: np.ndarray  # v h w 3, bytes
    world_from_first: Float[Tensor, "4 4"]


class MultiViewReconstruction(EvaluationProtocol):
    name: ClassVar[str] = "mv_recon"
    wanted: ClassVar[Wanted] = Wanted(points=True)

    def __init__(self, options: ReconOptions, *, size: int = PUBLISHED_SIZE) -> None:
        """`size` is the longer side of the network's pictures: truth and prediction are compared at its pixels."""
        self.options = options
        self.size = size

    def settings(self) -> dict[str, Any]:
        return {"size": self.size, **asdict(self.options), "alignments": [a.value for a in self.options.alignments]}

    def frame(self, sequence: Sequence, number: int) -> Frame:
        view = self.view(sequence, number)
        return Frame(view.rgb, index=number, time_s=None, name=sequence.images[number].name)

    def view(self, sequence: Sequence, number: int) -> RawFrame:
        """Cut and resize a frame with its depth and intrinsics, to the size that the network sees."""
        assert sequence.read_depth is not None and sequence.intrinsics is not None
        assert sequence.world_from_cam is not None
        depth = sequence.read_depth(number).astype(np.float32)
        raw = RawFrame(
            rgb=resize(read_image(sequence.images[number]), depth.shape),
            depth=np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0)),
            intrinsics=sequence.intrinsics[number],
            world_from_cam=sequence.world_from_cam[number],
        )
        square = self.size == SMALL_SIZE
        frame = fit(raw, picture_size(depth.shape, PUBLISHED_SIZE if square else self.size))
        return _inner(frame, (SMALL_SIZE, SMALL_SIZE)) if square else frame

    def score(self, sequence: Sequence, predictions: Predictions) -> tuple[Score, Look]:
        views, notes = self._views(sequence, predictions)
        groups: dict[str, list[Item]] = {}
        look: Look = {}
        for alignment in self.options.alignments:
            facts: dict[str, float] = {}
            predicted, true, colors = self._aligned(views, alignment, facts)
            metrics, clouds = compare(predicted, true, voxel_m=self.options.voxel_m, notes=facts)
            notes[alignment.value] = facts
            metrics["failed"] = notes["failed_pixels"] / notes["known_pixels"]
            groups[alignment.value] = [Item(sequence.name, metrics)]
            if not look:
                look = _thinned(clouds, colors, predicted.shape[0], true.shape[0])
        return Score(groups, notes), look

    def _views(self, sequence: Sequence, predictions: Predictions) -> tuple[Views, dict[str, Any]]:
        assert sequence.world_from_cam is not None
        known_cameras = sequence.known_cameras()
        if not known_cameras[0]:
            raise NotScoredError(f"the first camera of {sequence.name} is not known, and its frame is the world")
        first_from_world = invert(torch.from_numpy(sequence.world_from_cam[0]).float())
        true, predicted, valid, colors = [], [], [], []
        unknown = int((~known_cameras).sum())
        counted = dict.fromkeys(("known_pixels", "failed_pixels", "low_confidence_pixels"), 0)
        notes: dict[str, Any] = {"unknown_cameras": unknown, **counted}
        for number in np.flatnonzero(known_cameras).tolist():
            view = self.view(sequence, number)
            depth = torch.from_numpy(view.depth)
            given = predictions.points(number)
            require_shape(given.shape[:2], view.size, sequence.name)
            if given.shape[:2] != view.size:
                notes["resampled_from"] = list(given.shape[:2])
            points = torch.from_numpy(nearest(given, view.size))  # points are never mixed
            known = depth > 0
            usable = points.isfinite().all(dim=-1)
            notes["known_pixels"] += int(known.sum())
            notes["failed_pixels"] += int((known & ~usable).sum())
            if self.options.conf_thresh > 0:
                sure = torch.from_numpy(nearest(predictions.confidence(number), view.size)) >= self.options.conf_thresh
                notes["low_confidence_pixels"] += int((known & ~sure).sum())
                usable &= sure
            first_from_cam = first_from_world @ torch.from_numpy(view.world_from_cam).float()
            true.append(transform(first_from_cam, unproject(depth, torch.from_numpy(view.intrinsics).float())))
            predicted.append(points)
            valid.append(known & usable)
            colors.append(view.rgb)
        world_from_first = torch.from_numpy(sequence.world_from_cam[0]).float()
        views = Views(torch.stack(true), torch.stack(predicted), torch.stack(valid), np.stack(colors), world_from_first)
        if not bool(views.valid.any()):
            raise ValueError(f"{sequence.name} has no pixel with both true depth and a usable point")
        return views, notes

    def _aligned(
        self, views: Views, alignment: ReconAlignment, notes: dict[str, float]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Both clouds in the world, aligned and cut, and the colours of their points."""
        if alignment is ReconAlignment.sim3:
            some = views.predicted[views.valid].double(), views.true[views.valid].double()
            fit = register(*some, with_scale=True)
            notes["sim3_scale"] = float(fit.scale)
            predicted, true = fit.apply(views.predicted.double()).float(), views.true
        else:
            predicted, true, facts = match_medians(views.predicted, views.true, views.valid)
            notes.update(facts)
        predicted, true = (transform(views.world_from_first, points) for points in (predicted, true))
        rows, columns = self._scored_window(views) if alignment is ReconAlignment.published else (slice(None),) * 2
        keep = views.valid[:, rows, columns]
        clouds = (points[:, rows, columns][keep].double().numpy() for points in (predicted, true))
        return *clouds, views.colors[:, rows, columns][keep.numpy()]

    def _scored_window(self, views: Views) -> tuple[slice, slice]:
        h, w = views.valid.shape[1:]
        half = CROP_HALF if self.size == SMALL_SIZE else round(CROP_HALF * self.size / PUBLISHED_SIZE)
        return slice(max(0, h // 2 - half), h // 2 + half), slice(max(0, w // 2 - half), w // 2 + half)


def picture_size(size: Size, longest: int) -> Size:
    """The 4:3 size of the network's pictures, upright for upright pictures."""
    h, w = size
    short = longest * 3 // 4
    return (longest, short) if h > 1.1 * w else (short, longest)


def usual_grid(views: int, size: int, *, parity: bool) -> float:
    """The grid to which clouds of so many views are thinned unless one is asked for: 0 for none.

    Many views are thinned, because their single points would take hours. Parity: the published scripts compare all.
    """
    if views <= MANY_VIEWS:
        return 0.0
    points = views * size * size * 3 // 4
    cost = f"{points * POINT_BYTES / 1e9:.0f} GB and {points * POINT_US / 3.6e9:.1f} CPU hours for each alignment"
    if parity:
        logger.warning("%d views are %.0f million points: up to %s", views, points / 1e6, cost)
        return 0.0
    logger.warning(
        "%d views are %.0f million points, up to %s: both clouds are thinned to a grid of %g m (voxel_m=0: all points)",
        *(views, points / 1e6, cost, GRID_M),
    )
    return GRID_M


def require_shape(given: Size, wanted: Size, name: str) -> None:
    """Demand points of the whole picture, at any size.

    Raises:
        ValueError: The shapes differ, so that the map is of another part of the picture.
    """
    if abs(given[0] * wanted[1] / (given[1] * wanted[0]) - 1) > SHAPE_TOLERANCE:
        raise ValueError(
            f"the points of {name} are {tuple(given)} and the truth {tuple(wanted)} (h, w), which is another shape; "
            "predict the whole picture that the protocol gives, at any size"
        )


def match_medians(
    predicted: Float[Tensor, "v h w 3"], true: Float[Tensor, "v h w 3"], valid: Bool[Tensor, "v h w"]
) -> tuple[Float[Tensor, "v h w 3"], Float[Tensor, "v h w 3"], dict[str, float]]:
    """Bring the prediction to the median depth and the median size of the truth; no rotation, no sideways shift.

    Parity: the scale acts about the shifted origin and not about the centre (eval_quirks.md 32).

    Returns:
        Both point maps in the frame of the first camera, and the medians.
    """
    shift_true, shift_predicted = (_median_depth(points[valid]) for points in (true, predicted))
    along_z = true.new_tensor([0, 0, 1])
    centered_true, centered = true - shift_true * along_z, predicted - shift_predicted * along_z
    scale_true = median_size(centered_true[valid])
    scale_predicted = median_size(centered[valid]).clamp(*SCALE_RANGE)
    matched = centered * (scale_true / scale_predicted) + shift_true * along_z
    facts = {
        "gt_shift_z": float(shift_true),
        "pred_shift_z": float(shift_predicted),
        "gt_scale": float(scale_true),
        "pred_scale": float(scale_predicted),
    }
    return matched, centered_true + shift_true * along_z, facts


def median_size(points: Float[Tensor, "p 3"]) -> Float[Tensor, ""]:
    """Median distance from the median point; lower medians."""
    center = points.median(dim=0).values
    return (points - center).norm(dim=-1).median()


def compare(
    predicted: np.ndarray, true: np.ndarray, *, voxel_m: float, notes: dict[str, float]
) -> tuple[Metrics, tuple[np.ndarray, np.ndarray]]:
    """Register the prediction rigidly, then measure both ways."""
    if voxel_m > 0:
        predicted, true = voxel_means(predicted, voxel_m), voxel_means(true, voxel_m)
    registration = icp(predicted, true)
    notes["icp_fitness"], notes["icp_rmse_m"] = registration.fitness, registration.rmse_m
    predicted = registration.apply(predicted)
    clouds = [torch.from_numpy(points) for points in (predicted, normals(predicted), true, normals(true))]
    accuracy, completion = one_way(*clouds), one_way(clouds[2], clouds[3], clouds[0], clouds[1])
    numbers = {
        "acc": float(accuracy.distance.mean()),
        "comp": float(completion.distance.mean()),
        "nc1": float(accuracy.normal.mean()),
        "nc2": float(completion.normal.mean()),
        "acc_med": middle(accuracy.distance),
        "comp_med": middle(completion.distance),
        "nc1_med": middle(accuracy.normal),
        "nc2_med": middle(completion.normal),
    }
    joined = {
        "nc": (numbers["nc1"] + numbers["nc2"]) / 2,
        "nc_med": (numbers["nc1_med"] + numbers["nc2_med"]) / 2,
        "chamfer": (numbers["acc"] + numbers["comp"]) / 2,
        **{name: f_score(accuracy, completion, threshold) for name, threshold in F_SCORES_M.items()},
    }
    return {**numbers, **joined}, (predicted, true)


def _median_depth(points: Float[Tensor, "p 3"]) -> Float[Tensor, ""]:
    return points[:, 2].median()


def _inner(frame: RawFrame, size: Size) -> RawFrame:
    return crop(frame, central_window(frame.size, size))


def _thinned(clouds: tuple[np.ndarray, np.ndarray], colors: np.ndarray, predicted: int, true: int) -> Look:
    """Every so many points of both clouds, with colours if they still have theirs (a grid mixes them)."""
    look: Look = {}
    for name, points, count in (("predicted", clouds[0], predicted), ("true", clouds[1], true)):
        step = max(1, len(points) // LOOK_POINTS)
        look[f"{name}_points"] = points[::step].astype(np.float32)
        if len(points) == count == len(colors):
            look[f"{name}_colors"] = colors[::step]
    return look
