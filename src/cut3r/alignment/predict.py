"""Run a network over stars: each frame is encoded once, and many stars go through the decoder as one batch."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor

from cut3r.alignment.given_depth import GivenDepth, Maps
from cut3r.alignment.graphs import Star, pairs_of
from cut3r.alignment.pairs import Predictions, compact, unit_ratio
from cut3r.alignment.store import PredictionStore
from cut3r.alignment.tokens import FrameTokens
from cut3r.model.encoder import ViewInput
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs
from cut3r.model.state import StreamState

SELF = Outputs(points_cam=True, pose=False)
WORLD = Outputs(points_cam=False, points_world=True, pose=False)
ANCHORS = 16  # stars of so many anchors are one batch: twice as many streams

OnProgress = Callable[[int, int], None]  # steps of the network done, and of all


@torch.no_grad()
def predict(
    model: Cut3r,
    images: UInt8[Tensor, "n h w 3"],
    stars: Sequence[Star],
    *,
    tokens: FrameTokens | None = None,
    excluded: Bool[Tensor, "n h w"] | None = None,
    store: PredictionStore | None = None,
    depth: Maps | None = None,
    anchors: int = ANCHORS,
    on_progress: OnProgress | None = None,
) -> Predictions:
    """Say what the network sees in each frame alone, and in the pairs of the stars.

    The stars of one anchor begin with the same step, which is taken once. Results do not depend on what is in one
    batch, up to rounding.

    Args:
        images: As the network takes them, see `inference.preprocess.fit`.
        tokens: Of these images, where the caller wants to use them again; they are filled in.
        excluded: Pixels (masks of frames) whose points get confidence 0.
        depth: What is known of it, which takes the place of what the network says.
        store: Made for these pairs; what is done in it is not done again. By default one in memory.
        anchors: How many are one batch.
        on_progress: Called after each batch.

    Raises:
        ValueError: A star names a frame that does not exist, or the same pair comes twice.
    """
    pairs = pairs_of(stars)
    _check(pairs, len(images))
    store = store or PredictionStore(len(images), pairs, (images.shape[1], images.shape[2]))
    seen, total = tokens or FrameTokens(model, images), len(pairs) + len(images)
    run = _Run(model, seen, excluded, store, on_progress, total, GivenDepth(depth or {}))
    run.stars(range(len(images)), stars, anchors)
    return store.predictions(images)


@torch.no_grad()
def predict_more(
    model: Cut3r,
    predictions: Predictions,
    stars: Sequence[Star],
    tokens: FrameTokens,
    *,
    excluded: Bool[Tensor, "n h w"] | None = None,
    depth: Maps | None = None,
    anchors: int = ANCHORS,
    on_progress: OnProgress | None = None,
) -> Predictions:
    """The pairs of other stars, with what is known of each frame alone; as `predict`, for stars of a few anchors."""
    pairs = pairs_of(stars)
    _check(pairs, predictions.frames)
    first = sorted({i for i, _ in pairs})
    store = PredictionStore(0, pairs, predictions.size)
    run = _Run(model, tokens, excluded, store, on_progress, len(pairs) + len(first), GivenDepth(depth or {}))
    run.stars(first, stars, anchors)
    return replace(predictions, ends=store.ends, points_pair=store.points_pair, conf_pair=store.conf_pair)


@torch.no_grad()
def predict_afresh(
    model: Cut3r,
    predictions: Predictions,
    stars: Sequence[Star],
    tokens: FrameTokens,
    *,
    excluded: Bool[Tensor, "n h w"] | None = None,
    anchors: int = ANCHORS,
    on_progress: OnProgress | None = None,
) -> Predictions:
    """As `predict_more`, where what is known of each frame alone does not come from a look at it alone.

    The network sees each anchor alone, too, and its pairs are brought to the unit that the anchor's points have in
    `predictions`: a stream's metres need not be those of a star.
    """
    pairs = pairs_of(stars)
    _check(pairs, predictions.frames)
    first = sorted({i for i, _ in pairs})
    store = PredictionStore(predictions.frames, pairs, predictions.size)
    run = _Run(model, tokens, excluded, store, on_progress, len(pairs) + len(first), GivenDepth({}))
    run.stars(first, stars, anchors)
    units = {k: unit_ratio(predictions.points_self[k, ..., 2], store.points_self[k, ..., 2]) for k in first}
    by = torch.tensor([units[i] for i, _ in pairs])[:, None, None, None]
    points, conf = compact(store.points_pair.float() * by, store.conf_pair)
    conf = conf.where(store.conf_pair > 0, 0.0)  # `compact` takes what has no weight for confidence 1
    return replace(predictions, ends=store.ends, points_pair=points, conf_pair=conf)


class _Run:
    """Fills a store; one without room for frames takes the pairs only."""

    def __init__(
        self,
        model: Cut3r,
        tokens: FrameTokens,
        excluded: Bool[Tensor, "n h w"] | None,
        store: PredictionStore,
        on_progress: OnProgress | None,
        total: int,
        given: GivenDepth,
    ) -> None:
        self.model, self.tokens, self.excluded, self.store = model, tokens, excluded, store
        self._on_progress, self._done, self._total = on_progress, 0, total
        self._given = given

    def stars(self, numbers: Sequence[int], stars: Sequence[Star], anchors: int) -> None:
        """See some frames alone, and then the stars that begin with them, many anchors at a time."""
        of_anchor: dict[int, list[Star]] = {number: [] for number in numbers}
        for star in stars:
            if len(star) > 1:
                of_anchor[star[0]].append(star)
        for some in (list(numbers[k : k + anchors]) for k in range(0, len(numbers), anchors)):
            longest_first = sorted((star for k in some for star in of_anchor[k]), key=len, reverse=True)
            if len(self.store.done) and bool(self.store.done[some].all()):
                self._advance(len(some) + sum(len(star) - 1 for star in longest_first))
                continue
            after = self.look(some)
            for batch in (longest_first[k : k + 2 * anchors] for k in range(0, len(longest_first), 2 * anchors)):
                place = torch.tensor([some.index(star[0]) for star in batch])
                self.follow(batch, _rows(after, place.to(self.model.device)))
            if len(self.store.done):
                self.store.finish(some)

    def look(self, numbers: list[int]) -> StreamState:
        """See frames alone: gives the states of streams that begin with them."""
        state = self.model.initial_state(len(numbers))
        said, after = self.model.step(state, _pictures(len(numbers)), self.tokens.of(numbers), SELF)
        assert said.points_cam is not None and said.conf_cam is not None
        put = [self._given.put(number, points) for number, points in zip(numbers, said.points_cam, strict=True)]
        points, conf = compact(torch.stack(put), said.conf_cam)
        for row, number in enumerate(numbers if len(self.store.done) else []):
            self.store.put_alone(number, points[row], self._counted(conf[row], number))
        self._advance(len(numbers))
        return after

    def follow(self, stars: Sequence[Star], state: StreamState) -> None:
        """Go on with streams that have seen their anchors. The longest stars come first, and are alone in the end."""
        for place in range(1, len(stars[0])):
            numbers = [star[place] for star in stars if len(star) > place]
            state = _rows(state, torch.arange(len(numbers), device=self.model.device))
            said, state = self.model.step(state, _pictures(len(numbers)), self.tokens.of(numbers), WORLD)
            assert said.points_world is not None and said.conf_world is not None
            anchors = [star[0] for star in stars[: len(numbers)]]
            grown = [self._given.grown(k, points) for k, points in zip(anchors, said.points_world, strict=True)]
            points, conf = compact(torch.stack(grown), said.conf_world)
            for row, number in enumerate(numbers):
                self.store.put_pair((stars[row][0], number), points[row], self._counted(conf[row], number))
            self._advance(len(numbers))

    def _counted(self, conf: Float[Tensor, "h w"], number: int) -> Float[Tensor, "h w"]:
        return conf if self.excluded is None else conf.masked_fill(self.excluded[number], 0.0)

    def _advance(self, steps: int) -> None:
        self._done += steps
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)


def _pictures(count: int) -> ViewInput:
    """What a step wants to know of its views, beside the tokens."""
    return ViewInput(image=torch.empty(count, 3, 1, 1, device="meta"))


def _rows(state: StreamState, rows: Shaped[Tensor, "k"]) -> StreamState:
    """Some of the streams, perhaps several times."""
    return StreamState.from_tensors({name: value[rows] for name, value in state.tensors().items()})


def _check(pairs: Sequence[tuple[int, int]], n: int) -> None:
    wrong = [number for pair in pairs for number in pair if not 0 <= number < n]
    if wrong:
        raise ValueError(f"a star names frame {wrong[0]}, but there are frames 0 to {n - 1}")
    if len(set(pairs)) < len(pairs):
        twice = next(pair for pair in pairs if pairs.count(pair) > 1)
        raise ValueError(f"the pair {twice} is in two stars; leave one out")
