"""Run a network over stars: each frame is encoded once, and many stars go through the decoder as one batch."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Shaped, UInt8
from torch import Tensor

from cut3r.alignment.graphs import Star, pairs_of
from cut3r.alignment.pairs import Predictions, compact
from cut3r.inference.preprocess import normalize
from cut3r.model.encoder import Tokens, ViewInput
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
    anchors: int = ANCHORS,
    on_progress: OnProgress | None = None,
) -> Predictions:
    """Say what the network sees in each frame alone, and in the pairs of the stars.

    The stars of one anchor begin with the same step, which is taken once. Results do not depend on what is in one
    batch, up to rounding. On the host, a frame's tokens (1.5 MiB at 512x384) are kept in half precision until the end.

    Args:
        images: As the network takes them, see `inference.preprocess.fit`.
        anchors: How many are one batch.
        on_progress: Called after each batch.

    Raises:
        ValueError: A star names a frame that does not exist, or the same pair comes twice.
    """
    run = _Run(model, images, on_progress, sum(len(star) - 1 for star in stars) + len(images))
    pairs = pairs_of(stars)
    _check(pairs, len(images))
    of_anchor: dict[int, list[Star]] = {number: [] for number in range(len(images))}
    for star in stars:
        if len(star) > 1:
            of_anchor[star[0]].append(star)
    for numbers in torch.arange(len(images)).split(anchors):
        after = run.look(numbers)
        longest_first = sorted((star for k in numbers.tolist() for star in of_anchor[k]), key=len, reverse=True)
        for some in (longest_first[k : k + 2 * anchors] for k in range(0, len(longest_first), 2 * anchors)):
            place = torch.tensor([star[0] for star in some]) - int(numbers[0])
            run.follow(some, _rows(after, place.to(model.device)))
    return run.collect(pairs)


class _Run:
    """The tokens of all frames, and what was predicted so far."""

    def __init__(
        self, model: Cut3r, images: UInt8[Tensor, "n h w 3"], on_progress: OnProgress | None, total: int
    ) -> None:
        self.model, self.images = model, images
        self.alone: list[tuple[Tensor, Tensor]] = []
        self.paired: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self._on_progress, self._done, self._total = on_progress, 0, total
        patch = model.config.patch_size
        self._grid = (images.shape[1] // patch, images.shape[2] // patch)
        self._features: list[Tensor] = []
        self._dtype = torch.float32

    def look(self, numbers: Tensor) -> StreamState:
        """See frames alone: gives the states of streams that begin with them."""
        tokens = self._tokens(numbers.tolist())
        state = self.model.initial_state(len(numbers))
        said, after = self.model.step(state, _pictures(len(numbers)), tokens, SELF)
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
            said, state = self.model.step(state, _pictures(len(numbers)), self._tokens(numbers), WORLD)
            assert said.points_world is not None and said.conf_world is not None
            points, conf = compact(said.points_world, said.conf_world)
            for row, number in enumerate(numbers):
                self.paired[stars[row][0], number] = points[row], conf[row]
            self._advance(len(numbers))

    def collect(self, pairs: Sequence[tuple[int, int]]) -> Predictions:
        h, w = self.images.shape[1:3]
        nothing = (torch.zeros(0, h, w, 3).half(), torch.zeros(0, h, w).half())
        paired = [self.paired.pop(pair) for pair in pairs]
        points, conf = (torch.stack(each) for each in zip(*paired, strict=True)) if paired else nothing
        return Predictions(
            images=self.images,
            points_self=torch.stack([points for points, _ in self.alone]),
            conf_self=torch.stack([conf for _, conf in self.alone]),
            ends=torch.tensor(pairs, dtype=torch.long).reshape(-1, 2),
            points_pair=points,
            conf_pair=conf,
        )

    def _tokens(self, numbers: list[int]) -> Tokens:
        """Of frames that may not be encoded yet."""
        while len(self._features) <= max(numbers):
            block = self.images[len(self._features) : len(self._features) + ANCHORS].to(self.model.device)
            features = self.model.encode(ViewInput(image=normalize(block))).features
            self._dtype = features.dtype
            self._features.extend(features.half().cpu())
        wanted = torch.stack([self._features[number] for number in numbers])
        return Tokens(wanted.to(self.model.device, self._dtype), self._grid)

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
