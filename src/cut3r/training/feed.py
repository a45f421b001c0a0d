"""From the data settings to batches: which datasets, their mixture, the curriculum, the held-out sets."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from cut3r.data.dataset import MultiViewDataset, Request
from cut3r.data.datasets import DATASETS
from cut3r.data.loader import Loader, load
from cut3r.data.mixture import Mixture, Part
from cut3r.data.synthetic import SyntheticRooms
from cut3r.data.transforms import ColorJitter
from cut3r.data.view import View
from cut3r.model.config import ModelConfig, RayDirection
from cut3r.training.config import SYNTHETIC, CurriculumStage, DataConfig, PathsConfig

logger = logging.getLogger(__name__)


class MissingDatasetsError(FileNotFoundError):
    """Datasets of the mixture cannot be read."""


class DataFeed:
    """Batches of the configured mixture for process `rank` of `world`.

    Raises:
        MissingDatasetsError: A dataset has no reader or no folder, and they are not to be left out.
        ValueError: Nothing is left, or an epoch is smaller than one batch on each process.
    """

    def __init__(
        self, config: DataConfig, paths: PathsConfig, model: ModelConfig, *, rank: int = 0, world: int = 1
    ) -> None:
        self.config, self.paths, self.rank, self.world = config, paths, rank, world
        self.with_translation = model.ray_direction is RayDirection.point_at_unit_depth
        self.stages = sorted(config.synthetic.curriculum, key=lambda stage: stage.from_epoch)
        if self.stages and self.stages[0].from_epoch != 0:
            raise ValueError("data.synthetic.curriculum must have a stage with from_epoch 0")
        self.samples = available(config.samples, config, paths)
        self.validation_samples = available(config.validation.samples, config, paths)
        self._loaders: dict[int, Loader] = {}
        self._loader(0)  # so that whatever is wrong with the data shows at once
        self._held_out = {name: self._validation_part(name) for name in self.validation_samples}

    def length(self, epoch: int) -> int:
        return len(self._loader(epoch))

    def batch_size(self, epoch: int) -> int:
        return self._loader(epoch).config.batch_size

    def batches(self, epoch: int, start: int) -> Iterator[list[View]]:
        return self._loader(epoch).batches(epoch, start)

    def held_out(self) -> dict[str, Iterator[list[View]]]:
        """Give this process's share of each held-out set, in order."""
        size = self.config.loader.batch_size
        shares = {}
        for name, source in self._held_out.items():
            requests = [Request(i, source.sizes[0], source.num_views) for i in range(len(source))]
            plan = [requests[i : i + size] for i in range(0, len(requests), size)]
            shares[name] = load(source, plan[self.rank :: self.world], self.config.loader.num_workers)
        return shares

    def _loader(self, epoch: int) -> Loader:
        number = sum(stage.from_epoch <= epoch for stage in self.stages)
        if number not in self._loaders:
            stage = self.stages[number - 1] if self.stages else CurriculumStage(0, self.config.num_views)
            parts = [Part(self._training_set(name, stage), count) for name, count in self.samples.items()]
            mixture = Mixture(parts, seed=self.config.loader.seed)
            self._loaders[number] = Loader(mixture, self.config.loader, rank=self.rank, world=self.world)
        return self._loaders[number]

    def _training_set(self, name: str, stage: CurriculumStage) -> MultiViewDataset:
        config = self.config
        return self._dataset(
            name,
            split=config.splits.get(name),
            motion=stage.motion,
            num_views=stage.num_views,
            sizes=config.sizes,
            seed=config.loader.seed,
            aug_crop=config.aug_crop,
            jitter=ColorJitter() if config.color_jitter else None,
            allow_repeat=config.allow_repeat,
        )

    def _validation_part(self, name: str) -> Mixture:
        held_out = self.config.validation
        dataset = self._dataset(
            name,
            split=held_out.splits.get(name),
            num_views=held_out.num_views,
            sizes=[held_out.size],
            seed=held_out.seed,
        )
        return Mixture([Part(dataset, self.validation_samples[name])], seed=held_out.seed)

    def _dataset(self, name: str, *, motion: float = 1.0, sizes: Any, **options: Any) -> MultiViewDataset:
        make: Any
        if name == SYNTHETIC:
            rooms = self.config.synthetic
            walk = replace(rooms.walk, speed_m=motion * rooms.walk.speed_m, turn_deg=motion * rooms.walk.turn_deg)
            options.pop("split")
            make = partial(SyntheticRooms, scenes=rooms.scenes, walk=walk, cache=rooms.cache)
        else:
            make = partial(DATASETS[name], self.paths.folder(name))
        return make(sizes=[(h, w) for h, w in sizes], include_translation=self.with_translation, **options)


def available(samples: dict[str, int], config: DataConfig, paths: PathsConfig) -> dict[str, int]:
    """Return the datasets that take part.

    Raises:
        MissingDatasetsError: Some cannot be read, and `skip_missing` is off.
        ValueError: None is left.
    """
    wanted = {name: count for name, count in samples.items() if count > 0}
    missing = {name: reason for name in wanted if (reason := _why_missing(name, paths)) is not None}
    if missing and not config.skip_missing:
        raise MissingDatasetsError(
            f"{len(missing)} of {len(wanted)} datasets cannot be read: "
            + "; ".join(f"{name}: {reason}" for name, reason in missing.items())
            + ". Set paths.root or paths.folders.NAME, leave a dataset out with data.samples.NAME=0, or train on what "
            "is there with data.skip_missing=true"
        )
    for name, reason in missing.items():
        logger.warning("training without %s: %s", name, reason)
    return {name: count for name, count in wanted.items() if name not in missing}


def _why_missing(name: str, paths: PathsConfig) -> str | None:
    if name == SYNTHETIC:
        return None
    if name not in DATASETS:
        return f"there is no reader of that name (there are {', '.join(DATASETS)})"
    folder = paths.folder(name)
    return None if folder.is_dir() else f"there is no folder {folder}"
