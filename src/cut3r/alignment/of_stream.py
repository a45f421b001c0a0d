"""Align what a stream has said: no network is needed, but for loops."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from cut3r.alignment.align import LOOKING, PREDICTIONS, in_its_world
from cut3r.alignment.align_config import AlignConfig, Loops, Method, OnProgress
from cut3r.alignment.by_full import by_full
from cut3r.alignment.by_graph import by_graph
from cut3r.alignment.graphs import Star, both_ways
from cut3r.alignment.loops import Look, Loop, after_solving, close_loops, loops_report, usual_confidence
from cut3r.alignment.pairs import Predictions
from cut3r.alignment.predict import predict_afresh
from cut3r.alignment.result import Alignment
from cut3r.alignment.streamed import SLACK, Streamed
from cut3r.alignment.taken import Taken
from cut3r.alignment.tokens import FrameTokens
from cut3r.model.network import Cut3r

logger = logging.getLogger(__name__)

ASKED = 16  # neighbours that are looked at, to know how sure one is of such


@dataclass(frozen=True)
class Eye:
    """Who looks for loops: `look` gives the pairs of stars, `pooled` are the mean tokens of the frames."""

    look: Look
    pooled: Float[Tensor, "n d"]

    @classmethod
    def of(cls, model: Cut3r, taken: Taken, predictions: Predictions, on_progress: OnProgress | None) -> "Eye":
        """A network that sees the frames once more."""
        tokens = FrameTokens(model, taken.images)
        tell = partial(on_progress, LOOKING) if on_progress else None

        def look(stars: Sequence[Star]) -> Predictions:
            return predict_afresh(model, predictions, stars, tokens, excluded=~taken.counts, on_progress=tell)

        return cls(look, tokens.pooled())


def check_method(config: AlignConfig) -> None:
    """Raises ValueError for the original's optimiser, which knows no streams."""
    if config.method is Method.original:
        raise ValueError("the original's optimiser takes pairs of a network, and a stream has none; use graph or full")


def align_stream(
    streamed: Streamed,
    config: AlignConfig,
    model: Cut3r | None = None,
    *,
    eye: Eye | None = None,
    folder: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Alignment:
    """Bring the frames of a stream into one world, as `align` does those of stars.

    Args:
        model: Looks for loops, if the configuration asks for them.
        eye: Takes the place of the network.
        folder: Where predictions lie meanwhile, instead of in memory.

    Raises:
        ValueError: No frames; another method; centres or a distance that give no scale.
        DiskFullError: The folder's disk has no room for the predictions.
    """
    check_method(config)
    config = replace(config, slack=max(config.slack, SLACK))
    taken = streamed.taken()
    predictions = streamed.predictions(taken, config, None if folder is None else folder / PREDICTIONS)
    loops: list[Loop] | None = None
    if config.loops is Loops.auto and model is None and eye is None:
        logger.info("no network is given, so frames that see the same place again are not looked for")
    elif config.loops is Loops.auto:
        looker = eye or Eye.of(model, taken, predictions, on_progress)  # type: ignore[arg-type]
        predictions, loops = _close_loops(predictions, looker, config.width)
        del looker  # and with it the tokens of all frames
    done = by_full if config.method is Method.full and len(predictions.ends) else by_graph
    aligned = in_its_world(done(taken, predictions, config, on_progress), config)
    aligned.report["left_out"] = streamed.left_out
    if loops is not None:
        aligned.report["loops"] = loops_report(after_solving(loops, aligned.report["pairs"]))
    return aligned


def _close_loops(predictions: Predictions, eye: Eye, width: int) -> tuple[Predictions, list[Loop]]:
    near = [(k, k + 1) for k in range(0, predictions.frames - 1, max(1, predictions.frames // ASKED))]
    usual = usual_confidence(eye.look(both_ways(near)), width) if near else None
    return close_loops(predictions, eye.pooled, eye.look, width=width, usual=usual)
