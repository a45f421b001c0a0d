"""Run a network over stars: each frame is encoded once, and many stars go through the decoder as one batch."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Shaped, UInt8
from torch import Tensor

from cut3r.alignment.graphs import Star, pairs_of
from cut3r.alignment.pairs import Predictions, compact
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
    anchors: int = ANCHORS,
    on_progress: OnProgress | None = None,
) -> Predictions:
    """Say what the network sees in each frame alone, and in the pairs of the stars.

    The stars of one anchor begin with the same step, which is taken once. Results do not depend on what is in one
    batch, up to rounding.

    Args:
        images: As the network takes them, see `inference.preprocess.fit`.
        tokens: Of these images, where the caller wants to use them again; they are filled in.
        anchors: How many are one batch.
        on_progress: Called after each batch.

    Raises:
        ValueError: A star names a frame that does not exist, or the same pair comes twice.
    """
    pairs = pairs_of(stars)
    _check(pairs, len(images))
    run = _Run(model, tokens or FrameTokens(model, images), on_progress, len(pairs) + len(images))
    run.stars(range(len(images)), stars, anchors)
    return Predictions(
        images,
        points_self=torch.stack([points for points, _ in run.alone]),
        conf_self=torch.stack([conf for _, conf in run.alone]),
        ends=torch.tensor(pairs, dtype=torch.long).reshape(-1, 2),
        **run.collect(pairs, images),
    )


@torch.no_grad()
def predict_more(
    model: Cut3r,
    predictions: Predictions,
    stars: Sequence[Star],
    tokens: FrameTokens,
    *,
    anchors: int = ANCHORS,
    on_progress: OnProgress | None = None,
) -> Predictions:
    """The pairs of other stars, with what is known of each frame alone; as `predict`, for stars of a few anchors."""
    pairs = pairs_of(stars)
    _check(pairs, predictions.frames)
    first = sorted({i for i, _ in pairs})
    run = _Run(model, tokens, on_progress, len(pairs) + len(first))
    run.stars(first, stars, anchors)
    ends = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
    return replace(predictions, ends=ends, **run.collect(pairs, predictions.images))


class _Run:
    """What was predicted so far: of frames alone in the order of their numbers, and of pairs."""

    def __init__(self, model: Cut3r, tokens: FrameTokens, on_progress: OnProgress | None, total: int) -> None:
        self.model, self.tokens = model, tokens
        self.alone: list[tuple[Tensor, Tensor]] = []
        self.paired: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self._on_progress, self._done, self._total = on_progress, 0, total

    def stars(self, numbers: Sequence[int], stars: Sequence[Star], anchors: int) -> None:
        """See some frames alone, and then the stars that begin with them, many anchors at a time."""
        of_anchor: dict[int, list[Star]] = {number: [] for number in numbers}
        for star in stars:
            if len(star) > 1:
                of_anchor[star[0]].append(star)
        for some in (list(numbers[k : k + anchors]) for k in range(0, len(numbers), anchors)):
            after = self.look(some)
            longest_first = sorted((star for k in some for star in of_anchor[k]), key=len, reverse=True)
            for batch in (longest_first[k : k + 2 * anchors] for k in range(0, len(longest_first), 2 * anchors)):
                place = torch.tensor([some.index(star[0]) for star in batch])
                self.follow(batch, _rows(after, place.to(self.model.device)))

    def look(self, numbers: list[int]) -> StreamState:
        """See frames alone: gives the states of streams that begin with them."""
        state = self.model.initial_state(len(numbers))
        said, after = self.model.step(state, _pictures(len(numbers)), self.tokens.of(numbers), SELF)
        assert said.points_cam is not None and said.conf_cam is not None
        points, conf = compact(said.points_cam, said.conf_cam)
        self.alone.extend(zip(points, conf, strict=True))
        self._advance(len(numbers))
        return after

    def follow(self, stars: Sequence[Star], state: StreamState) -> None:
        """Go on with streams that have seen their anchors. The longest stars come first, and are alone in the end."""
        for place in range(1, len(stars[0])):
            numbers = [star[place] for star in stars if len(star) > place]
            state = _rows(state, torch.arange(len(numbers), device=self.model.device))
            said, state = self.model.step(state, _pictures(len(numbers)), self.tokens.of(numbers), WORLD)
            assert said.points_world is not None and said.conf_world is not None
            points, conf = compact(said.points_world, said.conf_world)
            for row, number in enumerate(numbers):
                self.paired[stars[row][0], number] = points[row], conf[row]
            self._advance(len(numbers))

    def collect(self, pairs: Sequence[tuple[int, int]], images: UInt8[Tensor, "n h w 3"]) -> dict[str, Tensor]:
        """Points and confidences of the pairs, in their order."""
        h, w = images.shape[1:3]
        nothing = (torch.zeros(0, h, w, 3).half(), torch.zeros(0, h, w).half())
        paired = [self.paired.pop(pair) for pair in pairs]
        points, conf = (torch.stack(each) for each in zip(*paired, strict=True)) if paired else nothing
        return {"points_pair": points, "conf_pair": conf}

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
