"""From the data settings to batches: which datasets, their mixture, the curriculum, the held-out sets."""

import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

from cut3r.data.dataset import MultiViewDataset
from cut3r.data.datasets import DATASETS, import_reader
from cut3r.data.datasets.rgbd_folder import RgbdFolder
from cut3r.data.datasets.wai import Wai
from cut3r.data.loader import Loader, load, plan_in_order
from cut3r.data.mixture import Mixture, Part, SampleSource
from cut3r.data.sampling import MaskProbabilities
from cut3r.data.synthetic import SyntheticRooms
from cut3r.data.taught import Taught, TaughtFootage
from cut3r.data.transforms import ColorJitter
from cut3r.data.view import CompactView
from cut3r.model.config import ModelConfig, RayDirection
from cut3r.training.data_config import (
    FOOTAGE,
    RGBD,
    SYNTHETIC,
    DataConfig,
    PathsConfig,
    SyntheticConfig,
    mask_probabilities,
)

logger = logging.getLogger(__name__)

IMAGES_ONLY = MaskProbabilities(1.0, 0.0, 0.0)


class MissingDatasetsError(FileNotFoundError):
    """Datasets of the mixture cannot be read."""


class DataFeed:
    """Batches of the configured mixture for process `rank` of `world`.

    Args:
        taught: What a teacher has made of `data.footage`, if that takes part.

    Raises:
        MissingDatasetsError: A dataset has no reader or no folder, and they are not to be left out.
        ValueError: Nothing is left, or an epoch is smaller than one batch on each process.
    """

    def __init__(
        self,
        config: DataConfig,
        paths: PathsConfig,
        model: ModelConfig,
        *,
        taught: Taught | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.config, self.paths, self.taught, self.rank, self.world = config, paths, taught, rank, world
        self.with_translation = model.ray_direction is RayDirection.point_at_unit_depth
        self.samples = available(config.samples, config, paths, taught)
        self.validation_samples = available(config.validation.samples, config, paths, taught)
        # of all stages, so that whatever is wrong with the data shows at once
        self._loaders = [self._make_loader(stage) for stage in config.stages()]
        self._held_out = {name: self._validation_part(name) for name in self.validation_samples}

    def length(self, epoch: int) -> int:
        return len(self._loader(epoch))

    def batch_size(self, epoch: int) -> int:
        return self._loader(epoch).config.batch_size

    def batches(self, epoch: int, start: int) -> Iterator[list[CompactView]]:
        loader = self._loader(epoch)
        return telling_what_is_broken(loader.batches(epoch, start), loader.source, f"training, epoch {epoch}")

    def held_out(self) -> dict[str, Iterator[list[CompactView]]]:
        """Give this process's share of each held-out set, in order."""
        loader, shares = self.config.loader, {}
        for name, source in self._held_out.items():
            plan = plan_in_order(source, loader.batch_size)[self.rank :: self.world]
            shares[name] = telling_what_is_broken(load(source, plan, loader), source, f"held-out {name}")
        return shares

    def _loader(self, epoch: int) -> Loader:
        return self._loaders[self.config.stage_number(epoch)]

    def _make_loader(self, stage: DataConfig) -> Loader:
        parts = [Part(self._training_set(name, stage), count) for name, count in self.samples.items()]
        return Loader(Mixture(parts, seed=stage.loader.seed), stage.loader, rank=self.rank, world=self.world)

    def _training_set(self, name: str, stage: DataConfig) -> MultiViewDataset:
        return self._dataset(
            name,
            split=stage.splits.get(name),
            rooms=stage.synthetic,
            num_views=stage.num_views,
            sizes=stage.sizes,
            seed=stage.loader.seed,
            masks=mask_probabilities(stage.masks),
            aug_crop=stage.aug_crop,
            jitter=ColorJitter() if stage.color_jitter else None,
            allow_repeat=stage.allow_repeat,
        )

    def _validation_part(self, name: str) -> Mixture:
        held_out = self.config.validation
        dataset = self._dataset(
            name,
            split=held_out.splits.get(name),
            rooms=self.config.synthetic,
            num_views=held_out.num_views,
            sizes=[held_out.size],
            seed=held_out.seed,
            masks=IMAGES_ONLY,
        )
        return Mixture([Part(dataset, self.validation_samples[name])], seed=held_out.seed)

    def _dataset(self, name: str, *, rooms: SyntheticConfig, sizes: Any, **options: Any) -> MultiViewDataset:
        make: Any
        if name == SYNTHETIC:
            options.pop("split")
            make = partial(SyntheticRooms, **vars(rooms))
        elif name == FOOTAGE:
            assert self.taught is not None, "available() has seen it"
            make = partial(TaughtFootage, self.taught)
        elif name == RGBD:
            make = partial(RgbdFolder, self.paths.folder(name), config=self.config.rgbd)
        else:
            reader = reader_of(name, self.config)
            make = partial(reader, self.paths.folder(name))
            if name in self.config.metric:
                options["metric"] = True
            if issubclass(reader, Wai):
                options["config"] = self.config.wai.get(name)
        return make(sizes=[(h, w) for h, w in sizes], include_translation=self.with_translation, **options)


def telling_what_is_broken(
    batches: Iterator[list[CompactView]], source: SampleSource, what: str
) -> Iterator[list[CompactView]]:
    """Pass batches on; at the end, or when they are left early, log how many frames could not be read."""
    before, seen = source.broken_frames, 0
    try:
        for views in batches:
            seen += len(views) * len(views[0].label)
            yield views
    finally:
        total = source.broken_frames
        if total > before:
            logger.warning(
                "%s: %d frames could not be read, beside %d that were; neighbours took their place; %d since the start",
                *(what, total - before, seen, total),
            )


def available(
    samples: dict[str, int], config: DataConfig, paths: PathsConfig, taught: Taught | None = None
) -> dict[str, int]:
    """Return the datasets that take part.

    Raises:
        MissingDatasetsError: Some cannot be read, and `skip_missing` is off.
        ValueError: None is left, `data.wai` has options for what is no set in that format, or `data.metric` names a
            dataset whose unit nobody knows.
    """
    known = {**DATASETS, **config.readers}
    for name in config.metric:
        if name not in known or getattr(reader_of(name, config), "unit_m", None) is None:
            raise ValueError(
                f"data.metric has {name}, which is in metres already, or in a unit that nobody knows; it is for "
                f"{', '.join(each for each, reader in DATASETS.items() if getattr(reader, 'unit_m', None) is not None)}"
            )
    for name in config.wai:
        if name not in {**DATASETS, **config.readers} or not issubclass(reader_of(name, config), Wai):
            raise ValueError(
                f"data.wai has options for {name}, which is no set in the WAI format; call it as in data.samples, and "
                f"if that is not wai, set data.readers.{name}=cut3r.data.datasets.wai:Wai"
            )
    wanted = {name: count for name, count in samples.items() if count > 0}
    missing = {name: reason for name in wanted if (reason := _why_missing(name, config, paths, taught)) is not None}
    if missing and not config.skip_missing:
        raise MissingDatasetsError(
            f"{len(missing)} of {len(wanted)} datasets cannot be read: "
            + "; ".join(f"{name}: {reason}" for name, reason in missing.items())
            + ". Set paths.root or paths.folders.NAME, leave a dataset out with data.samples.NAME=0, or train on what "
            "is there with data.skip_missing=true"
        )
    for name, reason in missing.items():
        logger.warning("training without %s: %s", name, reason)
    left = {name: count for name, count in wanted.items() if name not in missing}
    if missing:
        mixture = ", ".join(f"{name} {count}" for name, count in left.items())
        logger.warning("the mixture is now %d samples per epoch: %s", sum(left.values()), mixture)
    return left


def reader_of(name: str, config: DataConfig) -> type[MultiViewDataset]:
    """Give the reader of a dataset: one of the user's, or one of the package.

    Raises:
        ValueError: The user's cannot be imported.
    """
    return import_reader(config.readers[name]) if name in config.readers else DATASETS[name]


def _why_missing(name: str, config: DataConfig, paths: PathsConfig, taught: Taught | None) -> str | None:
    if name == SYNTHETIC or (name == FOOTAGE and taught is not None):
        return None
    if name == FOOTAGE:
        return "no teacher has seen it (run.teacher and data.footage say which, and train.py lets it)"
    if name in config.readers:
        try:
            reader_of(name, config)
        except ValueError as error:
            return str(error)
    elif name not in DATASETS:
        return f"there is no reader of that name (there are {', '.join(DATASETS)}; data.readers names others)"
    folder = paths.folder(name)
    return None if folder.is_dir() else f"there is no folder {folder}"
