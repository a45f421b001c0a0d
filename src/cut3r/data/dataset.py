"""The one base class of datasets. A dataset says which scenes it has, reads one frame, and names its policy.

Nothing here remembers anything between samples: a sample is a function of (seed, epoch, index, turn), so it does not
matter which worker makes it, and it can be made again alone.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch.utils.data import get_worker_info

from cut3r.data.sampling import Choice, MaskProbabilities, Policy, SamplingPolicy, Wanted
from cut3r.data.scene import Scene
from cut3r.data.scene_index import ChosenScenes, SceneIndex
from cut3r.data.transforms import ColorJitter, Size, fit
from cut3r.data.view import CompactView, Facts, RawFrame, View, assemble
from cut3r.files.damaged import read_errors
from cut3r.files.packed_path import as_path, open_root
from cut3r.geometry.poses import is_rigid

logger = logging.getLogger(__name__)

ATTEMPTS = 10  # other samples to try before giving up
PARITY_ATTEMPTS = 1000  # the original does not give up
_COUNTERS = 256  # one per worker process, so that no two processes write to the same


class NoScenesError(ValueError):
    """A dataset has no scene that is long enough."""


class UnusableSceneError(ValueError):
    """A scene gives no such sample."""


class BrokenSceneError(UnusableSceneError):
    """A scene has too few readable frames for a sample."""


@dataclass(frozen=True)
class Request:
    """What the batch sampler asks of a dataset."""

    index: int
    size: Size  # (h, w)
    num_views: int
    epoch: int = 0
    turn: int = 0  # counts the uses of the same index within an epoch, so that they differ


class MultiViewDataset(ABC):
    """Samples of several views of one scene.

    A child fills in `index` and `read` and the facts below. It overrides nothing else, except `read_many` where frames
    cost less together than one by one, and `metric_of` where only some scenes are in metres.
    """

    name: ClassVar[str]  # of the dataset, first part of labels
    splits: ClassVar[tuple[str | None, ...]] = (None,)  # the first is the default
    metric: ClassVar[bool] = False
    camera_only: ClassVar[bool] = False
    depth_only: ClassVar[bool] = False
    single_view: ClassVar[bool] = False  # views are unrelated pictures: the state is reset after each
    policy: Policy = SamplingPolicy()
    parity_policy: ClassVar[Policy | None] = None  # where the original's differs
    policies: ClassVar[Mapping[str, Policy]] = MappingProxyType({})  # of scenes that name their own
    masks: MaskProbabilities = MaskProbabilities()  # of the dataset, unless the constructor is told others
    needs_depth: ClassVar[bool] = False  # a frame whose crop shows no depth is replaced
    foreground_prob: ClassVar[float] = 0.0  # share of samples whose background depth is forgotten
    redraws_one_frame: ClassVar[bool] = False  # parity: a sample whose views all show one frame is drawn again
    repeats: ClassVar[int] = 1  # how often `len` counts each entry

    def __init__(
        self,
        root: Path | None,
        *,
        split: str | None = None,
        num_views: int,
        sizes: Sequence[Size],
        seed: int = 0,
        aug_crop: int = 0,
        seq_aug_crop: bool = False,
        allow_repeat: bool = False,
        jitter: ColorJitter | None = None,
        include_translation: bool = True,
        masks: MaskProbabilities | None = None,
        parity: bool = False,
    ) -> None:
        """Index the scenes.

        Args:
            root: The processed folder, or one that it was packed into; None for datasets that need no files.
            num_views: The largest number of views of a sample.
            sizes: (h, w) of the samples; the first is that of a plain integer index.
            aug_crop: Each view is enlarged by a random number of pixels below this before its final crop; 0 and 1 do
                nothing.
            seq_aug_crop: One such number per sample instead of one per view.
            allow_repeat: Admit scenes with a third of `num_views` frames; frames then repeat.
            jitter: A random change of colours, the same for all views of a sample.
            include_translation: What ray maps hold; see `cut3r.geometry.cameras.ray_map`. The model's config says.
            masks: What the network is given of the views; None takes the dataset's own.
            parity: Repeat the quirks that the dataset's documentation lists, and the original's draws:
                `default_rng(seed + index)`, the same in every epoch.

        Raises:
            FileNotFoundError: There is no such folder, or it is packed and lacks a shard.
            NoScenesError: No scene has enough frames.
            ValueError: There is no such split.
        """
        if root is not None and not Path(root).is_dir():
            raise FileNotFoundError(
                f"{self.name}: there is no folder {root}; set its path in configs/paths, or convert the dataset with "
                "python -m datasets_preprocess"
            )
        if split not in (None, *self._splits()):
            raise ValueError(f"{self.name} has no split {split!r}; it has {self._splits()}, and None takes the first")
        self.root = open_root(as_path(root)) if root is not None else Path()
        self.split = split or self.splits[0]
        self.num_views = num_views
        self.sizes: list[Size] = [(int(h), int(w)) for h, w in sizes]
        self.seed = seed
        self.aug_crop = aug_crop
        self.seq_aug_crop = seq_aug_crop
        self.allow_repeat = allow_repeat
        self.jitter = jitter
        self.include_translation = include_translation
        self.masks = masks or self.masks
        self.parity = parity
        self._policy = (self.parity_policy if parity else None) or self.policy
        self._broken = torch.zeros(_COUNTERS, dtype=torch.int64).share_memory_()
        self.scenes, self._ends = self._admit(self.index())

    @abstractmethod
    def index(self) -> Iterable[Scene]:
        """List the scenes below `self.root`, in an order that is the same everywhere."""

    @abstractmethod
    def read(self, scene: Scene, position: int) -> RawFrame:
        """Read one frame. Whatever damaged or missing files raise is handled by the caller."""

    def read_many(self, scene: Scene, positions: Sequence[int]) -> Iterator[RawFrame]:
        """Read frames of a scene, in this order, each when it is asked for.

        What one frame raises does not end the iterator: ask on for the next.
        """
        return map(partial(self.read, scene), positions)

    def policy_of(self, scene: Scene) -> Policy:
        """Give the policy that the scene names, or that of the dataset."""
        return self.policies[scene.policy] if scene.policy else self._policy

    def metric_of(self, scene: Scene) -> bool:
        """Tell whether the unit of a scene is the metre; where scenes differ, a child says so."""
        return self.metric

    def camera_only_of(self, scene: Scene) -> bool:
        """Tell whether the depth of a scene is made up; a fact of the scene, or of the dataset."""
        return bool(scene.facts.get("camera_only", self.camera_only))

    def _splits(self) -> tuple[str | None, ...]:
        """List the splits that may be asked for."""
        return self.splits

    def __len__(self) -> int:
        return int(self._ends[-1]) * self.repeats

    def __getitem__(self, request: int | Request) -> list[View]:
        """Make a sample. A scene that cannot be used is logged, and another one takes its place.

        Raises:
            RuntimeError: So were ten others.
        """
        if not isinstance(request, Request):
            request = Request(request, self.sizes[0], self.num_views)
        return [view.to("cpu") for view in self.compact(request)]

    def compact(self, request: Request) -> list[CompactView]:
        """Make a sample as it travels; everything else is as with an index in brackets."""
        if not 0 <= request.index < len(self):
            raise IndexError(f"{self.name} has {len(self)} samples, so there is no number {request.index}")
        if not 1 <= request.num_views <= self.num_views:
            raise ValueError(
                f"{request.num_views} views asked of {self.name}, which was made for 1 to {self.num_views}"
            )
        reasons = []
        broken: set[int] = set()  # scenes with too many broken frames, which the original remembers
        rng = self._generator(request, 0)
        margin = self._draw_margin(rng) if self.seq_aug_crop else None
        attempts = PARITY_ATTEMPTS if self.parity else ATTEMPTS
        for attempt in range(attempts):
            if attempt and not self.parity:  # the original goes on with the same generator
                rng = self._generator(request, attempt)
            entry = request.index if attempt == 0 else int(rng.integers(len(self)))
            number = self._scene_number(entry // self.repeats)
            if self.parity and number in broken:
                continue
            try:
                return self._sample(entry // self.repeats, request, margin, rng)
            except UnusableSceneError as error:
                logger.warning("%s: sample %d is replaced by another: %s", self.name, entry, error)
                reasons.append(error)
                if isinstance(error, BrokenSceneError):
                    broken.add(number)
        raise RuntimeError(
            f"{self.name}: {attempts} samples in a row cannot be used; check the files below {self.root}"
        ) from reasons[-1]

    @property
    def broken_frames(self) -> int:
        """Count the frames that worker processes could not read or crop since the dataset was made."""
        return int(self._broken.sum())

    def _wanted(self, num_views: int) -> Wanted:
        return Wanted(num_views, self.num_views, self.allow_repeat)

    def _admit(self, listed: Iterable[Scene]) -> tuple[Sequence[Scene], np.ndarray]:
        """Keep the scenes that have samples, and the running sum of their numbers."""
        scenes = listed if isinstance(listed, SceneIndex | ChosenScenes) else list(listed)
        counts = self._entries(scenes)
        kept = np.flatnonzero(counts)
        if not len(kept):
            raise NoScenesError(
                f"{self.name}: none of the {len(scenes)} scenes in {self.root}, split {self.split}, has the "
                f"{self._wanted(self.num_views).admission} frames that {self.num_views} views need; lower num_views "
                "or set allow_repeat"
            )
        if len(kept) < len(scenes):
            logger.info("%s: %d of %d scenes are too short", self.name, len(scenes) - len(kept), len(scenes))
        chosen = [scenes[number] for number in kept] if isinstance(scenes, list) else ChosenScenes(scenes, kept)
        return chosen, np.cumsum(counts[kept])

    def _entries(self, scenes: Sequence[Scene]) -> np.ndarray:
        """Count the samples of each scene; of an index by the lengths alone, if that is enough."""
        wanted = self._wanted(self.num_views)
        policies = (self._policy, *self.policies.values())
        if isinstance(scenes, SceneIndex | ChosenScenes) and all(isinstance(p, SamplingPolicy) for p in policies):
            return SamplingPolicy().entries_of(scenes.lengths, wanted)
        return np.array([self.policy_of(scene).entries(scene, wanted) for scene in scenes], np.int64)

    def _generator(self, request: Request, attempt: int) -> np.random.Generator:
        if self.parity:
            return np.random.default_rng(self.seed + request.index)
        return np.random.default_rng([self.seed, request.epoch, request.index, request.turn, attempt])

    def _scene_number(self, entry: int) -> int:
        return int(np.searchsorted(self._ends, entry, side="right"))

    def _sample(self, entry: int, request: Request, margin: int | None, rng: np.random.Generator) -> list[CompactView]:
        number = self._scene_number(entry)
        scene = self.scenes[number]
        start = entry - (int(self._ends[number - 1]) if number else 0)
        reasons: dict[int, str] = {}
        drawn = self._draw(scene, start, request, margin, reasons, rng)
        while self.parity and self.redraws_one_frame and request.num_views > 1 and len({d.label for d in drawn}) == 1:
            drawn = self._draw(scene, start, request, margin, reasons, rng)
        frames = [each.frame for each in drawn]
        if self.jitter is not None:
            change = self.jitter.draw(rng)
            frames = [replace(frame, rgb=change.apply(frame.rgb)) for frame in frames]
        facts = Facts(self.metric_of(scene), self.camera_only_of(scene), self.depth_only, self.single_view)
        return assemble(
            frames,
            [each.label for each in drawn],
            [each.shown for each in drawn],
            facts,
            include_translation=self.include_translation,
            any_inverse=self.parity,  # common.md C6
        )

    def _draw(
        self,
        scene: Scene,
        start: int,
        request: Request,
        margin: int | None,
        reasons: dict[int, str],
        rng: np.random.Generator,
    ) -> list["_Drawn"]:
        choice = self._choose(scene, start, request.num_views, rng)
        object_only = self.foreground_prob > 0 and rng.random() >= 1 - self.foreground_prob
        crop = _Crop(request.size, margin, object_only, reasons)
        metric = self.metric_of(scene)
        drawn: list[_Drawn] = []
        for position, frame in self._frames(scene, choice, crop, rng):
            shown = self.masks.draw(len(drawn), metric and not self.single_view, rng)
            drawn.append(_Drawn(frame, self._label(scene, position), shown))
        return drawn

    def _choose(self, scene: Scene, start: int, num_views: int, rng: np.random.Generator) -> Choice:
        try:
            choice = self.policy_of(scene).choose(scene, start, self._wanted(num_views), rng)
        except ValueError as error:
            raise UnusableSceneError(f"{scene.name}: {error}") from error
        if not self.parity and num_views > 1 and len(set(choice.positions)) == 1:
            raise UnusableSceneError(f"{scene.name}: all {num_views} views would show the same frame")
        return choice

    def _frames(
        self, scene: Scene, choice: Choice, crop: "_Crop", rng: np.random.Generator
    ) -> Iterator[tuple[int, RawFrame]]:
        """Read the chosen frames; one that cannot be used is replaced by what the policy says, of those that the sample
        does not hold already if there are any. Parity: also of those; 04_co3d.md quirk 8."""
        reasons = crop.reasons
        used = set() if self.parity else set(choice.positions)
        frames = self.read_many(scene, choice.positions)
        for chosen in choice.positions:
            position, read = chosen, partial(next, frames)
            if chosen in reasons:
                with suppress(*read_errors()):
                    read()
            while (frame := self._prepare(scene, position, read, crop, reasons, rng)) is None:
                position = self._substitute(scene, position, reasons, used, rng)
                read = partial(self.read, scene, position)
                if not self.parity:
                    used.add(position)
            yield position, frame

    def _substitute(
        self, scene: Scene, position: int, reasons: dict[int, str], used: set[int], rng: np.random.Generator
    ) -> int:
        total, last = len(scene.frames), list(reasons.values())[-1]
        if total - len(reasons) < min(self._wanted(self.num_views).admission, total) or len(reasons) > ATTEMPTS:
            raise BrokenSceneError(f"{scene.name}: {len(reasons)} of its {total} frames cannot be used; {last}")
        usable = [p for p in self.policy_of(scene).substitutes(scene, position, rng) if p not in reasons]
        if not usable:
            raise BrokenSceneError(f"{scene.name}: no other frame takes the place of a broken one; {last}")
        return next((other for other in usable if other not in used), usable[0])

    def _prepare(
        self,
        scene: Scene,
        position: int,
        read: Callable[[], RawFrame],
        crop: "_Crop",
        reasons: dict[int, str],
        rng: np.random.Generator,
    ) -> RawFrame | None:
        """Read and crop a frame, or note the reason why that cannot be done, if it is not known already."""
        if position in reasons:
            return None
        try:
            frame = read()
            if not is_rigid(torch.from_numpy(frame.world_from_cam)) or not np.isfinite(frame.depth).all():
                raise ValueError("its pose is no rigid motion, or its depth is not finite")
            if crop.object_only and frame.foreground is not None:
                frame = replace(frame, depth=np.where(frame.foreground, frame.depth, np.float32(0)))
            fitted = fit(frame, crop.size, margin=self._draw_margin(rng) if crop.margin is None else crop.margin)
        except read_errors() as error:
            reasons[position] = f"{self._label(scene, position)} is broken: {error!r}"
            self._count_broken()
            logger.warning("%s; a neighbour takes its place", reasons[position])
            return None
        if self.needs_depth and not (fitted.depth > 0).any():
            reasons[position] = f"{self._label(scene, position)} shows no depth"
            return None
        return fitted

    def _draw_margin(self, rng: np.random.Generator) -> int:
        return int(rng.integers(0, self.aug_crop)) if self.aug_crop > 1 else 0

    def _count_broken(self) -> None:
        worker = get_worker_info()
        self._broken[0 if worker is None else 1 + worker.id % (_COUNTERS - 1)] += 1

    def _label(self, scene: Scene, position: int) -> str:
        return f"{self.name}/{scene.name}/{scene.frames[position]}"


class _Drawn(NamedTuple):
    """A view of a sample, and whether the network gets its image, and its ray map."""

    frame: RawFrame
    label: str
    shown: tuple[bool, bool]


@dataclass(frozen=True)
class _Crop:
    """What happens to every frame of a sample; a margin of None is drawn for each. `reasons` say why positions of its
    scene cannot be used, as far as that is known."""

    size: Size
    margin: int | None
    object_only: bool
    reasons: dict[int, str]
