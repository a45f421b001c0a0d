"""Frames in, one consistent scene out: predictions of many short streams, brought into one world."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.alignment import graphs
from cut3r.alignment.cleaning import CleaningConfig, clean
from cut3r.alignment.datum import KnownDistance, onto_centres
from cut3r.alignment.dense import DenseConfig
from cut3r.alignment.focals import plausible, usual
from cut3r.alignment.full import Full, refine_fully
from cut3r.alignment.links import links_of
from cut3r.alignment.loops import Loop, after_solving, close_loops, loops_report
from cut3r.alignment.objective import Scene
from cut3r.alignment.original import MOST_FRAMES, OriginalConfig, align_original, largest_confidence
from cut3r.alignment.pairs import Predictions, weights_of
from cut3r.alignment.pose_graph import GraphConfig, solve_pose_graph
from cut3r.alignment.predict import predict, predict_more
from cut3r.alignment.result import Alignment
from cut3r.alignment.samples import PIXELS
from cut3r.alignment.scale_drift import scale_drift
from cut3r.alignment.taken import Taken
from cut3r.alignment.tokens import FrameTokens
from cut3r.geometry.cameras import pinhole, unproject
from cut3r.geometry.focal import estimate_focal
from cut3r.geometry.poses import pose_from_parts
from cut3r.geometry.registration import Similarity
from cut3r.model.network import Cut3r

SOME = 4  # every so many rows and columns are enough to compare depths

OnProgress = Callable[[str, int, int], None]  # the stage, and how much of it is done


class Method(Enum):
    """How predictions become one world."""

    graph = "graph"  # a sparse pose graph: linear in frames
    full = "full"  # and dense refinement of cameras and depth, merged and cleaned: linear, too
    original = "original"  # the original's optimiser: for a few dozen frames


class Graph(Enum):
    """Which frames are seen together."""

    auto = "auto"  # all up to 30 frames, then wide; in parity mode the original's
    all = "all"
    window = "window"
    wide = "wide"  # a window, and frames at distances 4, 8, 16, ...
    first = "first"  # each with the first one only
    original = "original"


class Loops(Enum):
    """Whether frames that see the same place again are looked for."""

    auto = "auto"  # unless all frames are paired anyway
    off = "off"


@dataclass
class AlignConfig:
    """How `align` works."""

    method: Method = Method.full
    graph: Graph = Graph.auto
    loops: Loops = Loops.auto
    width: int = graphs.WINDOW  # of the window
    with_scale: bool = True  # each frame's depth has its own scale
    shared_focal: bool = False  # one camera without zoom
    parity: bool = False  # with `original`: its pairs, its unit, its cleaning
    pose_sigma: tuple[float, float] | None = None  # metres, radians: error of known poses; without, they stay
    distance: KnownDistance | None = None  # makes the world that large in the end, known poses included
    centres_only: bool = False  # known poses only say where the finished scene is, and how large
    seed: int = 0  # of the points drawn
    sweeps: int = 15  # of dense refinement
    pixels: int = PIXELS  # of each frame that take part in it
    steps: int = 300  # of the original's optimiser

    def __post_init__(self) -> None:
        if self.centres_only and (self.pose_sigma is not None or self.distance is not None):
            raise ValueError(
                "where only the centres of known poses count, for the scale, neither their errors nor a distance have "
                "a meaning; leave them out"
            )

    def poses_that_count(self, taken: Taken) -> dict[int, Float[Tensor, "4 4"]]:
        """The known poses that the frames are held to."""
        return {} if self.centres_only else taken.world_from_cam

    def poses_that_stay(self, taken: Taken) -> dict[int, Float[Tensor, "4 4"]]:
        """Those of them that are exact."""
        return {} if self.pose_sigma is not None else self.poses_that_count(taken)

    def graph_for(self, n: int) -> Graph:
        """What `auto` stands for with n frames."""
        if self.graph is not Graph.auto:
            return self.graph
        return Graph.original if self.parity else Graph.all if n <= graphs.SMALL else Graph.wide

    def looks_for_loops(self, n: int) -> bool:
        """Whether loops are looked for: in graphs of neighbours, not where what is paired is all or asked for."""
        return self.loops is Loops.auto and self.graph_for(n) in (Graph.window, Graph.wide)

    def stars(self, n: int) -> list[graphs.Star]:
        """The streams to run over n frames."""
        match self.graph_for(n):
            case Graph.all:
                return graphs.complete(n)
            case Graph.window:
                return graphs.window(n, self.width)
            case Graph.wide:
                return graphs.window(n, self.width, powers=True)
            case Graph.first:
                return graphs.one_reference(n)
        return graphs.original(n)


def align(
    model: Cut3r, taken: Taken, config: AlignConfig | None = None, *, on_progress: OnProgress | None = None
) -> Alignment:
    """Predict pairs of frames and bring them into one world: the first frame's camera, or that of known cameras.

    What is known of a frame stays as it is: its intrinsics, and its pose, unless the configuration says that it may be
    off.

    Raises:
        ValueError: `original` with more frames than fit, or with known cameras; centres or a distance that give no
            scale.
    """
    config = config or AlignConfig()
    original = config.method is Method.original and len(taken) > 1
    if original:
        _check_original(taken, config.poses_that_count(taken))
    stars, tokens = config.stars(len(taken)), FrameTokens(model, taken.images)
    tell = partial(on_progress, "predicting pairs") if on_progress else None
    predictions = predict(model, taken.images, stars, tokens=tokens, on_progress=tell).without(~taken.counts)
    loops = None
    if not original and config.looks_for_loops(len(taken)):
        predictions, loops = _close_loops(model, taken, predictions, tokens, config, on_progress)
    done = _by_original if original else _by_full if config.method is Method.full else _by_graph
    aligned = _in_its_world(done(taken, predictions, config, on_progress), config)
    if loops is not None:
        aligned.report["loops"] = loops_report(after_solving(loops, aligned.report["pairs"]))
    return aligned


def _close_loops(
    model: Cut3r,
    taken: Taken,
    predictions: Predictions,
    tokens: FrameTokens,
    config: AlignConfig,
    on_progress: OnProgress | None,
) -> tuple[Predictions, list[Loop]]:
    tell = partial(on_progress, "looking for loops") if on_progress else None

    def look(stars: Sequence[graphs.Star]) -> Predictions:
        return predict_more(model, predictions, stars, tokens, on_progress=tell).without(~taken.counts)

    return close_loops(predictions, tokens.pooled(), look, width=config.width)


def _check_original(taken: Taken, poses: dict[int, Tensor]) -> None:
    if len(taken) > MOST_FRAMES:
        raise ValueError(
            f"the original's optimiser holds all pairs of pixels at once, too many for {len(taken)} frames; "
            f"choose at most {MOST_FRAMES} of them, or align by graph"
        )
    if taken.intrinsics or poses:
        raise ValueError("the original's optimiser cannot keep known cameras; align by graph, or leave them out")


def _by_graph(taken: Taken, predictions: Predictions, config: AlignConfig, on_progress: OnProgress | None) -> Alignment:
    links, without = links_of(predictions, seed=config.seed)
    tell = on_progress or (lambda *_: None)
    tell("pose graph", 0, 1)
    solved = solve_pose_graph(
        len(taken),
        links,
        GraphConfig(with_scale=config.with_scale, pose_sigma=config.pose_sigma),
        known=config.poses_that_count(taken),
    )
    tell("pose graph", 1, 1)
    place = solved.world_from_frame
    rows = zip(links.pairs(), solved.residuals.tolist(), solved.kept.tolist(), strict=True)
    report = {
        **_head(config, taken, predictions),
        "loss_before": solved.loss_before,
        "loss_after": solved.loss_after,
        "pairs": [{"first": i, "second": j, "residual_m": error, "kept": kept} for (i, j), error, kept in rows],
        "pairs_without_weight": [list(pair) for pair in without],
        "groups": solved.groups,
        "scales": place.scale.tolist(),
        "scale_drift": scale_drift(links, solved.kept, place),
    }
    return Alignment(
        taken,
        pose_from_parts(place.rotation, place.translation).float(),
        _intrinsics(taken, predictions, shared=config.shared_focal),
        predictions.points_self,
        place.scale.float(),
        predictions.conf_self.clamp_min(1),
        predictions.conf_self > 0,
        report,
        replace(solved.start, scale=solved.start.scale / place.scale),
    )


def _by_full(taken: Taken, predictions: Predictions, config: AlignConfig, on_progress: OnProgress | None) -> Alignment:
    graph = _by_graph(taken, predictions, config, on_progress)
    believed = {(row["first"], row["second"]) for row in graph.report["pairs"] if row["kept"]}
    pairs = [row for row, (i, j) in enumerate(predictions.ends.tolist()) if (i, j) in believed]
    poses = graph.world_from_cam.double()
    held = config.poses_that_stay(taken)
    for number, known in held.items():
        poses[number] = known
    full = refine_fully(
        predictions,
        torch.tensor(pairs, dtype=torch.long),
        Similarity(poses[:, :3, :3], poses[:, :3, 3], graph.scales.double()),
        graph.intrinsics,
        DenseConfig(config.sweeps, config.pixels, config.with_scale, config.shared_focal),
        groups=graph.report["groups"],
        known_poses=list(held),
        known_focals=list(taken.intrinsics),
        on_progress=on_progress,
    )
    return Alignment(
        taken,
        full.cameras.world_from_cam.float(),
        full.cameras.intrinsics.float(),
        None,
        torch.ones(len(taken)),
        full.confidence.clamp_min(1),
        full.kept,
        graph.report | _full_report(predictions, full, graph.report),
        replace(graph.before, scale=graph.before.scale * _growth(graph, full.depth)),
        full.depth,
    )


def _full_report(predictions: Predictions, full: Full, graph: dict[str, Any]) -> dict[str, Any]:
    """What refinement has to say beside, and instead of, the report of the pose graph."""
    ends = predictions.ends[full.pairs].tolist()
    after = {(i, j): error for (i, j), error in zip(ends, full.refined.residuals.tolist(), strict=True)}
    return {
        "graph": {"loss_before": graph["loss_before"], "loss_after": graph["loss_after"]},
        "loss_before": full.refined.losses[0],
        "loss_after": full.refined.losses[-1],
        "pairs": [
            row | {"residual_m": after.get((row["first"], row["second"]), row["residual_m"])} for row in graph["pairs"]
        ],
        "points_cleaned": full.cleaned,
        "focals_px": full.cameras.intrinsics[:, 0, 0].tolist(),
    }


def _by_original(
    taken: Taken, predictions: Predictions, config: AlignConfig, on_progress: OnProgress | None
) -> Alignment:
    pairs = predictions.pairs(least=0.0) if config.parity else predictions.pairs()
    tell = partial(on_progress, "the original's optimiser") if on_progress else None
    aligned = align_original(pairs, OriginalConfig(config.steps, metric=not config.parity), on_progress=tell)
    scene, conf = aligned.scene, largest_confidence(predictions.pairs(least=0.0))
    cleaning = CleaningConfig.as_original() if config.parity else CleaningConfig()
    kept = clean(scene.depth, conf, scene.world_from_cam, scene.intrinsics, cleaning) > 0
    report = {
        **_head(config, taken, predictions),
        "loss_before": aligned.losses[0],
        "loss_after": aligned.losses[-1],
        "pairs": [{"first": i, "second": j} for i, j in pairs.ends.tolist()],
        "points_cleaned": int((~kept).sum()),
    }
    return Alignment(
        taken,
        scene.world_from_cam,
        scene.intrinsics,
        unproject(scene.depth, scene.intrinsics),
        torch.ones(len(taken)),
        conf,
        kept,
        report,
        _where(aligned.start, of=scene),
    )


def _growth(graph: Alignment, depth: Float[Tensor, "n h w"]) -> Float[Tensor, "n"]:
    """How much larger the depth of each frame was before it was refined, as a rule; 1 where nobody knows."""
    factors = []
    for number, after in enumerate(depth[:, ::SOME, ::SOME]):
        ratio = graph.points(number)[::SOME, ::SOME, 2] / after
        factors.append(ratio[(after > 0) & (ratio > 0) & ratio.isfinite()].median())
    return torch.stack(factors).nan_to_num(1.0).double()


def _where(start: Scene, *, of: Scene) -> Similarity:
    """Cameras of a scene whose depth maps have changed, with the usual factor of depth as scale."""
    factor = (start.depth / of.depth).flatten(1).median(dim=1).values
    return Similarity(start.world_from_cam[:, :3, :3], start.world_from_cam[:, :3, 3], factor)


def _in_its_world(aligned: Alignment, config: AlignConfig) -> Alignment:
    """Move the finished scene to where known centres or a known distance put it."""
    groups = aligned.report.get("groups", [list(range(len(aligned.taken)))])
    if config.centres_only:
        world = onto_centres(aligned.world_from_cam, aligned.taken.world_from_cam, groups)
    elif config.distance is not None:
        world = config.distance.scaled(aligned.taken.frames, aligned.world_from_cam, groups)
    else:
        return aligned
    before = Similarity.from_matrix(world.matrix().double() @ aligned.before.matrix().double())
    return replace(
        aligned,
        world_from_cam=world.place(aligned.world_from_cam),
        scales=aligned.scales * world.scale.float(),
        depth=None if aligned.depth is None else aligned.depth * float(world.scale),
        before=replace(before, scale=aligned.before.scale),
        report=aligned.report | {"world_scaled_by": float(world.scale)},
    )


def _head(config: AlignConfig, taken: Taken, predictions: Predictions) -> dict[str, Any]:
    return {
        "align": config.method.value,
        "frames": len(taken),
        "size": list(predictions.size),
        "known_intrinsics": len(taken.intrinsics),
        "known_poses": len(taken.world_from_cam),
    }


def _intrinsics(taken: Taken, predictions: Predictions, *, shared: bool) -> Float[Tensor, "n 3 3"]:
    """What is known, else the focal length of the frame's own points."""
    focals = torch.stack(
        [
            estimate_focal(points.float(), weights=weights_of(conf).float())
            for points, conf in zip(predictions.points_self, predictions.conf_self, strict=True)
        ]
    )
    focals = plausible(focals, predictions.size)
    middle = usual(focals, predictions.size)
    intrinsics = pinhole(predictions.size, torch.full_like(focals, middle) if shared else focals.nan_to_num(middle))
    if shared and taken.intrinsics:  # the one camera is the known one
        intrinsics[:] = torch.stack(list(taken.intrinsics.values())).mean(dim=0)
    for number, known in taken.intrinsics.items():
        intrinsics[number] = known
    return intrinsics
